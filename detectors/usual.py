"""Is a stream lower than it usually is? Its own past says what is usual, without any model of it.

The past's median and lag-1 memory are taken out, what is left is ranked among the past and becomes a
Gaussian surprise that never exceeds what so much past can vouch for. A CUSUM over four sizes of a drop
sums surprises; leftover dependence divides the sum, the error of the median is charged, and a stream
whose own past came close to an alarm needs more.

Source: METHODS section 4; Lorden (1971); `detectors.surprise` and `detectors.budget` of level streams.
Assumes: most of the past was normal, and the last day is not needed to know it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from detectors.budget import penalty

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SIZES: Final = (0.25, 0.5, 1.0, 2.0)  # drops looked for, in standard deviations of the surprise
WANDERS: Final = 0.98  # with more memory from block to block than this, no level is usual
_LAGS: Final = 24
_KAPPA: Final = 2.0  # standard errors of the median that are charged


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual of S streams; (S,) each."""

    middle: Floats
    rho: Floats  # memory from block to block
    vif: Floats  # inflation of a sum of surprises by leftover dependence
    charge: Floats  # surprise that the past itself could be wrong by
    count: NDArray[np.int64]  # blocks of the past that are known
    z: Floats  # (S, T) surprises of all blocks, NaN where a block is unknown


@dataclass(frozen=True, slots=True)
class Drop:
    """Evidence of S streams that the newest block belongs to a drop; (S,) each."""

    nats: Floats  # penalty taken off
    start: NDArray[np.int64]  # column of the first block of it


def learn(past: Floats, known: Bools) -> Usual:
    """What is usual, and how surprising each block is.

    Args:
        past: blocks of S streams, oldest first, shape (S, T); NaN where unknown.
        known: (S, T) which of them may be learnt from.
    """
    seen = ~np.isnan(past)
    known &= seen
    middle = np.array([np.median(row[k]) if k.any() else 0.0 for row, k in zip(past, known, strict=True)])
    x = np.where(seen, past - middle[:, None], 0.0)
    rho = _memory(np.where(known, x, 0.0), known)
    follows = np.zeros_like(seen)
    follows[:, 1:] = seen[:, :-1]
    before = np.zeros_like(x)
    before[:, 1:] = x[:, :-1]
    r = rho[:, None]
    e = np.where(follows, x - r * before, np.sqrt(1 - r * r) * x)
    z = np.where(seen, _ranked(e, known), np.nan)
    inside = np.where(known, z, 0.0)
    vif = _inflation(inside, known)
    count = known.sum(axis=1)
    return Usual(middle, rho, vif, _KAPPA * np.sqrt(vif / np.maximum(count, 1)), count, z)


def drop(usual: Usual, known: Bools) -> Drop:
    """The evidence in the newest block, from the latest restart on; what the past itself reached is taken off."""
    count, length = usual.z.shape
    m = np.array(SIZES)
    total = np.zeros((count, len(SIZES)))
    start = np.zeros((count, len(SIZES)), dtype=np.int64)
    nats = np.zeros((count, length))
    for t in range(length):
        z = usual.z[:, t]
        seen = ~np.isnan(z)
        x = np.where(seen, -z - usual.charge, 0.0)
        gained = (m * x[:, None] - m * m / 2) / usual.vif[:, None]
        start[(total <= 0) & seen[:, None]] = t
        total = np.where(seen[:, None], np.maximum(total, 0.0) + gained, total)
        top = total.max(axis=1)
        nats[:, t] = top + np.log(np.exp(total - top[:, None]).mean(axis=1))
    best = start[np.arange(count), total.argmax(axis=1)] if count else np.zeros(0, dtype=np.int64)
    earlier = known & (np.arange(length) < best[:, None])
    highest = np.where(earlier, nats, 0.0).max(axis=1, initial=0.0)
    used = earlier.sum(axis=1)
    more = np.array([float(penalty(h, float(u))) for h, u in zip(highest, used, strict=True)])
    return Drop((nats[:, -1] if length else np.zeros(count)) - more, best)


def most(count: int) -> float:
    """Nats that one block can add at most after `count` known ones.

    >>> round(most(384), 2)
    3.59
    """
    z = float(-ndtri(1.0 / (count + 1.0)))
    return max(m * z - m * m / 2 for m in SIZES)


def _memory(x: Floats, known: Bools) -> Floats:
    """Lag-1 autocorrelation over pairs that are both known, its bias put right; 0 to 1."""
    pairs = known[:, 1:] & known[:, :-1]
    both = (x[:, 1:] * x[:, :-1] * pairs).sum(axis=1)
    size = np.sqrt(((x[:, 1:] ** 2) * pairs).sum(axis=1) * ((x[:, :-1] ** 2) * pairs).sum(axis=1))
    rho = np.divide(both, size, out=np.zeros_like(both), where=size > 0)
    found: Floats = np.clip(rho + (1 + 3 * rho) / np.maximum(pairs.sum(axis=1), 1), 0.0, 0.995)
    return found


def _ranked(e: Floats, known: Bools) -> Floats:
    """Gaussian score of each value's rank among the known ones, ties in the middle, never beyond what they vouch for."""
    z = np.zeros_like(e)
    for i in range(len(e)):
        past = np.sort(e[i, known[i]])
        if past.size < 2:
            continue
        rank = (np.searchsorted(past, e[i], "left") + np.searchsorted(past, e[i], "right")) / 2
        share = np.clip((rank + 0.5) / (past.size + 1), 1 / (past.size + 1), past.size / (past.size + 1))
        z[i] = ndtri(share)
    return z


def _inflation(z: Floats, known: Bools) -> Floats:
    """By how much leftover dependence inflates sums of surprises, at least 1; (S,)."""
    power = np.maximum((z * z).sum(axis=1), 1e-9)
    count = np.maximum(known.sum(axis=1), 1)
    total, worst = np.zeros(len(z)), np.ones(len(z))
    for lag in range(1, min(_LAGS, z.shape[1] - 1) + 1):
        total += (z[:, lag:] * z[:, :-lag]).sum(axis=1) / power
        worst = np.maximum(worst, 1 + 2 * total - 2 * np.sqrt(lag / count))
    return worst
