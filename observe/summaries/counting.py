"""Rows of one model become Summaries: counts per window and bin, for every feature of one scan.

A pure function of rows and binnings; summaries of parts add up to the summary of the whole.

Source: our own; METHODS section 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from math import frexp, fsum
from operator import attrgetter, itemgetter
from typing import Final

import numpy as np
import polars as pl

from observe.schema import Binning, Summary
from observe.schema.exchange import frame_schema
from observe.summaries.bins import BLOCK, Floats, Ints, placing, scratch
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
    pairs: Sequence[Binning] = (),
    beside: Sequence[Binning] = (),
) -> pl.DataFrame:
    """Summaries of all features of one model in all windows that have rows.

    Args:
        rows: column `ts` (UTC, inside the grid) and one column for each binning, named as its feature.
        grid: the windows.
        binnings: what to count, one a feature.
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
    if rows.height < rows.n_chunks() * BLOCK:
        rows = rows.rechunk()
    slabs, total = _slabs(w, rows["ts"].chunk_lengths()), np.bincount(w, minlength=grid.size)

    def one(b: Binning) -> _Counted:
        values = rows[b.feature]
        return _numbers(values, slabs, grid.size, b) if b.kind == "numeric" else _levels(values, w, grid.size, b)

    every = {b.feature: b for b in (*binnings, *beside)}
    products = [_product(found, total) for found in sums(rows, w, grid.size, pairs, every)]
    counted = [one(b) for b in binnings]  # a second thread waits for the interpreter more than it counts
    return _frame([*zip(binnings, counted, strict=True), *products], grid, total)


class _Slab:
    """Some consecutive rows: in which windows they lie, and where each window starts."""

    def __init__(self, w: Ints) -> None:
        self.w = w
        self.starts = np.concatenate([[0], np.flatnonzero(w[1:] != w[:-1]) + 1])
        self.windows = w[self.starts]
        self.lengths = np.diff(self.starts, append=w.size)
        self.first = int(w[0])
        self.size = int(w[-1]) - self.first + 1
        self._offsets: dict[int, Ints] = {}

    def offsets(self, bins: int) -> Ints:
        """Where the bins of each row's window begin, in the flat counts of this slab."""
        if bins not in self._offsets:
            self._offsets[bins] = (self.w - self.first) * bins
        return self._offsets[bins]


def _slabs(w: Ints, lengths: Sequence[int]) -> list[_Slab]:
    """Rows in stretches of at most `BLOCK`, none of which lies in two of the chunks of these lengths."""
    ends = np.cumsum(lengths).tolist()
    cuts = [(at, min(at + BLOCK, end)) for start, end in pairwise([0, *ends]) for at in range(start, end, BLOCK)]
    return [_Slab(w[start:end]) for start, end in cuts]


class _Counted:
    """Statistics of one feature over all windows, filled slab by slab; counts are (windows, bins)."""

    def __init__(self, windows: int, bins: int, unit: float = 1.0) -> None:
        # added to a value it leaves the value in whole units in the last bits of the sum
        self._anchor = np.float64(1.5 * 2.0**52 * unit)
        self._zero = self._anchor.view(np.int64)
        self.counts = np.zeros((windows, bins), dtype=np.int64)
        self.missing, self.nan, self.inf, self.zero = (np.zeros(windows, dtype=np.int64) for _ in range(4))
        self.low, self.high = (np.full(windows, np.nan) for _ in range(2))
        self.products: Floats | None = None  # of a pair, instead of a sum of values
        self._unit, self._units = unit, np.zeros(windows, dtype=np.int64)
        self._beyond: list[tuple[int, float]] = []  # window and value, where a value is too large for the unit

    @property
    def total(self) -> Floats:
        """Sum of the values by window, the same in whatever order they came; NaN where there are none."""
        if self.products is not None:
            return self.products
        total = self._units * self._unit
        for window, values in groupby(sorted(self._beyond), key=itemgetter(0)):
            total[window] += fsum(value for _, value in values)
        return np.where(np.isnan(self.low), np.nan, total)

    def numbers(self, x: Floats, slab: _Slab, place: Callable[[Floats, Ints], None]) -> None:
        """Add the values of one slab of rows."""
        at, starts = slab.windows, slab.starts
        low, high = np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)
        if not ((low > -_HUGE) & (high < _HUGE)).all():  # NaN is neither
            x, w = self._finite(x, slab.w)
            return self.numbers(x, _Slab(w), place) if x.size else None
        self.low[at], self.high[at] = np.fmin(self.low[at], low), np.fmax(self.high[at], high)
        self._add(x, slab, float(max(-low.min(), high.max())))
        if ((low <= 0.0) & (high >= 0.0)).any():
            zeros = np.flatnonzero(np.equal(x, 0.0, out=scratch().above[: x.size]))
            self.zero += np.bincount(slab.w[zeros], minlength=self.zero.size)
        k = self.counts.shape[1]
        cells = scratch().found[: x.size]
        place(x, cells)
        cells += slab.offsets(k)
        counts = np.bincount(cells, minlength=slab.size * k)
        self.counts[slab.first : slab.first + slab.size] += counts.reshape(slab.size, k)
        return None

    def _add(self, x: Floats, slab: _Slab, largest: float) -> None:
        """Add to the sums: whole units, whose sum no order changes; the few large values are kept for an exact sum."""
        units = np.add(x, self._anchor, out=scratch().floats[: x.size])
        if largest >= self._unit * 2.0 ** (_FINE + 2):
            beyond = np.abs(x) >= self._unit * 2.0 ** (_FINE + 2)
            self._beyond += zip(slab.w[beyond].tolist(), x[beyond].tolist(), strict=True)
            units[beyond] = self._anchor
        whole = np.add.reduceat(units.view(np.int64), slab.starts)  # may pass 2**63, and comes back below
        self._units[slab.windows] += whole - slab.lengths * self._zero

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
        values = values.drop_nulls().rechunk()
        slabs = _slabs(w[known], [values.len()])
    place = placing(edges, values.len())
    for slab, x in zip(slabs, _by_slab(values, slabs), strict=True):
        counted.numbers(x, slab, place)
    return counted


