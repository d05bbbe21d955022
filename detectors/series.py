"""Summaries become arrays: per measure the summed scores, rows and tenths of every window.

Scores are rounded to 2**-20, so that sums of them are exact: a window is the same to the last bit however its
rows were split over summaries, and whatever is judged beside it.

Source: our own; METHODS section 2: any window is a sum of rows, so an hour is the sum of its 5-minute summaries.
Assumes: all counts of one measure and window use binnings that Evidence brings along; others are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from detectors import exceedance, scores
from observe.schema import Binning

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MICROS: Final = 1_000_000
_FINE: Final = 2.0**20  # with |score| < 1,000, sums over 8 million rows of a window are exact
_LOCATION: Final = ("location",)
_NONE: Final[Mapping[str, Binning]] = MappingProxyType({})


def epoch(at: datetime) -> int:
    """Seconds since 1970."""
    return int(at.timestamp())


def instant(seconds: int) -> datetime:
    """The inverse of `epoch`, aware UTC."""
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, slots=True)
class Series:
    """One measure by summary row, in order of time; (R,) each, `tenths` (R, 10)."""

    ts: Ints  # start of the row's window, epoch s
    total: Floats  # sum of scores, sigma
    n: Floats  # rows counted in bins
    tenths: Floats
    binning: Binning | None

    def on(self, start: int, step: int, count: int) -> tuple[Floats, Floats, Floats]:
        """Sum of scores, rows and tenths in `count` windows of `step` seconds from `start`; other rows are left out."""
        at = (self.ts - start) // step
        use = (at >= 0) & (at < count)
        tenths = np.zeros((count, scores.GROUPS))
        np.add.at(tenths, at[use], self.tenths[use])
        return *self.sums(start, step, count), tenths

    def sums(self, start: int, step: int, count: int) -> tuple[Floats, Floats]:
        """The same without tenths."""
        at = (self.ts - start) // step
        use = (at >= 0) & (at < count)
        at = at[use]
        total, n = (np.bincount(at, weights=w[use], minlength=count).astype(np.float64) for w in (self.total, self.n))
        return total, n


def key(measure: str, score: str) -> str:
    """Under which name `levels` gives the series of a score.

    >>> key("fraud/predictions/amount", "location"), key("fraud/predictions/amount", "spread")
    ('fraud/predictions/amount', 'fraud/predictions/amount#spread')
    """
    return measure if score == "location" else f"{measure}#{score}"


def levels(
    summaries: pl.DataFrame,
    binnings: Mapping[str, Binning],
    wanted: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> dict[str, Series]:
    """Series of every measure whose summaries have counts, or sums of products, on a known binning.

    Args:
        summaries: rows of table `summary`, in any order.
        binnings: by id.
        wanted: scores by measure; location where a measure is not named. Location is given in any case.

    Returns:
        By `key`; the binning of the newest row is the series' own.
    """
    import polars as pl

    known = summaries.filter(pl.col("binning_id").is_in(list(binnings)) & pl.col("counts").is_not_null())
    known = known.select("measure", "binning_id", "ts", "counts").sort("measure", "binning_id", "ts")
    parts: dict[str, list[Series]] = {}
    if not known.is_empty():
        ts, flat = seconds(known["ts"]), known["counts"].explode().to_numpy()
        cells = np.concatenate([[0], np.cumsum(known["counts"].list.len().to_numpy().astype(np.int64))])
        row = 0
        for measure, binning_id, size in known.group_by("measure", "binning_id", maintain_order=True).len().iter_rows():
            counts = flat[cells[row] : cells[row + size]].reshape(size, -1)
            asked = tuple(sorted({*wanted.get(measure, ()), *_LOCATION}))
            for score, series in _scored(ts[row : row + size], counts, binnings[binning_id], asked).items():
                parts.setdefault(key(measure, score), []).append(series)
            row += size
    return {name: _joined(found) for name, found in parts.items()} | _pairs(summaries, binnings)


def _pairs(summaries: pl.DataFrame, binnings: Mapping[str, Binning]) -> dict[str, Series]:
    """Sums of products of two scores, by `key(measure, "pair")`."""
    import polars as pl

    pairs = {b.binning_id: b for b in binnings.values() if b.kind == "pair"}
    rows = (
        summaries.filter(pl.col("binning_id").is_in(list(pairs)) & pl.col("value_sum").is_not_null()) if pairs else None
    )
    if rows is None or rows.is_empty():
        return {}
    summed = rows.group_by("measure", "ts").agg(
        pl.col("value_sum").sum(), pl.col("n").sum().cast(pl.Float64), pl.col("binning_id").max()
    )
    found = {}
    for part in summed.sort("measure", "ts").partition_by("measure", maintain_order=True):
        ts, binning = seconds(part["ts"]), pairs[part["binning_id"][-1]]
        tenths = np.zeros((ts.size, scores.GROUPS))
        found[key(part["measure"][0], "pair")] = Series(
            ts, part["value_sum"].to_numpy(), part["n"].to_numpy(), tenths, binning
        )
    return found


def rates(
    summaries: pl.DataFrame, score: str, binnings: Mapping[str, Binning] = _NONE
) -> dict[str, tuple[Ints, Floats, Floats]]:
    """Starts of windows (epoch s), events and trials of every measure.

    Args:
        summaries: rows of table `summary`, in any order.
        score: `missing` counts rows without a finite number or level (missing, NaN, infinite) among all rows;
            `share:<level>` rows of a level and `unseen` rows outside the levels of the binning, among rows with
            a value; `exceedance` rows above the reference's p99; anything else bad events among all.
        binnings: by id, for the last three.
    """
    import polars as pl

    if score in {"unseen", "exceedance"} or score.startswith(scores.SHARE):
        return _level_trials(summaries, score, binnings)
    unusable = pl.sum_horizontal("missing", "nan", "inf")
    missing = score == "missing"
    x = unusable if missing else pl.col("events").fill_null(0)
    trials = pl.col("n") + unusable if missing else pl.col("n")
    rows = summaries.select("measure", "ts", x=x.cast(pl.Float64), n=trials.cast(pl.Float64)).sort("measure", "ts")
    return {
        part["measure"][0]: (seconds(part["ts"]), part["x"].to_numpy(), part["n"].to_numpy())
        for part in rows.partition_by("measure", maintain_order=True)
    }


def _level_trials(
    summaries: pl.DataFrame, score: str, binnings: Mapping[str, Binning]
) -> dict[str, tuple[Ints, Floats, Floats]]:
    import polars as pl

    where = {b.binning_id: bins for b in binnings.values() if (bins := _bins(score, b))}
    if not where:
        return {}
    frames = []
    for binning_id, bins in sorted(where.items()):
        rows = summaries.filter((pl.col("binning_id") == binning_id) & pl.col("counts").is_not_null())
        x = pl.col("counts").list.gather(pl.lit(bins, dtype=pl.List(pl.Int64))).list.sum()
        frames.append(rows.select("measure", "ts", x=x.cast(pl.Float64), n=pl.col("n").cast(pl.Float64)))
    return {
        part["measure"][0]: (seconds(part["ts"]), part["x"].to_numpy(), part["n"].to_numpy())
        for part in pl.concat(frames).sort("measure", "ts").partition_by("measure", maintain_order=True)
    }


def _bins(score: str, binning: Binning) -> list[int]:
    """The bins whose rows are the events of a rate over levels; none where the binning does not have them."""
    if score == "exceedance":
        return exceedance.bins(binning)
    if binning.levels is None:
        return []
    return [len(binning.levels)] if score == "unseen" else np.flatnonzero(scores.chosen(score, binning.levels)).tolist()


def seconds(ts: pl.Series) -> Ints:
    """Whole seconds since 1970 of a column of instants."""
    import polars as pl

    found: Ints = ts.cast(pl.Datetime("us")).to_physical().to_numpy() // _MICROS
    return found


def _scored(ts: Ints, counts: Ints, binning: Binning, asked: tuple[str, ...]) -> dict[str, Series]:
    if np.any(
        ts[1:] == ts[:-1]
    ):  # late deltas and parts of a window: added as whole numbers, so their order is no matter
        distinct, where = np.unique(ts, return_inverse=True)
        summed = np.zeros((distinct.size, counts.shape[1]), dtype=np.int64)
        np.add.at(summed, where, counts)
        ts, counts = distinct, summed
    names, columns = _columns(binning.reference, binning.levels if binning.kind == "categorical" else None, asked)
    sums = counts.astype(np.float64) @ columns
    tenths = sums[:, len(names) + 1 :]
    n = np.ascontiguousarray(sums[:, len(names)])
    return {name: Series(ts, np.ascontiguousarray(sums[:, i]), n, tenths, binning) for i, name in enumerate(names)}


@lru_cache(maxsize=16_384)
def _columns(
    reference: tuple[int, ...], levels: tuple[str, ...] | None, asked: tuple[str, ...]
) -> tuple[tuple[str, ...], Floats]:
    """Names of scores, and the weights of each bin for them, for rows, and for the ten tenths: (K, scores + 11)."""
    counts = np.asarray(reference, dtype=np.float64)
    if levels is None:
        names: tuple[str, ...] = tuple(score for score in scores.SHAPES if score in asked)
        found = [column for score, column in zip(scores.SHAPES, scores.shapes(counts).T, strict=True) if score in asked]
    else:
        names = tuple(score for score in asked if score == "location" or score.startswith(scores.SHARE))
        found = [
            scores.weights(counts) if score == "location" else scores.level(counts, scores.chosen(score, levels))
            for score in names
        ]
    exact = np.round(np.stack(found, axis=1) * _FINE) / _FINE
    return names, np.concatenate([exact, np.ones((counts.size, 1)), scores.tenths(counts)], axis=1)


def _joined(parts: list[Series]) -> Series:
    if len(parts) == 1:
        return parts[0]
    ts = np.concatenate([p.ts for p in parts])
    order = np.argsort(ts, kind="stable")
    total, n = (np.concatenate([getattr(p, name) for p in parts])[order] for name in ("total", "n"))
    newest = max(parts, key=lambda p: int(p.ts[-1]))
    return Series(ts[order], total, n, np.concatenate([p.tenths for p in parts])[order], newest.binning)
