"""Does an SLO's error budget burn too fast? The multi-window rule behind an evidence gate.

Every minute each tier asks whether both its windows burn at its factor *and* whether the errors are
more than chance can explain (`errorbudget.gate_nats`). Page tiers and ticket tiers are two lanes;
a lane that fired stays until a reverse likelihood-ratio CUSUM has 9 nats for "back to normal" and the
last five minutes agree, or the last six hours burn at most at the allowed rate; then its evidence
starts afresh. Every minute is judged; a finding is made every five minutes and whenever a lane changes.

Source: METHODS section 6; Google SRE Workbook, "Alerting on SLOs", table 5-8.
Assumes: minutes without a summary had no requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from detectors.errorbudget import HOUR, MEMORY, Floats, Ints, Minutes, gate_nats
from detectors.lanes import Firing, Lane, Mark, Tier, Walk
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Severity, Window

WINDOWS: Final[Mapping[str, int]] = {
    "5m": 5,
    "30m": 30,
    "1h": 60,
    "2h": 120,
    "6h": 360,
    "1d": 1440,
    "3d": 4320,
}  # minutes
_LONGEST: Final = timedelta(minutes=MEMORY)
_WORST: Final = -np.inf


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """From when summaries are wanted: the longest tier before the first minute to judge."""
    return window.start - _LONGEST


def detect(evidence: Evidence) -> Detected:
    """Judge every minute of the window for every SLO.

    Args:
        evidence: 60 s summaries (`n` events, `events` bad ones) of the monitors' measures; monitor
            params hold `objective`, `window_s` and `tiers`.

    Returns:
        Findings by monitor and time, and for each monitor its lanes and hourly totals.
    """
    parts = evidence.summaries.partition_by("measure", as_dict=True)
    findings: list[Finding] = []
    state: dict[str, Json] = {}
    start, end = _minute(evidence.window.start), _minute(evidence.window.end)
    for monitor in evidence.monitors:
        rows = parts.get((monitor.measure,), evidence.summaries.clear())
        minutes = _minutes(rows, min(start, evidence.state.get(monitor.monitor_id, {}).get("minute", start)), end)
        walk = Walk(monitor.params, minutes, start, evidence.state.get(monitor.monitor_id, {}))
        walk.to(end)
        findings += Telling(monitor, walk).findings(evidence.window.end)
        state[monitor.monitor_id] = walk.state()
    return Detected(tuple(findings), state)


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


def _at(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def _minutes(rows: pl.DataFrame, start: int, end: int) -> Minutes:
    """Events by minute, from the longest tier before `start` on; minutes without a summary had none."""
    first = (start - MEMORY) // HOUR * HOUR
    at = rows["ts"].dt.epoch("s").to_numpy() // 60 - first
    inside = (at >= 0) & (at < end - first)
    counts = np.zeros((2, end - first), dtype=np.int64)
    for row, column in enumerate(("n", "events")):
        np.add.at(counts[row], at[inside], rows[column].fill_null(0).to_numpy()[inside])
    return Minutes.of(first, counts[0], counts[1])


class Telling:
    """Findings from the marks of one walk; everything is computed for all marks at once."""

    def __init__(self, monitor: Monitor, walk: Walk) -> None:
        """Numbers at every mark of `walk`."""
        self._monitor, self._walk, self._budget = monitor, walk, walk.budget
        self._minute: Ints = np.array([m.minute for m in walk.marks], dtype=np.int64)
        self._ends = self._minute - walk.minutes.first
        self._hour = self._minute // HOUR - walk.hours.first
        self._burn = {name: walk.minutes.burn(self._ends, size, self._budget) for name, size in WINDOWS.items()}
        self._n, self._bad = walk.minutes.within(self._ends, 60)
        self._phi: Floats = np.array([m.phi for m in walk.marks])
        self._period = self._in_period()
        self._lanes = {lane.severity: lane for lane in walk.lanes}
        self._judged = [(s, t, self._nats(t)) for s, lane in self._lanes.items() for t in lane.tiers]

    def _in_period(self) -> tuple[Ints, Ints]:
        """Events and bad events of the objective's window, whole hours at its start."""
        hours, minutes = self._walk.hours, self._walk.minutes
        start = np.clip(self._hour - int(self._monitor.params["window_s"]) // 3600, 0, None)
        sums = []
        for by_hour, by_minute in ((hours.total, minutes.total), (hours.bad, minutes.bad)):
            total = np.concatenate([[0], np.cumsum(by_hour)])
            opened = np.maximum(self._ends - self._minute % HOUR, 0)
            sums.append(total[self._hour] - total[start] + by_minute[self._ends] - by_minute[opened])
        return sums[0], sums[1]

    def _nats(self, tier: Tier) -> Floats:
        """Evidence of one tier at every mark; it counts from the lane's last reset before the mark."""
        restarts = [lane.restart for mark in self._walk.marks for lane in mark.lanes if tier in lane.tiers]
        starts = np.maximum(self._ends - tier.long, np.array(restarts, dtype=np.int64) - self._walk.minutes.first)
        starts = np.clip(starts, 0, self._ends)
        total, bad = (x[self._ends] - x[starts] for x in (self._walk.minutes.total, self._walk.minutes.bad))
        return gate_nats(bad.astype(np.float64), total * self._budget, self._phi)

    def findings(self, made_at: datetime) -> list[Finding]:
        """One finding for each mark, in order."""
        return [self._finding(i, mark, made_at) for i, mark in enumerate(self._walk.marks)]

    def _finding(self, i: int, mark: Mark, made_at: datetime) -> Finding:
        monitor, lane = self._monitor, next((x for x in mark.lanes if x.firing), None)
        firing = lane.firing if lane else None
        tier, nats = self._tier(i, firing)
        state = "alarm" if firing else self._quiet(i)
        effect, low, high, n, bad = self._effect(i, firing)
        ident = hashlib.sha256(f"{monitor.monitor_id}|{mark.minute}".encode()).hexdigest()[:16]
        onsets = (_at(firing.onset.best), _at(firing.onset.low), _at(firing.onset.high)) if firing else (None,) * 3
        return Finding(
            finding_id=f"fnd-{ident}", monitor_id=monitor.monitor_id, detector="burn", model=monitor.model, kind="slo",
            subject=monitor.feature, window_start=_at(mark.minute - 1), window_end=_at(mark.minute), state=state,
            severity=_severity(lane, monitor), evidence_nats=nats, threshold_nats=tier.gate if tier else monitor.threshold_nats,
            effect=effect, unit="x budget", ci_low=low, ci_high=high,
            onset=onsets[0], onset_low=onsets[1], onset_high=onsets[2], n=n,
            note=self._note(state, effect, bad / n if n else 0.0, i), details=self._details(i, firing, mark), made_at=made_at,
        )  # fmt: skip

    def _tier(self, i: int, firing: Firing | None) -> tuple[Tier | None, float]:
        """The tier that fired, else the one nearest to it, and its evidence."""
        asked = [
            (float(nats[i]) - t.gate, t, float(nats[i]))
            for _, t, nats in self._judged
            if not firing or t.name == firing.tier
        ]
        _, tier, nats = max(asked, key=lambda x: x[0], default=(_WORST, None, 0.0))
        return tier, nats

    def _quiet(self, i: int) -> str:
        """Why nothing fires: no traffic at all, too little to tell even an outage, or all is well."""
        if self._n[i] <= 0:  # fewer than none: what was counted before the hour was taken back in it
            return "unknown"
        ends = self._ends[i : i + 1]
        for _, tier, _ in self._judged:
            total = self._walk.minutes.within(ends, tier.long)[0].astype(np.float64)
            if gate_nats(total, total * self._budget, self._phi[i])[0] > tier.gate:
                return "ok"
        return "too_few"

    def _effect(self, i: int, firing: Firing | None) -> tuple[float | None, float | None, float | None, int, int]:
        """Burn rate with its 95 % interval, events and bad events: since the onset, or of the last hour."""
        n, bad = int(self._n[i]), int(self._bad[i])
        if firing:
            since = max(0, firing.onset.best - self._walk.minutes.first)
            total, events = self._walk.minutes.within(self._ends[i : i + 1], MEMORY, since)
            n, bad = int(total[0]), int(events[0])
        if n <= 0:
            return None, None, None, 0, 0
        burn, phi, most = bad / n / self._budget, float(self._phi[i]), 1 / self._budget
        if bad <= 0:
            return 0.0, 0.0, min(most, 3.0 * phi / n / self._budget), n, bad
        factor = float(np.exp(1.96 * np.sqrt(phi * max(0.0, 1 - bad / n) / bad)))
        return burn, burn / factor, min(most, burn * factor), n, bad

    def _note(self, state: str, effect: float | None, share: float, i: int) -> str:
        name, params = self._monitor.feature, self._monitor.params
        if state == "unknown":
            return f"{name}: no requests in the last hour"
        if state == "too_few":
            return f"{name}: too few requests to tell even an outage"
        what = f"over {_seconds(params['threshold_s'])}" if params.get("threshold_s") else "failed"
        if state == "alarm":
            seen, allowed = _percent(share), _percent(self._budget)
            return f"{name} burns its budget {effect:.3g}× too fast ({seen} of requests {what}; {allowed} allowed)"
        return f"{name} burns its budget at {effect:.2g}× the allowed rate; {_percent(self._left(i))} of it is left"

    def _left(self, i: int) -> float:
        total, bad = (float(x[i]) for x in self._period)
        return 1.0 - bad / (total * self._budget) if total else 1.0

    def _details(self, i: int, firing: Firing | None, mark: Mark) -> dict[str, Any]:
        total, bad = (int(x[i]) for x in self._period)
        params = self._monitor.params
        return {
            "objective": params["objective"], "window_s": params["window_s"], "total": total, "bad": bad,
            "sli": 1 - bad / total if total else None, "budget_left": self._left(i),
            "burn": {name: float(burn[i]) for name, burn in self._burn.items()}, "phi": float(self._phi[i]),
            "tier": firing.tier if firing else None, "onset_basis": "bad requests by minute" if firing else None,
            "fired_at": _at(firing.at).isoformat() if firing else None, "changed": mark.changed,
        }  # fmt: skip


def _severity(lane: Lane | None, monitor: Monitor) -> Severity:
    if lane is None:
        return monitor.severity
    return "page" if lane.severity == "page" else "ticket"


def _seconds(value: float) -> str:
    return f"{value * 1000:.4g} ms" if value < 1 else f"{value:.4g} s"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
