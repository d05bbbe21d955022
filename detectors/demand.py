"""How much will be asked for until a replica that is started now is ready?

The level of the last minutes, times what this time of day usually does until then, between the quantiles of what
the same rule got wrong before at the same lead. What is forecast is the busiest stretch of three minutes on the way,
not the mean: a replica that comes too late for it is too late.

Source: our own; seasonal-naive forecasts and empirical intervals as in R. J. Hyndman, G. Athanasopoulos (2021),
"Forecasting: Principles and Practice", 3rd edition, sections 5.2 and 5.5.
Assumes: days are alike, and errors of the coming minutes are like those of the past weeks. The usual day is made of
the same days its errors are counted on, which makes the interval slightly too narrow while there are few of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAY: Final = 1440  # minutes
SLOT: Final = 15  # minutes of the usual day that are taken together
LEVEL: Final = 5  # minutes that are the present level
STRETCH: Final = 3  # minutes that must be carried: shorter peaks wait
DAYS_ASKED: Final = 3  # of history before a usual day is believed
ORIGINS: Final = 120  # minutes whose forecast is checked before an interval is believed
STEEPEST: Final = 3.0  # a usual day changes a level at most so many times
LOW, HIGH = 0.05, 0.9  # quantiles of past errors: missed once in ten, as scaling again costs little
ASSUMED: Final = (0.5, 2.0)  # of the level, where too little has been seen
_LEAST: Final = 1 / 60  # events a second below which ratios say nothing: one a minute


@dataclass(frozen=True, slots=True)
class Usual:
    """What is learnt from history for one lead."""

    lead: int  # minutes ahead
    day: Floats | None  # usual rate by slot of the day, mean 1; None before three days are known
    low: float  # quantiles of actual / forecast
    high: float
    checked: int  # forecasts of the past that those are made of


@dataclass(frozen=True, slots=True)
class Forecast:
    """The busiest stretch until `lead` minutes from now, in units of the series."""

    lead: int
    level: float  # now
    middle: float
    low: float
    high: float
    basis: str  # level | level and usual day
    checked: int


def learn(rates: Floats, last: int, lead: int) -> Usual:
    """What history says about forecasts `lead` minutes ahead.

    Args:
        rates: by minute, oldest first; NaN where nothing is known.
        last: minute of the last one since the epoch.
        lead: minutes ahead, at least 1.

    >>> usual = learn(np.full(600, 2.0), 599, 5)
    >>> (usual.low, usual.high, usual.checked)
    (1.0, 1.0, 595)
    """
    first = last - rates.size + 1
    day = _usual_day(rates, first)
    levels, busiest = smoothed(rates, LEVEL), _busiest(rates, lead)
    origins = np.flatnonzero(np.isfinite(levels[: busiest.size]) & np.isfinite(busiest))
    if origins.size < ORIGINS:
        return Usual(lead, day, *ASSUMED, 0)
    told = levels[origins] * growth(day, first + origins, lead)
    ratios = (busiest[origins] + _LEAST) / (told + _LEAST)
    low, high = np.quantile(ratios, (LOW, HIGH))
    return Usual(lead, day, float(low), float(high), int(origins.size))


def forecast(recent: Floats, last: int, usual: Usual) -> Forecast | None:
    """What is to be expected; None when nothing is known of the last minutes.

    Args:
        recent: rates by minute, oldest first, at least the last five.
        last: minute of the last one since the epoch.
        usual: what history taught for this lead.
    """
    level = float(smoothed(recent[-LEVEL:], LEVEL)[-1]) if recent.size else np.nan
    if not np.isfinite(level):
        return None
    middle = level * float(growth(usual.day, np.array([last]), usual.lead)[0])
    basis = "level" if usual.day is None else "level and usual day"
    low, high = (max(0.0, (middle + _LEAST) * q - _LEAST) for q in (usual.low, usual.high))
    return Forecast(usual.lead, level, middle, min(low, middle), max(high, level), basis, usual.checked)


def growth(day: Floats | None, minutes: NDArray[np.int64], lead: int) -> Floats:
    """How many times the rate of each minute the usual day asks for `lead` minutes later, at its busiest."""
    if day is None:
        return np.ones(minutes.size)
    ahead = [_at(day, minutes + step) for step in {*range(SLOT, lead, SLOT), lead}]
    return np.asarray(np.clip(np.max(ahead, axis=0) / _at(day, minutes), 1 / STEEPEST, STEEPEST))


def smoothed(rates: Floats, width: int) -> Floats:
    """Mean of the last `width` known minutes at each minute; NaN where none of them is known."""
    known = np.isfinite(rates)
    sums, counts = (np.cumsum(np.where(known, part, 0.0)) for part in (rates, 1.0))
    sums[width:], counts[width:] = sums[width:] - sums[:-width], counts[width:] - counts[:-width]
    return np.asarray(np.divide(sums, counts, out=np.full(rates.size, np.nan), where=counts > 0))


def _busiest(rates: Floats, lead: int) -> Floats:
    """Of each minute: the busiest stretch that ends within the `lead` minutes after it."""
    stretches = smoothed(rates, STRETCH)
    if rates.size <= lead:
        return np.empty(0)
    ahead = sliding_window_view(stretches, lead)[1:]
    return np.asarray(np.where(np.isfinite(ahead).all(axis=1), ahead.max(axis=1), np.nan))


def _usual_day(rates: Floats, first: int) -> Floats | None:
    """Mean rate by slot, over its own mean, with the neighbours' help; None before three days are known."""
    if np.isfinite(rates).sum() < DAYS_ASKED * DAY:
        return None
    slots = (first + np.arange(rates.size)) % DAY // SLOT
    known = np.isfinite(rates)
    n = DAY // SLOT
    sums = np.bincount(slots[known], rates[known], n)
    counts = np.bincount(slots[known], minlength=n)
    if counts.min() == 0 or sums.sum() <= 0:
        return None
    mean = sums / counts
    smooth = (np.roll(mean, 1) + mean + np.roll(mean, -1)) / 3
    return np.asarray(np.maximum(smooth / smooth.mean(), 1e-3))


def _at(day: Floats, minutes: NDArray[np.int64]) -> Floats:
    """The usual day between the middles of its slots."""
    place = (minutes % DAY) / SLOT - 0.5
    return np.asarray(np.interp(place, np.arange(-1, day.size + 1), np.concatenate([day[-1:], day, day[:1]])))
