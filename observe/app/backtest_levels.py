"""The level before and after an alarm, straight from what was counted: no model, so that it can be held against one.

Of a feature with few values (0 and 1, stars, counts, a constant) the mean is told, of other numbers the median.

Source: our own.
Assumes: of a median, that values are spread evenly inside a bin, unless it holds one value.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors import scores
from observe.app import backtest_units as units
from observe.app.backtest_walk import Past
from observe.schema import Binning, Monitor, Window

Floats = NDArray[np.float64]

_LOOK: Final = timedelta(days=7)  # on the detectors' clock, at each side


@dataclass(frozen=True, slots=True)
class Levels:
    """What was seen in the week before an onset and from it on, at most a week; None where nothing was."""

    what: str  # median | mean | p10-p90 | share
    before: float | None
    after: float | None

    @property
    def percent(self) -> float | None:
        """The change in per cent of the level before."""
        if self.before is None or self.after is None or self.before == 0:
            return None
        return 100 * (self.after - self.before) / abs(self.before)


def levels(past: Past, monitor: Monitor, onset: datetime, until: datetime) -> Levels:
    """Levels around an onset.

    Args:
        past: where summaries are read.
        monitor: whose alarm it is.
        onset: when the change began.
        until: when it ended, or the end of the past.
    """
    step = timedelta(seconds=monitor.window_s)
    end = max(min(until, onset + _LOOK), onset + step)
    frame = past.read([monitor.measure], Window(onset - _LOOK, end))
    sides = frame.filter(pl.col("ts") < onset), frame.filter(pl.col("ts") >= onset)
    what = _what(past, monitor)
    before, after = (_level(part, past, monitor, what) for part in sides)
    return Levels(what, before, after)


def _what(past: Past, monitor: Monitor) -> str:
    if monitor.score in {"missing", "unseen", "error"} or monitor.score.startswith(scores.SHARE):
        return "share"
    if monitor.score == "spread":
        return "p10-p90"
    binning = units.binning_of(past, monitor)
    return units.of(binning) if binning is not None else "median"


def _level(frame: pl.DataFrame, past: Past, monitor: Monitor, what: str) -> float | None:
    if frame.is_empty():
        return None
    if what == "share":
        return _share(frame, past, monitor)
    known = frame.filter(pl.col("counts").is_not_null() & (pl.col("n") > 0))
    if known.is_empty():
        return None
    binning = past.binnings.get(known["binning_id"][-1])
    if binning is None or binning.kind != "numeric":
        return None
    if what == "mean":
        return _mean(known)
    known = known.filter(pl.col("binning_id") == binning.binning_id)
    bounds, counts = _bounds(binning, known), _summed(known)
    single = _single(binning, bounds)
    low, middle, high = (_few(quantile(counts, bounds, q, single)) for q in (0.1, 0.5, 0.9))
    return _few(high - low) if what == "p10-p90" else middle


def _mean(frame: pl.DataFrame) -> float | None:
    known = frame.filter(pl.col("value_sum").is_not_null())
    return _few(float(known["value_sum"].sum()) / int(known["n"].sum())) if known.height else None


def _single(binning: Binning, bounds: Floats) -> Floats:
    """The value of each bin that holds one only, else NaN, (K,)."""
    found: Floats = np.where(units.atoms(binning), units.starts(binning), np.nan)
    if bounds[0] < found[0]:  # the outermost bins hold all that lies beyond the reference, too
        found[0] = np.nan
    if bounds[-1] > found[-1]:
        found[-1] = np.nan
    return found


def _share(frame: pl.DataFrame, past: Past, monitor: Monitor) -> float | None:
    n, lost = int(frame["n"].sum()), int(frame.select(pl.sum_horizontal("missing", "nan", "inf")).sum().item())
    if monitor.score == "missing":
        return _few(lost / (n + lost)) if n + lost else None
    if monitor.score == "error" or frame["counts"].null_count() == frame.height:
        return _few(int(frame["events"].fill_null(0).sum()) / n) if n else None
    known = frame.filter(pl.col("counts").is_not_null())
    binning = past.binnings.get(known["binning_id"][-1])
    if binning is None or not n or binning.levels is None:
        return None
    counts = _summed(known.filter(pl.col("binning_id") == binning.binning_id))
    if monitor.score.startswith(scores.SHARE):
        return _few(float(counts @ scores.chosen(monitor.score, binning.levels)) / n)
    return _few(float(counts[-1]) / n)  # values that the reference never had


def _summed(frame: pl.DataFrame) -> Floats:
    found: Floats = np.array(frame["counts"].to_list(), dtype=np.float64).sum(axis=0)
    return found


def _bounds(binning: Binning, frame: pl.DataFrame) -> Floats:
    """Where bins begin and end; the outer ones as far as values were seen or fitted."""
    edges = np.asarray(binning.edges or (), dtype=np.float64)
    seen = [v for v in (frame["low"].min(), frame["high"].max()) if v is not None]
    fitted = [binning.quantiles[0], binning.quantiles[-1]] if binning.quantiles else []
    every = np.array([*edges, *seen, *fitted], dtype=np.float64)
    return np.concatenate([[every.min()], edges, [every.max()]])


def quantile(counts: Floats, bounds: Floats, q: float, single: Floats | None = None) -> float:
    """A quantile of binned values, as if they were spread evenly inside a bin that holds several.

    Args:
        counts: (K,) values per bin, at least one.
        bounds: (K + 1,) ascending.
        q: 0-1.
        single: (K,) the value of a bin that holds one only, else NaN.

    >>> quantile(np.array([1.0, 1.0]), np.array([0.0, 1.0, 3.0]), 0.75)
    2.0
    """
    total = np.concatenate([[0.0], np.cumsum(counts)])
    target = q * total[-1]
    k = min(int(np.searchsorted(total, target, side="left")), counts.size) - 1 if target > 0 else 0
    k = max(k, 0)
    if single is not None and not np.isnan(single[k]):
        return float(single[k])
    inside = (target - total[k]) / counts[k] if counts[k] else 0.0
    return float(bounds[k] + inside * (bounds[k + 1] - bounds[k]))


def _few(value: float) -> float:
    return float(f"{value:.6g}")
