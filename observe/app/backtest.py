"""A table judged as the service would have: fit on its first part, live through the rest, count the alarms.

Source: our own; METHODS section 10 for the bound on a rate.
Assumes: alarms are a Poisson process, and every one of them false, where an upper bound is told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from scipy.special import gammaincinv

from observe.app import backtest_streams as streams
from observe.app.backtest_levels import Levels, levels
from observe.app.backtest_plan import DAY_S, Options, Plan, plan
from observe.app.backtest_table import Table
from observe.app.backtest_walk import Alarm, Moved, Past, Trail, walk
from observe.schema import Monitor

MONTH_S: Final = 30.0 * DAY_S
_TOGETHER: Final = timedelta(hours=6)  # alarms within are one incident


@dataclass(frozen=True, slots=True)
class Found:
    """One latched alarm in the table's own time, with the level before and after it."""

    feature: str
    kind: str
    at: datetime
    until: datetime | None  # None: it lasts to the end
    onset: datetime
    onset_interval: tuple[datetime, datetime]
    effect: float
    effect_ci: tuple[float, float]
    unit: str
    evidence_nats: float
    levels: Levels
    note: str


@dataclass(frozen=True, slots=True)
class Backtest:
    """What was found, and at what rate, against the budget."""

    plan: Plan
    monitors: tuple[Monitor, ...]
    budget_per_30d: float
    alarms: tuple[Found, ...]  # in order of time
    states: Mapping[str, str]  # the newest by feature
    judged: Mapping[str, Mapping[str, float]]  # share of the windows by feature and state of its location
    min_detectable_24h: Mapping[str, float | None]
    rejected: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    busy_by_feature: Mapping[str, tuple[Alarm, ...]] = field(default_factory=dict)  # alarms on the detectors' clock

    def busy(self, feature: str) -> tuple[Alarm, ...]:
        """The alarms of a feature on the detectors' clock."""
        return self.busy_by_feature.get(feature, ())

    @property
    def days(self) -> float:
        """Judged days."""
        return self.plan.days

    @property
    def one_sided(self) -> int:
        """One-sided streams, among which the budget is divided."""
        return sum(streams.sides(m) for m in self.monitors)

    @property
    def incidents(self) -> int:
        """Alarms within 6 h of each other are one incident."""
        times = sorted(a.at for a in self.alarms)
        return sum(i == 0 or at - times[i - 1] > _TOGETHER for i, at in enumerate(times))


def backtest(table: Table, options: Options, moved: Moved = lambda share: None) -> tuple[Backtest, Past]:
    """Judge a table; the result, and the table as it was judged.

    Args:
        table: what to judge.
        options: fit, windows, budget.
        moved: told the share of the work just done.

    Raises:
        UsageError: the table is too short for it.
    """
    planned = plan(table, options)
    made = streams.binnings(planned)
    monitors = streams.monitors(planned, made, options.budget, options.min_effect)
    past = streams.past(planned, monitors, made)
    accept = timedelta(seconds=options.accept_s / planned.stretch) if options.accept_s is not None else None
    trails = walk(past, planned.judged, accept, moved)
    rate = options.budget.count * MONTH_S / options.budget.period_s
    lacking = {f: "no value in the rows that are fitted on" for f in planned.kinds if f not in made}
    result = summed(planned, monitors, rate, trails.values(), past)
    return replace(result, rejected=table.rejected, left_out={**table.left_out, **lacking}), past


def summed(
    plan: Plan, monitors: tuple[Monitor, ...], budget_per_30d: float, trails: Collection[Trail], past: Past
) -> Backtest:
    """The trails of all streams as one result."""
    return Backtest(
        plan, monitors, budget_per_30d, _found(plan, trails, past), _states(plan, trails), _judged(trails), _smallest(plan, trails),
        busy_by_feature={f: tuple(a for t in ts for a in t.alarms) for f, ts in _by_feature(trails).items()},
    )  # fmt: skip


def upper95(alarms: int, days: float) -> float:
    """The rate per 30 d that so many alarms or fewer would refute with 95 %.

    >>> round(upper95(0, 30.0), 2)
    3.0
    """
    return float(gammaincinv(alarms + 1, 0.95)) * 30.0 / days


def _found(planned: Plan, trails: Collection[Trail], past: Past) -> tuple[Found, ...]:
    every = [(t.monitor, a) for t in trails for a in t.alarms]
    found = [_told(planned, m, a, past) for m, a in every]
    return tuple(sorted(found, key=lambda a: (a.at, a.feature, a.kind)))


def _told(planned: Plan, monitor: Monitor, alarm: Alarm, past: Past) -> Found:
    last, raised = alarm.last, alarm.raised
    onset = last.onset or raised.window_start
    low, high = last.onset_low or onset, last.onset_high or onset
    return Found(
        monitor.feature, monitor.score, planned.real(raised.window_end), planned.real(alarm.until) if alarm.until else None,
        planned.real(onset), (planned.real(low), planned.real(high)), last.effect or 0.0, (last.ci_low or 0.0, last.ci_high or 0.0),
        last.unit or "", raised.evidence_nats or 0.0, levels(past, monitor, onset, alarm.until or planned.judged.end), last.note or "",
    )  # fmt: skip


def _by_feature(trails: Collection[Trail]) -> dict[str, list[Trail]]:
    found: dict[str, list[Trail]] = {}
    for t in trails:
        found.setdefault(t.monitor.feature, []).append(t)
    return found


def _states(planned: Plan, trails: Collection[Trail]) -> dict[str, str]:
    """At the end: `alarm` where any stream of a feature is alarmed, else its main stream's; `unknown` where nothing could be asked."""
    found = {f: "alarm" if any(t.firing for t in ts) else _main(ts).state for f, ts in _by_feature(trails).items()}
    return {feature: found.get(feature, "unknown") for feature in planned.kinds}


def _main(trails: Sequence[Trail]) -> Trail:
    """The stream with the largest share of the budget: the location of numbers."""
    return max(trails, key=lambda t: t.monitor.share)


def _judged(trails: Collection[Trail]) -> dict[str, dict[str, float]]:
    found = {}
    for feature, ts in _by_feature(trails).items():
        states = _main(ts).states
        found[feature] = {state: round(n / sum(states.values()), 4) for state, n in sorted(states.items())}
    return found


def _smallest(planned: Plan, trails: Collection[Trail]) -> dict[str, float | None]:
    """The smallest lasting change of the main stream found within a day with 90 %, in that stream's unit; None where unknown."""
    found: dict[str, float | None] = dict.fromkeys(planned.kinds)
    for feature, ts in _by_feature(trails).items():
        found[feature] = _main(ts).details.get("min_detectable_24h")
    return found


def ranked(alarms: Sequence[Found]) -> list[Found]:
    """Those that last first, then by how far they moved over what is known about it."""
    return sorted(alarms, key=lambda a: (a.until is not None, -a.evidence_nats, a.at))
