"""Spread and shape net of location: what a moving location alone does to the higher scores is taken off.

A shift of the location by m adds about m**2/sqrt(2) to the spread and m**3/sqrt(6) to the third score. What a
pure shift of the reference's normal scores does is known from its bins and is subtracted first (`shifted`). What is
left of `c1 a + c2 (a**2 - 1/n)`, a being the mean location of a window, is fitted on the history beside its season,
with Huber weights and a prior of 0 +- 0.25, and subtracted too. Where the location lies more than a quarter of its
range outside what the history saw, nothing is known and nothing is judged.

Source: METHODS section 3; the first step is our own.
Assumes: inside the range of the history the dependence on the location is a pure shift and a parabola.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from detectors import baseline, scores
from detectors.medians import medians

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SCORES: Final = ("spread", "third", "fourth")  # judged net of location
_SHIFTS: Final = np.linspace(-3.5, 3.5, 141)  # sigma
_MEANS: Final = np.linspace(-2.5, 2.5, 101)  # mean location that a table is read at, sigma
_STRENGTH: Final = np.diag([1.0] * baseline.COLUMNS + [16.0] * 2)  # of priors: 1 sigma for the season, else 0.25
_HUBER: Final = 2.5
_ROUNDS: Final = 3
_OUTSIDE: Final = 0.25  # of the history's range
_ERRORS: Final = 2.0  # standard errors of a window's location that are no evidence of being outside
UNKNOWN: Final = (0.0, 0.0, -1e9, 1e9)  # nothing is subtracted, in a range without ends


@dataclass(frozen=True, slots=True)
class Net:
    """What location does to S streams, and in which range of it this is known; (S,) each, sigma."""

    c1: Floats
    c2: Floats
    low: Floats
    high: Floats

    @classmethod
    def none(cls, count: int) -> Net:
        """Streams from which nothing is subtracted."""
        return cls(*(np.full(count, value) for value in UNKNOWN))

    def of(self, y: Floats, a: Floats, n: Floats) -> Floats:
        """Mean scores less the part of the location; (..., S) each."""
        over_n = 1.0 / np.maximum(n, 1.0)
        return y - self.c1 * a - self.c2 * (a * a - over_n)

    def outside(self, a: Floats, n: Floats) -> NDArray[np.bool_]:
        """Whether the location is where the history never was."""
        wide = _OUTSIDE * (self.high - self.low) + _ERRORS / np.sqrt(np.maximum(n, 1.0))
        return (n > 0) & ((a < self.low - wide) | (a > self.high + wide))


def shifted(score: str, reference: tuple[int, ...], a: Floats, n: Floats) -> Floats:
    """Mean score that a pure shift of the reference would show in windows with mean location `a`; shape of `a`.

    Args:
        score: one of `SCORES`.
        reference: counts per bin.
        a: mean location, sigma.
        n: rows, of which the sampling error of `a` follows.
    """
    value, bend = _curve(score, reference)
    return np.interp(a, _MEANS, value) - np.interp(a, _MEANS, bend) / (2.0 * np.maximum(n, 1.0))


@lru_cache(maxsize=16_384)
def _curve(score: str, reference: tuple[int, ...]) -> tuple[Floats, Floats]:
    """The mean score as a function of the mean location on `_MEANS`, and its second derivative."""
    counts = np.asarray(reference, dtype=np.float64)
    edges = ndtri(np.cumsum(counts)[:-1] / counts.sum())
    below = ndtr(edges[None, :] - _SHIFTS[:, None])
    p = np.diff(np.concatenate([np.zeros((_SHIFTS.size, 1)), below, np.ones((_SHIFTS.size, 1))], axis=1), axis=1)
    columns = scores.shapes(counts)
    mean = np.maximum.accumulate(p @ columns[:, 0]) + 1e-9 * np.arange(_SHIFTS.size)
    value = np.interp(_MEANS, mean, p @ columns[:, scores.SHAPES.index(score)])
    return value, np.gradient(np.gradient(value, _MEANS), _MEANS)


def learn(score: list[str], y: Floats, a: Floats, n: Floats, epoch: Ints) -> Net:
    """Coefficients and ranges of S streams.

    Args:
        score: of each stream; those that are not in `SCORES` get none.
        y: mean scores per window, (T, S).
        a: mean location per window, (T, S).
        n: rows per window, (T, S); 0 where a window is left out.
        epoch: middle of each window, s since 1970, (T,).
    """
    found = Net.none(len(score))
    some = np.array([i for i, name in enumerate(score) if name in SCORES and (n[:, i] > 0).sum() >= baseline.LEAST])
    if not some.size:
        return found
    y, a, n = (np.ascontiguousarray(part[:, some].T) for part in (y, a, n))
    found.c1[some], found.c2[some] = _coefficients(y, a, n, baseline.design(epoch))
    usual = n >= medians(n, n > 0)[:, None] / 2
    found.low[some], found.high[some] = (
        np.where(usual, a, np.inf).min(axis=1), np.where(usual, a, -np.inf).max(axis=1),
    )  # fmt: skip
    return found


def _coefficients(y: Floats, a: Floats, n: Floats, season: Floats) -> tuple[Floats, Floats]:
    """Of a and of a**2 - 1/n beside the season's columns (T, 10), which are the same for all streams; (S, T) else."""
    over_n, seen, many = 1.0 / np.maximum(n, 1.0), n > 0, season.shape[1]
    centre = medians(y, seen)[:, None]
    wander = (1.4826 * medians(np.abs(y - centre), seen)) ** 2
    weight = np.where(seen, 1.0 / (over_n + wander[:, None]), 0.0)
    own = np.stack([a, a * a - over_n, y], axis=1)  # (S, 3, T)
    pairs = (season[:, :, None] * season[:, None, :]).reshape(len(season), -1)
    precision = np.empty((len(y), many + 2, many + 2))
    moment, robust = np.empty((len(y), many + 2, 1)), np.ones_like(y)
    for _ in range(_ROUNDS):
        strong = (weight * robust)[:, None, :]
        weighted = own * strong
        precision[:, :many, :many] = (strong @ pairs).reshape(-1, many, many)
        beside, among = weighted @ season, weighted @ own.transpose(0, 2, 1)  # (S, 3, 10), (S, 3, 3)
        precision[:, many:, :many], precision[:, :many, many:] = beside[:, :2], beside[:, :2].transpose(0, 2, 1)
        precision[:, many:, many:] = among[:, :2, :2]
        moment[:, :many, 0], moment[:, many:, 0] = beside[:, 2], among[:, :2, 2]
        beta = np.linalg.solve(precision + _STRENGTH, moment)
        usual = beta[:, None, :many, 0] @ season.T + beta[:, None, many:, 0] @ own[:, :2]
        error = np.abs(y - usual[:, 0]) * np.sqrt(weight)
        robust = np.minimum(1.0, _HUBER / np.maximum(error, 1e-12))
    return beta[:, -2, 0], beta[:, -1, 0]
