"""Surprise becomes evidence: a mixture CUSUM over shift sizes, two signatures each, in both directions.

A shift of delta shows in the innovations either abruptly (the filter has not yet followed it) or settled
(it has). For each the log-likelihood ratio is summed from its latest restart; `L = log mean exp Z`.
The baseline's own error is charged first: what it cannot know is never claimed.

Source: METHODS section 4; Lorden (1971), "Procedures for reacting to a change in distribution"; Shin,
Ramdas and Rinaldo (2023), "E-detectors".
Assumes: Gaussian, nearly independent surprises (`surprise.gaussian`, divided by `vif`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DELTAS: Final = (0.1, 0.2, 0.4, 0.8, 1.6)  # sigma of the reference
SIGNS: Final = np.array([1.0, -1.0])
KAPPA: Final = 2.0  # standard errors of the baseline that are charged
CAP: Final = 4.0  # a signature is never stronger than this, standard deviations


def deltas(min_effect: float) -> Floats:
    """Shift sizes looked for, shape (5,), NaN where unused: those of at least twice the smallest effect that matters.

    >>> deltas(0.1).tolist()
    [nan, 0.2, 0.4, 0.8, 1.6]
    >>> deltas(1.0).tolist()
    [nan, nan, nan, nan, 2.0]
    """
    least = 2 * min_effect - 1e-9
    found = [nan if delta < least else delta for delta in DELTAS]
    if DELTAS[-1] < least:
        found[-1] = 2 * min_effect
    return np.array(found)


@dataclass(frozen=True, slots=True)
class Seen:
    """One window of S streams as evidence sees it; (S,) each."""

    z: Floats  # Gaussian surprise
    k: Floats  # Kalman gain, 0 without rows
    s: Floats  # innovation variance
    se: Floats  # of the baseline, sigma
    rho: Floats
    vif: Floats
    seen: NDArray[np.bool_]


@dataclass(slots=True)
class Cusum:
    """Evidence of S streams by direction, size and signature (abrupt, settled)."""

    delta: Floats  # (S, 5), NaN where unused
    z: Floats  # (S, 2, 5, 2) nats
    response: Floats  # (S, 2, 5) what the filter has followed of the shift since the restart
    start: Ints  # (S, 2, 5, 2) end of the window before the first one that counts, epoch s

    @classmethod
    def new(cls, delta: Floats, at: int) -> Cusum:
        """No evidence yet."""
        count = len(delta)
        return cls(
            delta, np.zeros((count, 2, 5, 2)), np.zeros((count, 2, 5)), np.full((count, 2, 5, 2), at, dtype=np.int64)
        )

    def step(self, window: Seen, end: int) -> None:
        """Add one window that ends at `end`, epoch s; streams without rows in it keep what they have."""
        settled = (1 - window.rho) / (1 - window.rho + window.rho * window.k)
        root = np.sqrt(window.s)
        gap = self.delta[:, None, :] - window.rho[:, None, None] * self.response
        m = np.empty_like(self.z)
        m[..., 0] = gap / root[:, None, None]
        m[..., 1] = (self.delta * (settled / root)[:, None])[:, None, :]
        np.clip(m, 0.0, CAP, out=m)
        x = SIGNS * window.z[:, None] - (KAPPA * window.se * settled / root)[:, None]
        gained = (m * x[:, :, None, None] - m * m / 2) / window.vif[:, None, None, None]
        seen = window.seen[:, None, None, None]
        self.z = np.where(seen, np.maximum(self.z, 0.0) + gained, self.z)
        followed = self.response * window.rho[:, None, None]
        self.response = np.where(window.seen[:, None, None], followed + window.k[:, None, None] * gap, followed)
        over = self.z <= 0.0
        self.response[over[..., 0]] = 0.0
        self.start[over] = end

    def nats(self) -> Floats:
        """L of both directions, up and down, shape (S, 2)."""
        used = ~np.isnan(self.delta)[:, None, :, None]
        high = np.where(used, self.z, -np.inf)
        top = high.max(axis=(2, 3))
        total = np.exp(high - top[:, :, None, None]).sum(axis=(2, 3))
        found: Floats = top + np.log(total / (2 * used.sum(axis=(2, 3))))
        return found
