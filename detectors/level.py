"""Has the level of a feature moved? Mean normal score per window against its own seasonal, autocorrelated past.

Idea: predict the next window from time of day, weekend and the last windows, with a stated
uncertainty; turn the surprise into evidence for a lasting shift; alarm when the evidence is worth the
site's false-alarm budget. Judged hourly by default; a second, quick stream watches for shifts of a
sigma and more.

Source: METHODS sections 3 and 4.
Assumes: a daily season with a weekend step, first-order autoregressive wander plus sampling noise,
constant over 28 days; rows of one window are exchangeable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import baseline, budget, localise, scores, series, surprise
from detectors.evidence import Seen
from detectors.fitting import Fit, History, fit
from detectors.memory import Alarm, Memory
from detectors.noise import inverse
from detectors.series import Series, epoch, instant
from detectors.slots import DAY_S, HELD_S, HISTORY_S, HOUR_S, due, slot
from detectors.verdict import Judged, finding
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_CALM_NATS: Final = 1.0
_CALM_S: Final = DAY_S  # an alarm ends when evidence stayed below 1 nat this long
_REFINED: Final = 48  # windows after an alarm in which onset and effect are still refined
_MOST: Final = 5.0  # nats above its threshold that the evidence of an alarm may reach, so that it can end


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """From when summaries are wanted: 30 d before when a fit is due inside `window`, else from its start."""
    if not due(monitor, state, window):
        return window.start
    return instant(epoch(window.start) // HOUR_S * HOUR_S) - timedelta(seconds=HISTORY_S + HELD_S)


def detect(evidence: Evidence) -> Detected:
    """Judge every window of every monitor once, in order.

    Args:
        evidence: monitors of this detector; summaries from `since` on; window to be judged.

    Returns:
        One finding per monitor and judged window, by monitor and time, and the state of each monitor.
    """
    found = series.levels(evidence.summaries, evidence.binnings)
    steady = {m: c for m, s in found.items() if s.binning is not None and (c := scores.constant(s.binning)) is not None}
    shared: dict[tuple[str, int, int, str], Fit | None] = {}
    findings: dict[str, list[Finding]] = {}
    state: dict[str, Json] = {}
    for window_s in sorted({m.window_s for m in evidence.monitors}, reverse=True):
        group = [m for m in evidence.monitors if m.window_s == window_s and m.measure not in steady]
        walk = Walk(group, evidence, found, window_s, shared)
        walk.run()
        findings.update(walk.findings)
        state.update({m.monitor_id: walk.memory.dumped(i) for i, m in enumerate(group)})
    constant = [m for m in evidence.monitors if m.measure in steady]
    if constant:
        from detectors.steady import judge_constant

        judged = judge_constant(evidence, constant, steady)
        findings.update({m.monitor_id: [f for f in judged.findings if f.monitor_id == m.monitor_id] for m in constant})
        state.update(judged.state)
    return Detected(tuple(f for m in evidence.monitors for f in findings[m.monitor_id]), state)


@dataclass(frozen=True, slots=True)
class Grid:
    """Mean score and rows of S streams in T windows of `step` seconds from `start`; tenths (T, S, 10)."""

    start: int
    step: int
    y: Floats
    n: Floats
    tenths: Floats

    @classmethod
    def of(cls, measures: Sequence[str], found: Mapping[str, Series], start: int, step: int, end: int) -> Grid:
        """Sums of each measure's rows in the windows from `start` to `end`."""
        count = max(0, (end - start) // step)
        y, n = np.zeros((count, len(measures))), np.zeros((count, len(measures)))
        tenths = np.zeros((count, len(measures), scores.GROUPS))
        for i, measure in enumerate(measures):
            if measure in found:
                total, n[:, i], tenths[:, i] = found[measure].on(start, step, count)
                y[:, i] = total / np.maximum(n[:, i], 1.0)
        return cls(start, step, y, n, tenths)

    def history(
        self, streams: Sequence[int], first: int, end: int, masks: Sequence[Sequence[Sequence[int]]]
    ) -> History:
        """Windows inside [first, end) of some streams; those inside a mask count no rows."""
        begin, stop = max(0, -(-(first - self.start) // self.step)), max(0, (end - self.start) // self.step)
        at = self.start + self.step * np.arange(begin, stop)
        n = self.n[begin:stop, streams].copy()
        for i, stream in enumerate(streams):
            for low, high in masks[stream]:
                n[(at + self.step > low) & (at < high), i] = 0.0
        return History(self.y[begin:stop, streams], n, at + self.step // 2, self.step)


class Walk:
    """Goes through the windows of all monitors of one cadence."""

    def __init__(
        self, monitors: Sequence[Monitor], evidence: Evidence, found: Mapping[str, Series], window_s: int,
        shared: dict[tuple[str, int, int, str], Fit | None],
    ) -> None:  # fmt: skip
        self.monitors, self.window_s, self.shared = monitors, window_s, shared
        self.found = found
        least = [scores.in_sigma(_quantiles(found, m), m.min_effect or 0.0, m.unit) for m in monitors]
        self.least = least
        self.memory = Memory(least, [evidence.state.get(m.monitor_id, {}) for m in monitors], window_s)
        self.threshold = np.array([m.threshold_nats for m in monitors])
        self.slots = np.array([slot(m.model) for m in monitors], dtype=np.int64)
        self.first = epoch(evidence.window.start) // window_s * window_s
        self.end = epoch(evidence.window.end) // window_s * window_s
        measures = [m.measure for m in monitors]
        wanted = [s.ts[0] for m in measures if (s := found.get(m)) is not None and s.ts.size]
        earliest = int(max(min(wanted, default=self.first), self.first - HISTORY_S - HELD_S - DAY_S)) // DAY_S * DAY_S
        start = min(earliest, self.first)
        self.own = Grid.of(measures, found, start // window_s * window_s, window_s, self.end)
        self.hours = (
            self.own if window_s == HOUR_S else Grid.of(measures, found, start // HOUR_S * HOUR_S, HOUR_S, self.end)
        )
        self.findings: dict[str, list[Finding]] = {m.monitor_id: [] for m in monitors}

    def run(self) -> None:
        """Judge windows that end in (start, end], each stream from where it stopped."""
        for end in range(self.first + self.window_s, self.end + 1, self.window_s):
            active = self.memory.until < end
            if active.any():
                self._fit(end - self.window_s, active)
                self._judge(end, active)
                self.memory.until[active] = end

    # --- fitting --------------------------------------------------------------------------------

    def _fit(self, at: int, active: Bools) -> None:
        mem = self.memory
        alarmed = np.array([a is not None for a in mem.alarms], dtype=bool)
        crossed = (at - self.slots) // DAY_S > (mem.tried - self.slots) // DAY_S
        gap = (mem.until > 0) & (mem.until < at)
        wanted = active & ~alarmed & np.where(mem.fitted, crossed | gap, at - mem.tried >= HOUR_S)
        if not wanted.any():
            return
        streams = np.flatnonzero(wanted).tolist()
        end = at // HOUR_S * HOUR_S
        for i in streams:
            mem.masks[i] = [m for m in mem.masks[i] if m[1] > end - HISTORY_S - HELD_S]
        keys = {i: (self.monitors[i].measure, self.window_s, end, repr(mem.masks[i])) for i in streams}
        self._learn([i for i in streams if keys[i] not in self.shared], keys, end)
        for i in streams:
            self._take(i, self.shared[keys[i]], at)

    def _learn(self, streams: list[int], keys: Mapping[int, tuple[str, int, int, str]], end: int) -> None:
        first = end - HISTORY_S - HELD_S
        hours = self.hours.history(streams, first, end, self.memory.masks)
        own = hours if self.own is self.hours else self.own.history(streams, first, end, self.memory.masks)
        for i, found in zip(streams, fit(hours, own, self.memory.cusum.delta[streams], end), strict=True):
            self.shared[keys[i]] = found

    def _take(self, i: int, found: Fit | None, at: int) -> None:
        mem, before = self.memory, self.memory.fits[i]
        mem.tried[i] = at
        if found is None:
            return
        mem.learn(i, found, fresh=True)
        if before is None or before.effective < budget.LEAST_EFFECTIVE:
            mem.forget(i, at)

    # --- judging --------------------------------------------------------------------------------

    def _judge(self, end: int, active: Bools) -> None:
        mem, t = self.memory, (end - self.own.start) // self.window_s - 1
        y, n = self.own.y[t], self.own.n[t]
        row = baseline.design(np.array([end - self.window_s // 2]))[0]
        expected, se = baseline.expected(mem.beta, mem.cov, row)
        active = active & mem.fitted
        before = (mem.filter.x.copy(), mem.filter.p.copy())
        e, k, s = mem.filter.step(y - expected, inverse(n), mem.noise)
        mem.filter.x, mem.filter.p = (
            np.where(active, mem.filter.x, before[0]),
            np.where(active, mem.filter.p, before[1]),
        )
        z = surprise.gaussian(e, mem.knots, mem.limit)
        mem.cusum.step(Seen(z, k, s, se, mem.noise.rho, mem.vif, (n > 0) & active), end)
        root = np.sqrt(np.minimum(s, 1e6))
        mem.push(e, root, k, active, end)
        nats = mem.cusum.nats() - mem.penalty
        for i in np.flatnonzero(self.memory.until < end):
            if mem.fits[i] is not None:
                self._settle(int(i), end, nats[i], float(se[i]))
            self._tell(
                int(i), end, nats[i], Judged(float(y[i]), float(n[i]), float(expected[i]), float(se[i]), float(root[i]))
            )

    def _settle(self, i: int, end: int, nats: Floats, se: float) -> None:
        """Raise, refine or end the alarm of one stream."""
        mem, alarm, found = self.memory, self.memory.alarms[i], self.memory.fits[i]
        assert found is not None
        if alarm is None:
            if nats.max() < self.threshold[i] or not _may_alarm(found):
                return
            sign = 1 if nats[0] >= nats[1] else -1
            alarm = mem.alarms[i] = Alarm(end, sign, end, end, end, 0.0, 0.0, 0.0)
        if end - alarm.at <= _REFINED * self.window_s:
            self._locate(i, alarm, end, se, found)
        if alarm.at == end and abs(alarm.effect) < self.least[i]:  # surely moved, but by less than matters
            mem.alarms[i] = None
            return
        self._calm(i, alarm, end, nats)

    def _locate(self, i: int, alarm: Alarm, end: int, se: float, found: Fit) -> None:
        trail = self.memory.recent(i)
        shift = localise.shift(trail, found.rho, se, found.scale, alarm.sign)
        if shift.nats < alarm.nats:  # the shift has gone: what it was is kept
            return
        alarm.nats = shift.nats
        first = end - trail.e.size * self.window_s
        alarm.onset, alarm.low, alarm.high = (first + j * self.window_s for j in (shift.start, shift.low, shift.high))
        alarm.effect, alarm.ci_low, alarm.ci_high = shift.effect, shift.ci_low, shift.ci_high

    def _calm(self, i: int, alarm: Alarm, end: int, nats: Floats) -> None:
        mem = self.memory
        top = mem.cusum.z[i]
        np.minimum(top, _MOST + self.threshold[i] + mem.penalty[i].max(), out=top)
        if (nats + mem.penalty[i])[0 if alarm.sign > 0 else 1] >= _CALM_NATS:
            alarm.calm = None
        elif alarm.calm is None:
            alarm.calm = end
        elif end - alarm.calm >= _CALM_S:
            mem.alarms[i] = None
            mem.masks[i].append([alarm.low, end])
            mem.tried[i] = 0
            mem.forget(i, end)

    def _tell(self, i: int, end: int, nats: Floats, judged: Judged) -> None:
        monitor, binning = self.monitors[i], None
        if monitor.measure in self.found:
            binning = self.found[monitor.measure].binning
        t = (end - self.own.start) // self.window_s - 1
        self.findings[monitor.monitor_id].append(
            finding(
                monitor,
                binning,
                (self.memory.fits[i], self.memory.alarms[i]),
                end,
                float(nats.max()),
                (judged, self.own.tenths[t, i]),
            )
        )


def _may_alarm(found: Fit) -> bool:
    return found.effective >= budget.LEAST_EFFECTIVE and found.hourly_rho <= budget.RANDOM_WALK


def _quantiles(found: Mapping[str, Series], monitor: Monitor) -> tuple[float, ...] | None:
    at = found.get(monitor.measure)
    return at.binning.quantiles if at is not None and at.binning is not None else None
