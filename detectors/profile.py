"""How the share of bad events goes through the day and the week: factors on the mean share, shrunk towards 1.

Every hour of the day has a factor and the weekend has one. What an hour's own data cannot vouch for is
shrunk away (empirical Bayes: the variance between hours beyond what days of the same hour show), so that a
stream without a season has factors of exactly 1.

Source: Efron and Morris (1975), "Data analysis using Stein's estimator"; METHODS section 4 has the level engine's season.
Assumes: the profile is the same on all days but for one factor for Saturday and Sunday (UTC); days are independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOURS: Final = 24
_HOUR_S, _DAY_S = 3_600, 86_400
_LEAST_DAYS: Final = 4  # of history before a season is looked for
_SURE: Final = 2.0  # deviations of chi-square that a season must show
_MONDAY_S: Final = 4 * _DAY_S  # 1970-01-05, epoch s


@dataclass(frozen=True, slots=True)
class Profile:
    """Factors of S streams by hour of the day (UTC), (S, 24), and on weekends, (S,); with their uncertainty."""

    hours: Floats
    weekend: Floats
    error: Floats  # standard error of an hour's factor, (S, 24)

    @classmethod
    def flat(cls, count: int) -> Profile:
        """Of streams without a season."""
        return cls(np.ones((count, HOURS)), np.ones(count), np.zeros((count, HOURS)))


def learn(x: Floats, n: Floats, ts: Ints) -> Profile:
    """Factors of many streams; 1 where nothing is sure.

    Args:
        x: bad events per window, (S, T), in order of time.
        n: all events per window, (S, T).
        ts: starts of windows, epoch s, (T,), evenly spaced.
    """
    if ts.size == 0 or ts[-1] - ts[0] < _LEAST_DAYS * _DAY_S:
        return Profile.flat(len(x))
    share = x.sum(axis=1, keepdims=True) / np.maximum(n.sum(axis=1, keepdims=True), 1.0)
    days, of_day = _sums(x, n * share, ts, _DAY_S)
    weekend, _ = _shrunk(*days, (_weekend(of_day)).astype(np.int64), 2)
    weekend = weekend / weekend[:, :1]
    hours, of_hour = _sums(x, n * share, ts, _HOUR_S)
    expected = hours[1] * np.where(_weekend(of_hour), weekend[:, 1:], 1.0)
    expected *= hours[0].sum(axis=1, keepdims=True) / np.maximum(expected.sum(axis=1, keepdims=True), 1e-12)
    factors, error = _shrunk(hours[0], expected, of_hour // _HOUR_S % HOURS, HOURS)
    return Profile(factors, weekend[:, 1], error)


def at(hours: Floats, weekend: Floats, ts: Ints, window_s: int) -> Floats:
    """Factors of the windows that start at `ts`, (S, T): between the middles of hours on a straight line.

    Args:
        hours: by stream and hour, (S, 24).
        weekend: by stream, (S,).
        ts: epoch s, (T,).
        window_s: length of a window, s.
    """
    middle = (ts + window_s / 2) / _HOUR_S - 0.5
    low = np.floor(middle)
    part = middle - low
    low = low.astype(np.int64) % HOURS
    found: Floats = hours[:, low] * (1 - part) + hours[:, (low + 1) % HOURS] * part
    return np.where(_weekend(ts), found * weekend[:, None], found)


def _weekend(ts: Ints) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (ts - _MONDAY_S) // _DAY_S % 7 >= 5
    return found


def _sums(x: Floats, m: Floats, ts: Ints, step: int) -> tuple[tuple[Floats, Floats], Ints]:
    """Sums of both in blocks of `step` seconds, (S, B), and the blocks' starts, (B,)."""
    block = ts // step
    first = np.flatnonzero(np.concatenate([[True], block[1:] != block[:-1]]))
    return (np.add.reduceat(x, first, axis=1), np.add.reduceat(m, first, axis=1)), block[first] * step


def _shrunk(x: Floats, m: Floats, cell: Ints, cells: int) -> tuple[Floats, Floats]:
    """Factor and standard error of every cell, (S, C), from blocks (S, B) of known cell (B,)."""
    member = np.eye(cells)[cell]
    total, mean = x @ member, np.maximum(m @ member, 1e-12)
    ratio = np.where(mean > 1e-9, total / mean, 1.0)
    left = x - m * ratio[:, cell]
    free = np.maximum(len(cell) - cells, 1) / len(cell)
    noise = np.maximum(left**2 @ member / free, total + 1.0)  # variance of a cell's total: its days differ
    pooled = noise.sum(axis=1, keepdims=True) / mean.sum(axis=1, keepdims=True)
    variance = np.maximum(pooled, noise / mean) / mean  # of a cell's ratio
    weight = 1 / variance
    seen = ((ratio - 1) ** 2 * weight).sum(axis=1)
    free = cells - 1
    sure = seen > free + _SURE * np.sqrt(2 * free)
    between = np.maximum(0.0, seen - free) / weight.sum(axis=1)
    between = np.where(sure, between, 0.0)[:, None]
    keep = between / (between + variance)
    return np.maximum(1 + (ratio - 1) * keep, 0.05), np.sqrt(keep * variance)
