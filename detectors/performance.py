"""Does a model do worse than it did, by the labels that have come? The level and rate engines over its losses.

Accuracy is the share of wrong answers, an hourly mean where an hour has 50 of them, else a rate; log-loss and absolute
error are means of normal scores, so that heavy tails are harmless; calibration is the mean of what happened less what
was predicted, and bias that of truth less prediction: both are 0 for a good model whatever it is asked, so they tell a
changed world (concept drift) from changed questions (covariate shift). A window is judged once, when the declared
delay of labels has passed, by the labels that are there; later ones are shown. Better is never an alarm of accuracy,
mae and log_loss.

Source: METHODS section 9; the engines are `detectors.level` and `detectors.rate`.
Assumes: what the engines assume; and whether a label has come by then does not hang on whether the answer was right.
Where it does (labels missing not at random), a change of who is labelled reads as a change of performance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from detectors import level, rate, scores, series
from detectors.series import Series
from detectors.told import deviation, told
from observe.schema import Binning, Detected, Evidence, Finding, Json, Monitor, Window

if TYPE_CHECKING:
    import polars as pl

_ENOUGH: Final = 50.0  # wrong answers, and right ones, of an hour from which their share is a mean; METHODS section 3
_HOUR_S: Final = 3_600.0
_MEAN: Final = "mean"  # a score of ours: the mean of the value itself
_AS: Final = "pair"  # as the engine knows a mean of values that need no bins
_ENGINES: Final = ("level", "rate")


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """From when summaries are wanted: as the engine wants them that judges this stream."""
    engine = rate.since if state.get("engine") == "rate" else level.since
    return engine(monitor, state.get("of", {}), window)


def detect(evidence: Evidence) -> Detected:
    """Judge every window of every monitor once, in order.

    Args:
        evidence: monitors of this detector; summaries from `since` on; window to be judged.

    Returns:
        One finding per monitor and judged window, by monitor and time, and the state of each monitor.
    """
    binnings = {f"{b.model}/{b.source_table}/{b.feature}": b for b in evidence.binnings.values()}
    engines = {m.monitor_id: _engine(m, binnings.get(m.measure)) for m in evidence.monitors}
    findings: dict[str, list[Finding]] = {m.monitor_id: [] for m in evidence.monitors}
    state: dict[str, Json] = {}
    for engine in _ENGINES:
        mine = tuple(m for m in evidence.monitors if engines[m.monitor_id] == engine)
        judged = _judged(engine, mine, evidence, binnings) if mine else Detected((), {})
        for f in judged.findings:
            findings[f.monitor_id].append(f)
        state |= {name: {"engine": engine, "of": of} for name, of in judged.state.items()}
    seen = _seen(evidence.summaries, evidence.window)
    return Detected(
        tuple(told(m, f, binnings.get(m.measure), seen) for m in evidence.monitors for f in findings[m.monitor_id]),
        state,
    )


def _engine(monitor: Monitor, binning: Binning | None) -> str:
    """Which engine judges a stream; a binning never changes, so neither does this."""
    if not monitor.score.startswith(scores.SHARE) or binning is None or not binning.levels:
        return "level"
    counts = np.asarray(binning.reference, dtype=np.float64)
    wrong = float(counts @ scores.chosen(monitor.score, binning.levels))
    period = (binning.reference_to, binning.reference_from)
    length = (period[0] - period[1]).total_seconds() if period[0] and period[1] else 0.0
    hours = max(length / _HOUR_S, 1.0)
    return "level" if min(wrong, float(counts.sum()) - wrong) / hours >= _ENOUGH else "rate"


def _judged(engine: str, monitors: Sequence[Monitor], evidence: Evidence, binnings: Mapping[str, Binning]) -> Detected:
    kept = {m.monitor_id: evidence.state.get(m.monitor_id, {}) for m in monitors}
    state = {name: s.get("of", {}) for name, s in kept.items() if s.get("engine") == engine}
    if engine == "rate":
        return rate.detect(replace(evidence, monitors=tuple(monitors), state=state))
    asked = tuple(_asked(m, binnings.get(m.measure)) for m in monitors)
    walk = level.Walk(
        asked, replace(evidence, monitors=asked, state=state), _series(asked, evidence), asked[0].window_s, {}
    )
    walk.run()
    found = tuple(f for m in monitors for f in walk.findings[m.monitor_id])
    return Detected(found, {m.monitor_id: s for m, s in zip(monitors, walk.memory.dumped(), strict=True)})


def _asked(monitor: Monitor, binning: Binning | None) -> Monitor:
    """The monitor as the level engine knows it; a mean's smallest effect in standard deviations of the reference."""
    if monitor.score != _MEAN:
        return monitor
    value = monitor.min_effect or 0.0
    if monitor.unit == "pp":
        value = value / 100.0 / deviation(binning)
    return replace(monitor, score=_AS, min_effect=value, unit="sigma")


def _series(monitors: Sequence[Monitor], evidence: Evidence) -> dict[str, Series]:
    wanted = {m.measure: {m.score} for m in monitors}
    found = series.levels(evidence.summaries, evidence.binnings, wanted)
    for m in monitors:
        own = found.get(m.measure)
        if m.score == _AS and own is not None and own.binning is not None:
            found[series.key(m.measure, _AS)] = _means(evidence.summaries, m.measure, own.binning)
    return found


def _means(summaries: pl.DataFrame, measure: str, binning: Binning) -> Series:
    """Sums of the values themselves, in standard deviations of the reference."""
    import polars as pl

    rows = summaries.filter((pl.col("measure") == measure) & pl.col("value_sum").is_not_null())
    rows = rows.group_by("ts").agg(pl.col("value_sum").sum(), pl.col("n").sum()).sort("ts")
    ts = series.seconds(rows["ts"])
    total = np.round(rows["value_sum"].to_numpy() / deviation(binning), 6)
    return Series(
        ts,
        total,
        rows["n"].cast(pl.Float64).to_numpy(),
        np.zeros((ts.size, scores.GROUPS)),
        replace(binning, kind="pair"),
    )


def _seen(summaries: pl.DataFrame, window: Window) -> Mapping[tuple[str, int], tuple[float, float | None, int | None]]:
    """Labelled rows, the sum of their values and the rows of the first bin, by measure and start of window (epoch s)."""
    import polars as pl

    value = pl.when(pl.col("value_sum").count() > 0).then(pl.col("value_sum").sum())
    first = pl.col("counts").list.first()
    judged = (  # late labels are rows of their own
        summaries.filter(pl.col("ts") >= window.start)
        .sort("measure", "ts", "n", "value_sum")
        .group_by("measure", "ts", maintain_order=True)
        .agg(pl.col("n").sum(), value.alias("value_sum"), pl.when(first.count() > 0).then(first.sum()).alias("first"))
    )
    rows, at = judged.select("measure", "n", "value_sum", "first"), series.seconds(judged["ts"]).tolist()
    return {(m, t): (n, v, first) for (m, n, v, first), t in zip(rows.iter_rows(), at, strict=True)}
