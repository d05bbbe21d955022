"""A change planted at random instants of the judged part: is it found, and after how long?

The change is made in the summaries, so that it works without rows: counts of a numeric feature move between
bins through the reference's own quantiles, shares and missing values change by as many rows as the change
says, drawn at random. Each instant is a trial of its own: the feature's streams learn from the days before,
unchanged, and are judged from a day before the change on. A trial in which they were alarmed before is left out.

Source: our own; the interval of a median by order statistics (Conover, 1999, "Practical nonparametric statistics").
Assumes: values are spread evenly inside a bin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri

from detectors.scores import SHARE
from observe.app.backtest_change import Change
from observe.app.backtest_walk import Alarm, Moved, Past, Read, walk
from observe.errors import UsageError
from observe.schema import Binning, Monitor, Window

Floats = NDArray[np.float64]

TRIALS: Final = 12
SEED: Final = 20_261_101
HORIZON: Final = timedelta(days=5)  # a change that is not found by then counts as not found
_BEFORE: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Planted:
    """What became of the trials of one change; delays in real time, None where it was not found in the horizon."""

    change: Change
    at: tuple[datetime, ...]
    delays: tuple[timedelta | None, ...]
    kinds: tuple[str, ...]  # what found it
    horizon: timedelta = HORIZON  # real time

    @property
    def found(self) -> float | None:
        """The share of trials in which it was found within the horizon; None without any trial."""
        return sum(d is not None for d in self.delays) / len(self.delays) if self.delays else None

    def median(self) -> tuple[timedelta | None, timedelta | None, timedelta | None]:
        """Median delay with its 95 % interval; None stands for longer than the horizon."""
        return median_interval(self.delays)


def plant(
    past: Past,
    change: Change,
    span: Window,
    alarms: Sequence[Alarm],
    moved: Moved = lambda share: None,
    stretch: int = 1,
) -> Planted:
    """Try a change at random instants of `span`.

    Args:
        past: what is judged.
        change: what is planted.
        span: the judged part.
        alarms: of the unchanged feature; instants near them are avoided.
        moved: told the progress.
        stretch: real seconds in a second of the detectors' clock.

    Raises:
        UsageError: the judged part is too short, or nothing would be changed that is watched.
    """
    mine = tuple(m for m in past.monitors if m.feature == change.feature)
    _refuse_nothing(past, change, mine)
    at = instants(span, mine, alarms)
    kept, delays, kinds = [], [], []
    for i, instant in enumerate(at):
        changed = Past(mine, past.binnings, planted(past, change, instant, i), past.expected)
        end = min(instant + HORIZON, span.end)
        trails = walk(changed, Window(max(instant - _BEFORE, span.start), end))
        moved(1 / len(at))
        raised = sorted((t.alarms[0].raised.window_end, t.monitor.score) for t in trails.values() if t.alarms)
        if raised and raised[0][0] <= instant:
            continue
        kept.append(datetime.fromtimestamp(instant.timestamp() * stretch, instant.tzinfo))
        delays.append((raised[0][0] - instant) * stretch if raised else None)
        kinds += [raised[0][1]] if raised else []
    return Planted(change, tuple(kept), tuple(delays), tuple(kinds), HORIZON * stretch)


def _refuse_nothing(past: Past, change: Change, mine: Sequence[Monitor]) -> None:
    """A change that moves no row, or that nobody asks about, would be told as one that is never found."""
    measures = {m.measure for m in mine}
    bins = [b for b in past.binnings.values() if f"{b.model}/{b.source_table}/{b.feature}" in measures]
    if not bins:
        raise UsageError(f"--inject {change}: {change.feature} is not watched, it has too few values to fit on")
    if change.what == "missing":
        if not any(m.score == "missing" for m in mine):
            raise UsageError(
                f"--inject {change}: a window of a series without a value is a gap, missing values are not watched"
            )
        return
    if bins[0].kind == "categorical":
        _refuse_share(bins, change, {m.score for m in mine})
        return
    if all(np.allclose(shares, np.eye(len(shares))) for shares in (transfer(b, change) for b in bins)):
        raise UsageError(f"--inject {change} would move no row: {_why_none(bins, change)}")


def _why_none(bins: Sequence[Binning], change: Change) -> str:
    if all(len(b.reference) == 1 for b in bins):
        return f"{change.feature} has one value only"
    return f"it is too small{', or the median is 0, write it in sigma' if change.effect.unit == '%' else ''}"


def _refuse_share(bins: Sequence[Binning], change: Change, scores: set[str]) -> None:
    """One level gives to another: the first must have rows, and the second be watched."""
    giver, taker = _pair(change)
    if all(b.reference[giver] == 0 for b in bins):
        raise UsageError(f"--inject {change} would move no row: {change.feature} has one level only")
    known = any(taker < len(b.levels or ()) for b in bins)
    if known and not any(s.startswith(SHARE) for s in scores):
        raise UsageError(f"--inject {change}: shares of levels are not watched in a series, and where one has all rows")


def instants(span: Window, monitors: Sequence[Monitor], alarms: Sequence[Alarm]) -> list[datetime]:
    """Random starts of windows, the horizon away from the end, none while the unchanged feature was alarmed."""
    step = max((m.window_s for m in monitors), default=3_600)
    count, each = int((span.length - HORIZON).total_seconds()) // step, timedelta(seconds=step)
    if count < TRIALS:
        raise UsageError(
            f"--inject needs at least {HORIZON // each + TRIALS} judged windows; there are {span.length // each}: use a shorter --fit"
        )
    every = [span.start + timedelta(seconds=step) * i for i in range(count)]
    free = [
        at
        for at in every
        if not any(
            a.raised.window_start <= at + HORIZON and (a.until is None or at <= a.until + _BEFORE) for a in alarms
        )
    ]
    chosen = np.random.default_rng(SEED).choice(len(free or every), min(TRIALS, len(free or every)), replace=False)
    return sorted((free or every)[i] for i in chosen)


def planted(past: Past, change: Change, since: datetime, trial: int) -> Read:
    """Summaries as they would have been, had the change come at `since`."""

    def read(measures: Sequence[str], span: Window) -> pl.DataFrame:
        frame = past.read(measures, span)
        late = frame.filter(pl.col("ts") >= since)
        if late.is_empty():
            return frame
        return pl.concat([frame.filter(pl.col("ts") < since), changed(late, past.binnings, change, trial)]).sort(
            "measure", "ts", maintain_order=True
        )

    return read


def changed(frame: pl.DataFrame, binnings: Mapping[str, Binning], change: Change, trial: int = 0) -> pl.DataFrame:
    """Summaries of one feature with the change in every row; rows without counts stay as they are."""
    parts = frame.partition_by("binning_id", maintain_order=True)
    return pl.concat([_changed(part, binnings.get(part["binning_id"][0] or ""), change, trial) for part in parts])


def _changed(part: pl.DataFrame, binning: Binning | None, change: Change, trial: int) -> pl.DataFrame:
    if binning is None or part["counts"].null_count():
        return part
    counts = np.array(part["counts"].to_list(), dtype=np.int64)
    rng = [np.random.default_rng([SEED, trial, int(t.timestamp())]) for t in part["ts"]]
    lost = np.zeros(part.height, dtype=np.int64)
    if change.what == "missing":
        gone = _lost(counts, change, rng)
        counts, lost = counts - gone, gone.sum(axis=1)
    elif binning.kind == "numeric":
        counts = moved_counts(counts, transfer(binning, change))
    else:
        counts = _shares(counts, change, rng)
    return part.with_columns(
        missing=pl.col("missing") + pl.Series(lost),
        n=pl.col("n") - pl.Series(lost),
        counts=pl.Series(counts.tolist(), dtype=part.schema["counts"]),
    )


def transfer(binning: Binning, change: Change) -> Floats:
    """What share of each bin's rows a shift moves into each bin, (K, K); rows sum to 1."""
    reference = np.asarray(binning.reference, dtype=np.float64)
    quantiles = np.asarray(binning.quantiles or (0.0, 1.0))
    if change.effect.unit == "sigma":
        edge = 0.5 / (reference.sum() + 1)
        bounds = ndtri(np.clip(np.concatenate([[0.0], np.cumsum(reference) / reference.sum()]), edge, 1 - edge))
        shift = change.sign * change.effect.value
    else:
        edges = np.asarray(binning.edges or (), dtype=np.float64)
        low, high = min([quantiles[0], *edges[:1]]), max([quantiles[-1], *edges[-1:]])
        bounds = np.concatenate([[low], edges, [high]])
        shift = change.sign * change.effect.value / 100 * abs(float(quantiles[len(quantiles) // 2]))
    return _overlap(bounds, shift)


def _overlap(bounds: Floats, shift: float) -> Floats:
    """Shares of [b_k, b_(k+1)] + shift in every bin; what leaves the range stays in the outermost bin."""
    width = np.maximum(np.diff(bounds), 1e-12 * max(1.0, float(np.abs(bounds).max())))
    low = bounds[:-1] + shift
    inner = np.concatenate([[-np.inf], bounds[1:-1], [np.inf]])
    below = np.clip((inner[None, :] - low[:, None]) / width[:, None], 0.0, 1.0)
    found: Floats = np.diff(below, axis=1)
    return found


def moved_counts(counts: NDArray[np.int64], shares: Floats) -> NDArray[np.int64]:
    """Whole rows after a transfer: cumulative sums are rounded, so that no row is lost; (R, K)."""
    total = np.cumsum(counts.astype(np.float64) @ shares, axis=1)
    total[:, -1] = counts.sum(axis=1)
    rounded = np.floor(total + 0.5).astype(np.int64)
    return np.diff(rounded, axis=1, prepend=0)


def _lost(counts: NDArray[np.int64], change: Change, rng: Sequence[np.random.Generator]) -> NDArray[np.int64]:
    share = min(1.0, change.effect.value / 100)
    return np.stack([r.binomial(row, share) for r, row in zip(rng, counts, strict=True)])


def _shares(counts: NDArray[np.int64], change: Change, rng: Sequence[np.random.Generator]) -> NDArray[np.int64]:
    """The most frequent level gives to (or, with a minus, takes from) the second."""
    found = counts.copy()
    giver, taker = _pair(change)
    for row, r in zip(found, rng, strict=True):
        given = min(int(row[giver]), int(r.binomial(int(row.sum()), min(1.0, change.effect.value / 100))))
        row[giver] -= given
        row[taker] += given
    return found


def _pair(change: Change) -> tuple[int, int]:
    """The bins that give and take."""
    return (0, 1) if change.sign > 0 else (1, 0)


def median_interval(delays: Sequence[timedelta | None]) -> tuple[timedelta | None, timedelta | None, timedelta | None]:
    """Median and its 95 % interval by order statistics; None sorts last and stands for `later`.

    >>> median_interval([timedelta(hours=h) for h in (1, 2, 3)])[0]
    datetime.timedelta(seconds=7200)
    """
    if not delays:
        return None, None, None
    ordered: list[timedelta | None] = [
        *sorted(d for d in delays if d is not None),
        *([None] * sum(d is None for d in delays)),
    ]
    n = len(ordered)
    k = next(k for k in range(n + 1) if bdtr(k, n, 0.5) >= 0.025)
    return ordered[(n - 1) // 2], ordered[max(k - 1, 0)], ordered[min(n - k, n - 1)]
