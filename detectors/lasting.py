"""A history with one lasting step that is too small to be told: the step is taken out, so that it does not read as memory.

A change that is smaller than what matters alarms nobody, and stays. Learnt as it is, a step in the history looks
like a memory without end, and until it is as old as the history a later change that does matter could not be told
from wander. So where a long history seems to hold too few independent windows, its best single step is looked
for and what lies before it is lifted to the level after it. That is believed only if little memory is left then,
which is not so of a random walk, nor of wander with a memory of half a day.

Source: our own; Perron (1989), "The great crash", for why a step reads as a unit root; Bai and Perron (1998), "Estimating
and testing linear models with multiple structural changes", for least squares over the time of a step.
Assumes: one such step in 28 d, with a day of rows on either side; several are wander.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import baseline, budget
from detectors.baseline import Baseline
from detectors.noise import Noise
from detectors.slots import DAY_S, HOUR_S

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHORT: Final = 0.8  # memory per hour up to which what is left is believed
_BETTER: Final = 2.0  # times as many independent windows that it must leave
_LEAST: Final = 24  # windows with rows on either side
_LONG: Final = (baseline.LONG_S - DAY_S) // HOUR_S  # windows with rows: in short histories any wander looks like a step


@dataclass(frozen=True, slots=True)
class Lift:
    """By how much windows before an instant are lifted, sigma and epoch s, (S,) each; 0 for none."""

    size: Floats
    before: Ints

    @classmethod
    def none(cls, count: int) -> Lift:
        """Of streams in which nothing is taken out."""
        return cls(np.zeros(count), np.zeros(count, dtype=np.int64))

    def of(self, epoch: Ints) -> Floats:
        """Of each window by its middle, (T,); sigma, (T, S)."""
        return np.where(epoch[:, None] < self.before, self.size, 0.0)


def without(y: Floats, n: Floats, epoch: Ints, base: Baseline, most: Floats) -> tuple[Baseline, Lift]:
    """Baselines of histories less a step that was too small to be told, and what was taken out.

    Args:
        y: mean score per hour in sigma, (T, S).
        n: rows, 0 where nothing is learnt, (T, S).
        epoch: middle of each hour, (T,).
        base: as fitted to the whole of it.
        most: the smallest size that is looked for, sigma, (S,); steps are smaller.
    """
    lift = Lift.none(n.shape[1])
    some = np.flatnonzero((_independent(base) < budget.LEAST_EFFECTIVE) & (base.used >= _LONG))
    if not some.size:
        return base, lift
    size, at = _step(y[:, some] - baseline.along(epoch, base.beta[some], baseline.combined), n[:, some] > 0)
    small = (size != 0) & (np.abs(size) < most[some])
    some, size, at = some[small], size[small], at[small]
    if not some.size:
        return base, lift
    own = Lift(size, epoch[at] - HOUR_S // 2)
    found = baseline.fit(y[:, some] + own.of(epoch), n[:, some], epoch)
    believed = (found.noise.rho <= _SHORT) & (_independent(found) >= _BETTER * _independent(base)[some])
    found.cov[:, 0, 0] += _unsure(found.noise, n[:, some], at)
    lift.size[some[believed]], lift.before[some[believed]] = own.size[believed], own.before[believed]
    return _with(base, some[believed], found, believed), lift


def _independent(base: Baseline) -> Floats:
    """Independent windows that histories are worth, (S,)."""
    found: Floats = base.used * (1 - base.noise.rho) / (1 + base.noise.rho)
    return found


def _step(r: Floats, seen: NDArray[np.bool_]) -> tuple[Floats, Ints]:
    """Size and first window of the step that explains most of residuals (T, S), (S,); size 0 where there is no room for one."""
    count, total = np.cumsum(seen, axis=0), np.cumsum(np.where(seen, r, 0.0), axis=0)
    before, after = count[:-1], count[-1] - count[:-1]
    room = (before >= _LEAST) & (after >= _LEAST)
    gap = (total[-1] - total[:-1]) / np.maximum(after, 1) - total[:-1] / np.maximum(before, 1)
    gain = np.where(room, gap**2 * before * after, 0.0)
    best = gain.argmax(axis=0)
    size = np.where(gain.max(axis=0) > 0, np.take_along_axis(gap, best[None], axis=0)[0], 0.0)
    return size, (best + 1).astype(np.int64)


def _unsure(noise: Noise, n: Floats, at: Ints) -> Floats:
    """Variance that the level has more, as only the windows since the step know it, sigma squared, (S,)."""
    seen = n > 0
    used = np.maximum(seen.sum(axis=0), 1)
    since = np.maximum((seen & (np.arange(len(n))[:, None] >= at)).sum(axis=0), 1)
    scatter = noise.phi * np.where(seen, 1 / np.maximum(n, 1e-9), 0.0).sum(axis=0) / used
    found: Floats = (noise.tau2 * (1 + noise.rho) / (1 - noise.rho) + scatter) * (1 / since - 1 / used)
    return found


def _with(base: Baseline, streams: NDArray[np.intp], found: Baseline, which: NDArray[np.bool_]) -> Baseline:
    """`base` with some of `found` in the place of `streams`."""
    beta, cov = base.beta.copy(), base.cov.copy()
    beta[streams], cov[streams] = found.beta[which], found.cov[which]
    known = Noise(base.noise.phi.copy(), base.noise.rho.copy(), base.noise.tau2.copy())
    known.phi[streams], known.rho[streams] = found.noise.phi[which], found.noise.rho[which]
    known.tau2[streams] = found.noise.tau2[which]
    return replace(base, beta=beta, cov=cov, noise=known)
