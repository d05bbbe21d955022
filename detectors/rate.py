"""Are more events bad than normally? Counts of bad events per window against the history's share, upper side.

Idea: values that are missing, NaN or infinite, errors and unseen categories are rare; a likelihood ratio for 1.5 to 16 times the
normal share of that hour is summed (CUSUM), read as what sums like it were worth in the stream's own history, until it
is worth the site's false-alarm budget. One window never adds more than the history can vouch for.

Source: METHODS section 5.
Assumes: one profile of the day for all weekdays and a weekend factor; dependence between windows is positive and short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import budget, counts, rise, series
from detectors.memory import Alarm
from detectors.series import epoch
from detectors.slots import DAY_S, HISTORY_S, due, slot
from detectors.tallies import Tallies
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

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
        use = slice(*np.searchsorted(self.ts, [start, start + step * count]))
        at = (self.ts[use] - start) // step
        x, n = (np.bincount(at, weights=v[use], minlength=count).astype(np.float64) for v in (self.x, self.n))
        return x, n


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """From when summaries are wanted: 28 d before when a fit is due inside `window`, else from its start."""
    fit = state.get("fit")
    young = fit and fit["used"] / fit["vif"] < counts.LEAST_EFFECTIVE  # learns every hour
    if young or due(monitor, state, window):
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
        score: series.rates(evidence.summaries, score, evidence.binnings)
        for score in sorted({m.score for m in evidence.monitors})
    }
    trials = {m.monitor_id: Trials(*found) for m in evidence.monitors if (found := by_score[m.score].get(m.measure))}
    return judge(evidence, evidence.monitors, trials)


def judge(evidence: Evidence, monitors: Sequence[Monitor], trials: Mapping[str, Trials]) -> Detected:
    """Judge given counts by monitor id; monitors without any have empty windows."""
    findings: dict[str, list[Finding]] = {}
    state: dict[str, Json] = {}
    for window_s in sorted({m.window_s for m in monitors}):
        group = [m for m in monitors if m.window_s == window_s]
        walk = Walk(group, evidence, trials, window_s)
        walk.run()
        findings.update(walk.findings)
        state.update({m.monitor_id: walk.memory.dumped(i) for i, m in enumerate(group)})
    return Detected(tuple(f for m in monitors for f in findings[m.monitor_id]), state)


_EMPTY: Final = Trials(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))


class Walk:
    """Goes through the windows of all monitors of one cadence."""

    def __init__(
        self, monitors: Sequence[Monitor], evidence: Evidence, trials: Mapping[str, Trials], window_s: int
    ) -> None:
        self.monitors, self.window_s = monitors, window_s
        self.trials = [trials.get(m.monitor_id, _EMPTY) for m in monitors]
        self.threshold = np.array([m.threshold_nats for m in monitors])
        self.slots = np.array([slot(m.model) for m in monitors], dtype=np.int64)
        self.first = epoch(evidence.window.start) // window_s * window_s
        self.end = epoch(evidence.window.end) // window_s * window_s
        windows = max(0, (self.end - self.first) // window_s)
        self.x, self.n = np.zeros((windows, len(monitors))), np.zeros((windows, len(monitors)))
        for i, found in enumerate(self.trials):
            self.x[:, i], self.n[:, i] = found.on(self.first, window_s, windows)
        self.spans = [
            [(epoch(w.start), epoch(w.end)) for w in evidence.expected.get(m.model, ())] for m in monitors
        ]  # in which a change was announced
        self.accepted = np.array(
            [epoch(at) if (at := evidence.accepted.get(m.monitor_id)) else 0 for m in monitors], dtype=np.int64
        )
        self.memory = Tallies([evidence.state.get(m.monitor_id, {}) for m in monitors])
        self.findings: dict[str, list[Finding]] = {m.monitor_id: [] for m in monitors}

    def run(self) -> None:
        """Judge windows that end in (start, end], each stream from where it stopped."""
        mem = self.memory
        for t, end in enumerate(range(self.first + self.window_s, self.end + 1, self.window_s)):
            active = mem.until < end
            if not active.any():
                continue
            for i in np.flatnonzero(active & (self.accepted > mem.begun) & (self.accepted < end)):
                mem.forget(int(i), int(self.accepted[i]))
            self._learn(end - self.window_s, active)
            self._judge(t, end, active)
            mem.until[active] = end

    # --- learning -------------------------------------------------------------------------------

    def _learn(self, at: int, active: Bools) -> None:
        mem = self.memory
        gap = (mem.until > 0) & (mem.until < at)
        crossed = (at - self.slots) // DAY_S > (mem.tried - self.slots) // DAY_S
        due = active & ~mem.alarmed & np.where(mem.ready, gap | crossed, at - mem.tried >= _RETRY_S)
        streams = np.flatnonzero(due).tolist()
        if not streams:
            return
        first = (at - HISTORY_S) // self.window_s * self.window_s
        ts = first + self.window_s * np.arange((at - first) // self.window_s)
        x, n = np.zeros((len(streams), ts.size)), np.zeros((len(streams), ts.size))
        for row, i in enumerate(streams):
            x[row], n[row] = self._history(i, ts)
        mem.tried[streams] = at
        for i, found in zip(streams, counts.learn(x, n, ts, self.window_s, at), strict=True):
            if found is not None:
                mem.learn(i, found)

    def _history(self, i: int, ts: Ints) -> tuple[Floats, Floats]:
        """What one stream may learn from: neither past alarms, nor announced changes, nor what came before the new normal."""
        mem = self.memory
        x, n = self.trials[i].on(int(ts[0]), self.window_s, ts.size)
        mem.masks[i] = [m for m in mem.masks[i] if m[1] > ts[0]]
        for low, high in [*mem.masks[i], *self.spans[i], (0, int(mem.begun[i]))]:
            out = (ts + self.window_s > low) & (ts < high)
            x[out], n[out] = 0.0, 0.0
        return x, n

    # --- judging --------------------------------------------------------------------------------

    def _judge(self, t: int, end: int, active: Bools) -> None:
        mem, start = self.memory, end - self.window_s
        told = np.array([any(low < end and start < high for low, high in spans) for spans in self.spans], dtype=bool)
        x, n = np.where(told, 0.0, self.x[t]), np.where(told, 0.0, self.n[t])
        mem.push(x, n, active)
        evidence = mem.step(x, n, active, start, self.window_s)
        nats = mem.worth_of(evidence)
        for i in np.flatnonzero(active & mem.learnt & (mem.alarmed | (nats >= self.threshold))):
            self._settle(int(i), end, float(evidence[i]), (float(x[i]), float(n[i])))
        self._tell(t, end, np.flatnonzero(active), nats, told)

    def _settle(self, i: int, end: int, evidence: float, seen: tuple[float, float]) -> None:
        """Raise, refine or end the alarm of one stream; `seen` are bad and all events of the window."""
        mem = self.memory
        normal, alarm = mem.normals[i], mem.alarms[i]
        assert normal is not None
        if alarm is None:
            if normal.effective < counts.LEAST_EFFECTIVE:
                return
            alarm = mem.alarms[i] = Alarm(end, 1, end, end, end, 1.0, 1.0, 1.0)
            mem.alarmed[i] = True
        if end - alarm.at <= _REFINED * self.window_s:
            rise.locate(alarm, mem.recent(i), normal, end, self.window_s)
        mem.limit(i, _MOST + normal.worth.needed(float(self.threshold[i])))
        if not mem.returned(i, *seen) and evidence >= budget.calm(self.window_s):
            alarm.calm = None
        elif alarm.calm is None:
            alarm.calm = end
        elif end - alarm.calm >= DAY_S:
            mem.masks[i].append([alarm.low, end])
            mem.end(i, (end - alarm.calm) // self.window_s)

    # --- telling --------------------------------------------------------------------------------

    def _tell(self, t: int, end: int, streams: NDArray[np.intp], nats: Floats, told: Bools) -> None:
        mem = self.memory
        for i in streams.tolist():
            seen = rise.Seen(float(self.x[t, i]), float(self.n[t, i]), end, bool(told[i]), float(mem.factor[i]))
            found = rise.finding(self.monitors[i], (mem.normals[i], mem.alarms[i]), seen, float(nats[i]))
            self.findings[self.monitors[i].monitor_id].append(found)
