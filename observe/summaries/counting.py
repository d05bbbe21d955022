"""Rows of one model become Summaries: counts per window and bin, for every feature of one scan.

A pure function of rows and binnings; summaries of parts add up to the summary of the whole.

Source: our own; METHODS section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from math import frexp, fsum
from operator import itemgetter
from typing import Final

import numpy as np
import polars as pl

from observe.schema import Binning, Summary
from observe.schema.exchange import frame_schema
from observe.summaries.bins import BLOCK, Floats, Ints, place
from observe.summaries.products import sums

_HUGE: Final = 1e300  # a larger value would make sums overflow; it is counted as infinite
_FINE: Final = 36  # bits of a value that its sum keeps, from the largest edge of its binning down
SCHEMA: Final = frame_schema(Summary.table())


@dataclass(frozen=True, slots=True)
class Grid:
    """The windows that rows are counted in: `size` of them, `window_s` seconds each, from `start`."""

    start: datetime
    window_s: int
    size: int

    def index(self, ts: pl.Series) -> Ints:
        """Which window each instant falls in, (n,) integers 0..size-1."""
        first = int(self.start.timestamp()) * 1_000_000
        return (ts.cast(pl.Datetime("us")).to_physical().to_numpy() - first) // (self.window_s * 1_000_000)

    def starts(self, windows: Ints) -> pl.Series:
        """When windows begin."""
        first, length = int(self.start.timestamp()) * 1_000_000, self.window_s * 1_000_000
        return pl.Series(first + windows * length).cast(pl.Datetime("us", "UTC"))


def count(
    rows: pl.DataFrame,
    grid: Grid,
    binnings: Sequence[Binning],
    threads: int = 1,
    pairs: Sequence[Binning] = (),
    beside: Sequence[Binning] = (),
) -> pl.DataFrame:
    """Summaries of all features of one model in all windows that have rows.

    Args:
        rows: column `ts` (UTC, inside the grid) and one column for each binning, named as its feature.
        grid: the windows.
        binnings: what to count, one a feature.
        threads: features counted at the same time; numpy works outside the interpreter's lock.
        pairs: binnings of pairs of features.
        beside: binnings of features that only pairs need.

    Returns:
        Rows of table `summary` without `ingested_at`, by feature and window; windows without rows are absent.
    """
    if rows.is_empty() or not (binnings or pairs):
        return pl.DataFrame(schema={k: v for k, v in SCHEMA.items() if k != "ingested_at"})
    w = grid.index(rows["ts"])
    if (w[1:] < w[:-1]).any():
        rows, w = rows[np.argsort(w, kind="stable")], np.sort(w)
    slabs, total = _slabs(w), np.bincount(w, minlength=grid.size)

    def one(b: Binning) -> pl.DataFrame:
        values = rows[b.feature]
        counted = _numbers(values, slabs, grid.size, b) if b.kind == "numeric" else _levels(values, w, grid.size, b)
        return _frame(counted, grid, b, total)

    every = {b.feature: b for b in (*binnings, *beside)}
    products = [_product(found, grid, total) for found in sums(rows, w, grid.size, pairs, every)]
    if threads == 1:
        return pl.concat([*(one(b) for b in binnings), *products])
    with ThreadPoolExecutor(threads) as pool:
        return pl.concat([*pool.map(one, binnings), *products])


class _Slab:
    """Some consecutive rows: in which windows they lie, and where each window starts."""

    def __init__(self, w: Ints) -> None:
        self.w = w
        self.starts = np.concatenate([[0], np.flatnonzero(w[1:] != w[:-1]) + 1])
        self.windows = w[self.starts]
        self.first = int(w[0])
        self.size = int(w[-1]) - self.first + 1
        self._offsets: dict[int, Ints] = {}

    def offsets(self, bins: int) -> Ints:
        """Where the bins of each row's window begin, in the flat counts of this slab."""
        if bins not in self._offsets:
            self._offsets[bins] = (self.w - self.first) * bins
        return self._offsets[bins]


def _slabs(w: Ints) -> list[_Slab]:
    return [_Slab(w[start : start + BLOCK]) for start in range(0, w.size, BLOCK)]


