"""Two columns of two tables become what detectors compare: numbers, or counts of levels, by stretch of time if asked.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.exact_level import Levels
from detectors.exact_number import Column, Stretches
from detectors.exact_verdict import Reads

MOST_STRETCHES: Final = 64  # of either table: enough degrees of freedom, and long enough to outlast most memory
_ROWS_OF_A_STRETCH: Final = 20  # at least
_BY_STRETCH: Final = 30  # levels whose share is followed through time

Stretch = NDArray[np.int64]  # number of each row's stretch
Pair = tuple[pl.Series, pl.Series]
Times = tuple[Stretch, Stretch] | None


@dataclass(frozen=True, slots=True)
class Numbers:
    """Both columns as numbers, the unit of what they became, and how their values read."""

    reference: Column
    current: Column
    unit: str
    reads: Reads = ""


def stretch(times: pl.Series) -> Stretch:
    """Rows in the order of time, cut into stretches of as many rows each; rows without a time come last."""
    n = len(times)
    found = np.empty(n, dtype=np.int64)
    wanted = min(MOST_STRETCHES, max(4, n // _ROWS_OF_A_STRETCH))
    found[times.arg_sort(nulls_last=True).to_numpy()] = np.arange(n) * wanted // max(1, n)
    return found


def numbers(pair: Pair, times: Times) -> Numbers:
    """Numbers or times of both columns; whole numbers stay whole where both have them."""
    pair = _instants(pair)
    known = pair[0].dtype if pair[0].dtype != pl.Null else pair[1].dtype
    unit, reads = _unit(known), _reads(known)
    plain = [_plain(series) for series in pair]
    values = [_values(s.drop_nulls()) for s in plain]
    values = _alike(values)
    found = []
    for i, series in enumerate(plain):
        nan = np.isnan(values[i]) if values[i].dtype.kind == "f" else np.zeros(values[i].size, dtype=bool)
        kept = values[i][~nan] if nan.any() else values[i]
        by_time = _stretches(times[i], series, nan) if times else None
        found.append(Column(kept, series.null_count(), int(nan.sum()), by_time))
    return Numbers(found[0], found[1], unit, reads)


def _instants(pair: Pair) -> Pair:
    """Dates beside instants become the instants at which they begin."""
    if {type(series.dtype) for series in pair} != {pl.Date, pl.Datetime}:
        return pair
    first, second = (s.cast(pl.Datetime("us")) if s.dtype == pl.Date else s for s in pair)
    return first, second


def _reads(dtype: pl.DataType) -> Reads:
    if isinstance(dtype, pl.Datetime):
        return "utc" if dtype.time_zone else "instant"
    return "date" if dtype == pl.Date else "clock" if dtype == pl.Time else ""


def _unit(dtype: pl.DataType) -> str:
    if dtype == pl.Date:
        return "d"
    return "s" if dtype.is_temporal() else ""


def _plain(series: pl.Series) -> pl.Series:
    """Times as seconds, dates as days, decimals as floats."""
    dtype = series.dtype
    if dtype == pl.Null:
        return series.cast(pl.Float64)
    if dtype == pl.Date:
        return series.cast(pl.Int32).cast(pl.Int64)
    if isinstance(dtype, pl.Datetime | pl.Duration):
        per_s = {"ms": 1e3, "us": 1e6, "ns": 1e9}[dtype.time_unit or "us"]
        return series.cast(pl.Int64).cast(pl.Float64) / per_s
    if dtype == pl.Time:
        return series.cast(pl.Int64).cast(pl.Float64) / 1e9
    return series if dtype.is_integer() or dtype.is_float() else series.cast(pl.Float64)


def _values(series: pl.Series) -> NDArray[Any]:
    if not series.dtype.is_integer():
        return series.cast(pl.Float64).to_numpy()
    for dtype in (pl.Int64, pl.UInt64):
        whole = series.cast(dtype, strict=False)
        if not whole.null_count():
            return whole.to_numpy()
    return series.cast(pl.Float64).to_numpy()


def _alike(values: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Both with one type: whole numbers beside whole floats stay whole, else both are floats."""
    kinds = [v.dtype.kind for v in values]
    if values[0].dtype == values[1].dtype:
        return list(values)
    if {"i", "f"} == set(kinds):
        floats = values[kinds.index("f")]
        if floats.size and (np.abs(floats) < 2**63).all() and (floats == np.floor(floats)).all():
            return [v.astype(np.int64) for v in values]
    if {"i", "u"} == set(kinds) and (values[kinds.index("i")] >= 0).all():
        return [v.astype(np.uint64) for v in values]
    return [v.astype(np.float64) for v in values]


def _stretches(where: Stretch, series: pl.Series, nan: NDArray[np.bool_]) -> Stretches:
    there = series.is_not_null().to_numpy()
    size = int(where.max()) + 1
    of_values = where[there]
    return Stretches(
        of_values[~nan], np.bincount(where, minlength=size), np.bincount(where[~there], minlength=size),
        np.bincount(of_values[nan], minlength=size),
    )  # fmt: skip


def counted(pair: Pair, times: Times) -> Levels:
    """Levels of both columns, most frequent first, as text."""
    texts = [series.cast(pl.String) for series in pair]
    counts = [
        s.drop_nulls().rename("level").value_counts(name="n").with_columns(pl.col("n").cast(pl.Int64)) for s in texts
    ]
    both = counts[0].join(counts[1], on="level", how="full", coalesce=True, suffix="_now").fill_null(0)
    both = both.sort([-(pl.col("n") + pl.col("n_now")), "level"])
    names = both.get_column("level").to_list()
    sides = [both.get_column(c).to_numpy().astype(np.int64) for c in ("n", "n_now")]
    missing = (texts[0].null_count(), texts[1].null_count())
    return Levels(names, sides[0], sides[1], missing, _by_stretch(texts, names, times))


def _by_stretch(texts: Sequence[pl.Series], names: Sequence[str], times: Times) -> dict[str | None, Any]:
    if times is None:
        return {}
    found: dict[str | None, Any] = {None: _share_pair(texts, times, None)}
    for name in names[:_BY_STRETCH]:
        found[name] = _share_pair(texts, times, name)
    return found


def _share_pair(
    texts: Sequence[pl.Series], times: tuple[Stretch, Stretch], level: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares by stretch of one level among the values that are there, or of missing ones among all rows."""
    shares = []
    for series, where in zip(texts, times, strict=True):
        hit = series.is_null().to_numpy() if level is None else (series == level).fill_null(value=False).to_numpy()
        of = where if level is None else where[series.is_not_null().to_numpy()]
        size = int(where.max()) + 1
        rows, events = np.bincount(of, minlength=size), np.bincount(where[hit], minlength=size)
        shares.append((events[rows > 0] / rows[rows > 0])[:, None])
    return shares[0], shares[1]


def looks_like_a_clock(found: Numbers) -> bool:
    """Whether the times of both tables do not overlap: they tell when, not what."""
    a, b = found.reference.values, found.current.values
    return bool(a.size and b.size and (a.max() < b.min() or b.max() < a.min()))


def looks_like_a_counter(found: Numbers) -> bool:
    """Whether both are whole numbers of which each occurs once and nearly none is left out: row numbers, ids."""
    for column in (found.reference, found.current):
        v = column.values
        if v.dtype.kind == "f" or v.size < 100 or int(v.max()) - int(v.min()) >= 2 * v.size:
            return False
        if np.unique(v).size < v.size:
            return False
    return True
