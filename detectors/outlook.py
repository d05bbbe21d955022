"""When is an error budget gone if things go on as they do, and how sure is that?

Bad events to come are counted ahead hour by hour: requests as at the same hour of the days (or weeks)
before, times the bad share of the last days, in which a day counts half as much as one three days
later; during an alarm, the share since its onset. Their number is over-dispersed: its variance is the mean
times a long-run factor, read off whole days so that it holds bursts and memory of hours, plus what is
not known of the share's level and of the traffic's. The budget is gone when the count reaches
what is allowed; the ends of the interval are where its quantiles do.

Source: our own. Wilson and Hilferty (1931) for quantiles of a gamma-distributed count; the quasi-Poisson
dispersion of days (Wedderburn 1974); the earlier end counts every path twice (reflection principle), for
a path that crosses and comes back has spent the budget too.
Assumes: hours of an incident that is over do not come again; days are exchangeable but for their
level; a share that moves for longer than the days it is read off is not foreseen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.errorbudget import HOUR, Floats, Ints

DAY, WEEK = 24, 168  # hours
HALF_LIFE: Final = 72.0  # hours after which an hour counts half: three whole days, as the longest tier
_DAYS: Final = 28
_PRIOR_DAYS: Final = 4.0  # how many days the prior of the long-run dispersion weighs
_PRIOR_TIMES: Final = 2.0  # it is that much larger than the hourly one
_SHAPE: Final = 5.0  # bad bursts an hour of the day needs of its own to have its own share
_TRAFFIC: Final = 0.2  # prior of how far a day's traffic is off, relative
_POINTS: Final = 8  # of the path that is told
LEVELS: Final = {95: (2.2414, 1.9600), 80: (1.6449, 1.2816)}  # normal quantiles: earlier end (half of it), later end


@dataclass(frozen=True, slots=True)
class Past:
    """Events by closed hour before `hour` (since the epoch); `out` are those of an incident."""

    hour: int
    total: Ints
    bad: Ints
    out: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rates:
    """What the hours after `hour` are taken to be like; arrays are one season long and repeat."""

    requests: Floats  # an hour
    share: Floats  # bad of them, 0-1
    level_cv: float  # standard error of the share's level, relative
    traffic_cv: float  # of the traffic's
    phi: float  # long-run dispersion of bad events
    df: float  # how many days that rests on

    def burning(self, share: float, bad: float, phi: float) -> Rates:
        """The same traffic at the share of a burn in which `bad` events were seen so far."""
        flat = np.full(1, share)
        return replace(self, share=flat, level_cv=float(np.sqrt(phi / max(bad, 1.0))), phi=max(self.phi, phi))

    def ahead(self, minute: int, hours: int) -> tuple[Floats, Floats]:
        """Requests and bad events expected in the first 0, 1, ... `hours` hours after `minute` (of the open hour)."""
        part, at = minute % HOUR / HOUR, np.arange(hours + 1)
        n = self.requests[at % self.requests.size]
        bad = n * self.share[at % self.share.size]
        sums = [np.concatenate([[0.0], np.cumsum((1 - part) * x[:-1] + part * x[1:])]) for x in (n, bad)]
        return sums[0], sums[1]


def expected(past: Past, phi: float, budget: float) -> Rates | None:
    """What is to come, from closed hours; None while there were no requests to go by.

    Args:
        past: the closed hours.
        phi: burst factor of an hour's bad events.
        budget: allowed bad share, which half a bad event stands for until there are some.
    """
    known, seen_by_hour = past.total.size, np.maximum(past.total, 0)  # what late rows took back is not to come
    season = WEEK if known >= 2 * WEEK else DAY if known >= 2 * DAY else 1
    repeats = min(known, DAY) if season == 1 else min(known // season, _DAYS * DAY // season)
    if repeats == 0 or seen_by_hour[-repeats * season :].sum() <= 0:
        return None
    weight = 0.5 ** (np.arange(repeats)[::-1] * season / max(season, HALF_LIFE))
    requests = np.average(seen_by_hour[-repeats * season :].reshape(repeats, season), axis=0, weights=weight)
    recent = slice(max(0, known - _DAYS * DAY), known)
    n = np.where(past.out[recent], 0, seen_by_hour[recent]).astype(np.float64)
    bad = np.where(past.out[recent], 0, np.maximum(past.bad[recent], 0)).astype(np.float64)
    count = 0.5 ** (np.arange(n.size)[::-1] / HALF_LIFE)
    seen = max(float(count @ n), 1e-9)
    level = float((count @ bad + 0.5) / (seen + 0.5 / budget))
    shape = _shape(n, bad, count, phi)
    long_run, days = _long_run(n, bad, shape, phi)
    cv = float(np.sqrt(long_run * float(count**2 @ n) / level)) / seen
    traffic = _traffic_cv(seen_by_hour[recent].astype(np.float64), season)
    share = np.clip(level * (np.tile(shape, season // DAY) if season > 1 else shape[:1]), 0.0, 1.0)
    return Rates(requests, share, cv, traffic, long_run, _PRIOR_DAYS + days)


def _shape(n: Floats, bad: Floats, count: Floats, phi: float) -> Floats:
    """How the bad share goes over the hours of the day, 1 on average; flat where few bad events tell."""
    days = n.size // DAY
    if days < 2:
        return np.ones(DAY)
    last = slice(n.size - days * DAY, None)
    seen, failed = ((count * x)[last].reshape(days, DAY).sum(axis=0) for x in (n, bad))
    mean = failed.sum() / max(seen.sum(), 1e-9)
    shape = (failed + _SHAPE * phi) / (mean * seen + _SHAPE * phi)
    scaled: Floats = shape * seen.sum() / max(float(shape @ seen), 1e-9)
    return scaled if seen.sum() > 0 else np.ones(DAY)


def _long_run(n: Floats, bad: Floats, shape: Floats, phi: float) -> tuple[float, int]:
    """Dispersion of the bad events of whole days, and how many of them tell."""
    days, prior = n.size // DAY, _PRIOR_TIMES * phi
    if days < 2:
        return prior, 0
    last = slice(n.size - days * DAY, None)
    mean = n[last].reshape(days, DAY) @ shape
    failed = bad[last].reshape(days, DAY).sum(axis=1)
    use = mean > 0
    if not use.any() or failed.sum() <= 0:
        return prior, 0
    mean = mean[use] * failed[use].sum() / mean[use].sum()
    pearson = float(((failed[use] - mean) ** 2 / mean).sum())
    told = int(use.sum()) - 1
    return max(phi, (_PRIOR_DAYS * prior + pearson) / (_PRIOR_DAYS + told)), told


def _traffic_cv(total: Floats, season: int) -> float:
    """How far the traffic of a day is off what the season says, relative."""
    days, lag = total.size // DAY, WEEK // DAY if season == WEEK else 1
    daily = total[total.size - days * DAY :].reshape(days, DAY).sum(axis=1) if days else total[:0]
    change = np.diff(np.log(daily + 1.0)) if lag == 1 else np.log(daily[lag:] + 1.0) - np.log(daily[:-lag] + 1.0)
    off = (2 * _TRAFFIC**2 + float((change**2).sum()) / 2) / (2 + change.size)
    return float(min(1.0, np.sqrt(off)))


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget at one minute: what was counted in its period, and what leaves a rolling one hour by hour.

    `leaves` holds events and bad events that have left after 0, 1, ... hours, (2, hours + 1); None for
    a calendar period, of which `allowed` bad events are allowed altogether and whose end is as many hours off.
    """

    minute: int
    total: float
    bad: float
    share: float  # allowed bad share
    hours: int  # how far ahead is looked
    allowed: float
    leaves: Floats | None = None

    def ahead(self, n: Floats) -> tuple[Floats, Floats]:
        """Bad events counted so far that still count, and what is allowed, after 0, 1, ... hours."""
        if self.leaves is None:
            return np.full(n.size, self.bad), np.full(n.size, self.allowed)
        return self.bad - self.leaves[1], self.share * np.maximum(self.total - self.leaves[0] + n, 0.0)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Hours until the budget is gone, inf when not while it is looked at; `low` and `high` by level in percent."""

    best: float
    low: dict[int, float]
    high: dict[int, float]
    path: list[list[float]]  # hours ahead, budget left: expected, worst and best of 95 %


def forecast(budget: Budget, rates: Rates) -> Forecast:
    """When the budget is gone, with intervals; 0 when it is gone already."""
    n, bad = rates.ahead(budget.minute, budget.hours)
    counted, allowed = budget.ahead(n)
    # the allowance goes by the traffic too: of a calendar period by that of all of it
    traffic = (bad - budget.share * (n[-1] if budget.leaves is None else n)) * rates.traffic_cv
    var = rates.phi * bad + (rates.level_cv * bad) ** 2
    quantiles = {level: [_student(z[0], rates.df), -_student(z[1], rates.df)] for level, z in LEVELS.items()}
    ends = {level: [_quantile(bad, var, z) for z in pair] for level, pair in quantiles.items()}
    crossed = {
        level: [
            _first(counted + bad + np.copysign(np.hypot(x - bad, z * traffic), z) - allowed)
            for x, z in zip(ends[level], pair, strict=True)
        ]
        for level, pair in quantiles.items()
    }
    left = [1 - (counted + x) / np.maximum(allowed, 1e-9) for x in (bad, *ends[95])]
    return Forecast(
        _first(counted + bad - allowed),
        {level: pair[0] for level, pair in crossed.items()},
        {level: pair[1] for level, pair in crossed.items()},
        _path(left, crossed[95], budget),
    )


def _student(z: float, df: float) -> float:
    """The quantile of Student's t for a normal one (Cornish and Fisher 1937)."""
    return z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)


