"""Single values of JSON become text, numbers or counts; what fits nowhere is None.

Source: RFC 8259; the caps are those of TRUST section 2.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from collectors.shape import VALUE_LIMIT

_EXACT: Final = 2**53  # largest count that a double tells exactly
_NUMBER: Final = 64  # characters of a number written as text


def told(value: Any) -> str | None:
    """A JSON value as text, at most 8,192 characters; numbers as JSON writes them."""
    if isinstance(value, str):
        return value[:VALUE_LIMIT]
    try:
        return json.dumps(value)[:VALUE_LIMIT]
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return None


def measured(value: Any) -> float | None:
    """A JSON value as a finite number, also written as text; true is 1; None when it is none."""
    if isinstance(value, str):
        if len(value) > _NUMBER:
            return None
        try:
            value = float(value)
        except ValueError:
            return None
    number = double(value) if isinstance(value, (int, float)) else None
    return number if number is not None and math.isfinite(number) else None


def counted(value: Any) -> int | None:
    """A JSON value as a whole number of at least 0; None when it is none."""
    number = measured(value)
    return int(number) if number is not None and 0 <= number <= _EXACT and number == int(number) else None


def double(value: float) -> float | None:
    """A number as a double; None when it is an integer beyond all doubles."""
    try:
        return float(value)
    except OverflowError:
        return None
