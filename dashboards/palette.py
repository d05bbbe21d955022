"""Colours and signs: one set for each theme, contrast measured against the card's ground.

Source: UX.md's table; Okabe and Ito (2008) for qualitative colours, Nunez et al. (2018) for cividis.
A state is always a sign and a word beside its colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

THEMES = ("dark", "light")


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one theme: ground and ink, the five states, and the qualitative series."""

    ground: str
    raised: str
    line: str
    ink: str
    dim: str
    ok: str
    ticket: str
    page: str
    unknown: str
    info: str
    series: tuple[str, ...]
    quiet: str  # the zero of a diverging or sequential scale that should recede


PALETTES: Mapping[str, Palette] = {
    "dark": Palette(
        "#0d1117", "#161d26", "#262e38", "#e6edf3", "#9aa4af", "#009E73", "#E69F00", "#D55E00", "#9aa4af", "#4C9BE8",
        ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#9aa4af"), "#1a212b",
    ),
    "light": Palette(
        "#ffffff", "#f3f5f8", "#d5dbe2", "#1b2430", "#5b6673", "#009E73", "#B87A00", "#D55E00", "#5b6673", "#0072B2",
        ("#0072B2", "#B87A00", "#009E73", "#CC79A7", "#7A6A00", "#D55E00", "#5b6673"), "#eef1f5",
    ),
}  # fmt: skip

SIGNS: Mapping[str, str] = {"ok": "●", "ticket": "▲", "page": "■", "unknown": "◌", "info": "◆"}

CIVIDIS: tuple[tuple[float, str], ...] = (
    (0.0, "#00224e"), (0.125, "#123570"), (0.25, "#3b496c"), (0.375, "#575d6d"), (0.5, "#707173"),
    (0.625, "#8a8678"), (0.75, "#a59c74"), (0.875, "#c3b369"), (1.0, "#fee838"),
)  # fmt: skip


def palette(theme: str) -> Palette:
    """The colours of a theme; dark when the name is not known."""
    return PALETTES.get(theme, PALETTES["dark"])


def sequential(theme: str) -> tuple[tuple[float, str], ...]:
    """Cividis from the ground outwards: few is close to the card, many stands out, in both themes."""
    return tuple((1 - at, colour) for at, colour in reversed(CIVIDIS)) if theme == "light" else CIVIDIS


def faint(colour: str, opacity: float) -> str:
    """A `#rrggbb` colour with an opacity, as CSS and Plotly write it.

    >>> faint("#D55E00", 0.2)
    'rgba(213,94,0,0.2)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
