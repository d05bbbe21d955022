"""Sampling noise of short windows, read off neighbours: what an hour's mean has averaged away.

Noise is learnt from hours, where the scatter of rows and quick wander look the same: a stream that wanders is fitted
with next to no sampling noise. Windows of five minutes hold a twelfth of the rows, and taken for exact each of
them is followed at once, so that even a large shift surprises one window only. Neighbouring windows share their
wander but not their rows: half the square of their difference is sampling noise, less what wander adds.

Source: our own; von Neumann (1941), "Distribution of the ratio of the mean square successive difference to the variance".
Assumes: wander is first-order autoregressive with the memory that hours show.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.noise import Noise

Floats = NDArray[np.float64]

_LEAST: Final = 288  # pairs of neighbours: a day of five-minute windows
_MEDIAN: Final = 0.4549  # of the square of a standard normal value


def with_scatter(noise: Noise, y: Floats, n: Floats) -> Noise:
    """The noise of S streams with at least the sampling noise that neighbouring windows show.

    Args:
        noise: per window, of the streams.
        y: mean score, (T, S); any value where n is 0.
        n: rows, 0 where nothing is learnt, (T, S).
    """
    over = 1.0 / np.maximum(n, 1e-9)
    both, of = (n[1:] > 0) & (n[:-1] > 0), over[1:] + over[:-1]
    phi = noise.phi.copy()
    for i in np.flatnonzero(both.sum(axis=0) >= _LEAST).tolist():
        seen = both[:, i]
        gap = (y[1:, i][seen] - y[:-1, i][seen]) ** 2
        wander = 2 * noise.tau2[i] * (1 - noise.rho[i])
        phi[i] = max(phi[i], float(np.median((gap / _MEDIAN - wander) / of[seen, i])))
    return Noise(phi, noise.rho, noise.tau2)
