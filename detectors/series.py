"""Summaries become arrays: per measure the summed scores, rows and tenths of every window.

Scores are rounded to 2**-20, so that sums of them are exact: a window is the same to the last bit however its
rows were split over summaries, and whatever is judged beside it.

Source: our own; METHODS section 2: any window is a sum of rows, so an hour is the sum of its 5-minute summaries.
Assumes: all counts of one measure and window use binnings that Evidence brings along; others are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from detectors import exceedance, scores
from detectors.raster import Places
from observe.schema import Binning

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MICROS: Final = 1_000_000
_FINE: Final = 2.0**20  # with |score| < 1,000, sums over 8 million rows of a window are exact
_LOCATION: Final = ("location",)
_ORDER: Final = ("measure", "binning_id", "ts")
_AT_ONCE: Final = 256  # windows whose counts stay in the processor's cache
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

    def places(self, start: int, step: int, count: int) -> Places:
        """Where the rows lie in `count` windows of `step` seconds from `start`; other rows are left out."""
        first, last = np.searchsorted(self.ts, (start, start + step * count))
        use = slice(int(first), int(last))
        return Places((self.ts[use] - start) // step, use, count)


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
    judged_from: int = 0,
) -> dict[str, Series]:
    """Series of every measure whose summaries have counts, or sums of products, on a known binning.

    Args:
        summaries: rows of table `summary`, in any order.
        binnings: by id.
        wanted: scores by measure; location where a measure is not named. Location is given in any case.
        judged_from: rows before it, epoch s, are history only and get no tenths.

    Returns:
        By `key`; the binning of the newest row is the series' own, that of the highest version where what is wanted
        has no rows.
    """
    known = _ordered(summaries.select(*_ORDER, "counts"))
    parts: dict[str, list[Series]] = {}
    if not known.is_empty():
        ts, flat = seconds(known["ts"]), known["counts"].explode().to_numpy()
        cells = np.concatenate([[0], np.cumsum(known["counts"].list.len().to_numpy().astype(np.int64))])
        for (row, end), measure, binning_id in _groups(known):
            if binning_id not in binnings:
                continue
            counts = flat[cells[row] : cells[end]].reshape(end - row, -1)
            asked = tuple(sorted({*wanted.get(measure, ()), *_LOCATION}))
            for score, series in _scored(ts[row:end], counts, binnings[binning_id], asked, judged_from).items():
                parts.setdefault(key(measure, score), []).append(series)
    seen = {name: _joined(found) for name, found in parts.items()} | _pairs(summaries, binnings)
    return _silent(binnings, wanted) | seen


def _silent(binnings: Mapping[str, Binning], wanted: Mapping[str, Collection[str]]) -> dict[str, Series]:
    """What is wanted, without rows: its bins are known all the same."""
    ts, none, tenths = np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros((0, scores.GROUPS))
    found: dict[str, Series] = {}
    for binning in sorted(binnings.values(), key=lambda b: b.version):
        measure = f"{binning.model}/{binning.source_table}/{binning.feature}"
        if measure in wanted:
            located = () if binning.kind == "pair" else _LOCATION
            found |= {key(measure, s): Series(ts, none, none, tenths, binning) for s in {*wanted[measure], *located}}
    return found


def _ordered(rows: pl.DataFrame) -> pl.DataFrame:
    """Those with counts by measure, binning and time; what is in order already is not copied, as counts are many."""
    import polars as pl

    if rows["counts"].null_count() or rows["binning_id"].null_count():
        rows = rows.drop_nulls()
    measure, binning, ts = (pl.col(name) for name in _ORDER)
    earlier = (binning < binning.shift()) | ((binning == binning.shift()) & (ts < ts.shift()))
    earlier = (measure < measure.shift()) | ((measure == measure.shift()) & earlier)
    return rows.sort(*_ORDER) if rows.select(earlier.any()).item() else rows


def _groups(rows: pl.DataFrame) -> Iterator[tuple[tuple[int, int], str, str]]:
    """From and to of the rows of each measure and binning, and which these are."""
    import polars as pl

    measure, binning = pl.col("measure"), pl.col("binning_id")
    begins = ((measure != measure.shift()) | (binning != binning.shift())).fill_null(value=True)
    found = rows.select("measure", "binning_id").with_row_index("row").filter(begins)
    first = found["row"].to_list()
    spans = zip(first, [*first[1:], rows.height], strict=True)
    return zip(spans, found["measure"].to_list(), found["binning_id"].to_list(), strict=True)


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


def _scored(ts: Ints, counts: Ints, binning: Binning, asked: tuple[str, ...], judged_from: int) -> dict[str, Series]:
    if np.any(
        ts[1:] == ts[:-1]
    ):  # late deltas and parts of a window: added as whole numbers, so their order is no matter
        distinct, where = np.unique(ts, return_inverse=True)
        summed = np.zeros((distinct.size, counts.shape[1]), dtype=np.int64)
        np.add.at(summed, where, counts)
        ts, counts = distinct, summed
    names, columns = _columns(binning.reference, binning.levels if binning.kind == "categorical" else None, asked)
    sums, many = np.zeros((len(counts), columns.shape[1])), len(names) + 1
    first = int(np.searchsorted(ts, judged_from))
    if first:
        _weigh(counts[:first], columns[:, :many], sums[:first, :many])
    _weigh(counts[first:], columns, sums[first:])
    tenths = sums[:, many:]
    n = np.ascontiguousarray(sums[:, len(names)])
    return {name: Series(ts, np.ascontiguousarray(sums[:, i]), n, tenths, binning) for i, name in enumerate(names)}


def _weigh(counts: Ints, columns: Floats, sums: Floats) -> None:
    """Counts (R, K) times columns (K, C), written into `sums`."""
    columns = np.ascontiguousarray(columns)
    for at in range(0, len(counts), _AT_ONCE):
        sums[at : at + _AT_ONCE] = counts[at : at + _AT_ONCE].astype(np.float64) @ columns


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
