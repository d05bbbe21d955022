"""The Kalman filter of a wandering level as one tridiagonal system, for many streams in one call.

`r_t - rho r_(t-1)` of a level with memory rho seen through noise v_t is correlated with its neighbours alone: its
covariance is tridiagonal, `v_t + rho^2 v_(t-1) + q` beside `-rho v_(t-1)`. The pivots of its factors L D L' are the
filter's innovation variances and `L^-1` times the differences are its innovations, so a compiled factorisation of all
streams, one after the other with nothing between them, does what a filter does window by window. Windows without rows
are left out: over a gap of g windows the memory is rho^g.

Source: Durbin and Koopman (2012), "Time series analysis by state space methods", section 2.4 (innovations as a
Cholesky factorisation); LAPACK `pttrf` and `pttrs`.
Assumes: rows per window differ by less than ten orders of magnitude; then no pivot is lost to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpttrf, dpttrs

if TYPE_CHECKING:
    from detectors.noise import Noise

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NONE = -1  # behind the last window of a stream


@dataclass(frozen=True, slots=True)
class Rows:
    """The windows with rows of S streams, each stream's own moved to the front; (S, T) each."""

    at: Ints  # which window
    over_n: Floats  # 1/n, 0 behind the last
    gap: Ints  # windows since the one before, 0 for the first, -1 behind the last
    even: bool  # no gaps, and as many windows of every stream

    @classmethod
    def of(cls, n: Floats) -> Rows:
        """Of rows per window, (T, S)."""
        seen = (n > 0).T
        count = seen.sum(axis=1)
        at = np.argsort(~seen, axis=1, kind="stable")[:, : max(int(count.max(initial=0)), 1)]
        known = np.arange(at.shape[1]) < count[:, None]
        over_n = np.where(known, 1.0 / np.maximum(np.take_along_axis(n.T, at, axis=1), 1e-9), 0.0)
        gap = np.where(known, np.diff(at, axis=1, prepend=at[:, :1]), _NONE)
        return cls(at, over_n, gap, bool((gap[:, 1:] == 1).all()) and bool(count.all()))

    def some(self, streams: NDArray[np.intp] | slice) -> Rows:
        """Of some streams."""
        return Rows(self.at[streams], self.over_n[streams], self.gap[streams], self.even)

    def packed(self, values: Floats) -> Floats:
        """Values by window, (T, S), in the same places, (S, T); 0 behind the last."""
        return np.where(self.gap == _NONE, 0.0, np.take_along_axis(values.T, self.at, axis=1))

    def dense(self, values: Floats, windows: int) -> Floats:
        """The inverse of `packed`; 0 in windows without rows."""
        found = np.zeros((len(values), windows))
        np.put_along_axis(found, self.at, np.where(self.gap == _NONE, 0.0, values), axis=1)
        return found.T


@dataclass(frozen=True, slots=True)
class Factors:
    """Innovation variances and couplings to the next window; (C, S, T) each, the second flat and one shorter."""

    s: Floats
    coupling: Floats


def factors(rows: Rows, noise: Noise) -> Factors:
    """Innovation variances under C candidates of the noise, (C, S) each; 1 behind the last window."""
    phi, rho, tau2 = (part[:, :, None] for part in (noise.phi, noise.rho, noise.tau2))
    s = phi * rows.over_n  # v, to begin with
    coupling = -rho * s
    step = -rho * coupling
    step += tau2 * (1 - rho**2)
    s[:, :, 1:] += step[:, :, :-1]
    s[:, :, :1] += tau2
    if not rows.even:
        _mend(s, coupling, rows, noise)
    coupling[:, :, -1] = 0.0
    pivots, ratios, _ = dpttrf(s.reshape(-1), coupling.reshape(-1)[:-1], overwrite_d=1, overwrite_e=1)
    return Factors(pivots.reshape(s.shape), ratios)


def _mend(s: Floats, coupling: Floats, rows: Rows, noise: Noise) -> None:
    """Where windows are further apart than one, and behind the last."""
    stream, t = np.nonzero(rows.gap > 1)
    if t.size:
        power = noise.rho[:, stream] ** rows.gap[stream, t]
        before, now = (noise.phi[:, stream] * rows.over_n[stream, at] for at in (t - 1, t))
        coupling[:, stream, t - 1] = -power * before
        s[:, stream, t] = now + power**2 * before + noise.tau2[:, stream] * (1 - power**2)
    stream, t = np.nonzero(rows.gap == _NONE)
    s[:, stream, t], coupling[:, stream, t], coupling[:, stream, t - 1] = 1.0, 0.0, 0.0


def innovations(rows: Rows, rho: Floats, given: Factors, values: Floats) -> Floats:
    """Innovations over their variances.

    Args:
        rows: of S streams.
        rho: memory, (C, S).
        given: factors of the C candidates.
        values: one column of residuals for all candidates, (S, T), or K of them where C is 1, (K, S, T); packed.

    Returns:
        (C, S, T), or (K, S, T); 0 behind the last window. Times the root of `s` they are whitened.
    """
    y = np.empty(np.broadcast_shapes(values.shape, rho.shape + values.shape[-1:]))
    y[..., :1] = values[..., :1]
    np.multiply(-rho[:, :, None], values[..., :-1], out=y[..., 1:])
    y[..., 1:] += values[..., 1:]
    if not rows.even:
        stream, t = np.nonzero(rows.gap > 1)
        y[:, stream, t] = values[..., stream, t] - rho[:, stream] ** rows.gap[stream, t] * values[..., stream, t - 1]
        stream, t = np.nonzero(rows.gap == _NONE)
        y[:, stream, t] = 0.0
    x, _ = dpttrs(given.s.reshape(-1), given.coupling, y.reshape(-1, given.s.size).T, overwrite_b=1)
    found: Floats = x.T
    found[:, :-1] += given.coupling * found[:, 1:]
    return found.reshape(y.shape)
