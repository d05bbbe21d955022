"""Summaries become arrays: per measure the summed score, rows and tenths of every window.

Source: our own; METHODS section 2: any window is a sum of rows, so an hour is the sum of its 5-minute summaries.
Assumes: all counts of one measure and window use binnings that Evidence brings along; others are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from detectors import scores
from observe.schema import Binning

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MICROS: Final = 1_000_000


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
        at = at[use]
        sums: list[Floats] = [
            np.bincount(at, weights=w[use], minlength=count).astype(np.float64) for w in (self.total, self.n)
        ]
        tenths = np.zeros((count, scores.GROUPS))
        np.add.at(tenths, at, self.tenths[use])
        return sums[0], sums[1], tenths


def levels(summaries: pl.DataFrame, binnings: Mapping[str, Binning]) -> dict[str, Series]:
    """Series of every measure whose summaries have counts on a known binning.

    Args:
        summaries: rows of table `summary`, in any order.
        binnings: by id.

    Returns:
        By measure; the binning of the newest row is the series' own.
    """
    import polars as pl

    known = summaries.filter(pl.col("binning_id").is_in(list(binnings)) & pl.col("counts").is_not_null())
    known = known.select("measure", "binning_id", "ts", "counts").sort("measure", "binning_id", "ts")
    if known.is_empty():
        return {}
    ts, flat = seconds(known["ts"]), known["counts"].explode().to_numpy()
    cells = np.concatenate([[0], np.cumsum(known["counts"].list.len().to_numpy().astype(np.int64))])
    parts: dict[str, list[Series]] = {}
    row = 0
    for measure, binning_id, size in known.group_by("measure", "binning_id", maintain_order=True).len().iter_rows():
        counts = flat[cells[row] : cells[row + size]].reshape(size, -1)
        parts.setdefault(measure, []).append(_scored(ts[row : row + size], counts, binnings[binning_id]))
        row += size
    return {measure: _joined(found) for measure, found in parts.items()}


def rates(summaries: pl.DataFrame, score: str) -> dict[str, tuple[Ints, Floats, Floats]]:
    """Starts of windows (epoch s), events and trials of every measure.

    Args:
        summaries: rows of table `summary`, in any order.
        score: `missing` counts rows without a finite number or level (missing, NaN, infinite) among all rows;
            anything else bad events among all.
    """
    import polars as pl

    unusable = pl.sum_horizontal("missing", "nan", "inf")
    missing = score == "missing"
    x = unusable if missing else pl.col("events").fill_null(0)
    trials = pl.col("n") + unusable if missing else pl.col("n")
    rows = summaries.select("measure", "ts", x=x.cast(pl.Float64), n=trials.cast(pl.Float64)).sort("measure", "ts")
    return {
        part["measure"][0]: (seconds(part["ts"]), part["x"].to_numpy(), part["n"].to_numpy())
        for part in rows.partition_by("measure", maintain_order=True)
    }


def seconds(ts: pl.Series) -> Ints:
    """Whole seconds since 1970 of a column of instants."""
    import polars as pl

    found: Ints = ts.cast(pl.Datetime("us")).to_physical().to_numpy() // _MICROS
    return found


def _scored(ts: Ints, counts: Ints, binning: Binning) -> Series:
    if np.any(ts[1:] == ts[:-1]):  # late deltas: added as whole numbers, so their order is no matter
        distinct, where = np.unique(ts, return_inverse=True)
        summed = np.zeros((distinct.size, counts.shape[1]), dtype=np.int64)
        np.add.at(summed, where, counts)
        ts, counts = distinct, summed
    a, groups = _columns(binning.reference)
    rows = counts.astype(np.float64)
    return Series(ts, (rows * a).sum(axis=1), rows.sum(axis=1), rows @ groups, binning)


@lru_cache(maxsize=16_384)
def _columns(reference: tuple[int, ...]) -> tuple[Floats, Floats]:
    counts = np.asarray(reference, dtype=np.float64)
    return scores.weights(counts), scores.tenths(counts)


def _joined(parts: list[Series]) -> Series:
    if len(parts) == 1:
        return parts[0]
    ts = np.concatenate([p.ts for p in parts])
    order = np.argsort(ts, kind="stable")
    total, n = (np.concatenate([getattr(p, name) for p in parts])[order] for name in ("total", "n"))
    newest = max(parts, key=lambda p: int(p.ts[-1]))
    return Series(ts[order], total, n, np.concatenate([p.tenths for p in parts])[order], newest.binning)
