"""Findings from a walk through the minutes of an SLO: what fires, how fast it burns, how it stands, in words.

Source: METHODS section 6.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from detectors.errorbudget import MEMORY, Floats, gate_nats
from detectors.lanes import Firing, Lane, Mark, Tier, Walk
from detectors.standing import Stand, Standing
from observe.schema import Finding, Monitor, Severity

_WORST: Final = -np.inf


class Telling:
    """Findings from the marks of one walk; everything is computed for all marks at once."""

    def __init__(self, monitor: Monitor, walk: Walk) -> None:
        """Numbers at every mark of `walk`."""
        self._monitor, self._walk, self._budget = monitor, walk, walk.budget
        self._standing = Standing(walk)
        self._ends, self._phi = self._standing.ends, self._standing.phi
        self._n, self._bad = walk.minutes.within(self._ends, 60)
        self._judged = [(t, self._nats(t)) for lane in walk.lanes for t in lane.tiers]

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
        stand = self._standing.at(i, firing)
        ident = hashlib.sha256(f"{monitor.monitor_id}|{mark.minute}".encode()).hexdigest()[:16]
        onsets = (_at(firing.onset.best), _at(firing.onset.low), _at(firing.onset.high)) if firing else (None,) * 3
        return Finding(
            finding_id=f"fnd-{ident}", monitor_id=monitor.monitor_id, detector="burn", model=monitor.model, kind="slo",
            subject=monitor.feature, window_start=_at(mark.minute - 1), window_end=_at(mark.minute), state=state,
            severity=_severity(lane, monitor), evidence_nats=nats, threshold_nats=tier.gate if tier else monitor.threshold_nats,
            effect=effect, unit="x budget", ci_low=low, ci_high=high,
            onset=onsets[0], onset_low=onsets[1], onset_high=onsets[2], n=n,
            note=self._note(state, effect, bad / n if n else 0.0, stand), details=self._details(i, firing, mark, stand), made_at=made_at,
        )  # fmt: skip

    def _tier(self, i: int, firing: Firing | None) -> tuple[Tier | None, float]:
        """The tier that fired, else the one nearest to it, and its evidence."""
        asked = [
            (float(nats[i]) - t.gate, t, float(nats[i]))
            for t, nats in self._judged
            if not firing or t.name == firing.tier
        ]
        _, tier, nats = max(asked, key=lambda x: x[0], default=(_WORST, None, 0.0))
        return tier, nats

    def _quiet(self, i: int) -> str:
        """Why nothing fires: no traffic at all, too little to tell even an outage, or all is well."""
        if self._n[i] <= 0:  # fewer than none: what was counted before the hour was taken back in it
            return "unknown"
        ends = self._ends[i : i + 1]
        for tier, _ in self._judged:
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

    def _note(self, state: str, effect: float | None, share: float, stand: Stand) -> str:
        name, params = self._monitor.feature, self._monitor.params
        events = self._events
        if state == "unknown":
            return f"{name}: no {events} in the last hour"
        if state == "too_few":
            return f"{name}: too few {events} to tell even an outage"
        failed = "failed" if events == "requests" else "were bad"
        what = f"over {_seconds(params['threshold_s'])}" if params.get("threshold_s") else failed
        if state == "alarm":
            seen, allowed = _percent(share), _percent(self._budget)
            if effect is None:  # what was counted since the onset was taken back
                return f"{name} burned its budget too fast; of what came since nothing is known"
            return f"{name} burns its budget {effect:.3g}× too fast ({seen} of {events} {what}; {allowed} allowed)"
        return f"{name} burns its budget at {effect:.2g}× the allowed rate; {_percent(stand.left)} of it is left"

    @property
    def _events(self) -> str:
        """What is counted, for people: requests, minutes, calls, ..."""
        return str(self._monitor.params.get("events", "requests"))

    def _details(self, i: int, firing: Firing | None, mark: Mark, stand: Stand) -> dict[str, Any]:
        params = self._monitor.params
        return {
            "objective": params["objective"], "window_s": params["window_s"], **stand.details, "phi": float(self._phi[i]),
            "tier": firing.tier if firing else None, "counted": self._events, "pages": self._monitor.severity == "page",
            "onset_basis": f"bad {self._events} by minute" if firing else None,
            "fired_at": _at(firing.at).isoformat() if firing else None, "changed": mark.changed,
        }  # fmt: skip


def _at(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def _severity(lane: Lane | None, monitor: Monitor) -> Severity:
    if lane is None:
        return monitor.severity
    return "page" if lane.severity == monitor.severity == "page" else "ticket"


def _seconds(value: float) -> str:
    return f"{value * 1000:.4g} ms" if value < 1 else f"{value:.4g} s"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
