"""Plain SVG of series over time, one panel beneath the other, for the pictures of docs/detectors.

Source: our own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WIDE, HIGH, LEFT, TOP, GAP = 760, 150, 66, 20, 40
BLUE, RED, GREY = "#1f5fa8", "#b3261e", "#7a8794"


@dataclass(frozen=True)
class Panel:
    """One picture: values between `bottom` and `top`, which are written as `labels`."""

    title: str
    bottom: float
    top: float
    labels: tuple[str, str]
    dots: Floats | None = None
    lines: Sequence[tuple[Floats, str]] = ()
    level: tuple[float, str] | None = None  # a dashed line across, and what it is


def svg(panels: Sequence[Panel], marks: Sequence[int] = ()) -> str:
    """The panels as one SVG; `marks` are dashed verticals, by index."""
    first = panels[0]
    count = next(v.size for v in (first.dots, *(line for line, _ in first.lines)) if v is not None)
    across = LEFT + (WIDE - LEFT - 10) * np.arange(count) / count
    low = TOP + len(panels) * (HIGH + GAP) - GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {low + 20}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDE}" height="{low + 20}" fill="#fff"/>',
    ]
    for i, panel in enumerate(panels):
        parts += _drawn(panel, across, TOP + (i + 1) * HIGH + i * GAP)
    parts += [f'<path d="M{across[m]:.1f} {TOP}V{low}" stroke="#333" stroke-dasharray="5 4"/>' for m in marks]
    return "\n".join([*parts, "</svg>\n"])


def _drawn(panel: Panel, across: Floats, floor: int) -> list[str]:
    def up(values: Floats | float) -> Floats:
        return np.asarray(floor - HIGH * np.clip((values - panel.bottom) / (panel.top - panel.bottom), 0, 1))

    parts = [
        f'<text x="{LEFT}" y="{floor - HIGH - 6}">{panel.title}</text>',
        f'<text x="4" y="{floor}">{panel.labels[0]}</text><text x="4" y="{floor - HIGH + 10}">{panel.labels[1]}</text>',
    ]
    if panel.dots is not None:
        dots = [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="1.3"/>' for a, b in zip(across, up(panel.dots), strict=True)]
        parts += [f'<g fill="{GREY}">', *dots, "</g>"]
    for values, colour in panel.lines:
        at = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, up(values), strict=True) if np.isfinite(b))
        parts.append(f'<polyline points="{at}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    if panel.level is not None:
        value, said = panel.level
        y = float(up(value))
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDE - 10}" stroke="#333" stroke-dasharray="2 3"/>')
        parts.append(f'<text x="4" y="{y:.1f}">{said}</text>')
    return parts
