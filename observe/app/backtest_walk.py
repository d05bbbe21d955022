"""Windows judged one slice after the other by the real detectors, and what became of every stream.

The detectors say from when they want summaries; these are read once, kept while they are wanted, and
let go: memory does not grow with the length of the past.

Source: our own; `observe.app.stages` does the same as windows close.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from observe.registry import plugin
from observe.schema import Binning, Evidence, Finding, Json, Monitor, Window

_SLICE: Final = timedelta(days=182)  # a long slice lets streams learn weeks ahead
_ACCEPTED: Final = timedelta(days=28)  # at most, where a person accepts levels
_ROWS: Final = 30_000  # rows of summaries judged at once, about; 60 MB
_FINDINGS: Final = 60_000  # of one slice, about; 75 MB
_TOGETHER: Final = 60  # features whose streams are judged at once: more make no fit cheaper
_HISTORY: Final = 150_000  # rows of summaries that features judged at once learn from, about; 300 MB
_LEARNT: Final = 30 * 86_400  # s of history that they learn from

_DAY_S: Final = 86_400

Read = Callable[[Sequence[str], Window], pl.DataFrame]  # summaries of some measures in a span, by measure and ts
Values = Callable[[str, Window], pl.Series]  # values of a feature in a span
Moved = Callable[[float], None]  # told the share of the work that was just done


@dataclass(frozen=True, slots=True)
class Past:
    """What can be judged again: questions, bins, and where summaries are read."""

    monitors: tuple[Monitor, ...]
    binnings: Mapping[str, Binning]  # by id
    read: Read
    expected: Mapping[str, tuple[Window, ...]] = field(default_factory=dict)  # announced changes by model
    values: Values | None = None  # the rows themselves, where there are any


@dataclass(slots=True)
class Alarm:
    """One latched alarm, from the window that raised it to the one that ended it."""

    raised: Finding
    last: Finding  # the newest while it lasted: onset and effect as they were refined
    until: datetime | None = None  # None: it lasts


@dataclass(slots=True)
class Trail:
    """What one monitor said."""

    monitor: Monitor
    alarms: list[Alarm] = field(default_factory=list)
    runs: list[tuple[datetime, str]] = field(default_factory=list)  # each state and since when, as they changed
    end: datetime | None = None  # of the newest window
    state: str = "unknown"  # the newest of a window with rows, while there was one within a day
    empty: int = 0  # windows without rows since then
    details: Json = field(default_factory=dict)  # of the newest window that knows its noise

    @property
    def firing(self) -> Alarm | None:
        """The alarm that lasts, if one does."""
        return self.alarms[-1] if self.alarms and self.alarms[-1].until is None else None

    def take(self, finding: Finding) -> None:
        """Take in the finding of the next window."""
        firing = self.firing
        if finding.state != "alarm":
            if firing is not None:
                firing.until = finding.window_end
        elif firing is not None:
            if finding.onset is None or finding.onset <= firing.raised.window_end:  # a change begins before it is found
                firing.last = finding
        else:
            self.alarms.append(Alarm(finding, finding))
        self.empty = self.empty + 1 if finding.state == "unknown" else 0
        if finding.state != "unknown" or self.empty * self.monitor.window_s >= _DAY_S:
            self.state = finding.state
        if not self.runs or self.runs[-1][1] != finding.state:
            self.runs.append((finding.window_start, finding.state))
        self.end = finding.window_end
        if "min_detectable_24h" in finding.details:
            self.details = finding.details


def walk(
    past: Past, span: Window, accept: timedelta | None = None, moved: Moved = lambda share: None
) -> dict[str, Trail]:
    """Judge every window in `span`; trails by monitor id.

    Args:
        past: what is judged.
        span: a multiple of every monitor's windows.
        accept: how long after an alarm a person takes its level as the new normal; never when None.
        moved: told the progress.
    """
    by_measure: dict[str, list[Monitor]] = defaultdict(list)
    for m in past.monitors:
        by_measure[m.measure].append(m)
    measures = sorted(by_measure)
    trails: dict[str, Trail] = {}
    many = _together(past.monitors)
    for i in range(0, len(measures), many):
        group = measures[i : i + many]
        part = Past(tuple(m for name in group for m in by_measure[name]), past.binnings, past.read, past.expected)
        share = len(group) / len(measures)
        trails.update(_walk(part, span, accept, lambda done, share=share: moved(done * share)))  # type: ignore[misc]
    return {m.monitor_id: trails[m.monitor_id] for m in past.monitors}


def _together(monitors: Sequence[Monitor]) -> int:
    """How many features are judged at once: fewer where their windows are short."""
    shortest = min((m.window_s for m in monitors), default=3_600)
    return min(_TOGETHER, max(1, _HISTORY * shortest // _LEARNT))


def _walk(past: Past, span: Window, accept: timedelta | None, moved: Moved) -> dict[str, Trail]:
    trails = {m.monitor_id: Trail(m) for m in past.monitors}
    states: dict[str, Json] = {}
    kept = _Kept(past)
    for part in slices(span, past.monitors, accept):
        for detector in sorted({m.detector for m in past.monitors}):
            group = tuple(m for m in past.monitors if m.detector == detector)
            since = min(
                plugin("observe.detectors", detector).since(m, states.get(m.monitor_id, {}), part) for m in group
            )
            evidence = Evidence(
                group, part, kept.upto(since, part.end), past.binnings, {m.monitor_id: states[m.monitor_id] for m in group if m.monitor_id in states},
                accepted=_accepted(group, trails, part.start, accept), expected=past.expected,
            )  # fmt: skip
            found = plugin("observe.detectors", detector).detect(evidence)
            states.update(found.state)
            for finding in found.findings:
                trails[finding.monitor_id].take(finding)
        moved(part.length / span.length)
    return trails


class _Kept:
    """Summaries that are still wanted, so that each is read once."""

    def __init__(self, past: Past) -> None:
        self._read, self._measures = past.read, sorted({m.measure for m in past.monitors})
        self._frame: pl.DataFrame | None = None
        self._span: Window | None = None

    def upto(self, since: datetime, end: datetime) -> pl.DataFrame:
        """Summaries from `since` to `end`; what lies before is let go only once the next slice begins."""
        if self._frame is None or self._span is None or since < self._span.start:
            self._frame, self._span = self._read(self._measures, Window(since, end)), Window(since, end)
        elif end > self._span.end:
            more = self._read(self._measures, Window(self._span.end, end))
            begun = max(self._span.start, since - timedelta(days=31))
            self._frame = pl.concat([self._frame.filter(pl.col("ts") >= begun), more]).sort(
                "measure", "ts", maintain_order=True
            )
            self._span = Window(begun, end)
        return self._frame.filter(pl.col("ts") >= since)


def slices(span: Window, monitors: Sequence[Monitor], accept: timedelta | None = None) -> list[Window]:
    """Consecutive parts of `span`, whole days, each with a bounded number of summaries and findings."""
    shortest = min((m.window_s for m in monitors), default=3_600)
    measures, findings = len({m.measure for m in monitors}), sum(86_400 / m.window_s for m in monitors)
    days = min(_ROWS * shortest / 86_400 / max(1, measures), _FINDINGS / max(1.0, findings))
    length = min(timedelta(days=max(1, int(days))), _SLICE)
    if accept is not None:  # what was accepted is told at the next slice
        length = min(length, _ACCEPTED, timedelta(days=max(1, accept.days)))
    found, start = [], span.start
    while start < span.end:
        end = min(start + length, span.end)
        found.append(Window(start, end))
        start = end
    return found


def _accepted(
    monitors: Sequence[Monitor], trails: Mapping[str, Trail], now: datetime, accept: timedelta | None
) -> dict[str, datetime]:
    """Since when each level counts as the new normal: the latest alarm that has lasted long enough."""
    if accept is None:
        return {}
    found = {}
    for m in monitors:
        lasting = [a for a in trails[m.monitor_id].alarms if a.raised.window_end + accept <= now]
        if lasting and (lasting[-1].until is None or lasting[-1].until > lasting[-1].raised.window_end + accept):
            found[m.monitor_id] = lasting[-1].raised.window_end + accept
    return found
