"""The types that written fields have: validated on the way in, written back the way people write them.

A value that comes from a file is text with its unit; code may hand over the number instead. Paths
and secrets that come from a file start from the file's folder.

Source: our own, on pydantic 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationInfo

from observe.spec import quantity
from observe.spec.predicate import Predicate, parse_predicate
from observe.spec.quantity import Effect, Malformed, Rate
from observe.spec.secret import SecretRef, parse_secret

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):(\d{1,5})")


@dataclass(frozen=True, slots=True)
class FromFile:
    """Validation context of a value that a file holds: where relative paths start."""

    folder: Path


class Written(BaseModel):
    """A mapping of fields as a person writes it: frozen, unknown fields refused.

    Python names carry their unit; files use the alias where there is one.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        arbitrary_types_allowed=True,
        defer_build=True,  # validators are built when a file is read, not when a type is imported
    )


def _text(parse: Callable[[str], Any], example: str) -> BeforeValidator:
    """A validator that parses text; anything else passes only when it does not come from a file."""

    def validate(value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str):
            return parse(value)
        if info.context is not None and value is not None:
            raise Malformed(f"{_shown(value)} has no unit", f"write it with its unit: {example}")
        return value

    return BeforeValidator(validate)


def _shown(value: Any) -> str:
    if isinstance(value, dict | tuple | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return str(value)


def _name(value: Any) -> Any:
    if isinstance(value, str) and not NAME.fullmatch(value):
        raise Malformed(
            f"{value!r} is not a name",
            "lower-case letters, digits, '.', '_', '-'; at most 63, starting with a letter or digit",
        )
    return value


def _url(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Malformed(f"{value!r} is not an address", "write it whole: http://host:9400/metrics")
    if parts.username or parts.password:
        raise Malformed("an address must not hold credentials", "keep them at the target, or in front of it")
    return value


def _host_port(value: Any) -> Any:
    found = _HOST_PORT.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, str) and (found is None or int(found[2]) > 65_535):
        raise Malformed(f"{value!r} is not host:port", "write 127.0.0.1:8080")
    return value


def _path(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str | Path) and isinstance(info.context, FromFile):
        return (info.context.folder / Path(value).expanduser()).absolute()
    return Path(value) if isinstance(value, str) else value


def _path_below(value: Any, info: ValidationInfo) -> Any:
    path = _path(value, info)
    if isinstance(path, Path) and isinstance(info.context, FromFile):
        home, resolved = info.context.folder.resolve(), path.resolve()
        if not resolved.is_relative_to(home):
            raise Malformed(
                f"{value!r} leads out of the configuration's folder", "put the file beside the configuration"
            )
    return path


def _pattern(value: Any, info: ValidationInfo) -> Any:
    path = _path(value, info)
    return str(path) if isinstance(path, Path) else path


def _secret(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, SecretRef):
        return value
    folder = info.context.folder if isinstance(info.context, FromFile) else Path()
    return parse_secret(value if isinstance(value, str) else "", folder)


def _percent(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str):
        return quantity.parse_percent(value)
    if info.context is not None and value is not None:
        raise Malformed(f"{_shown(value)} has no unit", "write it with its sign: 99.9%")
    return value


def _each(value: Any) -> Any:
    """One value where a list is meant counts as a list of one."""
    return (value,) if isinstance(value, str) else value


_AS_TEXT = PlainSerializer(str, return_type=str)

Name = Annotated[str, BeforeValidator(_name)]
Duration = Annotated[
    float, _text(quantity.parse_duration, "30s, 5m, 2h, 30d"), PlainSerializer(quantity.write_duration)
]
Size = Annotated[int, _text(quantity.parse_size, "100GB"), PlainSerializer(quantity.write_size)]
Price = Annotated[float, _text(quantity.parse_price, "2.90 USD/h"), PlainSerializer(quantity.write_price)]
Percent = Annotated[float, BeforeValidator(_percent), PlainSerializer(quantity.write_percent)]
Times = Annotated[float, _text(quantity.parse_times, "2x"), PlainSerializer(quantity.write_times)]
FalseAlarmRate = Annotated[Rate, _text(quantity.parse_rate, "1 per 90d"), _AS_TEXT]
MinEffect = Annotated[Effect, _text(quantity.parse_effect, "0.1σ, 10%, 5pp"), _AS_TEXT]
Condition = Annotated[Predicate, _text(parse_predicate, "status = ok"), _AS_TEXT]
Instant = Annotated[datetime, _text(quantity.parse_instant, "2026-11-20T09:00:00Z")]
Secret = Annotated[SecretRef, BeforeValidator(_secret), _AS_TEXT]
Address = Annotated[str, BeforeValidator(_url)]
HostPort = Annotated[str, BeforeValidator(_host_port)]
AnyPath = Annotated[Path, BeforeValidator(_path)]
PathBelow = Annotated[Path, BeforeValidator(_path_below)]
PathPattern = Annotated[str, BeforeValidator(_pattern)]
Names = Annotated[tuple[str, ...], BeforeValidator(_each)]
