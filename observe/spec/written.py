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
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationInfo, WithJsonSchema

from observe.errors import Mark
from observe.spec import quantity
from observe.spec.predicate import FIELDS, Predicate, parse_predicate
from observe.spec.quantity import Effect, Malformed, Rate
from observe.spec.secret import HIDDEN, SecretRef, names_secret, parse_secret, shown_value

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):(\d{1,5})")


@dataclass(frozen=True, slots=True)
class FromFile:
    """Validation context of a value that a file holds: where relative paths start, and where it is written."""

    folder: Path
    mark: Callable[[str], Mark | None] = lambda _: None  # the place of a scalar, by its text


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


def check_name(value: Any) -> Any:
    """Refuse a text that is not a name."""
    if isinstance(value, str) and not NAME.fullmatch(value):
        raise Malformed(
            f"{value!r} is not a name",
            "lower-case letters, digits, '.', '_', '-'; at most 63, starting with a letter or digit",
        )
    return value


def check_url(value: Any) -> Any:
    """Refuse a text that is not an http address, or holds credentials."""
    if not isinstance(value, str):
        return value
    parts = urlsplit(value)
    asked = parse_qsl(parts.query, keep_blank_values=True)
    if "@" in (parts.netloc or value) or any(names_secret(k) or shown_value(k, v) == HIDDEN for k, v in asked):
        hint = "auth: {username: me, password: env:NAME} or auth: {bearer: env:NAME}"
        raise Malformed("an address must not hold credentials", hint, shows=False)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        whole = f"http://{value}" if re.match(r"[\w.-]+(:\d+)?(/|$)", value) else "http://host:9400/metrics"
        raise Malformed(f"{value!r} is not an address", f"write it whole: {whole}")
    return value


def travels_in_clear(url: str) -> bool:
    """Whether what is sent to an address can be read on the way: http, to another machine.

    >>> travels_in_clear("http://10.0.0.7/a"), travels_in_clear("http://[::1]:8000/v1"), travels_in_clear("https://a")
    (True, False, False)
    """
    parts = urlsplit(url)
    try:
        here = ip_address(parts.hostname or "").is_loopback
    except ValueError:
        here = parts.hostname == "localhost"
    return parts.scheme == "http" and not here


def _host_port(value: Any) -> Any:
    found = _HOST_PORT.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, int) and not isinstance(value, bool):
        raise Malformed(f"{value} is not host:port", f'write "127.0.0.1:{value}" for this machine only')
    if isinstance(value, str) and (found is None or int(found[2]) > 65_535):
        hint = "a port is at most 65535" if found else "write 127.0.0.1:8080"
        raise Malformed(f"{value!r} is not host:port", hint)
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
    text = value if isinstance(value, str) else ""
    if isinstance(info.context, FromFile):
        return parse_secret(text, info.context.folder, info.context.mark(text))
    return parse_secret(text, Path())


def _percent(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str):
        return quantity.parse_percent(value)
    if info.context is not None and value is not None:
        meant = "99.9%"
        if isinstance(value, int | float) and 0 < value <= 100:
            meant = quantity.write_percent(value if value <= 1 else value / 100)
        raise Malformed(f"{_shown(value)} has no unit", f"write it with its sign: {meant}")
    return value


def _each(value: Any) -> Any:
    """One value where a list is meant counts as a list of one."""
    return (value,) if isinstance(value, str) else value


_AS_TEXT = PlainSerializer(str, return_type=str)

_N: Final = r"\d+(\.\d+)?"
_DURATION: Final = rf"({_N} ?(ms|[wdhms]) ?)+"
_PORT: Final = r"(\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])"
_TERM: Final = rf"""({"|".join(FIELDS)})\s*(!=|<=|>=|=|<|>)\s*('[^']*'|"[^"]*"|[\w.:/%-]+)"""


def as_text(title: str, pattern: str, *examples: str) -> WithJsonSchema:
    """What an editor knows of a written value."""
    return WithJsonSchema({"type": "string", "title": title, "pattern": f"^{pattern}$", "examples": list(examples)})


