"""Single values inside LiteLLM's payload, as far as they are what they should be.

Source: litellm 1.109, `litellm/types/utils.py`; the cap is that of TRUST section 2.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from observe.schema import Json

MAX_TEXT: Final = 8192  # characters of one value


def part_of(item: Json, name: str) -> Json:
    """A JSON object inside another; empty when it is absent or something else."""
    part = item.get(name)
    return part if isinstance(part, dict) else {}


def finite(value: object) -> float | None:
    """A finite number, else None; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, int):
        value = max(-(10**15), min(value, 10**15))
    return float(value) if value - value == 0.0 else None


def storable(value: object, notes: Counter[str]) -> str | None:
    """A text that can be stored; empty is NULL, longer than `MAX_TEXT` is cut and counted."""
    if value is None or value == "" or isinstance(value, (dict, list)):
        return None
    text = str(value)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # JSON may escape half of a surrogate pair
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if len(text) > MAX_TEXT:
        notes["truncated"] += 1
        return text[:MAX_TEXT]
    return text