class _Counted:
    """Statistics of one feature over all windows, filled slab by slab; counts are (windows, bins)."""

    def __init__(self, windows: int, bins: int, unit: float = 1.0) -> None:
        self.counts = np.zeros((windows, bins), dtype=np.int64)
        self.missing, self.nan, self.inf, self.zero = (np.zeros(windows, dtype=np.int64) for _ in range(4))
        self.low, self.high = (np.full(windows, np.nan) for _ in range(2))
        self._unit, self._units = unit, np.zeros(windows, dtype=np.int64)
        self._beyond: list[tuple[int, float]] = []  # window and value, where a value is too large for the unit

    @property
    def total(self) -> Floats:
        """Sum of the values by window, the same in whatever order they came; NaN where there are none."""
        total = self._units * self._unit
        for window, values in groupby(sorted(self._beyond), key=itemgetter(0)):
            total[window] += fsum(value for _, value in values)
        return np.where(np.isnan(self.low), np.nan, total)

    def numbers(self, x: Floats, slab: _Slab, edges: tuple[float, ...]) -> None:
        """Add the values of one slab of rows."""
        at, starts = slab.windows, slab.starts
        low, high = np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)
        if not ((low > -_HUGE) & (high < _HUGE)).all():  # NaN is neither
            x, w = self._finite(x, slab.w)
            return self.numbers(x, _Slab(w), edges) if x.size else None
        self.low[at], self.high[at] = np.fmin(self.low[at], low), np.fmax(self.high[at], high)
        self._add(x, slab, float(max(-low.min(), high.max())))
        if ((low <= 0.0) & (high >= 0.0)).any():
            self.zero[at] += np.add.reduceat(x == 0.0, starts, dtype=np.int64)
        k = self.counts.shape[1]
        cells = place(x, edges)
        cells += slab.offsets(k)
        counts = np.bincount(cells, minlength=slab.size * k)
        self.counts[slab.first : slab.first + slab.size] += counts.reshape(slab.size, k)
        return None

    def _add(self, x: Floats, slab: _Slab, largest: float) -> None:
        """Add to the sums: whole units, whose sum no order changes; the few large values are kept for an exact sum."""
        units = x / self._unit
        if largest >= self._unit * 2.0 ** (_FINE + 2):
            beyond = np.abs(units) >= 2.0 ** (_FINE + 2)
            self._beyond += zip(slab.w[beyond].tolist(), x[beyond].tolist(), strict=True)
            units[beyond] = 0.0
        self._units[slab.windows] += np.add.reduceat(np.rint(units).astype(np.int64), slab.starts)

    def _finite(self, x: Floats, w: Ints) -> tuple[Floats, Ints]:
        """Count and drop what is not a number, or not a finite one."""
        nan, inf = np.isnan(x), np.isinf(x)
        self.nan += np.bincount(w[nan], minlength=self.nan.size)
        self.inf += np.bincount(w[inf], minlength=self.inf.size)
        keep = ~(nan | inf) & (np.abs(x) < _HUGE)
        self.inf += np.bincount(w[(np.abs(x) >= _HUGE) & ~inf], minlength=self.inf.size)
        return x[keep], w[keep]


def _numbers(values: pl.Series, slabs: list[_Slab], size: int, binning: Binning) -> _Counted:
    edges = binning.edges or ()
    counted = _Counted(size, len(edges) + 1, _unit(binning))
    if values.null_count():
        known, w = values.is_not_null().to_numpy(), np.concatenate([s.w for s in slabs])
        counted.missing += np.bincount(w[~known], minlength=size)
        slabs, values = _slabs(w[known]), values.drop_nulls()
    x = np.ascontiguousarray(values.cast(pl.Float64).to_numpy())
    start = 0
    for slab in slabs:
        counted.numbers(x[start : start + slab.w.size], slab, edges)
        start += slab.w.size
    return counted


def _unit(binning: Binning) -> float:
    """What the sums of a feature are counted in: a power of two, 2**-36 of the largest edge."""
    largest = max((abs(edge) for edge in (*(binning.edges or ()), *(binning.quantiles or ()))), default=0.0)
    return 2.0 ** (max(-900, frexp(largest)[1]) - _FINE) if largest else 2.0**-_FINE


def _levels(values: pl.Series, w: Ints, size: int, binning: Binning) -> _Counted:
    levels = list(binning.levels or ())
    k = len(levels) + 1
    text = values.cast(pl.String)
    known = text.is_not_null().to_numpy()
    table = pl.DataFrame({"level": levels, "bin": range(len(levels))}, {"level": pl.String, "bin": pl.Int64})
    found = pl.DataFrame({"level": text}).join(table, on="level", how="left", maintain_order="left")["bin"]
    cells = found.fill_null(len(levels)).to_numpy() + w * k
    counted = _Counted(size, k)
    counted.counts += np.bincount(cells[known], minlength=size * k).reshape(size, k)
    counted.missing += np.bincount(w[~known], minlength=size)
    return counted


def _product(found: tuple[Binning, Floats, Ints], grid: Grid, rows: Ints) -> pl.DataFrame:
    """Sums of products of one pair as rows of table `summary`."""
    pair, total, n = found
    counted = _Counted(grid.size, 1)
    counted.missing += rows - n
    frame = _frame(counted, grid, pair, rows)
    at = np.flatnonzero(rows > 0)
    nothing = pl.repeat(None, at.size, dtype=SCHEMA["counts"], eager=True)
    return frame.with_columns(counts=nothing, value_sum=pl.Series(total[at]))


def _frame(c: _Counted, grid: Grid, binning: Binning, rows: Ints) -> pl.DataFrame:
    """The windows that have rows, as rows of table `summary`."""
    has = np.flatnonzero(rows > 0)
    counts = pl.Series(c.counts[has]).cast(SCHEMA["counts"])
    n = (rows - c.missing - c.nan - c.inf)[has]
    nowhere = pl.repeat(None, has.size, dtype=pl.Int64, eager=True)
    text = {
        "measure": f"{binning.model}/{binning.source_table}/{binning.feature}", "model": binning.model, "binning_id": binning.binning_id,
    }  # fmt: skip
    same = {name: pl.repeat(value, has.size, dtype=pl.String, eager=True) for name, value in text.items()}
    return pl.DataFrame({
        "ts": grid.starts(has), "window_s": pl.repeat(grid.window_s, has.size, dtype=pl.Int64, eager=True),
        "measure": same["measure"], "model": same["model"], "binning_id": same["binning_id"], "n": n, "events": nowhere,
        "counts": counts, "missing": c.missing[has], "nan": c.nan[has], "inf": c.inf[has], "zero": c.zero[has],
        "low": pl.Series(c.low[has], nan_to_null=True), "high": pl.Series(c.high[has], nan_to_null=True),
        "value_sum": pl.Series(c.total[has], nan_to_null=True), "late": pl.repeat(False, has.size, dtype=pl.Boolean, eager=True),
    })  # fmt: skip