def _by_slab(values: pl.Series, slabs: Sequence[_Slab]) -> Iterator[Floats]:
    """The values of each slab, taken out of the chunks they lie in without a copy."""
    chunks = iter(values.cast(pl.Float64).get_chunks())
    x, at = np.empty(0), 0
    for slab in slabs:
        if at == x.size:
            x, at = np.ascontiguousarray(next(chunks).to_numpy()), 0
        yield x[at : at + slab.w.size]
        at += slab.w.size


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


def _product(found: tuple[Binning, Floats, Ints], rows: Ints) -> tuple[Binning, _Counted]:
    """Sums of products of one pair, as they are counted of a feature."""
    pair, products, n = found
    counted = _Counted(rows.size, 0)
    counted.missing += rows - n
    counted.products = products
    return pair, counted


def _frame(counted: Sequence[tuple[Binning, _Counted]], grid: Grid, rows: Ints) -> pl.DataFrame:
    """The windows that have rows, as rows of table `summary`, by feature: one frame, as each costs more than its rows."""
    has = np.flatnonzero(rows > 0)

    def all_of(values: Callable[[_Counted], Floats | Ints]) -> Floats | Ints:
        return np.concatenate([values(c)[has] for _, c in counted])

    def same(value: Callable[[Binning], str]) -> pl.Series:
        return pl.Series([value(b) for b, _ in counted], dtype=pl.String).gather(which)

    which, size = np.repeat(np.arange(len(counted)), has.size), len(counted) * has.size
    numbers = {name: all_of(attrgetter(name)) for name in ("missing", "nan", "inf", "zero", "low", "high", "total")}
    return pl.DataFrame({
        "ts": grid.starts(np.tile(has, len(counted))), "window_s": pl.repeat(grid.window_s, size, dtype=pl.Int64, eager=True),
        "measure": same(lambda b: f"{b.model}/{b.source_table}/{b.feature}"), "model": same(lambda b: b.model),
        "binning_id": same(lambda b: b.binning_id),
        "n": np.tile(rows[has], len(counted)) - numbers["missing"] - numbers["nan"] - numbers["inf"],
        "events": pl.repeat(None, size, dtype=pl.Int64, eager=True), "counts": _lists([c.counts[has] for _, c in counted]),
        **{name: numbers[name] for name in ("missing", "nan", "inf", "zero")},
        "low": pl.Series(numbers["low"], nan_to_null=True), "high": pl.Series(numbers["high"], nan_to_null=True),
        "value_sum": pl.Series(numbers["total"], nan_to_null=True), "late": pl.repeat(False, size, dtype=pl.Boolean, eager=True),
    })  # fmt: skip


def _lists(counts: Sequence[Ints]) -> pl.Series:
    """Each row of each array as one list; NULL where it has no bins."""
    import pyarrow as pa

    lengths = np.concatenate([np.full(c.shape[0], c.shape[1]) for c in counts])
    ends = np.concatenate([[0], np.cumsum(lengths)])
    flat = np.concatenate([c.ravel() for c in counts])
    known = np.packbits(lengths > 0, bitorder="little")
    # from buffers: pyarrow looks for pandas, and loads it, before it takes an array of numpy
    cells = pa.Array.from_buffers(pa.int64(), flat.size, [None, pa.py_buffer(flat)])
    parts = [pa.py_buffer(known), pa.py_buffer(ends)]
    found = pl.from_arrow(pa.Array.from_buffers(pa.large_list(pa.int64()), lengths.size, parts, children=[cells]))
    assert isinstance(found, pl.Series)
    return found.cast(SCHEMA["counts"])
