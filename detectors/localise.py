"""Since when, and by how much? Generalised likelihood ratio over the possible starts of a shift.

For every start the exact response of the filter to a unit shift gives a least-squares effect; the best
start maximises its likelihood, starts within 3 nats are plausible, and the interval of the effect is the
union over them.

Source: METHODS section 4, "After an alarm"; Willsky and Jones (1976), "A generalized likelihood ratio
approach to the detection and estimation of jumps".
Assumes: one lasting shift inside the last 200 windows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NO_ROWS: Final = 1e3  # sigma; deviation that a window without rows is given
KEPT: Final = 200  # windows a start is looked for in
_PLAUSIBLE: Final = 3.0  # nats
_Z: Final = 1.96  # 95 %
_KNOWN: Final = 12  # windows since the shift from which on their own noise counts


@dataclass(frozen=True, slots=True)
class Shift:
    """A shift of one stream: first shifted window as an index (best, earliest, latest) and effect in sigma with 95 % interval."""

    start: int
    low: int
    high: int
    effect: float
    ci_low: float
    ci_high: float
    nats: float  # how much better the shift explains the trail than none


@dataclass(frozen=True, slots=True)
class Trail:
    """The last windows of one stream, oldest first; (R,) each."""

    e: Floats  # innovations
    s: Floats  # their standard deviations, sigma
    k: Floats  # Kalman gain


def shift(
    trail: Trail, rho: float, se: float, scale: float, sign: int, noisier: Callable[[float], float] = lambda effect: 1.0
) -> Shift:
    """Where a shift most likely began and how large it is.

    Args:
        trail: recent windows, at least one with rows.
        rho: memory of the process noise per window.
        se: standard error of the baseline, sigma.
        scale: standard deviation of the history's innovations times the root of their inflation.
        sign: direction of the alarm, +1 or -1; starts whose effect points the other way are not considered.
        noisier: by how much more innovations scatter after a shift of some size.
    """
    cross, power = _sums(trail, rho)
    effect = cross / np.maximum(power, 1e-12)
    ratio = np.where((power > 0) & (effect * sign >= 0), cross**2 / np.maximum(power, 1e-12) / (2 * scale**2), -1.0)
    best = int(ratio.argmax())
    plausible = np.flatnonzero(ratio >= max(ratio[best] - _PLAUSIBLE, 0.0))
    half = _Z * np.hypot(
        max(scale * noisier(float(effect[best])), _after(trail, best, float(ratio[best]) * 2 * scale**2))
        / np.sqrt(np.maximum(power, 1e-12)),
        se,
    )
    if not plausible.size:
        plausible = np.array([best])
    return Shift(
        best, int(plausible[0]), int(plausible[-1]), float(effect[best]),
        float((effect - half)[plausible].min()), float((effect + half)[plausible].max()),
        float(ratio[best]),
    )  # fmt: skip


def _after(trail: Trail, start: int, explained: float) -> float:
    """Standard deviation of innovations since the shift, less what it explains: a wider feature is also a noisier one."""
    e = trail.e[start:][trail.s[start:] < NO_ROWS]
    return float(np.sqrt(max(float(e @ e) - explained, 0.0) / (e.size - 1))) if e.size >= _KNOWN else 0.0


def _sums(trail: Trail, rho: float) -> tuple[Floats, Floats]:
    """Sum of m*e and of m*m for every start, (R,) each; m is the response to a unit shift."""
    count = trail.e.size
    response, cross, power = np.zeros(count), np.zeros(count), np.zeros(count)
    for t in range(count):
        begun = slice(0, t + 1)
        gap = 1.0 - rho * response[begun]
        if trail.s[t] < NO_ROWS:  # the gain says nothing: it is 0 for a stream without process noise
            m = gap / trail.s[t]
            cross[begun] += m * trail.e[t]
            power[begun] += m * m
        response[begun] = rho * response[begun] + trail.k[t] * gap
    return cross, power
