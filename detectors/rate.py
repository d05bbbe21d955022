"""Are more events bad than normally? Counts of bad events per window against the history's share, upper side.

Idea: values that are missing, NaN or infinite, errors and unseen categories are rare; a likelihood ratio for 1.5 to 16 times the
normal share is summed (CUSUM) until it is worth the site's false-alarm budget. One window never adds
more than the history can vouch for.

Source: METHODS section 5.
Assumes: the share has no strong season; dependence between windows is positive and short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import counts, rise, series
from detectors.counts import Normal
from detectors.identity import finding_id
from detectors.memory import Alarm
from detectors.series import epoch, instant
from detectors.slots import DAY_S, HISTORY_S, due, slot
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VERSION: Final = 1
_CALM_NATS: Final = 1.0
_MOST: Final = 5.0  # nats above its threshold that the evidence of an alarm may reach, so that it can end
_REFINED: Final = 288  # windows after an alarm in which onset and effect are still refined
_RETRY_S: Final = 3_600  # between attempts to learn from too short a history


@dataclass(frozen=True, slots=True)
class Trials:
    """Bad events and all events of one measure, by start of window (epoch s), in order; (R,) each."""

    ts: Ints
    x: Floats
    n: Floats

    def on(self, start: int, step: int, count: int) -> tuple[Floats, Floats]:
        """Sums in `count` windows of `step` seconds from `start`."""
        at = (self.ts - start) // step
        use = (at >= 0) & (at < count)
        x, n = (np.bincount(at[use], weights=v[use], minlength=count).astype(np.float64) for v in (self.x, self.n))
        return x, n


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """From when summaries are wanted: 28 d before when a fit is due inside `window`, else from its start."""
    if due(monitor, state, window):
        return window.start - timedelta(seconds=HISTORY_S)
    return window.start


def detect(evidence: Evidence) -> Detected:
    """Judge every window of every monitor once, in order.

    Args:
        evidence: monitors of this detector; summaries from `since` on; window to be judged.

    Returns:
        One finding per monitor and judged window, by monitor and time, and the state of each monitor.
    """
    by_score = {
        score: series.rates(evidence.summaries, score) for score in sorted({m.score for m in evidence.monitors})
    }
    trials = {m.monitor_id: Trials(*found) for m in evidence.monitors if (found := by_score[m.score].get(m.measure))}
    return judge(evidence, evidence.monitors, trials)


def judge(evidence: Evidence, monitors: Sequence[Monitor], trials: Mapping[str, Trials]) -> Detected:
    """Judge given counts by monitor id; monitors without any have empty windows."""
    findings: dict[str, list[Finding]] = {}
    state: dict[str, Json] = {}
    for window_s in sorted({m.window_s for m in monitors}):
        group = [m for m in monitors if m.window_s == window_s]
        walk = _Walk(group, evidence, trials, window_s)
        walk.run()
        findings.update(walk.findings)
        state.update({m.monitor_id: walk.dumped(i) for i, m in enumerate(group)})
    return Detected(tuple(f for m in monitors for f in findings[m.monitor_id]), state)


_EMPTY: Final = Trials(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))


class _Walk:
    """Goes through the windows of all monitors of one cadence."""

    def __init__(
        self, monitors: Sequence[Monitor], evidence: Evidence, trials: Mapping[str, Trials], window_s: int
    ) -> None:
        count = len(monitors)
        self.monitors, self.window_s = monitors, window_s
        self.trials = [trials.get(m.monitor_id, _EMPTY) for m in monitors]
        self.threshold = np.array([m.threshold_nats for m in monitors])
        self.slots = [slot(m.model) for m in monitors]
        self.first = epoch(evidence.window.start) // window_s * window_s
        self.end = epoch(evidence.window.end) // window_s * window_s
        windows = max(0, (self.end - self.first) // window_s)
        self.x, self.n = np.zeros((windows, count)), np.zeros((windows, count))
        for i, found in enumerate(self.trials):
            self.x[:, i], self.n[:, i] = found.on(self.first, window_s, windows)
        self.until, self.tried = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self.normals: list[Normal | None] = [None] * count
        self.alarms: list[Alarm | None] = [None] * count
        self.masks: list[list[list[int]]] = [[] for _ in monitors]
        self.upper, self.k, self.vif, self.cap = (
            np.full(count, 0.5),
            np.full(count, counts.POISSON),
            np.ones(count),
            np.ones(count),
        )
        self.z = np.zeros((count, counts.RATIOS.size))
        self.trails: list[list[list[float]]] = [[[], []] for _ in monitors]
        for i, m in enumerate(monitors):
            self._load(i, evidence.state.get(m.monitor_id, {}))
        self.findings: dict[str, list[Finding]] = {m.monitor_id: [] for m in monitors}

    def run(self) -> None:
        """Judge windows that end in (start, end], each stream from where it stopped."""
        for t, end in enumerate(range(self.first + self.window_s, self.end + 1, self.window_s)):
            active = np.flatnonzero(self.until < end)
            for i in active:
                self._learn(int(i), end - self.window_s)
            if active.size:
                self._judge(t, end, active)
                self.until[active] = end

    def _learn(self, i: int, at: int) -> None:
        normal, tried = self.normals[i], int(self.tried[i])
        if self.alarms[i] is not None:
            return
        gap = 0 < self.until[i] < at
        crossed = (at - self.slots[i]) // DAY_S > (tried - self.slots[i]) // DAY_S
        if not (gap or crossed if normal else at - tried >= _RETRY_S):
            return
        self.tried[i] = at
        self.masks[i] = [m for m in self.masks[i] if m[1] > at - HISTORY_S]
        first = (at - HISTORY_S) // self.window_s * self.window_s
        x, n = self.trials[i].on(first, self.window_s, (at - first) // self.window_s)
        ts = first + self.window_s * np.arange(x.size)
        for low, high in self.masks[i]:
            n[(ts + self.window_s > low) & (ts < high)] = 0.0
        found = counts.learn(x, n, at)
        if found is not None:
            self._take(i, found)
            if normal is None or normal.effective < rise.LEAST_EFFECTIVE:
                self.z[i] = 0.0

    def _take(self, i: int, normal: Normal) -> None:
        self.normals[i] = normal
        self.upper[i], self.k[i], self.vif[i], self.cap[i] = normal.upper, normal.k, normal.vif, normal.cap

    def _judge(self, t: int, end: int, active: NDArray[np.intp]) -> None:
        x, n = self.x[t].copy(), self.n[t].copy()
        for i in active:
            if n[i] > 0:
                x[i], n[i] = self._seen(int(i), float(x[i]), float(n[i]))
        gained = np.minimum(counts.nats(x, n, self.upper, self.k), self.cap[:, None]) / self.vif[:, None]
        moved = np.zeros(len(n), dtype=bool)
        moved[active] = True
        moved &= n > 0
        self.z = np.where(moved[:, None], np.maximum(self.z, 0.0) + gained, self.z)
        top = self.z.max(axis=1)
        nats = top + np.log(np.exp(self.z - top[:, None]).mean(axis=1))
        for i in active:
            if self.normals[i] is not None:
                self._settle(int(i), end, float(nats[i]))
            self._tell(int(i), t, end, float(nats[i]))

    def _seen(self, i: int, x: float, n: float) -> tuple[float, float]:
        """Remember a window; what is judged is the lowest share of the last few where history is bursty."""
        xs, ns = self.trails[i]
        xs.append(x)
        ns.append(n)
        del xs[: -counts.KEPT], ns[: -counts.KEPT]
        normal = self.normals[i]
        width = normal.width if normal else 1
        if width == 1:
            return x, n
        if len(xs) < width:
            return 0.0, 0.0
        low, of = counts.lowest(np.array(xs[-width:]), np.array(ns[-width:]), width)
        return float(low[0]), float(of[0])

    def _settle(self, i: int, end: int, nats: float) -> None:
        """Raise, refine or end the alarm of one stream."""
        normal, alarm = self.normals[i], self.alarms[i]
        assert normal is not None
        if alarm is None:
            if nats < self.threshold[i] or normal.effective < rise.LEAST_EFFECTIVE:
                return
            alarm = self.alarms[i] = Alarm(end, 1, end, end, end, 1.0, 1.0, 1.0)
        if end - alarm.at <= _REFINED * self.window_s:
            rise.locate(alarm, self.trails[i], normal, end, self.window_s)
        np.minimum(self.z[i], _MOST + self.threshold[i], out=self.z[i])
        if nats >= _CALM_NATS:
            alarm.calm = None
        elif alarm.calm is None:
            alarm.calm = end
        elif end - alarm.calm >= DAY_S:
            self.alarms[i], self.tried[i] = None, 0
            self.masks[i].append([alarm.low, end])
            self.z[i] = 0.0

    # --- telling --------------------------------------------------------------------------------

    def _tell(self, i: int, t: int, end: int, nats: float) -> None:
        m, normal, alarm = self.monitors[i], self.normals[i], self.alarms[i]
        x, n, at = float(self.x[t, i]), float(self.n[t, i]), instant(end)
        when = [instant(s) if alarm else None for s in ((alarm.onset, alarm.low, alarm.high) if alarm else (0, 0, 0))]
        effect = [rise.few(v) for v in (alarm.effect, alarm.ci_low, alarm.ci_high)] if alarm else [None, None, None]
        self.findings[m.monitor_id].append(Finding(
            finding_id(m.monitor_id, at), m.monitor_id, m.detector, m.model, "drift", m.feature, instant(end - m.window_s), at,
            rise.state(normal, alarm), m.severity, round(nats, 4) if normal else None, m.threshold_nats, effect[0], "ratio",
            effect[1], effect[2], when[0], when[1], when[2], int(n), rise.note(m, normal, alarm, (x, n)), rise.details(m, normal, alarm, (x, n)), at,
        ))  # fmt: skip

    # --- state ----------------------------------------------------------------------------------

    def dumped(self, i: int) -> Json:
        """The state of one stream as plain JSON."""
        normal, alarm = self.normals[i], self.alarms[i]
        return {
            "v": VERSION, "until": int(self.until[i]), "tried": int(self.tried[i]), "masks": self.masks[i],
            "fit": normal.dumped() if normal else None, "z": self.z[i].tolist(),
            "trail": {"x": list(self.trails[i][0]), "n": list(self.trails[i][1])},
            "alarm": None if alarm is None else {name: getattr(alarm, name) for name in Alarm.__slots__},
        }  # fmt: skip

    def _load(self, i: int, state: Json) -> None:
        if state.get("v") != VERSION:
            return
        self.until[i], self.tried[i], self.z[i] = state["until"], state["tried"], state["z"]
        self.masks[i] = [list(m) for m in state["masks"]]
        self.trails[i] = [list(state["trail"]["x"]), list(state["trail"]["n"])]
        if state["fit"]:
            self._take(i, Normal(**state["fit"]))
        if state["alarm"]:
            self.alarms[i] = Alarm(**state["alarm"])
