"""Attributes of a span become plain facts: known keys only, capped, newest name first.

Source: OTLP common.v1.AnyValue; the names are in `collectors.genai`, the caps in TRUST section 2.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from collectors.genai import KEYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

ATTRIBUTE_LIMIT: Final = 128  # attributes of one span; OpenTelemetry SDKs cut at the same number
KEY_LIMIT: Final = 256  # bytes of a key
VALUE_LIMIT: Final = 8192  # bytes of a value
_EXACT: Final = 2**53  # largest count that a double tells exactly

Facts = Mapping[str, Any]
_BLANK: Final = frozenset({"", "None", "null"})  # LiteLLM writes "None" for what it does not know


def facts(attributes: Sequence[KeyValue], notes: Counter[str]) -> dict[str, Any]:
    """What the known attributes of a span say, by fact of `genai.ALIASES`.

    Args:
        attributes: at most 128 are looked at.
        notes: counts `attributes_dropped`, `key_too_long` and `value_truncated`.

    Returns:
        str, int, float, bool or list of these; blank values are absent.
    """
    found: dict[str, Any] = {}
    ranks: dict[str, int] = {}
    if len(attributes) > ATTRIBUTE_LIMIT:
        notes["attributes_dropped"] += len(attributes) - ATTRIBUTE_LIMIT
        attributes = attributes[:ATTRIBUTE_LIMIT]
    for attribute in attributes:
        key = attribute.key
        known = KEYS.get(key)
        if known is None:
            if len(key) * 4 > KEY_LIMIT and len(key.encode()) > KEY_LIMIT:
                notes["key_too_long"] += 1
            continue
        fact, rank = known
        if ranks.get(fact, rank + 1) <= rank:
            continue
        value = plain(attribute.value, notes)
        if value is not None:
            found[fact], ranks[fact] = value, rank
    return found


def plain(value: AnyValue, notes: Counter[str]) -> Any:
    """An attribute's value; None when it is blank, not finite, bytes or a map."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return _text(value.string_value, notes)
    if kind == "int_value":
        return value.int_value
    if kind == "double_value":
        return value.double_value if math.isfinite(value.double_value) else None
    if kind == "bool_value":
        return value.bool_value
    if kind == "array_value":
        items = value.array_value.values[:ATTRIBUTE_LIMIT]
        return [item.string_value[:VALUE_LIMIT] for item in items if item.WhichOneof("value") == "string_value"] or None
    return None


def _text(text: str, notes: Counter[str]) -> str | None:
    if len(text) * 4 > VALUE_LIMIT and len(encoded := text.encode()) > VALUE_LIMIT:
        notes["value_truncated"] += 1
        return encoded[:VALUE_LIMIT].decode(errors="ignore")
    return None if text in _BLANK else text


def text(value: Any) -> str | None:
    """A fact as text; lists and absent facts are None."""
    return None if value is None or isinstance(value, list) else str(value)


def count(value: Any) -> int | None:
    """A fact as a count: a whole number of at least 0, also written as text or float; else None."""
    if value is None:
        return None
    if isinstance(value, str):
        value = int(value) if len(value) <= 16 and value.isascii() and value.isdigit() else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value <= _EXACT and value == int(value) else None


def number(value: Any) -> float | None:
    """A fact as a finite number of at least 0; else None."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value < math.inf else None


def flag(value: Any) -> bool | None:
    """A fact as true or false, also written as text; else None."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def texts(value: Any) -> tuple[str, ...] | None:
    """A fact as a list of texts: an array, or text that holds one as JSON or as Python prints it."""
    if isinstance(value, str):
        if not value.startswith("["):
            return (value,)
        value = [part.strip(" \"'") for part in value.strip("[]()").split(",")]
    if not isinstance(value, list):
        return None
    return tuple(v for v in value if v) or None


def member(value: Any, name: str) -> Any:
    """A scalar out of a fact that is a JSON object written as text; None when it is not there."""
    if not isinstance(value, str) or not value.startswith("{"):
        return None
    try:
        found = json.loads(value).get(name)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, (str, int, float, bool)) and found not in _BLANK else None
