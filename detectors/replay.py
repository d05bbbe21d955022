"""The most evidence that a history itself would have held, and when.

`evidence.Cusum` goes from window to window; here the same sums are taken over a whole history at once. Evidence falls
to 0 and begins anew every few windows while nothing changes, so stretches of time run side by side (`stretches`).

Source: METHODS section 4, "Evidence"; the steps are those of `evidence.Cusum.step`.
Assumes: as `evidence`.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors import stretches
from detectors.evidence import CAP, KAPPA, SIGNS, Seen

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LOOK: Final = 4  # windows after which a run looks whether it goes where an earlier one went
_ROUNDING: Final = 1e-6  # nats that a bound lies above what rounding could take from it
_CELLS: Final = 100_000  # windows times lanes that are gone through together: their arrays stay in the cache


def highest(history: Seen, delta: Floats, least: Floats | None = None) -> tuple[Floats, Ints]:
    """Most evidence of S streams in both directions, at least 0, (S, 2), and the window of the larger one, (S,).

    Args:
        history: surprise, gain, variance, standard error and whether it counts by window, (T, S) each; memory and
            inflation (S,).
        delta: sizes looked for, (S, 5), NaN where unused, at least one of each stream.
        least: what matters, nats, (S,); a stream that surely never had as much is told 0.
    """
    used = ~np.isnan(delta)
    sizes = used.sum(axis=1)
    most, when = np.zeros((len(delta), 2)), np.zeros(len(delta), dtype=np.int64)
    for count in np.unique(sizes).tolist():
        alike = np.flatnonzero(sizes == count)
        together = max(1, _CELLS // (len(history.z) * 2 * count))
        left = []
        for first in range(0, alike.size, together):
            some = alike[first : first + together]
            own = delta[some][used[some]].reshape(some.size, count)
            left.append(some if least is None else some[_bound(_some(history, some), own) >= least[some]])
        matter = np.concatenate(left)
        for first in range(0, matter.size, together):
            some = matter[first : first + together]
            own = delta[some][used[some]].reshape(some.size, count)
            most[some], when[some] = _Replay(_some(history, some), own).highest()
    return most, when


def _bound(history: Seen, delta: Floats) -> Floats:
    """Evidence that S streams surely never had more of, (S,).

    What the filter has followed of a shift lies between nothing and where it would settle at its largest gain, and
    with it the signature; the signature in between that gains most is taken in each window.
    """
    signs, _, root, k = _parts(history)
    rho = history.rho
    least = (1 - rho) / (1 - rho + rho * k.max(axis=0)) / root
    x = signs[:, :, :, None]
    low, high = (np.minimum(delta * part[:, :, None], CAP)[:, :, None, :] for part in (least, 1 / root))
    m = np.clip(x, low, high)
    gained = m * x
    m *= m
    m /= 2
    gained -= m
    total = np.cumsum(gained, axis=0, out=gained)
    drawn = total - np.minimum(np.minimum.accumulate(total, axis=0, out=m), 0.0)
    found: Floats = drawn.max(axis=(0, 2, 3)) / history.vif + _ROUNDING
    return found


def _parts(history: Seen) -> tuple[Floats, Floats, Floats, Floats]:
    """Surprise less what is charged for the baseline, (T, S, 2), and the settled share, deviation and gain, (T, S)."""
    rho, k = history.rho, np.where(history.seen, history.k, 0.0)
    root = np.where(history.seen, np.sqrt(history.s), np.inf)  # a window that does not count has no signature
    settled = (1 - rho) / (1 - rho + rho * k)
    charge = KAPPA * history.se * settled / root
    return SIGNS * history.z[:, :, None] - charge[:, :, None], settled, root, k


def _some(history: Seen, streams: NDArray[np.intp]) -> Seen:
    windows = (history.z, history.k, history.s, history.se)
    z, k, s, se = (part[:, streams] for part in windows)
    return Seen(z, k, s, se, history.rho[streams], history.vif[streams], history.seen[:, streams])


class _Replay:
    """Streams that all look for as many sizes; a lane is a stream, a direction and a size, in that order."""

    def __init__(self, history: Seen, delta: Floats) -> None:
        self._windows, (self._streams, self._sizes) = len(history.z), delta.shape
        self._seen = history.seen
        per = 2 * self._sizes
        self._count = count = stretches.many(self._windows, self._streams * per)
        x, settled, root, k = _parts(history)
        m = np.clip(delta * (settled / root)[:, :, None], 0.0, CAP)[:, :, None, :]
        gained = (m * x[..., None] - m * m / 2) / history.vif[:, None, None]
        each = (np.repeat(part, per, axis=1) for part in (root, k))
        self._root, self._k = (stretches.cut(part, count, rest) for part, rest in zip(each, (np.inf, 0.0), strict=True))
        self._x = stretches.cut(np.repeat(x.reshape(self._windows, -1), self._sizes, axis=1), count, 0.0)
        self._gained = stretches.cut(gained, count, 0.0)
        self._lanes = self._streams * per
        wide = (
            np.repeat(delta[:, None, :], 2, axis=1).ravel(),
            np.repeat(history.rho, per),
            np.repeat(history.vif, per),
        )
        self._delta, self._rho, self._vif = (np.tile(part, count) for part in wide)
        self._abrupt, self._settled, self._followed = (np.full(self._gained.shape, np.nan) for _ in range(3))

    def highest(self) -> tuple[Floats, Ints]:
        """As the function of that name."""
        stretches.run(np.zeros((3, self._lanes)), self._count, self._advance)
        sums = [self._whole(self._abrupt), self._whole(self._settled)]
        top = reduce(np.maximum, (z[..., size] for z in sums for size in range(self._sizes)))
        top = np.where(self._seen[:, :, None], top, 0.0)
        near = (top > 0) & (top >= top.max(axis=0) - np.log(2 * self._sizes))  # no other window can have the most
        z = np.concatenate([part[near] for part in sums], axis=1)
        nats = np.zeros_like(top)
        nats[near] = top[near] + np.log(np.exp(z - top[near][:, None]).mean(axis=1))
        when: Ints = nats.max(axis=2).argmax(axis=0).astype(np.int64)
        return np.maximum(nats.max(axis=0), 0.0), when

    def _whole(self, steps: Floats) -> Floats:
        whole = stretches.joined(steps, self._windows, self._count)
        return whole.reshape(self._windows, self._streams, 2, self._sizes)

    def _advance(self, which: NDArray[np.intp], begun: Floats) -> Floats:
        """Go through some stretches: sums of both signatures, and what the filter has followed of the abrupt one.

        Until sums are those of an earlier run, as then all that follows is.
        """
        at: Any = slice(None) if which.size == self._delta.size else which
        delta, rho, vif = self._delta[at], self._rho[at], self._vif[at]
        z, response, slow = begun
        for t in range(len(self._gained)):
            followed = rho * response
            gap = delta - followed
            m = np.divide(gap, self._root[t, at])
            np.minimum(np.maximum(m, 0.0, out=m), CAP, out=m)
            more = m * self._x[t, at]
            np.multiply(m, m, out=m)
            m /= 2
            more -= m
            more /= vif
            z = np.maximum(z, 0.0)
            z += more
            gap *= self._k[t, at]
            response = np.add(followed, gap, out=gap)
            np.copyto(response, 0.0, where=z <= 0.0)
            slow = np.maximum(slow, 0.0)
            slow += self._gained[t, at]
            kept = ((self._abrupt, z), (self._settled, slow), (self._followed, response))
            met = t % _LOOK == 0 and all(np.array_equal(old[t, at], new) for old, new in kept)
            for old, new in kept:
                old[t, at] = new
            if met:
                break
        z, slow, response = (part[-1, at] for part in (self._abrupt, self._settled, self._followed))
        return np.stack([np.maximum(z, 0.0), response, np.maximum(slow, 0.0)])
