"""Is a source silent for longer than it ever is?

A source may be silent for three of its intervals, or for as long as it usually is: the largest age
of its newest row is kept for each of the last 48 hours, and 1.5 times their 90 % quantile is allowed
once six hours are known. Hours in which it was silent too long teach nothing.

Source: our own; a counted fact, not a test.
Assumes: the source is meant to speak all the time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from detectors.identity import finding_id
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

INTERVALS: Final = 3.0  # silent intervals that are always allowed
USUAL: Final = 1.5  # times the usual silence
_HOURS: Final = 48
_FEWEST: Final = 6  # hours before the usual silence is believed
_EVERY: Final = 5  # minutes between findings of an unchanged state


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """Nothing of the past is wanted: the state holds it."""
    return window.start


def detect(evidence: Evidence) -> Detected:
    """Judge every source now.

    Args:
        evidence: frame `last_seen` with collector, every_s, last_ts (None: never) and now; a monitor's
            `feature` is the collector it asks about.
    """
    rows = {row["collector"]: row for row in evidence.frames["last_seen"].iter_rows(named=True)}
    findings: list[Finding] = []
    state: dict[str, Json] = {}
    for monitor in evidence.monitors:
        before = evidence.state.get(monitor.monitor_id, {})
        row = rows.get(monitor.feature)
        if row is None:
            state[monitor.monitor_id] = before
            continue
        finding, after = _judge(monitor, row, before, evidence.window)
        state[monitor.monitor_id] = after
        if after["silent"] != before.get("silent", False) or not before or _minute(evidence.window.end) % _EVERY == 0:
            findings.append(finding)
    return Detected(tuple(findings), state)


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


def _judge(monitor: Monitor, row: dict[str, Any], before: Json, window: Window) -> tuple[Finding, dict[str, Any]]:
    now, every = row["now"], float(row["every_s"])
    asked = before.get("asked") or now.isoformat()
    heard = row["last_ts"] or datetime.fromisoformat(asked)
    age = max(0.0, (now - heard).total_seconds())
    allowed = _allowed(every, before)
    silent = age > allowed
    hours = dict(before.get("hours", {}))
    if not silent and row["last_ts"] is not None:
        hour = str(_minute(now) // 60)
        hours[hour] = max(hours.get(hour, 0.0), age)
        hours = {h: hours[h] for h in sorted(hours, key=int)[-_HOURS:]}
    after = {"asked": asked, "silent": silent, "hours": hours}
    return _finding(monitor, row, window, age, allowed), after


def _allowed(every: float, state: Json) -> float:
    """How long the source may be silent, s."""
    ages = sorted(state.get("hours", {}).values())
    usual = USUAL * ages[int(0.9 * (len(ages) - 1))] if len(ages) >= _FEWEST else 0.0
    return max(INTERVALS * every, usual)


def _finding(monitor: Monitor, row: dict[str, Any], window: Window, age: float, allowed: float) -> Finding:
    never, silent = row["last_ts"] is None, age > allowed
    name, onset = monitor.feature, None
    if silent:
        onset = row["now"] - timedelta(seconds=age) + timedelta(seconds=0 if never else float(row["every_s"]))
        note = f"{name} has never been heard" if never else f"{name} has been silent for {_span(age)} (usual: below {_span(allowed)})"
    else:
        note = f"{name} has not been heard yet" if never else f"{name} was heard {_span(age)} ago"
    return Finding(
        finding_id=finding_id(monitor.monitor_id, window.end), monitor_id=monitor.monitor_id, detector="silence",
        model=monitor.model, kind="silence", subject=name, window_start=window.end - timedelta(seconds=monitor.window_s),
        window_end=window.end, state="alarm" if silent else "learning" if never else "ok", severity=monitor.severity,
        evidence_nats=None, threshold_nats=None, effect=age, unit="s", ci_low=None, ci_high=None, onset=onset,
        onset_low=onset, onset_high=row["now"] if silent else None, n=None, note=note,
        details={"last_ts": row["last_ts"].astimezone(UTC).isoformat() if not never else None, "allowed_s": allowed, "every_s": row["every_s"]},
        made_at=window.end,
    )  # fmt: skip


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
