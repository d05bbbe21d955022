"""Signs, numbers and changes of a comparison as people read them.

Source: UX.md, design tokens.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from detectors.exact_verdict import Feature, Reads, Verdict

SIGNS: Final[dict[Verdict, str]] = {
    "drift": "▲ drift",
    "too_few": "◌ too few",
    "inform": "◆ inform",
    "no_drift": "● no drift",
}


def effect_text(feature: Feature) -> str:
    """The change that tells most, with its interval: `median 12 → 14: +2 (1.8 to 2.2)`.

    Empty where nothing was measured.
    """
    e = feature.effect
    if e is None:
        return ""
    unit = f" {feature.unit}" if feature.unit else ""
    name = repr(e.of) if feature.unit == "pp" else e.of
    share = "%" if feature.unit == "pp" else "" if feature.reads else unit
    levels = f"{value(e.reference, feature.reads)}{share} → {value(e.current, feature.reads)}{share}"
    if feature.reads:
        low, shift, high = (lasting(v, feature.unit) for v in (e.low, e.shift, e.high))
        return f"{name} {levels}: {shift} (95 % interval {low} to {high})"
    return f"{name} {levels}: {signed(e.shift)}{unit} (95 % interval {signed(e.low)} to {signed(e.high)})"


def value(number: float, reads: Reads) -> str:
    """A value as its feature's values read: a number, a date, an instant, a time of day.

    >>> value(20604.0, "date"), value(43200.0, "clock"), value(1780185600.5, "utc"), value(12345.6, "")
    ('2026-05-31', '12:00:00', '2026-05-31 00:00:00.500 UTC', '12,346')
    """
    if not reads:
        return plain(number)
    try:
        at = datetime(1970, 1, 1) + (timedelta(round(number)) if reads == "date" else timedelta(seconds=number))
    except (OverflowError, ValueError):  # beyond the years that have a name
        return f"{plain(number)} {'d' if reads == 'date' else 's'}"
    if reads == "date":
        return f"{at:%Y-%m-%d}"
    precise = "milliseconds" if round(at.microsecond, -3) % 1_000_000 else "seconds"
    time = at.time().isoformat(precise)
    return time if reads == "clock" else f"{at:%Y-%m-%d} {time}{' UTC' if reads == 'utc' else ''}"


def lasting(change: float, unit: str) -> str:
    """A change of a time, in the unit that reads best.

    >>> lasting(30.0, "d"), lasting(-21_600.0, "s"), lasting(0.25, "s")
    ('+30 d', '-6 h', '+0.25 s')
    """
    if unit != "s":
        return f"{signed(change)} {unit}"
    sizes = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
    size, name = next(((s, n) for s, n in sizes if abs(change) >= s), (1.0, "s"))
    return f"{signed(change / size)} {name}"


def plain(value: float) -> str:
    """A number with four digits."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def signed(value: float) -> str:
    """A change with its sign and three digits."""
    return f"{value:+,.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:+.3g}"


def one_line(text: str) -> str:
    """The same without what a terminal would act upon."""
    return "".join(c if c.isprintable() else "�" for c in text)
