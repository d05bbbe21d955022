"""How strongly windows of counts speak for a higher share than the normal one, and the smallest rise that is found.

A window's evidence is the log likelihood ratio of a share raised by each of `RATIOS`; sums start anew where they
fall below 0 (a CUSUM), and are divided by what dependence between windows inflates them.

Source: METHODS section 5; Page (1954), "Continuous inspection schemes", Biometrika 41, for sums that start anew.
Assumes: counts are negative binomial around their normal mean; dependence falls geometrically.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import scatter

Floats = NDArray[np.float64]

RATIOS: Final = np.array([1.5, 2.0, 4.0, 8.0, 16.0])


def nats(x: Floats, n: Floats, m0: Floats, k: Floats, ratio: float) -> Floats:
    """Log likelihood ratio of means raised by `ratio` (a share never exceeds 1) against the normal ones `m0`; any shape."""
    m1 = np.minimum(m0 * ratio, np.maximum(n, m0))
    gain: Floats | float = log(ratio)
    if (m1 < m0 * ratio).any():
        gain = np.log(np.maximum(m1, 1e-300) / np.maximum(m0, 1e-300))
    found: Floats = np.where(m0 > 0, x * gain - (x + k) * np.log1p((m1 - m0) / (m0 + k)), 0.0)
    return found


def replayed(x: Floats, n: Floats, m0: Floats, known: Sequence[Floats]) -> tuple[Floats, NDArray[np.bool_]]:
    """Evidence that the history itself would have held, and where it held none; (S, T) each.

    Args:
        x: bad events, (S, T).
        n: all events, (S, T).
        m0: normal means, (S, T).
        known: k, cap of one window's nats, dependence and its fall, (S,) each.
    """
    k, cap, vif, fall = (v[:, None] for v in known)
    dependent = np.flatnonzero(known[2] > 1)
    at = np.arange(x.shape[1])
    total, quiet = np.zeros(x.shape), np.ones(x.shape, dtype=bool)
    for ratio in RATIOS:
        z, held = reflected(np.minimum(nats(x, n, m0, k, float(ratio)), cap))
        last = np.maximum.accumulate(np.where(held[dependent] <= 0, at, -1), axis=1)
        age = at - np.concatenate([np.full((dependent.size, 1), -1), last[:, :-1]], axis=1)
        z[dependent] /= scatter.inflation(age.astype(np.float64), vif[dependent], fall[dependent])
        total += np.exp(np.minimum(z, 600.0))
        quiet &= held <= 0
    return np.log(total / RATIOS.size), quiet


def reflected(gained: Floats) -> tuple[Floats, Floats]:
    """Sums (S, T) that start anew where they fell below 0, before and after that fall is forgotten."""
    total = np.cumsum(gained, axis=1)
    lowest = np.minimum(np.minimum.accumulate(total, axis=1), 0.0)
    held = total - lowest
    before = np.concatenate([np.zeros((len(gained), 1)), held[:, :-1]], axis=1)
    return before + gained, held


@lru_cache(maxsize=16_384)  # asked in every window, other only after a fit
def smallest(n: float, upper: float, k: float, vif: float, needed: float, windows: float) -> float | None:
    """The smallest ratio of shares found within `windows` windows with 90 %; None beyond 100 or a share of 1.

    Args:
        n: events of a window.
        upper: the share that is still normal, 0-1.
        k: of the negative binomial.
        vif: by which dependence inflates the variance of a long sum.
        needed: evidence an alarm needs, nats.
        windows: how many there are.
    """
    for ratio in np.geomspace(1.1, 100.0, 60):
        p = upper * ratio
        if p > 1:
            return None
        m0, m1 = n * upper, n * p
        gain = m1 * log(ratio) + (m1 + k) * np.log1p((m0 - m1) / (m1 + k))
        spread = np.sqrt(windows * m1) * log(ratio)
        if (windows * gain - 1.2816 * spread) / vif >= needed + log(RATIOS.size):
            return float(f"{ratio:.4g}")
    return None
