"""When did a series change, between which instants, and how often does it change so much by chance?

A rate (bad of all, minute by minute) is split where its likelihood is greatest; the onset lies among the starts whose
likelihood is within two nats of that. A measured series is held against its own six hours before: median and MAD.
How often a series moves that far by itself is counted in its past, so a morning's rise of traffic is no surprise.

Source: METHODS section 4 "After an alarm" (starts within so many nats); Hampel (1974) for median and MAD.
Assumes: one change of level near the incident; minutes that are roughly independent given the level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEAR: Final = 2.0  # nats below the best start that are still plausible
BEFORE: Final = 40  # minutes before an incident in which a cause may begin
AFTER: Final = 15  # minutes after its onset in which a signal may begin
FEWEST: Final = 15  # minutes of the past that must be known
SURE: Final = 5.0  # robust standard errors that a change must show
_HIGHEST_WAS: Final = 0.7  # of the change seen: as much counts as its like
_BUCKETS, _BEFORE_BUCKETS, _APART = (
    3,
    36,
    12,
)  # of 5 minutes: how long a change lasts, what it is held against, episodes


@dataclass(frozen=True, slots=True)
class Step:
    """A change of level; times are indices of minutes, `low` to `high` inclusive."""

    at: int
    low: int
    high: int
    before: float
    after: float


def of_rate(bad: Floats, total: Floats, low: int, high: int) -> tuple[int, int, int]:
    """The minute in which a rate of bad events rose, and the first and last plausible one.

    Args:
        bad: bad events by minute.
        total: all events by minute.
        low: the first minute in which it may have begun.
        high: the last one.

    Returns:
        (best, first, last) as indices, low <= first <= best <= last <= high.
    """
    starts = np.arange(max(low, 1), min(high, bad.size - 1) + 1)
    if starts.size == 0:
        return low, low, max(low, high)
    x, n = np.concatenate([[0.0], np.cumsum(bad)]), np.concatenate([[0.0], np.cumsum(total)])
    gain = _entropy(x[starts], n[starts]) + _entropy(x[-1] - x[starts], n[-1] - n[starts])
    rises = (x[-1] - x[starts]) * n[starts] > x[starts] * (n[-1] - n[starts])
    gain = np.where(rises, gain, -np.inf)
    if not np.isfinite(gain).any():
        return low, low, high
    best = int(np.argmax(gain))
    near = np.flatnonzero(gain >= gain[best] - NEAR)
    return int(starts[best]), int(starts[near[0]]), int(starts[near[-1]])


def _entropy(x: Floats, n: Floats) -> Floats:
    """Log-likelihood of x of n at its own rate."""
    p = np.divide(x, n, out=np.zeros_like(x), where=n > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(x > 0, x * np.log(p), 0.0) + np.where(n > x, (n - x) * np.log1p(-p), 0.0)
    return np.asarray(np.nan_to_num(value), dtype=np.float64)


def of_level(values: Floats, at: int, sign: int, least: float, noise: float = 0.0) -> Step | None:
    """The change of a series near minute `at`, or None.

    Args:
        values: by minute, NaN where not known.
        at: the incident's onset.
        sign: +1 more is worse, -1 less is worse.
        least: change that matters, in its unit.
        noise: least standard deviation of one minute.
    """
    past = values[max(0, at - BEFORE - 360) : max(0, at - BEFORE)]
    past = past[~np.isnan(past)]
    if past.size < FEWEST:
        return None
    centre = float(np.median(past))
    spread = max(1.4826 * float(np.median(np.abs(past - centre))), noise, least / 10)
    first, end = max(0, at - BEFORE), min(values.size, at + 2 * AFTER)
    moved = np.nan_to_num(sign * (values[first:end] - centre))
    known = ~np.isnan(values[first:end])
    return _best(moved, known, _Held(centre, spread, sign, least, first, min(at + AFTER, values.size) - first))


@dataclass(frozen=True, slots=True)
class _Held:
    """What a series is held against."""

    centre: float
    spread: float
    sign: int
    least: float
    first: int
    last: int  # start of a change, at most


def _best(moved: Floats, known: NDArray[np.bool_], held: _Held) -> Step | None:
    counts = np.cumsum(known[::-1])[::-1].astype(np.float64)
    sums = np.cumsum(np.where(known, moved, 0.0)[::-1])[::-1]
    mean = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    gain = np.where((mean > 0) & (counts >= 3), counts * mean**2 / (2 * held.spread**2), -np.inf)[: held.last]
    if gain.size == 0 or not np.isfinite(gain).any():
        return None
    best = int(np.argmax(gain))
    if mean[best] < held.least or mean[best] * counts[best] ** 0.5 < SURE * held.spread:
        return None
    clear = max(3 * held.spread, held.least / 3)
    while best and known[best - 1] and moved[best - 1] > clear:
        best -= 1
    near = np.flatnonzero(gain >= gain.max() - NEAR)
    low, high = min(int(near[0]), best), max(int(near[-1]), best)
    after = held.centre + held.sign * float(mean[best])
    return Step(
        held.first + best, held.first + max(low, best - 5), held.first + min(high, best + 5), held.centre, after
    )


def per_day(history: Sequence[float] | Floats, change: float, fewest: float = 0.5) -> float:
    """How often a series moved by `change` (its sign counts) or nearly so in its past, times a day.

    Args:
        history: means by 5 minutes, NaN where not known, ended before the incident.
        change: how far it moved.
        fewest: added to what was counted.
    """
    values = np.asarray(history, dtype=np.float64)
    days = max(np.count_nonzero(~np.isnan(values)) / 288.0, 1 / 24)
    if values.size < _BEFORE_BUCKETS + _BUCKETS:
        return fewest / days
    filled = np.where(np.isnan(values), np.nanmedian(values) if (~np.isnan(values)).any() else 0.0, values)
    windows = np.lib.stride_tricks.sliding_window_view(filled, _BEFORE_BUCKETS + _BUCKETS)
    moved = windows[:, _BEFORE_BUCKETS:].mean(axis=1) - np.median(windows[:, :_BEFORE_BUCKETS], axis=1)
    hits = np.flatnonzero(np.sign(change) * moved >= _HIGHEST_WAS * abs(change))
    episodes = int(hits.size > 0) + int(np.count_nonzero(np.diff(hits) > _APART))
    return float((episodes + fewest) / days)
