"""A picture of the rate detector at work: three days of a share with a season, bursts of its own, and a rise.

python -m bench.rates --svg docs/detectors/img/rate.svg
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import rates
from detectors.counts import Normal

WIDE, HIGH, LEFT, TOP = 760, 150, 60, 20
DAYS, RISES_AT = 3, int(2.2 * rates.DAY)  # shown; window of the rise among them
Floats = NDArray[np.float64]


class Drawn(rates.Counted):
    """Remembers what its evidence was worth in every window."""

    def _tell(self, t: int, end: int, streams: object, nats: object, told: object) -> None:
        self.nats = [*getattr(self, "nats", []), float(np.asarray(nats)[0])]
        super()._tell(t, end, streams, nats, told)


def draw(path: str) -> None:
    """Write the picture."""
    rng, windows = np.random.default_rng(7), rates.DAY * (rates.HISTORY_D + DAYS)
    t = np.arange(windows)[:, None]
    share = 0.004 * 2 ** np.cos(2 * np.pi * (t - 150) / rates.DAY)
    share[windows - rates.DAY * DAYS + RISES_AT :] *= 1.8
    n = np.full((windows, 1), 2000.0)
    x = rates.observed(rates.KINDS["season"], share, n, rng)
    walk = rates.judge(x, n, rates.DAY * DAYS, kind=Drawn)
    assert isinstance(walk, Drawn)
    normal = walk.memory.normals[0]
    assert normal is not None
    seen = (x / n)[-rates.DAY * DAYS :, 0]
    Path(path).write_text(_svg(seen, _expected(normal, windows), np.array(walk.nats)))


def _expected(normal: Normal, windows: int) -> Floats:
    ts = int(rates.START.timestamp()) + rates.STEP_S * np.arange(windows - rates.DAY * DAYS, windows)
    return normal.share * normal.factors(ts, rates.STEP_S)


def _svg(seen: Floats, expected: Floats, nats: Floats) -> str:
    across = LEFT + (WIDE - LEFT - 10) * np.arange(seen.size) / seen.size
    low = TOP + 2 * HIGH + 40

    def line(values: Floats, top: float, floor: int, colour: str) -> str:
        at = " ".join(f"{a:.1f},{floor - HIGH * v / top:.1f}" for a, v in zip(across, values, strict=True))
        return f'<polyline points="{at}" fill="none" stroke="{colour}" stroke-width="1.5"/>'

    most, dots = float(seen.max()), []
    dots = [
        f'<circle cx="{a:.1f}" cy="{TOP + HIGH - HIGH * v / most:.1f}" r="1.1"/>'
        for a, v in zip(across, seen, strict=True)
    ]
    rise, need = across[RISES_AT], low - HIGH * rates.THRESHOLD / (2 * rates.THRESHOLD)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {low + 20}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDE}" height="{low + 20}" fill="#fff"/>', '<g fill="#7a8794">', *dots, "</g>",
        line(expected, most, TOP + HIGH, "#1f5fa8"),
        line(np.clip(nats, 0, 2 * rates.THRESHOLD), 2 * rates.THRESHOLD, low, "#b3261e"),
        f'<path d="M{LEFT} {need:.1f}H{WIDE - 10}" stroke="#333" stroke-dasharray="2 3"/>',
        f'<path d="M{rise:.1f} {TOP}V{low}" stroke="#333" stroke-dasharray="5 4"/>',
        f'<text x="4" y="{TOP + 10}">{most:.1%}</text><text x="4" y="{TOP + HIGH}">0 %</text>',
        f'<text x="4" y="{need:.1f}">{rates.THRESHOLD:.0f} nats</text><text x="4" y="{low}">0</text>',
        f'<text x="{LEFT}" y="{TOP - 6}">share of bad events, and what was expected</text>',
        f'<text x="{LEFT}" y="{low - HIGH - 8}">what the evidence is worth, and the threshold</text>', "</svg>\n",
    ])  # fmt: skip
