"""The Kalman filter of a wandering level as one tridiagonal system, for many streams in one call.

`r_t - rho r_(t-1)` of a level with memory rho seen through noise v_t is correlated with its neighbours alone: its
covariance is tridiagonal, `v_t + rho^2 v_(t-1) + q` beside `-rho v_(t-1)`. The pivots of its factors L D L' are the
filter's innovation variances and `L^-1` times the differences are its innovations, so a compiled factorisation of all
streams, one after the other with nothing between them, does what a filter does window by window. Windows without rows
are left out: over a gap of g windows the memory is rho^g.

Source: Durbin and Koopman (2012), "Time series analysis by state space methods", section 2.4 (innovations as a
Cholesky factorisation); LAPACK `pttrf`, BLAS `tbsv`.
Assumes: rows per window differ by less than ten orders of magnitude; then no pivot is lost to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dtbsv
from scipy.linalg.lapack import dpttrf

if TYPE_CHECKING:
    from detectors.noise import Noise

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NONE: Final = -1  # behind the last window of a stream


_NOWHERE: Final = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Rows:
    """The windows with rows of S streams, each stream's own moved to the front; (S, T) each."""

    at: Ints  # which window
    over_n: Floats  # 1/n, 0 behind the last
    gap: Ints  # windows since the one before, 0 for the first, -1 behind the last
    count: Ints  # windows, (S,)
    even: bool  # no gaps, and as many windows of every stream
    alike: bool  # even, and as many rows in each window of a stream
    after: tuple[Ints, Ints] = _NOWHERE  # stream and window of those after a gap
    behind: tuple[Ints, Ints] = _NOWHERE  # and of what is behind the last

    @classmethod
    def of(cls, n: Floats) -> Rows:
        """Of rows per window, (T, S)."""
        seen = (n > 0).T
        count = seen.sum(axis=1)
        at = np.argsort(~seen, axis=1, kind="stable")[:, : max(int(count.max(initial=0)), 1)]
        known = np.arange(at.shape[1]) < count[:, None]
        over_n = np.where(known, 1.0 / np.maximum(np.take_along_axis(n.T, at, axis=1), 1e-9), 0.0)
        gap = np.where(known, np.diff(at, axis=1, prepend=at[:, :1]), NONE)
        even = bool((gap[:, 1:] == 1).all()) and bool(count.all())
        alike = even and bool((over_n == over_n[:, :1]).all())
        return cls(at, over_n, gap, count, even, alike, *(_NOWHERE, _NOWHERE) if even else _uneven(gap))

    def some(self, streams: NDArray[np.intp] | slice) -> Rows:
        """Of some streams."""
        gap = self.gap[streams]
        uneven = (_NOWHERE, _NOWHERE) if self.even else _uneven(gap)
        return Rows(self.at[streams], self.over_n[streams], gap, self.count[streams], self.even, self.alike, *uneven)

    def packed(self, values: Floats) -> Floats:
        """Values by window, (T, S), in the same places, (S, T); 0 behind the last."""
        return np.where(self.gap == NONE, 0.0, np.take_along_axis(values.T, self.at, axis=1))

    def dense(self, values: Floats, windows: int) -> Floats:
        """The inverse of `packed`; 0 in windows without rows."""
        found = np.zeros((len(values), windows))
        np.put_along_axis(found, self.at, np.where(self.gap == NONE, 0.0, values), axis=1)
        return found.T


def _uneven(gap: Ints) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints]]:
    """Streams and windows after a gap, and those behind the last window."""
    stream, t = np.nonzero((gap != 1) & (gap != 0))
    behind = gap[stream, t] == NONE
    return (stream[~behind], t[~behind]), (stream[behind], t[behind])


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
    stream, t = rows.after
    if t.size:
        power = noise.rho[:, stream] ** rows.gap[stream, t]
        before, now = (noise.phi[:, stream] * rows.over_n[stream, at] for at in (t - 1, t))
        coupling[:, stream, t - 1] = -power * before
        s[:, stream, t] = now + power**2 * before + noise.tau2[:, stream] * (1 - power**2)
    stream, t = rows.behind
    s[:, stream, t], coupling[:, stream, t], coupling[:, stream, t - 1] = 1.0, 0.0, 0.0


def innovations(rows: Rows, rho: Floats, given: Factors, values: Floats) -> Floats:
    """Innovations: over the root of `s` they are whitened.

    Args:
        rows: of S streams.
        rho: memory, (C, S).
        given: factors of the C candidates.
        values: one column of residuals for all candidates, (S, T), or K of them where C is 1, (K, S, T); packed.

    Returns:
        (C, S, T), or (K, S, T); 0 behind the last window.
    """
    y = np.empty(np.broadcast_shapes(values.shape, rho.shape + values.shape[-1:]))
    y[..., :1] = values[..., :1]
    np.multiply(-rho[:, :, None], values[..., :-1], out=y[..., 1:])
    y[..., 1:] += values[..., 1:]
    if not rows.even:
        stream, t = rows.after
        y[:, stream, t] = values[..., stream, t] - rho[:, stream] ** rows.gap[stream, t] * values[..., stream, t - 1]
        stream, t = rows.behind
        y[:, stream, t] = 0.0
    band = np.empty((given.s.size, 2)).T  # the diagonal is 1 and not read
    band[1, :-1] = given.coupling
    for column in y.reshape(-1, given.s.size):
        dtbsv(1, band, column, lower=1, diag=1, overwrite_x=1)
    return y