Name = Annotated[str, BeforeValidator(check_name), as_text("name", NAME.pattern, "llama-70b-chat")]
Duration = Annotated[
    float, _text(quantity.parse_duration, "30s, 5m, 2h, 30d"), PlainSerializer(quantity.write_duration),
    as_text("duration", _DURATION, "800ms", "15s", "5m", "1h30m", "30d"),
]  # fmt: skip
Size = Annotated[
    int, _text(quantity.parse_size, "100GB"), PlainSerializer(quantity.write_size),
    as_text("size", rf"{_N} ?([kKMGT]?B|[KMGT]iB)", "500MB", "100GB", "2TB", "64MiB"),
]  # fmt: skip
Price = Annotated[
    float, _text(quantity.parse_price, "2.90 USD/h"), PlainSerializer(quantity.write_price),
    as_text("USD per hour", rf"{_N} ?USD/h", "2.90 USD/h"),
]  # fmt: skip
Usd = Annotated[
    float, _text(quantity.parse_usd, "0.02 USD"), PlainSerializer(quantity.write_usd),
    as_text("USD", rf"{_N} ?USD", "0.02 USD"),
]  # fmt: skip
Percent = Annotated[
    float, BeforeValidator(_percent), PlainSerializer(quantity.write_percent),
    as_text("percentage", r"(100(\.0+)?|\d{1,2}(\.\d+)?) ?%", "99.9%"),
]  # fmt: skip
Times = Annotated[
    float, _text(quantity.parse_times, "2x"), PlainSerializer(quantity.write_times), as_text("ratio", rf"{_N} ?[x×]", "2x")
]  # fmt: skip
FalseAlarmRate = Annotated[
    Rate, _text(quantity.parse_rate, "1 per 90d"), _AS_TEXT, as_text("rate", rf"[1-9]\d* per {_DURATION}", "1 per 90d")
]  # fmt: skip
MinEffect = Annotated[
    Effect, _text(quantity.parse_effect, "0.1σ, 10%, 5pp"), _AS_TEXT,
    as_text("effect size", rf"{_N} ?(σ|sigma|%|pp)", "0.1σ", "10%", "5pp"),
]  # fmt: skip
Condition = Annotated[
    Predicate, _text(parse_predicate, "status = ok"), _AS_TEXT,
    as_text("condition", rf"\s*{_TERM}(\s+([aA][nN][dD]|[oO][rR])\s+{_TERM})*\s*", "status = ok and duration_s < 2s"),
]  # fmt: skip
Instant = Annotated[
    datetime, _text(quantity.parse_instant, "2026-11-20T09:00:00Z"),
    as_text("instant, UTC", r"\d{4}-\d{2}-\d{2}.*", "2026-11-20", "2026-11-20T09:00:00Z"),
]  # fmt: skip
Secret = Annotated[
    SecretRef, BeforeValidator(_secret), _AS_TEXT,
    as_text("reference to a secret", r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)", "env:SCRAPE_TOKEN", "file:/run/secrets/token"),
]  # fmt: skip
Address = Annotated[
    str, BeforeValidator(check_url), as_text("address", r"https?://[^\s/@?#]+([/?#]\S*)?", "http://host:9400/metrics")
]  # fmt: skip
HostPort = Annotated[
    str, BeforeValidator(_host_port),
    as_text("host:port", rf"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):{_PORT}", "127.0.0.1:8080"),
]  # fmt: skip
AnyPath = Annotated[Path, BeforeValidator(_path), as_text("path", ".+", "./data")]
PathBelow = Annotated[
    Path, BeforeValidator(_path_below), as_text("path below the file's folder", "[^/].*", "train.parquet")
]
PathPattern = Annotated[
    str, BeforeValidator(_pattern), as_text("path, * for any name", ".+", "./predictions/*.parquet")
]
Names = Annotated[
    tuple[str, ...], BeforeValidator(_each),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}], "title": "name, or names"}),
]  # fmt: skip
