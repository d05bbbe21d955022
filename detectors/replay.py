"""The most evidence that a history itself would have held, and when.

`evidence.Cusum` goes from window to window; here the same sums are taken over a whole history at once. Evidence falls
to 0 and begins anew every few windows while nothing changes, so stretches of time run side by side (`stretches`).

Source: METHODS section 4, "Evidence"; the steps are those of `evidence.Cusum.step`.
Assumes: as `evidence`.
"""

from __future__ import annotations

from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import stretches
from detectors.evidence import CAP, KAPPA, SIGNS, Seen

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CELLS: Final = 100_000  # windows times lanes that are gone through together: their arrays stay in the cache


def highest(history: Seen, delta: Floats) -> tuple[Floats, Ints]:
    """Most evidence of S streams in both directions, at least 0, (S, 2), and the window of the larger one, (S,).

    Args:
        history: surprise, gain, variance, standard error and whether it counts by window, (T, S) each; memory and
            inflation (S,).
        delta: sizes looked for, (S, 5), NaN where unused, at least one of each stream.
    """
    used = ~np.isnan(delta)
    sizes = used.sum(axis=1)
    most, when = np.zeros((len(delta), 2)), np.zeros(len(delta), dtype=np.int64)
    for count in np.unique(sizes).tolist():
        alike = np.flatnonzero(sizes == count)
        together = max(1, _CELLS // (len(history.z) * 2 * count))
        for first in range(0, alike.size, together):
            some = alike[first : first + together]
            own = delta[some][used[some]].reshape(some.size, count)
            most[some], when[some] = _Replay(_some(history, some), own).highest()
    return most, when


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
        rho, k = history.rho, np.where(history.seen, history.k, 0.0)
        root = np.where(history.seen, np.sqrt(history.s), np.inf)  # a window that does not count has no signature
        settled = (1 - rho) / (1 - rho + rho * k)
        charge = KAPPA * history.se * settled / root
        x = SIGNS * history.z[:, :, None] - charge[:, :, None]
        m = np.clip(delta * (settled / root)[:, :, None], 0.0, CAP)[:, :, None, :]
        gained = (m * x[..., None] - m * m / 2) / history.vif[:, None, None]
        self._root, self._k = stretches.cut(root, count, np.inf), stretches.cut(k, count, 0.0)
        self._x, self._gained = stretches.cut(x, count, 0.0), stretches.cut(gained, count, 0.0)
        self._delta = np.repeat(delta[:, None, :], 2, axis=1).ravel()
        self._rho, self._vif = np.repeat(rho, per), np.repeat(history.vif, per)
        self._abrupt, self._settled = np.empty_like(self._gained), np.empty_like(self._gained)

    def highest(self) -> tuple[Floats, Ints]:
        """As the function of that name."""
        stretches.run(np.zeros((3, self._delta.size)), self._count, self._advance)
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
        """Go through some stretches: sums of both signatures, and what the filter has followed of the abrupt one."""
        z, response, slow = begun.copy()
        stream, lane = which // (2 * self._sizes), which % self._delta.size
        side, rho, vif, delta = which // self._sizes, self._rho[lane], self._vif[lane], self._delta[lane]
        for t in range(len(self._gained)):
            followed = rho * response
            gap = delta - followed
            m = np.minimum(np.maximum(gap / self._root[t].take(stream), 0.0), CAP)
            z = np.maximum(z, 0.0) + (m * self._x[t].take(side) - m * m / 2) / vif
            response = followed + self._k[t].take(stream) * gap
            np.copyto(response, 0.0, where=z <= 0.0)
            slow = np.maximum(slow, 0.0) + self._gained[t].take(which)
            self._abrupt[t, which], self._settled[t, which] = z, slow
        return np.stack([np.maximum(z, 0.0), response, np.maximum(slow, 0.0)])
