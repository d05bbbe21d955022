"""What an objective allows in its period, what was spent of it, and of how much of it nothing is known.

A budget is weighted by events: bad events counted, over the allowed share of all. A rolling period holds
the events of its length before now. A calendar period is allowed the share of all its events, those that
are still to come included, as the days before say; at its end both are the same sum.

Source: METHODS section 6; Google SRE Workbook, "Alerting on SLOs"; `observe.spec.periods` for calendars.
Assumes: what lies three days back is known by the hour, so a period begins with a whole one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from detectors.errorbudget import HOUR, MEMORY, Floats, counted
from detectors.lanes import Mark, Walk
from detectors.outlook import Budget, Rates
from observe.schema import Json
from observe.spec.periods import period


@dataclass(frozen=True, slots=True)
class Span:
    """The period one minute is judged in, minutes since the epoch; `end` is None for a rolling one."""

    kind: str
    start: int
    end: int | None


def span(params: Json, minute: int) -> Span:
    """The period that the minute which ends at `minute` lies in."""
    window = params.get("window") or {"kind": "rolling", "length_s": params["window_s"]}
    start, end = period(window, datetime.fromtimestamp((minute - 1) * 60, UTC))
    if window["kind"] != "calendar":
        return Span("rolling", minute - int(window["length_s"]) // 60, None)
    return Span("calendar", int(start.timestamp()) // 60, int(end.timestamp()) // 60)


class Account:
    """Sums of one SLO over any period up to a minute of its walk."""

    def __init__(self, walk: Walk) -> None:
        """Prefix sums of the hours."""
        self._walk, self._hours = walk, walk.hours
        columns = (walk.hours.total, walk.hours.bad, walk.hours.gap)
        self._by_hour = np.stack([np.concatenate([[0], np.cumsum(x)]) for x in columns])

    def counted(self, mark: Mark, asked: Span) -> tuple[int, int]:
        """Events and bad events of the period up to the mark; beyond three days in whole hours."""
        minutes, hours = self._walk.minutes, self._hours
        end, start = mark.minute - minutes.first, max(asked.start, hours.first * HOUR)
        if mark.minute - start <= MEMORY:
            begun = min(end, start - minutes.first)
            return int(minutes.total[end] - minutes.total[begun]), int(minutes.bad[end] - minutes.bad[begun])
        hour = mark.minute // HOUR - hours.first
        opened = max(0, end - mark.minute % HOUR)
        total, bad, _ = self._by_hour[:, hour] - self._by_hour[:, max(0, start // HOUR - hours.first)]
        return (
            int(total + minutes.total[end] - minutes.total[opened]),
            int(bad + minutes.bad[end] - minutes.bad[opened]),
        )

    def gaps(self, mark: Mark, asked: Span) -> int:
        """Seconds of the period of which nothing is known though requests usually come."""
        hour = mark.minute // HOUR - self._hours.first
        start = max(0, -(-asked.start // HOUR) - self._hours.first)
        closed = self._by_hour[2, hour] - self._by_hour[2, min(hour, start)]
        end = mark.minute - self._walk.minutes.first
        return 60 * int(closed + self._hours.lost(self._walk.minutes, max(0, end - mark.minute % HOUR), end))

    def budget(self, mark: Mark, asked: Span, rates: Rates | None) -> Budget:
        """The budget as it stands; a calendar period's holds what is still to come, if anything says what."""
        total, bad = self.counted(mark, asked)
        share = self._walk.budget
        if asked.end is None:
            leaves = self._leaves(mark, asked, (mark.minute - asked.start) // HOUR)
            return Budget(mark.minute, total, bad, share, leaves.shape[1] - 1, share * total, leaves)
        ahead = (asked.end - mark.minute) / HOUR
        whole = int(np.ceil(ahead))
        coming = 0.0
        if rates is not None and whole > 0:
            coming = float(np.interp(ahead, np.arange(whole + 1), rates.ahead(mark.minute, whole)[0]))
        return Budget(mark.minute, total, bad, share, max(whole, 0), share * (total + coming))

    def _leaves(self, mark: Mark, asked: Span, hours: int) -> Floats:
        """Events and bad events that have left a rolling period after 0, 1, ... hours."""
        first = max(asked.start, self._hours.first * HOUR) // HOUR - self._hours.first
        waits = max(0, self._hours.first - asked.start // HOUR)  # hours until the first one that is known leaves
        at = np.clip(first + np.arange(hours + 1) - waits, first, mark.minute // HOUR - self._hours.first)
        gone: Floats = (self._by_hour[:2, at] - self._by_hour[:2, first : first + 1]).astype(np.float64)
        return gone


def left(budget: Budget, phi: float) -> tuple[float, float, float]:
    """Share of the budget that is left, and the 95 % interval that bursts of `phi` leave it; 1 where nothing counts yet.

    The count is exact; the interval says how much of it is chance.
    """
    if budget.allowed <= 0:
        return 1.0, 1.0, 1.0
    low, high = (float(x) for x in counted(np.array(budget.bad, dtype=np.float64), phi))
    return 1 - budget.bad / budget.allowed, 1 - high / budget.allowed, 1 - low / budget.allowed
