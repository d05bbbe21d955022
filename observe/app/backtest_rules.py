"""What plain rules would have said on the same windows: their alarms, and how soon they see a planted change.

Three rules that are in use: the mean of a window outside the mean of the fitted windows' means by more than three
of their standard deviations (NannyML's default for a statistic of a chunk); the distribution of a window against
the fitted rows, by Kolmogorov-Smirnov at p < 0.05 with at most 1,000 rows, else PSI from 0.1 on (Evidently's
defaults are of this kind: a KS or distance test per window at a fixed limit); and a static threshold at the
smallest and largest mean of the fitted windows. Windows that follow one another count as one alarm.

Source: https://nannyml.readthedocs.io (thresholds), https://docs.evidentlyai.com (drift methods), read 2026-11.
Assumes: nothing; that is their weakness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import kolmogorov

from observe.app.backtest_change import Change
from observe.app.backtest_inject import HORIZON, Planted, planted
from observe.app.backtest_walk import Past, Read
from observe.schema import Window

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RULES: Final = ("mean ± 3 SD", "KS p < 0.05 or PSI ≥ 0.1", "outside the fitted range")
_SLICE: Final = timedelta(days=14)
_TENTHS: Final = 10
_FEW: Final = 1_000  # rows of a window up to which KS is asked, as Evidently does


@dataclass(frozen=True, slots=True)
class Measured:
    """One numeric feature by window: start, rows, mean, and whether its distribution differs from the fitted rows'."""

    ts: NDArray[np.int64]  # epoch s
    mean: Floats
    differs: Bools


@dataclass(frozen=True, slots=True)
class Rule:
    """What one rule did: alarms over the judged part of all numeric features, and of a planted change."""

    name: str
    alarms: int
    per_30d: float
    windows: float  # share of windows that were flagged
    found: float | None = None  # share of the planted changes flagged within the horizon
    delay: timedelta | None = None  # median; None: not found


def beside(
    past: Past, fit: Window, judged: Window, trials: Sequence[Planted], scale: tuple[float, int, int]
) -> list[Rule]:
    """Every rule over all numeric features, with its delay for the first planted shift of a number.

    Args:
        past: where summaries are read.
        fit: what the rules learn from.
        judged: what they are asked about.
        trials: changes whose instants they are tried at, too.
        scale: real days judged, seconds of a window on the detectors' clock, real seconds in one of its seconds.
    """
    days, window_s, stretch = scale
    told = rules(past, fit, judged, days, window_s)
    trial = tried(trials)
    if trial is None:
        return told
    at = [datetime.fromtimestamp(t.timestamp() / stretch, t.tzinfo) for t in trial.at]
    found = delays(past, trial.change, fit, at, window_s)
    result = []
    for rule in told:
        share, delay = medians(found, rule.name)
        result.append(replace(rule, found=share, delay=None if delay is None else delay * stretch))
    return result


def tried(trials: Sequence[Planted]) -> Planted | None:
    """The planted change that rules are tried at: the first shift of a number."""
    return next((t for t in trials if t.change.what == "shift" and t.change.effect.unit != "pp"), None)


def rules(past: Past, fit: Window, judged: Window, days: float, window_s: int) -> list[Rule]:
    """Every rule over all numeric features.

    Args:
        past: where summaries are read.
        fit: what the rules learn from.
        judged: what they are asked about.
        days: real days of it.
        window_s: their windows, s.
    """
    alarms, flagged, total = np.zeros(len(RULES)), np.zeros(len(RULES)), 0
    for measure in _numeric(past):
        learnt = measured(past.read, measure, past, fit, window_s)
        seen = measured(past.read, measure, past, judged, window_s)
        if not learnt.ts.size or not seen.ts.size:
            continue
        flags = _flags(learnt, seen)
        alarms += [int(np.sum(f & ~np.concatenate([[False], f[:-1]]))) for f in flags]
        flagged += [int(f.sum()) for f in flags]
        total += seen.ts.size
    return [
        Rule(name, int(a), a * 30 / days, f / max(1, total)) for name, a, f in zip(RULES, alarms, flagged, strict=True)
    ]


