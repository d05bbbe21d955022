"""How well does a noise explain residuals? Twice the negative Huber log-likelihood of many candidates.

One recursion over windows yields innovations and their variances (`tridiagonal`). Few candidates go through it one
after the other, compiled; many go abreast, window by window, as one operation on thousands of numbers costs little
more than on one. Both ways are the same arithmetic but for the order of sums.

Source: METHODS section 4; Durbin and Koopman (2012), "Time series analysis by state space methods", chapter 2.
Assumes: as `noise` and `tridiagonal`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from detectors.tridiagonal import NONE, Rows, factors, innovations

if TYPE_CHECKING:
    from detectors.noise import Noise

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HUBER: Final = 3.0
_BLOCK: Final = 16  # windows of which one logarithm is taken: their product stays in range
_CELLS: Final = 12_000  # windows times candidates that go one after the other at a time: their arrays stay in the cache
_MANY: Final = 160  # candidates from which on they go abreast
_ABREAST: Final = 1_000  # candidates that go abreast at a time


@dataclass(frozen=True, slots=True)
class Residuals:
    """Residuals of S streams in their windows with rows, packed, (S, T); and beside each other by window."""

    rows: Rows
    r: Floats
    r_by_window: Floats  # (T + 1, S), 0 before the first; as the next
    over_n_by_window: Floats
    gap_by_window: Ints  # (T, S)

    @classmethod
    def of(cls, r: Floats, n: Floats) -> Residuals:
        """Of residuals and rows by window, (T, S)."""
        rows = Rows.of(n)
        packed = rows.packed(r)
        beside, over_n = (np.concatenate([np.zeros((1, len(part))), part.T]) for part in (packed, rows.over_n))
        return cls(rows, packed, beside, over_n, np.ascontiguousarray(rows.gap.T))


def cost(given: Residuals, noise: Noise, streams: NDArray[np.intp]) -> Floats:
    """Twice the negative Huber log-likelihood.

    Args:
        given: residuals.
        noise: C candidates for each of N streams, (C, N) each.
        streams: whose candidates these are, (N,).

    Returns:
        (C, N), smaller is better.
    """
    found = np.empty(noise.rho.shape)
    abreast = noise.rho.size >= _MANY
    size = max(1, _ABREAST // len(found) if abreast else _CELLS // (len(found) * given.r.shape[1]))
    for first in range(0, len(streams), size):
        part = slice(first, first + size)
        found[:, part] = (_abreast if abreast else _in_turn)(given, noise.some(np.s_[:, part]), streams[part])
    return found


def huber(e2: Floats) -> Floats:
    """Squares of standardised innovations as they count."""
    return np.where(e2 <= HUBER**2, e2, 2 * HUBER * np.sqrt(e2) - HUBER**2)


def _in_turn(given: Residuals, noise: Noise, streams: NDArray[np.intp]) -> Floats:
    """All windows of one candidate after those of the other."""
    rows = given.rows.some(streams)
    known = factors(rows, noise)
    u = innovations(rows, noise.rho, known, given.r[streams])
    e2 = np.multiply(u, u, out=u)
    e2 /= known.s
    flat = e2.reshape(-1)
    far = np.flatnonzero(flat > HUBER**2)
    flat[far] = huber(flat[far])
    product = np.multiply.reduceat(known.s, np.arange(0, e2.shape[2], _BLOCK), axis=2)
    found: Floats = np.log(product).sum(axis=2) + e2.sum(axis=2)
    return found


def _abreast(given: Residuals, noise: Noise, streams: NDArray[np.intp]) -> Floats:
    """Window by window, all candidates together."""
    walk, rows = _Walk(noise), given.rows
    for first in range(0, len(given.gap_by_window), _BLOCK):
        now, before = slice(first, first + _BLOCK), slice(first, first + _BLOCK + 1)
        r = given.r_by_window[before].take(streams, axis=1)
        apart = None if first and rows.even else walk.apart(given.gap_by_window[now].take(streams, axis=1))
        if first <= _BLOCK or not rows.alike:  # else as in the windows before
            walk.prepare(given.over_n_by_window[before].take(streams, axis=1), apart)
        walk.take(r, apart)
    found: Floats = walk.logs + given.rows.count[streams] * np.log(noise.phi) + walk.squares / noise.phi
    return found


@dataclass(frozen=True, slots=True)
class _Apart:
    """Windows of a block that do not follow on the one before, (K,): what is remembered there, (C, K), and which are behind the last."""

    t: NDArray[np.intp]
    stream: NDArray[np.intp]
    power: Floats
    behind: NDArray[np.bool_]


class _Walk:
    """Candidates on their way through the windows, with variances in units of phi."""

    def __init__(self, noise: Noise) -> None:
        self._noise, shape = noise, noise.rho.shape
        self._share = noise.tau2 / noise.phi
        self._fresh = self._share * (1 - noise.rho**2)
        self._linked, self._s, self._differs, self._u = (np.empty((_BLOCK, *shape)) for _ in range(4))
        self._alone = np.empty((_BLOCK, *shape))
        self._last = np.ones(shape), np.zeros(shape)  # variance and innovation of the last window
        self.logs, self.squares = np.zeros(shape), np.zeros(shape)  # of variances, and of innovations over them

    def apart(self, gap: Ints) -> _Apart:
        """Windows that do not follow on the one before: the first of each stream, those after a gap, what is behind the last."""
        t, stream = np.nonzero(gap != 1)
        windows = gap[t, stream]
        power = np.where(windows > 0, self._noise.rho[:, stream] ** np.maximum(windows, 0), 0.0)
        return _Apart(t, stream, power, windows == NONE)

    def prepare(self, over_n: Floats, apart: _Apart | None) -> None:
        """Covariances with the window before, and variances, of at most `_BLOCK` windows; 1/n with the window before, (B + 1, N)."""
        linked, alone = self._linked[: len(over_n) - 1], self._alone[: len(over_n) - 1]
        np.multiply(self._noise.rho, over_n[:-1, None], out=linked)
        np.multiply(self._noise.rho, linked, out=alone)
        np.add(alone, self._fresh, out=alone)
        np.add(alone, over_n[1:, None], out=alone)
        if apart is not None:
            t, stream, power = apart.t, apart.stream, apart.power
            before, now = over_n[t, stream], over_n[t + 1, stream]
            s = now + power**2 * before + self._share[:, stream] * (1 - power**2)
            linked[t, :, stream] = (power * before).T
            alone[t, :, stream] = np.where(apart.behind, 1.0, s).T

    def take(self, r: Floats, apart: _Apart | None) -> None:
        """Go through the windows that were prepared; residuals with the window before, (B + 1, N)."""
        count = len(r) - 1
        differs, s, u = (part[:count] for part in (self._differs, self._s, self._u))
        np.multiply(self._noise.rho, r[:-1, None], out=differs)
        np.subtract(r[1:, None], differs, out=differs)
        if apart is not None:
            at, stream = apart.t, apart.stream
            differs[at, :, stream] = (r[at + 1, stream] - apart.power * r[at, stream]).T
        (s_last, u_last), ratio = self._last, np.empty_like(self._share)
        for t in range(count):
            np.divide(self._linked[t], s_last, out=ratio)
            s_last, u_last = np.multiply(ratio, self._linked[t], out=s[t]), np.multiply(ratio, u_last, out=u[t])
            np.subtract(self._alone[t], s_last, out=s_last)
            np.add(differs[t], u_last, out=u_last)
        self._last = s_last, u_last
        self.logs += np.log(np.multiply.reduce(s, axis=0))
        self.squares += self._told(s, np.multiply(u, u, out=differs)).sum(axis=0)

    def _told(self, s: Floats, e2: Floats) -> Floats:
        """Squares of innovations over their variances, in units of 1/phi, as they count."""
        e2 /= s
        flat, phi = e2.reshape(-1), self._noise.phi
        far = np.flatnonzero(e2 > HUBER**2 * phi)
        unit = phi.reshape(-1)[far % phi.size]
        flat[far] = huber(flat[far] / unit) * unit
        return e2
