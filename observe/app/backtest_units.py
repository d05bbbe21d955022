"""A shift of the location in the feature's own unit: of its median, or of its mean where it has few values.

The median of a feature with few values (0 and 1, stars, counts) stays while its mean moves, or leaps from one
value to the next; so its mean is told.

Source: our own; METHODS section 3 for the score.
Assumes: of a median, that ranks moved by so many sigma; of a mean, that the counts of the values moved in
proportion to their scores, which is exact for two values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from detectors import scores
from observe.app.backtest_walk import Past
from observe.schema import Binning, Monitor

Floats = NDArray[np.float64]
Of = Literal["median", "mean"]

_FEW: Final = 0.9  # share of rows in single values from which a shift says how far the mean goes
_TIED: Final = 0.5  # share of the reference's percentiles that equal the one before


@dataclass(frozen=True, slots=True)
class Moved:
    """By how much a median or mean moved, in the feature's own unit, with its interval."""

    by: float
    low: float
    high: float
    of: Of


def moved(binning: Binning, effect: tuple[float | None, float | None, float | None]) -> Moved | None:
    """An effect and its interval, sigma, in the feature's own unit; None where either is unknown, of a constant, and beyond the reference.

    Ranks tell that values went beyond all of the reference, not how far: 100 euros that became cents.
    """
    if effect[0] is not None and scores.beyond(effect[0]) and not discrete(binning):
        return None
    by, low, high = (None if sigma is None else in_units(binning, sigma) for sigma in effect)
    if by is None or low is None or high is None:
        return None
    return Moved(by, low, high, of(binning))


def of(binning: Binning) -> Of:
    """What is told of a number."""
    return "mean" if discrete(binning) else "median"


def binning_of(past: Past, monitor: Monitor) -> Binning | None:
    """The bins of what a monitor asks about."""
    mine = (b for b in past.binnings.values() if f"{b.model}/{b.source_table}/{b.feature}" == monitor.measure)
    return next((b for b in mine if b.quantiles), None)


def discrete(binning: Binning) -> bool:
    """Whether few values hold most rows of the reference."""
    if not binning.quantiles:
        return False
    return float(np.mean(np.diff(binning.quantiles) == 0)) >= _TIED


def atoms(binning: Binning) -> NDArray[np.bool_]:
    """The bins that hold one value, at their lower end, (K,): it is a percentile of the reference more than once."""
    values, count = np.unique(np.asarray(binning.quantiles or ()), return_counts=True)
    return np.isin(starts(binning), values[count > 1])


def starts(binning: Binning) -> Floats:
    """The lower ends of the bins of a number, (K,)."""
    return np.array([*(binning.quantiles or (0.0,))[:1], *(binning.edges or ())], dtype=np.float64)


def in_units(binning: Binning, sigma: float) -> float | None:
    """How far the median, or the mean of few values, moves with a location by so many sigma; None where that is not known, and of a constant.

    Args:
        binning: of the feature, numeric.
        sigma: shift of the mean score.

    >>> from datetime import UTC, datetime
    >>> at, few = datetime(2026, 1, 5, tzinfo=UTC), tuple(float(k >= 80) for k in range(101))
    >>> in_units(Binning("m/s/x@1", "m", "s", "x", "numeric", 1, (1.0,), None, (80, 20), few, at, at, at), 0.25)
    0.1
    """
    if not binning.quantiles or scores.constant(binning) is not None:
        return None
    if discrete(binning) and _in_atoms(binning) < _FEW:
        return None  # many zeros and a tail: how far its mean goes is open
    moved = (
        sigma * _slope(binning)
        if discrete(binning)
        else scores.at_sigma(binning.quantiles, sigma) - scores.at_sigma(binning.quantiles, 0.0)
    )
    return float(f"{moved:.6g}")


def _in_atoms(binning: Binning) -> float:
    """The share of the reference in bins that hold one value."""
    reference = np.asarray(binning.reference, dtype=np.float64)
    return float(reference @ atoms(binning) / reference.sum())


def _slope(binning: Binning) -> float:
    """By how much the mean differs where the mean score differs by one."""
    reference = np.asarray(binning.reference, dtype=np.float64)
    p = reference / reference.sum()
    rank = 100 * (np.cumsum(p) - p / 2)
    quantiles = np.asarray(binning.quantiles, dtype=np.float64)
    values = np.where(atoms(binning), starts(binning), np.interp(rank, np.arange(quantiles.size), quantiles))
    return float(p @ (values * scores.weights(reference)))