def delays(
    past: Past, change: Change, fit: Window, at: Sequence[datetime], window_s: int
) -> dict[str, list[timedelta | None]]:
    """By rule: from each planted change to the first flagged window's end, None when none is within the horizon."""
    found: dict[str, list[timedelta | None]] = {name: [] for name in RULES}
    numeric = set(_numeric(past))
    mine = [m.measure for m in past.monitors if m.feature == change.feature and m.measure in numeric]
    if change.what != "shift" or not mine:
        return found
    learnt = measured(past.read, mine[0], past, fit, window_s)
    for i, instant in enumerate(at):
        seen = measured(planted(past, change, instant, i), mine[0], past, Window(instant, instant + HORIZON), window_s)
        for name, flags in zip(RULES, _flags(learnt, seen), strict=True):
            first = int(flags.argmax()) if flags.any() else None
            found[name].append(
                None if first is None else timedelta(seconds=float(seen.ts[first] + window_s - instant.timestamp()))
            )
    return found


def _numeric(past: Past) -> list[str]:
    known = {f"{b.model}/{b.source_table}/{b.feature}" for b in past.binnings.values() if b.kind == "numeric"}
    return sorted({m.measure for m in past.monitors} & known)


def measured(read: Read, measure: str, past: Past, span: Window, window_s: int) -> Measured:
    """One feature's windows in a span; values are taken at the middle of their bins, so that a planted change shows."""
    parts: list[tuple[NDArray[np.int64], Floats, Bools]] = []
    start = span.start
    while start < span.end:
        end = min(start + _SLICE, span.end)
        frame = read([measure], Window(start, end)).filter(pl.col("counts").is_not_null() & (pl.col("n") > 0))
        if frame.height:
            parts.append(_measured(frame, past, window_s))
        start = end
    if not parts:
        return Measured(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=np.bool_))
    return Measured(*(np.concatenate([p[i] for p in parts]) for i in range(3)))


def _measured(frame: pl.DataFrame, past: Past, window_s: int) -> tuple[NDArray[np.int64], Floats, Bools]:
    binning = past.binnings[frame["binning_id"][-1]]
    frame = frame.filter(pl.col("binning_id") == binning.binning_id)
    at = frame["ts"].to_physical().to_numpy() // 1_000_000 // window_s
    windows, where = np.unique(at, return_inverse=True)
    counts = np.zeros((windows.size, len(binning.reference)))
    np.add.at(counts, where, np.array(frame["counts"].to_list(), dtype=np.float64))
    n, reference = counts.sum(axis=1), np.asarray(binning.reference, dtype=np.float64)
    quantiles = np.asarray(binning.quantiles or (0.0, 1.0))
    bounds = np.array([quantiles[0], *(binning.edges or ()), quantiles[-1]])
    mean = counts @ ((bounds[1:] + bounds[:-1]) / 2) / n
    return windows * window_s, mean, _differs(counts, n, reference)


def _differs(counts: Floats, n: Floats, reference: Floats) -> Bools:
    total = reference.sum()
    distance = np.abs(np.cumsum(counts, axis=1) / n[:, None] - np.cumsum(reference) / total).max(axis=1)
    p_value = kolmogorov(distance * np.sqrt(n * total / (n + total)))
    group = np.clip(((np.cumsum(reference) - reference / 2) / total * _TENTHS).astype(int), 0, _TENTHS - 1)
    p = np.stack([counts[:, group == g].sum(axis=1) for g in range(_TENTHS)], axis=1) / n[:, None] + 1e-4
    q = np.array([reference[group == g].sum() for g in range(_TENTHS)]) / total + 1e-4
    found: Bools = np.where(n <= _FEW, p_value < 0.05, ((p - q) * np.log(p / q)).sum(axis=1) >= 0.1)
    return found


def _flags(learnt: Measured, seen: Measured) -> tuple[Bools, Bools, Bools]:
    middle, spread = learnt.mean.mean(), learnt.mean.std(ddof=1) if learnt.mean.size > 1 else 0.0
    outside = (seen.mean < learnt.mean.min()) | (seen.mean > learnt.mean.max())
    return np.abs(seen.mean - middle) > 3 * spread, seen.differs, outside


def medians(found: Mapping[str, Sequence[timedelta | None]], name: str) -> tuple[float | None, timedelta | None]:
    """Share found and median delay of one rule; None without trials, or where the median was not found."""
    every = found.get(name, ())
    if not every:
        return None, None
    known = sorted(d for d in every if d is not None)
    middle = (len(every) - 1) // 2
    return len(known) / len(every), known[middle] if middle < len(known) else None
