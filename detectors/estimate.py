"""How well does a model most likely do today, before its labels come? From what its scores meant so far.

Every hour, of the last 24 hours: the mean loss that the past gives rows with these scores (`strata.stratified`); and of
the 24 hours whose labels are due, as far as they have come, the prediction-powered mean of all of its rows
(`strata.powered`). What scores meant is learnt from labelled rows of the 28 days before. It informs and never alarms:
where the world changes (concept drift), scores mean something else and the first estimate does not see it; labels do.

Source: METHODS section 9.
Assumes: only the mix of scores changed since the past 28 days. See `detectors.strata`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors import ranked, series, strata
from detectors.identity import finding_id
from detectors.series import epoch, instant
from detectors.strata import Estimated, Losses
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY_S: Final = 86_400
PAST_S: Final = 28 * DAY_S
_HOUR_S: Final = 3_600
LABELLED: Final = "labelled"  # frame: model, feature, ts, counts, value_sum, n of what has labels


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """From when summaries are wanted: a day before, as every estimate is of 24 hours, and a day before labels are due."""
    return window.start - timedelta(seconds=DAY_S + _HOUR_S + monitor.params["delay_s"])


def detect(evidence: Evidence) -> Detected:
    """Estimate each monitor's metric of the 24 hours before the end of every window.

    Args:
        evidence: monitors; summaries of all predictions by score; frame `labelled` with those that have labels.

    Returns:
        One finding per monitor and window in which something can be said, and an empty state.
    """
    findings: list[Finding] = []
    for m in evidence.monitors:
        if m.feature == ranked.AUC:
            findings += ranked.findings(m, evidence, evidence.frames.get(LABELLED))
            continue
        rows = _stacked(evidence.summaries, "measure", m.measure)
        past = _labelled(m, evidence)
        first, last = (epoch(at) // m.window_s * m.window_s for at in (evidence.window.start, evidence.window.end))
        for end in range(first + m.window_s, last + 1, m.window_s):
            findings.append(_finding(m, end, rows, past))
    return Detected(tuple(findings), {m.monitor_id: {} for m in evidence.monitors})


@dataclass(frozen=True, slots=True)
class _Stack:
    """Counts of windows: starts, ascending, (T,), and counts, (T, K)."""

    ts: Ints
    counts: Floats

    def over(self, start: int, end: int) -> Floats:
        """Sum of the windows that begin in [start, end), (K,)."""
        low, high = np.searchsorted(self.ts, [start, end])
        found: Floats = self.counts[low:high].sum(axis=0)
        return found


_NONE: Final = _Stack(np.zeros(0, dtype=np.int64), np.zeros((0, 1)))


def _stacked(frame: pl.DataFrame, column: str, value: str) -> _Stack:
    import polars as pl

    rows = frame.filter((pl.col(column) == value) & pl.col("counts").is_not_null()).sort("ts")
    if rows.is_empty():
        return _NONE
    counts = np.array(rows["counts"].to_list(), dtype=np.float64)
    return _Stack(series.seconds(rows["ts"]), counts)


@dataclass(frozen=True, slots=True)
class _Labelled:
    """Labelled rows of one model by hour and group of the score, and their losses."""

    n: _Stack
    total: _Stack
    square: _Stack

    def over(self, start: int, end: int) -> Losses:
        """All of the windows that begin in [start, end)."""
        return Losses(self.n.over(start, end), self.total.over(start, end), self.square.over(start, end))


def _labelled(monitor: Monitor, evidence: Evidence) -> _Labelled | None:
    import polars as pl

    frame = evidence.frames.get(LABELLED)
    if frame is None or (mine := frame.filter(pl.col("model") == monitor.model)).is_empty():
        return None
    if monitor.params["task"] == "regression":
        return _errors(mine)
    n, wrong = _stacked(mine, "feature", "score"), _stacked(mine, "feature", "score_wrong")
    return _Labelled(n, wrong, wrong)


def _errors(mine: pl.DataFrame) -> _Labelled | None:
    """Absolute errors by group of the prediction, from joint counts; each group of errors stands for its mean.

    The joint counts know which of 16 groups an error is in; what it is on average there, the percentiles of the
    reference say. The last group's mean makes the sum of all errors right, as tails grow.
    """
    import polars as pl

    cells = _stacked(mine, "feature", "error_by_score")
    own = mine.filter(pl.col("feature") == "mae")
    quantiles = next((q for q in own["quantiles"].to_list() if q is not None), None) if own.height else None
    if not cells.ts.size or quantiles is None:
        return None
    size = round(cells.counts.shape[1] ** 0.5)
    joint = cells.counts.reshape(-1, size, size)
    of = np.interp((np.arange(size * 20) + 0.5) / (size * 20), np.arange(101) / 100, np.asarray(quantiles))
    means = of.reshape(size, 20).mean(axis=1)
    top = float(joint[:, :, -1].sum())
    if top > 0:
        rest = float(own["value_sum"].sum()) - float(joint[:, :, :-1].sum(axis=(0, 1)) @ means[:-1])
        means[-1] = max(rest / top, means[-2])
    return _Labelled(
        _Stack(cells.ts, joint.sum(axis=2)), _Stack(cells.ts, joint @ means), _Stack(cells.ts, joint @ means**2)
    )


def _finding(monitor: Monitor, end: int, rows: _Stack, past: _Labelled | None) -> Finding:
    start, n = end - DAY_S, int(rows.over(end - DAY_S, end).sum())
    loss = None
    details: dict[str, Any] = {"method": _method(monitor), "predictions": n}
    if past is not None and n > 0:
        before = past.over(start - PAST_S, start)
        loss = strata.stratified(before, _grouped(rows.over(start, end), before.n.size))
        details |= _due(monitor, end, rows, past)
    known, at = _as_metric(monitor, loss), instant(end)
    if loss is not None:
        details |= {**known, "learnt_from": int(loss.n)}
    return Finding(
        finding_id(monitor.monitor_id, at), monitor.monitor_id, monitor.detector, monitor.model, "performance",
        monitor.feature, instant(start), at, "inform_only" if loss is not None else "learning", "inform", None, None,
        known.get("value"), _unit(monitor), known.get("low"), known.get("high"), None, None, None, n,
        _note(monitor, known), details, at,
    )  # fmt: skip


def _due(monitor: Monitor, end: int, rows: _Stack, past: _Labelled) -> Json:
    """The newest 24 hours whose labels are due, by the labels that have come and the scores of all rows."""
    until = (end - int(monitor.params["delay_s"])) // monitor.window_s * monitor.window_s
    start = until - DAY_S
    before, every = past.over(start - PAST_S, start), rows.over(start, until)
    found = strata.powered(before, past.over(start, until), _grouped(every, before.n.size)) if every.sum() > 0 else None
    if found is None:
        return {}
    said = {**_as_metric(monitor, found), "labels": int(found.n), "weight": float(f"{found.weight:.3g}")}
    return {"with_labels": {**said, "until": instant(until).isoformat()}}


def _grouped(counts: Floats, size: int) -> Floats:
    """Counts of fine bins in the groups that labelled rows are kept in."""
    of = np.arange(counts.size) * size // counts.size
    return np.bincount(of, weights=counts, minlength=size).astype(np.float64)


def _as_metric(monitor: Monitor, found: Estimated | None) -> Mapping[str, float]:
    """The loss as the metric: of wrong answers, accuracy."""
    if found is None:
        return {}
    values = (found.value, found.low, found.high)
    if monitor.feature == "accuracy":
        values = (1 - found.value, max(0.0, 1 - found.high), min(1.0, 1 - found.low))
    return {name: float(f"{v:.6g}") for name, v in zip(("value", "low", "high"), values, strict=True)}


def _method(monitor: Monitor) -> str:
    return "DLE" if monitor.params["task"] == "regression" else "CBPE"


def _unit(monitor: Monitor) -> str:
    return "share" if monitor.feature == "accuracy" else str(monitor.params.get("user_unit") or "units")


def _note(monitor: Monitor, known: Mapping[str, float]) -> str:
    if not known:
        lack = f"fewer than {strata.LEAST} predictions with labels and scores in the 28 days before"
        return f"{monitor.feature} without labels: learning, {lack}"
    said = f"{known['value']:.3g} ({known['low']:.3g}–{known['high']:.3g})"
    return (
        f"{monitor.feature} of the last 24 hours {said}, estimated from what scores meant so far ({_method(monitor)})"
    )
