"""How values read: units, significant digits, a true minus sign, and a dash for what is not known.

Source: our own.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

UNKNOWN = "–"


def known(value: object) -> bool:
    """Whether a cell holds a value: neither NULL nor NaN."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def count(value: float | None) -> str:
    """A whole number with thin thousands, or a short form from ten thousand on.

    >>> count(1234), count(184210), count(None)
    ('1,234', '184 k', '–')
    """
    if value is None or not known(value):
        return UNKNOWN
    if abs(value) < 10_000:
        return f"{value:,.0f}"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{_three(value / size)} {letter}"
    return f"{value:,.0f}"


def number(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant digits and no exponent where people expect none.

    >>> number(0.4213), number(-2.0), number(31.0)
    ('0.421', '−2', '31')
    """
    if value is None or not known(value):
        return UNKNOWN
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(places, 6)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def share(value: float | None, digits: int | None = None) -> str:
    """A fraction 0-1 as percent; near 100 % as many digits as tell it from 100.

    >>> share(0.613), share(0.99962), share(-0.124)
    ('61 %', '99.962 %', '−12 %')
    """
    if value is None or not known(value):
        return UNKNOWN
    percent = value * 100
    if digits is None:
        gap = min(abs(percent), abs(100 - percent)) + 1e-9
        text = f"{percent:.{0 if gap >= 10 or gap < 1e-8 else 1 if gap >= 1 else 2 if gap >= 0.1 else 3}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = f"{percent:.{digits}f}"
    return f"{text} %".replace("-", "−")


def dollars(value: float | None) -> str:
    """US dollars: cents below 100, none above.

    >>> dollars(1.839), dollars(5777.2)
    ('$1.84', '$5,777')
    """
    if value is None or not known(value):
        return UNKNOWN
    return f"${value:,.2f}" if abs(value) < 100 else f"${value:,.0f}"


def seconds(value: float | None) -> str:
    """A duration of a request, in the unit that reads best.

    >>> seconds(0.8), seconds(2.4), seconds(0.0004)
    ('800 ms', '2.4 s', '0.4 ms')
    """
    if value is None or not known(value):
        return UNKNOWN
    return f"{_three(value * 1000)} ms" if value < 1 else f"{_three(value)} s"


def span(length: timedelta | float | None) -> str:
    """A length of time in its two largest units.

    >>> span(timedelta(hours=2, minutes=10)), span(12.0)
    ('2 h 10 min', '12 s')
    """
    if length is None:
        return UNKNOWN
    left = int(length.total_seconds() if isinstance(length, timedelta) else length)
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def clock(instant: datetime | None, now: datetime | None = None) -> str:
    """A time of day in UTC, with its date when that is not `now`'s.

    >>> clock(datetime(2026, 11, 20, 14, 2))
    '20 Nov 14:02'
    """
    if instant is None:
        return UNKNOWN
    if now is not None and instant.date() == now.date():
        return f"{instant:%H:%M}"
    return f"{instant.day} {instant:%b %H:%M}"


def effect(value: float | None, unit: str | None) -> str:
    """An effect with its unit as people write it.

    >>> effect(0.42, "sigma"), effect(18.1, "x budget"), effect(-3.0, "pp"), effect(1.3, "ratio")
    ('+0.42 σ', '18.1× budget', '−3.00 pp', '1.30×')
    """
    if value is None or not known(value):
        return UNKNOWN
    if unit == "x budget":
        return f"{number(value)}× budget"
    if unit == "ratio":
        return f"{size(value)}×"
    sign = "+" if value > 0 else ""
    return f"{sign}{size(value)} {'σ' if unit == 'sigma' else unit or ''}".strip()


def size(value: float | None) -> str:
    """The number of an effect: two decimals below ten, three digits above.

    >>> size(0.0091), size(-0.398), size(18.13)
    ('0.01', '−0.40', '18.1')
    """
    if value is None or not known(value):
        return UNKNOWN
    return f"{value:.2f}".replace("-", "−") if abs(value) < 10 else number(value)


def interval(low: float | None, high: float | None) -> str:
    """A 95 % interval as people write it; a dash when it is not known.

    >>> interval(0.36, 0.48), interval(None, None)
    ('0.36 to 0.48', '–')
    """
    return f"{size(low)} to {size(high)}" if known(low) and known(high) else UNKNOWN


def _three(value: float) -> str:
    return number(value, 3) if abs(value) < 100 else f"{value:,.0f}"