def _quantile(mean: Floats, var: Floats, z: float) -> Floats:
    """A quantile of a gamma-distributed count (Wilson and Hilferty)."""
    some = mean > 0
    ninth = np.divide(var, 9 * mean**2, out=np.zeros_like(mean), where=some)
    value: Floats = mean * np.maximum(0.0, 1 - ninth + z * np.sqrt(ninth)) ** 3
    return value


def _first(debt: Floats) -> float:
    """When a path in hours first is not below 0, between its points in a straight line; inf when never."""
    over = np.flatnonzero(debt >= 0)
    if not over.size:
        return float("inf")
    i = int(over[0])
    return 0.0 if i == 0 else i - 1 + float(debt[i - 1] / (debt[i - 1] - debt[i]))


def _path(left: list[Floats], ends: list[float], budget: Budget) -> list[list[float]]:
    """A few points of what is left, as far as a chart shows: to the end of a calendar period, else past exhaustion."""
    last = ends[1] if np.isfinite(ends[1]) else 0.0 if not np.isfinite(ends[0]) else 2 * ends[0]
    reach = budget.hours if budget.leaves is None else min(budget.hours / 3, max(6.0, budget.hours / 10, 1.3 * last))
    at = np.linspace(0.0, reach, _POINTS)
    grid = np.arange(left[0].size)
    lines = [np.clip(np.interp(at, grid, x), -9.0, 1.0).round(4) for x in left]
    return [[round(float(h), 3), *(float(x[i]) for x in lines)] for i, h in enumerate(at)]
