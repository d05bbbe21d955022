"""Signs, numbers and changes of a comparison as people read them.

Source: UX.md, design tokens.
"""

from __future__ import annotations

from typing import Final

from detectors.exact_verdict import Feature, Verdict

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
    share = "%" if feature.unit == "pp" else unit
    interval = f"95 % interval {signed(e.low)} to {signed(e.high)}"
    return f"{name} {plain(e.reference)}{share} → {plain(e.current)}{share}: {signed(e.shift)}{unit} ({interval})"


def plain(value: float) -> str:
    """A number with four digits."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def signed(value: float) -> str:
    """A change with its sign and three digits."""
    return f"{value:+,.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:+.3g}"


def one_line(text: str) -> str:
    """The same without what a terminal would act upon."""
    return "".join(c if c.isprintable() else "�" for c in text)
