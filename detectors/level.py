"""Has the level of a feature moved? Mean scores per window against their own seasonal, autocorrelated past.

Idea: predict the next window from time of day, weekend and the last windows, with a stated
uncertainty; turn the surprise into evidence for a lasting shift; alarm when the evidence is worth the
site's false-alarm budget. Location, spread, third and fourth score of numeric features, shares of levels and
correlations of pairs are all such means, judged hourly; a second, quick stream watches for shifts of a sigma
and more. What a person accepted as the new normal is learnt anew; what was announced is neither judged nor learnt from.

Source: METHODS sections 3 and 4.
Assumes: a daily season with a weekend step, first-order autoregressive wander plus sampling noise,
constant over 28 days; rows of one window are exchangeable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors import ahead, budget, effects, net, scores, series, surprise
from detectors.coming import Coming
from detectors.evidence import Seen
from detectors.fitting import Asked, Fit, History
from detectors.grid import Grid
from detectors.latch import Latch
from detectors.memory import Memory
from detectors.noise import inverse
from detectors.series import Series, epoch, instant
from detectors.slots import DAY_S, HELD_S, HISTORY_S, HOUR_S, due, learnt_s, slot
from detectors.verdict import Judged, finding
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Key = tuple[str, int, int, str]  # of a fit: stream, cadence, end of its history, what is left out of it

_MOVED_S: Final = 12 * HOUR_S  # with the location away for so long, spread and shape learn nothing
_APART_S: Final = 14 * DAY_S  # and after so long they learn anew, from where it is now


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
    longest = max((m.window_s for m in evidence.monitors), default=0)
    judged_from = epoch(evidence.window.start) - longest
    found = series.levels(evidence.summaries, evidence.binnings, _asked(evidence.monitors), judged_from)
    steady = {m: c for m, s in found.items() if s.binning is not None and (c := scores.constant(s.binning)) is not None}
    shared: dict[Key, Fit | None] = {}
    findings: dict[str, list[Finding]] = {}
    state: dict[str, Json] = {}
    for window_s in sorted({m.window_s for m in evidence.monitors}, reverse=True):
        group = [m for m in evidence.monitors if m.window_s == window_s and not _steady(m, steady)]
        walk = Walk(group, evidence, found, window_s, shared)
        walk.run()
        findings.update(walk.findings)
        state.update({m.monitor_id: s for m, s in zip(group, walk.memory.dumped(), strict=True)})
    constant = [m for m in evidence.monitors if _steady(m, steady)]
    if constant:
        from detectors.steady import judge_constant

        judged = judge_constant(evidence, constant, steady)
        findings.update({m.monitor_id: [f for f in judged.findings if f.monitor_id == m.monitor_id] for m in constant})
        state.update(judged.state)
    return Detected(tuple(f for m in evidence.monitors for f in findings[m.monitor_id]), state)


def _asked(monitors: Sequence[Monitor]) -> dict[str, set[str]]:
    wanted: dict[str, set[str]] = {}
    for m in monitors:
        wanted.setdefault(m.measure, set()).add(m.score)
    return wanted


def _steady(monitor: Monitor, constants: Mapping[str, float]) -> bool:
    """Whether it is the level of a feature that never varied: its rate of differing is judged instead."""
    return monitor.score == "location" and monitor.measure in constants


class Walk:
    """Goes through the windows of all monitors of one cadence."""

    def __init__(
        self, monitors: Sequence[Monitor], evidence: Evidence, found: Mapping[str, Series], window_s: int,
        shared: dict[Key, Fit | None],
    ) -> None:  # fmt: skip
        self.monitors, self.window_s, self.shared = monitors, window_s, shared
        self.found = found
        self.keys = [series.key(m.measure, m.score) for m in monitors]
        self.binnings = [s.binning if (s := found.get(k)) is not None else None for k in self.keys]
        least = [effects.least(m, b) for m, b in zip(monitors, self.binnings, strict=True)]
        self.memory = Memory(least, [evidence.state.get(m.monitor_id, {}) for m in monitors], window_s)
        self._latch = Latch(self.memory, monitors, self.binnings, least)
        self.upward = np.array([m.params.get("sides") == 1 for m in monitors], dtype=bool)  # falls are no alarm
        self.slots = np.array([slot(m.model) for m in monitors], dtype=np.int64)
        self.first = epoch(evidence.window.start) // window_s * window_s
        self.end = epoch(evidence.window.end) // window_s * window_s
        self._coming = Coming(self.memory, self.end)
        self.accepted = np.array([_accepted(evidence, m) for m in monitors], dtype=np.int64)
        self.expected = [[[epoch(w.start), epoch(w.end)] for w in evidence.expected.get(m.model, ())] for m in monitors]
        self._any_expected = any(self.expected)
        wanted = [s.ts[0] for k in self.keys if (s := found.get(k)) is not None and s.ts.size]
        earliest = int(max(min(wanted, default=self.first), self.first - HISTORY_S - HELD_S - DAY_S)) // DAY_S * DAY_S
        start = min(earliest, self.first)
        self.own = Grid.of(monitors, found, start // window_s * window_s, window_s, self.end)
        self.hours = (
            self.own if window_s == HOUR_S else Grid.of(monitors, found, start // HOUR_S * HOUR_S, HOUR_S, self.end)
        )
        self.findings: dict[str, list[Finding]] = {m.monitor_id: [] for m in monitors}
        located = [
            b.reference if b is not None and m.score == "location" else ()
            for m, b in zip(monitors, self.binnings, strict=True)
        ]
        self._usual = np.array([scores.by_tenth(reference) for reference in located])
        self._psi: tuple[int, Floats] = (0, np.zeros(0))

    def run(self) -> None:
        """Judge windows that end in (start, end], each stream from where it stopped."""
        for end in range(self.first + self.window_s, self.end + 1, self.window_s):
            active = self.memory.until < end
            if active.any():
                self._accept(end, active)
                self._fit(end - self.window_s, active)
                self._judge(end, active)
                self.memory.until[active] = end

    def _accept(self, end: int, active: Bools) -> None:
        """Start anew where a person accepted the level, or where the location has stayed away for a fortnight."""
        for i in np.flatnonzero(active & (self.accepted > self.memory.accepted) & (self.accepted < end)):
            self.memory.accept(int(i), int(self.accepted[i]), end - self.window_s)
        for i in np.flatnonzero(active & (self.memory.apart * self.window_s >= _APART_S)):
            self.memory.accept(int(i), end - self.window_s - _APART_S, end - self.window_s)

    # --- fitting --------------------------------------------------------------------------------

    def _fit(self, at: int, active: Bools) -> None:
        mem = self.memory
        crossed = (at - self.slots) // DAY_S > (mem.tried - self.slots) // DAY_S
        gap = (mem.until > 0) & (mem.until < at)
        wanted = (
            active
            & (mem.apart * self.window_s < _MOVED_S)
            & np.where(mem.fitted, crossed | gap, at - mem.tried >= HOUR_S)
        )
        if not wanted.any():
            return
        streams = [i for i in np.flatnonzero(wanted).tolist() if mem.alarms[i] is None]
        if not streams:
            return
        end = at // HOUR_S * HOUR_S
        for i in streams:
            mem.masks[i] = self._recent(i, end)
        held = mem.suspected(streams, end).tolist()
        keys = {i: self._key(i, end, since) for i, since in zip(streams, held, strict=True)}
        self._learn({i: since for i, since in zip(streams, held, strict=True) if keys[i] not in self.shared}, end)
        for i in streams:
            self._take(i, self.shared[keys[i]], at)

    def _key(self, i: int, end: int, since: int) -> Key:
        """What a fit follows from."""
        return self.keys[i], self.window_s, end, repr((since if since < end - HELD_S else end, self._masks(i, end)))

    def _learn(self, held: Mapping[int, int], end: int) -> None:
        """Fit streams with what they are suspected of, and ahead for the weeks to come as if nothing were."""
        if not held:
            return
        streams = list(held)
        ends = self._ends(streams, end)
        asked = [[held[i] if at == end else at for i in streams] for at in ends]
        hours = [self._history(self.hours, streams, at) for at in ends]
        own = hours if self.own is self.hours else [self._history(self.own, streams, at) for at in ends]
        delta, score = self.memory.cusum.delta[streams], [self.monitors[i].score for i in streams]
        given = [
            Asked(delta, at, np.array(since, dtype=np.int64), score) for at, since in zip(ends, asked, strict=True)
        ]
        for at, since, found in zip(ends, asked, ahead.fit_together(hours, own, given), strict=True):
            for i, moment, learnt in zip(streams, since, found, strict=True):
                self.shared[self._key(i, at, moment)] = learnt

    def _ends(self, streams: list[int], end: int) -> list[int]:
        """Where histories end that are learnt from now: at `end`, and for the daily fit weeks ahead."""
        if ((end - self.slots[streams]) % DAY_S).any():
            return [end]
        later = ahead.ends(self.hours, self.own, len(streams), end)[1:]
        return [end, *(at for at in later if any(self._key(i, at, at) not in self.shared for i in streams))]

    def _history(self, grid: Grid, streams: Sequence[int], end: int) -> History:
        return grid.history(streams, end - HISTORY_S - HELD_S, end, {i: self._masks(i, end) for i in streams})

    def _recent(self, i: int, end: int) -> list[list[int]]:
        return [m for m in self.memory.masks[i] if m[1] > end - HISTORY_S - HELD_S]

    def _masks(self, i: int, end: int) -> list[list[int]]:
        """What a stream does not learn from until `end`: past alarms, what was replaced by a new normal or is too old, announced changes."""
        older = end - HELD_S - learnt_s(self.monitors[i])
        return self._recent(i, end) + self.expected[i] + ([[0, older]] if older > end - HISTORY_S - HELD_S else [])

    def _take(self, i: int, found: Fit | None, at: int) -> None:
        mem, before = self.memory, self.memory.fits[i]
        mem.tried[i] = at
        if found is None:
            return
        mem.learn(i, found, fresh=True)
        self._coming.forget()
        if before is None or before.effective < budget.LEAST_EFFECTIVE:
            mem.forget(i, at)

    # --- judging --------------------------------------------------------------------------------

    def _judge(self, end: int, active: Bools) -> None:
        mem, t = self.memory, (end - self.own.start) // self.window_s - 1
        n, a = self.own.n[t], self.own.a[t]
        y = np.where(n > 0, mem.net.of(self.own.y[t], a, n), 0.0)
        announced, outside = self._announced(end), mem.net.outside(a, n)
        mem.apart = np.where(
            active & (n > 0), np.where(outside, mem.apart + 1, np.maximum(mem.apart - 1, 0)), mem.apart
        )
        rows = np.where(announced | outside, 0.0, n)
        expected, se = self._coming.at(end)
        judged, active = active, active & mem.fitted
        before = (mem.filter.x.copy(), mem.filter.p.copy())
        e, k, s = mem.filter.step(y - expected, inverse(rows), mem.noise)
        mem.filter.x, mem.filter.p = (
            np.where(active, mem.filter.x, before[0]),
            np.where(active, mem.filter.p, before[1]),
        )
        z = surprise.gaussian(e, mem.knots, mem.limit)
        mem.cusum.step(Seen(z, k, s, se, mem.noise.rho, mem.vif, (rows > 0) & active), end)
        root = np.sqrt(np.minimum(s, 1e6))
        mem.push(e, root, k, active, end)
        nats = mem.cusum.nats() - mem.penalty
        nats[self.upward, 1] = -np.inf
        self._latch.settle(end, nats, se, judged)
        left = np.where(announced, "expected", np.where(outside, "outside", ""))
        self._tell(end, np.flatnonzero(judged), nats.max(axis=1), (y, n, expected, se, root, left))

    def _announced(self, end: int) -> Bools:
        """In which streams a change was announced for the window that ends at `end`."""
        if not self._any_expected:
            return np.zeros(len(self.expected), dtype=bool)
        start = end - self.window_s
        return np.array([any(start < high and end > low for low, high in spans) for spans in self.expected], dtype=bool)

    def _tell(self, end: int, which: NDArray[np.intp], nats: Floats, columns: Sequence[NDArray[Any]]) -> None:
        """Findings of some streams; `columns` are those of `Judged`, (S,) each."""
        stability, most = self._stability(end).tolist(), nats.tolist()
        seen = [Judged(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
        for i in which.tolist():
            monitor, known = self.monitors[i], (self.memory.fits[i], self.memory.alarms[i])
            self.findings[monitor.monitor_id].append(
                finding(monitor, self.binnings[i], known, end, most[i], (seen[i], stability[i]))
            )

    def _stability(self, end: int) -> Floats:
        """Stability index of each stream's location in the window that ends at `end`, (S,); worked out once for all."""
        if self._psi[0] != end:
            tenths = self.own.tenths[(end - self.own.start) // self.window_s - 1, list(self.own.measure)]
            self._psi = end, scores.psi(tenths, self._usual)
        return self._psi[1]


def _accepted(evidence: Evidence, monitor: Monitor) -> int:
    """From when on a person took the level as normal, epoch s, 0 for never; a new location is one for spread and shape too."""
    ids = {monitor.monitor_id}
    if monitor.score in net.SCORES:
        ids.add(monitor.monitor_id.removesuffix(monitor.score) + "location")
    return max((epoch(evidence.accepted[i]) for i in ids if i in evidence.accepted), default=0)
