"""What changed on the hardware and in the queues, and when: signals that may explain an incident.

Each series is held against its own trailing six hours: median and MAD, the newest windows left out.
A change counts in three of four windows; its start is read to the minute from how much of the first
window was already changed. While it lasts the old level is kept, for a day at most. These findings
inform; they never alert.

Source: METHODS section 7 ("Latency, gauges, peers"); Hampel (1974) for median and MAD.
Assumes: a series has an ordinary level within six hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.identity import finding_id
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

Floats = NDArray[np.float64]

HISTORY: Final = 72  # windows of five minutes: six hours
FEWEST: Final = 12  # of them that must be known
K, M = 3, 4  # windows of the last ones in which it must be so
_BEFORE: Final = 12  # windows before them in which it may have begun
_STEP_S: Final = 300
_LASTS: Final = 288  # windows after which a changed level is taken as the new one: a day
_TOLD_EVERY: Final = 12  # windows between findings of a change that lasts


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a group, which way is worse, and from how much on it matters."""

    column: str
    says: str
    sign: int  # +1: more is worse, -1: less is worse
    least: float  # change that matters, in units of the column
    least_share: float  # and as a share of the level before
    share_of: str | None = None  # column it is a share of


METRICS: Final[Mapping[str, tuple[Metric, ...]]] = {
    "gpu": (
        Metric("throttled_devices", "throttled devices", 1, 0.5, 0.0),
        Metric("sm_clock_mean", "SM clock (MHz)", -1, 0.0, 0.04),
        Metric("saturated_devices", "share of devices saturated", 1, 0.25, 0.0, share_of="devices"),
    ),
    "queue": (Metric("queue_mean", "queue depth", 1, 2.0, 0.5),),
}
_KEYS: Final[Mapping[str, tuple[str, str]]] = {"gpu": ("cluster", "sku"), "queue": ("cluster", "model_id")}


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one group on the grid of windows, NaN where it is not known."""

    key: str
    group: Mapping[str, str]
    metric: Metric
    values: Floats


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """Six hours before the first window to judge, and the windows that a change must last."""
    return window.start - timedelta(seconds=_STEP_S * (HISTORY + M))


def detect(evidence: Evidence) -> Detected:
    """Judge every 5-minute window of every series.

    Args:
        evidence: frames `gpu_5m` and `queue_5m` from `since` on; a monitor's params say which `kind`.

    Returns:
        Findings when a series changes, hourly while that lasts, and when it ends; state by series.
    """
    findings: list[Finding] = []
    state: dict[str, Json] = {}
    for monitor in evidence.monitors:
        kind = monitor.params.get("kind", monitor.feature)
        first = int(since(monitor, {}, evidence.window).timestamp()) // _STEP_S
        start, end = (int(t.timestamp()) // _STEP_S for t in (evidence.window.start, evidence.window.end))
        memory = dict(evidence.state.get(monitor.monitor_id, {}))
        for series in _series(evidence.frames[f"{kind}_5m"], kind, monitor, first, end):
            told, after = _judge(series, memory.get(series.key), first, start, end)
            findings += [_finding(monitor, kind, series, at, change) for at, change in told]
            memory[series.key] = after
        state[monitor.monitor_id] = {key: change for key, change in memory.items() if change}
    return Detected(tuple(sorted(findings, key=lambda f: (f.window_end, f.finding_id))), state)


def _series(rows: pl.DataFrame, kind: str, monitor: Monitor, first: int, end: int) -> Iterator[Series]:
    names = _KEYS[kind]
    if kind == "queue":
        rows = rows.filter(pl.col("model_id") == monitor.model)
    rows = rows.with_columns((pl.col("ts").dt.epoch("s") // _STEP_S - first).alias("at")).filter(
        pl.col("at").is_between(0, end - first - 1)
    )
    for group, part in sorted(rows.partition_by(*names, as_dict=True).items(), key=lambda item: str(item[0])):
        labels = {name: str(value) if value is not None else "?" for name, value in zip(names, group, strict=True)}
        for metric in METRICS[kind]:
            values = np.full(end - first, np.nan)
            column = pl.col(metric.column).cast(pl.Float64)
            share = column / pl.col(metric.share_of) if metric.share_of else column
            values[part["at"].to_numpy()] = part.select(share).to_series().fill_null(np.nan).to_numpy()
            yield Series("|".join((*labels.values(), metric.column)), labels, metric, values)


def _judge(
    series: Series, change: Json | None, first: int, start: int, end: int
) -> tuple[list[tuple[int, Json]], Json | None]:
    """Findings as (window, change) and the change that is on at the end, if any."""
    told: list[tuple[int, Json]] = []
    for i in range(start - first, end - first):
        if change is None:
            change = _began(series, i, first)
            if change:
                told.append((i + first, change))
        elif _over(series, change, i, first):
            told.append((i + first, {**change, "over": True}))
            change = None
        elif (i + first - change["told"]) % _TOLD_EVERY == 0:
            told.append((i + first, {**change, "after": _level(series, i, change["after"])}))
    return told, change


def _began(series: Series, i: int, first: int) -> Json | None:
    """The change that is so in K of the last M windows up to `i`, if there is one."""
    past = series.values[max(0, i - M + 1 - HISTORY) : max(0, i - M + 1)]
    past = past[~np.isnan(past)]
    if past.size < FEWEST or np.isnan(series.values[i]):
        return None
    before = float(np.median(past))
    least = _least(series.metric, before, past)
    worse = series.metric.sign * (series.values[i - M + 1 : i + 1] - before)
    hits = np.nan_to_num(worse) > least
    if hits.sum() < K or not hits[-1]:
        return None
    earlier = series.metric.sign * (series.values[max(0, i - M + 1 - _BEFORE) : i + 1] - before)
    begun = _start(earlier, earlier.size - M + int(hits.argmax()))
    onset = (i + 1 - earlier.size + first + begun) * _STEP_S
    return {
        "before": before,
        "least": least,
        "onset": round(onset),
        "after": _level(series, i, before),
        "told": i + first,
    }


def _least(metric: Metric, before: float, past: Floats) -> float:
    noise = 6.0 * 1.4826 * float(np.median(np.abs(past - before)))
    return max(metric.least, metric.least_share * abs(before), noise)


def _start(worse: Floats, hit: int) -> float:
    """When it began, in windows: the first changed one counts by how much of it was changed.

    A change that is little more than the noise is clear in some windows only: those before count while at
    least half of it shows.
    """
    full = float(np.nanmedian(worse[hit + 1 :])) if hit + 1 < worse.size else float(worse[hit])
    while hit and worse[hit - 1] > full / 2 and (hit < 2 or worse[hit - 2] > full / 2):
        hit -= 1
    previous = worse[hit - 1] if hit else 0.0
    changed = [min(1.0, max(0.0, float(np.nan_to_num(x)) / full)) if full > 0 else 1.0 for x in (previous, worse[hit])]
    noise = 0.1  # a tenth of the change in the window before is no sign of an earlier start
    return hit + 1.0 - changed[1] - (changed[0] if changed[0] > noise else 0.0)


def _over(series: Series, change: Json, i: int, first: int) -> bool:
    worse = series.metric.sign * (series.values[max(0, i - M + 1) : i + 1] - change["before"])
    known = worse[~np.isnan(worse)]
    return bool(known.size and (known > change["least"]).sum() <= 1) or i + first - change["told"] >= _LASTS


def _level(series: Series, i: int, otherwise: float) -> float:
    recent = series.values[max(0, i - 1) : i + 1]
    return float(np.nanmean(recent)) if not np.isnan(recent).all() else otherwise


def _finding(monitor: Monitor, kind: str, series: Series, window: int, change: Json) -> Finding:
    start, over = datetime.fromtimestamp(window * _STEP_S, UTC), change.get("over", False)
    end, onset = start + timedelta(seconds=_STEP_S), datetime.fromtimestamp(change["onset"], UTC)
    where = " ".join(x for x in series.group.values() if x != "?")
    moved = f"{change['before']:.4g} → {change['after']:.4g}"
    note = f"{where}: {series.metric.says} {'back to' if over else ''} {moved if not over else format(change['before'], '.4g')}".replace(
        "  ", " "
    )
    details: dict[str, Any] = {**{("model" if k == "model_id" else k): v for k, v in series.group.items()},
                               "metric": series.metric.column, "before": change["before"], "after": change["after"]}  # fmt: skip
    return Finding(
        finding_id=finding_id(monitor.monitor_id, end, series.key), monitor_id=monitor.monitor_id, detector="gauge",
        model=monitor.model, kind=kind, subject=f"{where} {series.metric.column}", window_start=start, window_end=end,
        state="ok" if over else "alarm", severity="inform", evidence_nats=None, threshold_nats=None,
        effect=change["after"] - change["before"], unit=None, ci_low=None, ci_high=None,
        onset=onset, onset_low=onset - timedelta(seconds=60), onset_high=onset + timedelta(seconds=_STEP_S),
        n=None, note=note, details=details, made_at=end,
    )  # fmt: skip
