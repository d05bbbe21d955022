"""The level before and after an alarm, straight from what was counted: no model, so that it can be held against one.

Of a feature with few values (0 and 1, stars, counts, a constant) the mean is told, of other numbers the median. Where
there are rows they are asked, else their counts.

Source: our own.
Assumes: of a median of counts, that values are spread evenly inside a bin, unless it holds one value; beyond the
reference exponentially, with the mean that the sums leave for it.
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


def levels(past: Past, monitor: Monitor, onset: datetime, until: datetime, *, is_over: bool = False) -> Levels:
    """Levels around an onset.

    Args:
        past: where summaries are read.
        monitor: whose alarm it is.
        onset: when the change began.
        until: when it ended at the latest, or the end of the past.
        is_over: whether it ended.
    """
    step = timedelta(seconds=monitor.window_s)
    end = max(min(until, onset + _LOOK), onset + step)
    what = _what(past, monitor)
    if past.values is not None and what in {"median", "p10-p90"}:
        spans = Window(onset - _LOOK, onset), Window(onset, end)
        return Levels(what, *(_exact(past.values(monitor.feature, span), what) for span in spans))
    frame = past.read([monitor.measure], Window(onset - _LOOK, end))
    sides = frame.filter(pl.col("ts") < onset), frame.filter(pl.col("ts") >= onset)
    before = _level(sides[0], past, monitor, what)
    changed = _lasting(sides[1], past, monitor, before or 0.0) if is_over and what == "share" else sides[1]
    return Levels(what, before, _level(changed, past, monitor, what))


def _lasting(frame: pl.DataFrame, past: Past, monitor: Monitor, before: float) -> pl.DataFrame:
    """The windows up to the last one whose share is nearer to that of all of them than to the one before."""
    whole = _level(frame, past, monitor, "share")
    if whole is None:
        return frame
    for ts in frame["ts"].unique().sort(descending=True):
        share = _level(frame.filter(pl.col("ts") == ts), past, monitor, "share")
        if share is not None and abs(share - whole) <= abs(share - before):
            return frame.filter(pl.col("ts") <= ts)
    return frame


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
    counts = _summed(known)
    bounds = _bounds(binning, known, counts)
    counted = Counted(counts, bounds, _single(binning, bounds), _total(known))
    low, middle, high = (_few(quantile(counted, q)) for q in (0.1, 0.5, 0.9))
    return _few(high - low) if what == "p10-p90" else middle


def _total(frame: pl.DataFrame) -> float | None:
    return None if frame["value_sum"].null_count() else float(frame["value_sum"].sum())


def _exact(values: pl.Series, what: str) -> float | None:
    finite = values.filter(values.is_finite())
    if finite.is_empty():
        return None
    low, middle, high = (float(finite.quantile(q, "linear") or 0.0) for q in (0.1, 0.5, 0.9))
    return _few(high - low) if what == "p10-p90" else _few(middle)


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


def _bounds(binning: Binning, frame: pl.DataFrame, counts: Floats) -> Floats:
    """Where bins begin and end; the outer ones as far as values were seen or fitted."""
    edges = np.asarray(binning.edges or (), dtype=np.float64)
    seen = [v for v in (frame["low"].min(), frame["high"].max()) if v is not None]
    fitted = [binning.quantiles[0], binning.quantiles[-1]] if binning.quantiles else []
    every = np.array([*edges, *seen, *fitted], dtype=np.float64)
    found = np.concatenate([[every.min()], edges, [every.max()]])
    if len(seen) == 2 and counts.size > 1:  # all values on one side of the reference
        if not counts[:-1].any():
            found[-2] = max(found[-2], float(seen[0]))  # type: ignore[arg-type]
        elif not counts[1:].any():
            found[1] = min(found[1], float(seen[1]))  # type: ignore[arg-type]
    return found


@dataclass(frozen=True, slots=True)
class Counted:
    """Values that were counted in bins."""

    counts: Floats  # (K,) values per bin, at least one
    bounds: Floats  # (K + 1,) ascending
    single: Floats | None = None  # (K,) the value of a bin that holds one only, else NaN
    total: float | None = None  # sum of all values


def quantile(values: Counted, q: float) -> float:
    """A quantile of binned values, as if they were spread evenly inside a bin that holds several.

    Args:
        values: as they were counted.
        q: 0-1.

    >>> quantile(Counted(np.array([1.0, 1.0]), np.array([0.0, 1.0, 3.0])), 0.75)
    2.0
    """
    counts, bounds, single = values.counts, values.bounds, values.single
    total = np.concatenate([[0.0], np.cumsum(counts)])
    target = q * total[-1]
    k = min(int(np.searchsorted(total, target, side="left")), counts.size) - 1 if target > 0 else 0
    k = max(k, 0)
    if single is not None and not np.isnan(single[k]):
        return float(single[k])
    inside = (target - total[k]) / counts[k] if counts[k] else 0.0
    outside = _outside(values, k, inside)
    return float(bounds[k] + inside * (bounds[k + 1] - bounds[k])) if outside is None else outside


def _outside(values: Counted, k: int, inside: float) -> float | None:
    """A quantile in an outermost bin, which reaches as far as the wildest value; None where its mean is not known.

    Values thin out from the bin's inner end, exponentially with the mean that the sum of all leaves for the bin.
    """
    counts, low, high = values.counts, values.bounds[k], values.bounds[k + 1]
    if values.total is None or k not in {0, counts.size - 1} or not 0 < inside < 1:
        return None
    others = counts * (values.bounds[:-1] + values.bounds[1:]) / 2
    mean = (values.total - (others.sum() - others[k])) / counts[k]
    if not low < mean < high:
        return None
    if k:
        return float(min(low - (mean - low) * np.log1p(-inside), high))
    return float(max(high + (high - mean) * np.log(inside), low))


def _few(value: float) -> float:
    return float(f"{value:.6g}")
