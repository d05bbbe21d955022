"""How well do scores rank, by the labels of the newest day that are due? AUC with its interval, beside the 28 days before.

It informs and never alarms: a stream of its own would say what accuracy, log-loss and calibration say, later, and AUC of
few labels scatters most of all. Bins of the score are those of the labelled reference; rows of one bin count half.

Source: METHODS section 9; Mann and Whitney (1947), Hanley and McNeil (1982), as in `observe.agreement`.
Assumes: rows are independent; of dependent ones intervals are too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors import series
from detectors.identity import finding_id
from detectors.series import epoch, instant
from observe.agreement import Measured, auc
from observe.schema import Evidence, Finding, Monitor

if TYPE_CHECKING:
    import polars as pl

AUC: Final = "auc"
_DAY_S: Final = 86_400
_PAST_S: Final = 28 * _DAY_S
_ENOUGH: Final = 30.0  # labels of each class in a day, below which nothing is told


def findings(monitor: Monitor, evidence: Evidence, rows: pl.DataFrame | None) -> list[Finding]:
    """One finding per window: AUC of the newest 24 hours whose labels are due.

    Args:
        monitor: its feature is `auc`.
        evidence: for its window.
        rows: labelled rows: model, feature (`score_positive` and `score_negative` are read), ts, counts; None: there are none.
    """
    import polars as pl

    sides: list[pl.DataFrame] = []
    if rows is not None:
        mine = rows.filter((pl.col("model") == monitor.model) & pl.col("counts").is_not_null())
        sides = [mine.filter(pl.col("feature") == f"score_{side}").sort("ts") for side in ("positive", "negative")]
    first, last = (
        epoch(at) // monitor.window_s * monitor.window_s for at in (evidence.window.start, evidence.window.end)
    )
    return [_finding(monitor, end, sides) for end in range(first + monitor.window_s, last + 1, monitor.window_s)]


def _finding(monitor: Monitor, end: int, sides: Sequence[pl.DataFrame]) -> Finding:
    until = (end - int(monitor.params["delay_s"])) // monitor.window_s * monitor.window_s
    start, at = until - _DAY_S, instant(end)
    now, n = _ranked(sides, start, until)
    before, _ = _ranked(sides, start - _PAST_S, start)
    details: dict[str, Any] = {"labels": n, "until": instant(until).isoformat()}
    if before is not None:
        details |= {"before": _few(before.value), "before_low": _few(before.low), "before_high": _few(before.high)}
    value, low, high = (None, None, None) if now is None else (_few(v) for v in (now.value, now.low, now.high))
    return Finding(
        finding_id(monitor.monitor_id, at), monitor.monitor_id, monitor.detector, monitor.model, "performance", AUC,
        instant(start), at, "learning" if now is None else "inform_only", "inform", None, None, value, "auc", low, high,
        None, None, None, n, _note(now, before, instant(until).strftime("%d %b %H:%M")), details, at,
    )  # fmt: skip


def _ranked(sides: Sequence[pl.DataFrame], start: int, end: int) -> tuple[Measured | None, int]:
    """AUC of [start, end), and how many labels it rests on."""
    sums = []
    for rows in sides:
        ts = series.seconds(rows["ts"])
        chosen = np.flatnonzero((ts >= start) & (ts < end))
        counts = rows["counts"].gather(chosen).to_list()
        sums.append(np.array(counts, dtype=np.float64).sum(axis=0) if counts else np.zeros(1))
    n = int(sum(float(s.sum()) for s in sums))
    if min((s.sum() for s in sums), default=0.0) < _ENOUGH:
        return None, n
    found = auc(sums[0], sums[1])
    return (None if found is None else found[0]), n


def _note(now: Measured | None, before: Measured | None, until: str) -> str:
    if now is None:
        return f"auc: fewer than {_ENOUGH:.0f} labels of each class in the 24 h before {until} UTC"
    beside = f"; {before.value:.3f} ({before.low:.3f}–{before.high:.3f}) in the 28 days before" if before else ""
    day = f"auc {now.value:.3f} ({now.low:.3f}–{now.high:.3f}) by the labels of the 24 h before {until} UTC"
    return f"{day}{beside}; auc informs, it never alarms"


def _few(value: float) -> float:
    return float(f"{value:.6g}")
