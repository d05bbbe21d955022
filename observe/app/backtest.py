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

from detectors import gates
from observe.app import backtest_features as features
from observe.app import backtest_streams as streams
from observe.app import backtest_units as units
from observe.app.backtest_features import Smallest
from observe.app.backtest_levels import Levels, levels
from observe.app.backtest_plan import DAY_S, HOUR_S, Options, Plan, plan
from observe.app.backtest_table import Table
from observe.app.backtest_walk import Alarm, Moved, Past, Trail, walk
from observe.schema import Finding, Monitor

MONTH_S: Final = 30.0 * DAY_S
_TOGETHER: Final = timedelta(hours=6)  # alarms within are one incident
_CALM: Final = timedelta(days=1)  # without evidence, at the end of an alarm


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
    in_units: units.Moved | None = None  # the effect in the feature's own unit


@dataclass(frozen=True, slots=True)
class Backtest:
    """What was found, and at what rate, against the budget."""

    plan: Plan
    monitors: tuple[Monitor, ...]
    budget_per_30d: float
    alarms: tuple[Found, ...]  # in order of time
    states: Mapping[str, str]  # the newest by feature
    judged: Mapping[str, Mapping[str, float]]  # share of the time by feature and state
    smallest: Mapping[str, Smallest | None]  # of each feature
    by_stream: Mapping[str, Mapping[str, str]]  # the newest state by feature and score that speaks for it
    rejected: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    busy_by_feature: Mapping[str, tuple[Alarm, ...]] = field(default_factory=dict)  # alarms on the detectors' clock

    def busy(self, feature: str) -> tuple[Alarm, ...]:
        """The alarms of a feature on the detectors' clock."""
        return self.busy_by_feature.get(feature, ())

    @property
    def days(self) -> float:
        """Judged days with rows."""
        return self.plan.days

    @property
    def one_sided(self) -> int:
        """One-sided streams, among which the budget is divided."""
        return sum(streams.sides(m) for m in self.monitors)

    @property
    def min_detectable_24h(self) -> Mapping[str, float | None]:
        """The smallest lasting change that is found within a day, sigma or a ratio; None where unknown, as of long windows."""
        known = self.plan.stretch == 1  # else a day on the detectors' clock is longer
        return {feature: found.value if found and known else None for feature, found in self.smallest.items()}

    @property
    def missed_gate(self) -> str | None:
        """Why alarms on windows this short may be more than declared; None where they are not short."""
        short = self.plan.step_s < HOUR_S and any(m.detector == "level" for m in self.monitors)
        return f"windows under an hour: {gates.EVERY_SIZE}; the service asks every hour" if short else None

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
    lacking = streams.lacking(planned, made)
    result = summed(planned, monitors, rate, trails.values(), past)
    return replace(result, rejected=table.rejected, left_out={**table.left_out, **lacking}), past


def summed(
    plan: Plan, monitors: tuple[Monitor, ...], budget_per_30d: float, trails: Collection[Trail], past: Past
) -> Backtest:
    """The trails of all streams as one result."""
    mine = _by_feature(trails)
    return Backtest(
        plan, monitors, budget_per_30d, _found(plan, trails, past),
        states={f: features.state(mine[f]) if f in mine else "unknown" for f in plan.kinds},
        judged={f: features.by_state(ts) for f, ts in mine.items()},
        smallest={f: features.smallest(mine[f], past) if f in mine else None for f in plan.kinds},
        by_stream={f: features.by_stream(ts) for f, ts in mine.items()},
        busy_by_feature={f: tuple(a for t in ts for a in t.alarms) for f, ts in mine.items()},
    )  # fmt: skip


def upper95(alarms: int, days: float) -> float:
    """The rate per 30 d that so many alarms or fewer would refute with 95 %.

    >>> round(upper95(0, 30.0), 2)
    3.0
    """
    return float(gammaincinv(alarms + 1, 0.95)) * 30.0 / days


def interval95(alarms: int, days: float) -> tuple[float, float]:
    """The rates per week between which so many alarms are no surprise, 95 %.

    Source: Garwood (1936), "Fiducial limits for the Poisson distribution".

    >>> [round(rate, 2) for rate in interval95(1, 7.0)]
    [0.03, 5.57]
    """
    low = float(gammaincinv(alarms, 0.025)) if alarms else 0.0
    return low * 7.0 / days, float(gammaincinv(alarms + 1, 0.975)) * 7.0 / days


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
        last.unit or "", raised.evidence_nats or 0.0,
        levels(past, monitor, onset, _gone(alarm, planned), is_over=alarm.until is not None), last.note or "", _in_units(past, monitor, last),
    )  # fmt: skip


def _gone(alarm: Alarm, planned: Plan) -> datetime:
    """When a change was over at the latest; an alarm ends a calm day later, unless a person accepted it."""
    return planned.judged.end if alarm.until is None else alarm.until - _CALM


def _in_units(past: Past, monitor: Monitor, finding: Finding) -> units.Moved | None:
    """By how much the median or mean moved, with its interval, where the effect is told in sigma of the reference."""
    binning = units.binning_of(past, monitor)
    if monitor.score != "location" or binning is None or finding.unit == "ratio":
        return None
    return units.moved(binning, (finding.effect, finding.ci_low, finding.ci_high))


def _by_feature(trails: Collection[Trail]) -> dict[str, list[Trail]]:
    found: dict[str, list[Trail]] = {}
    for t in trails:
        found.setdefault(t.monitor.feature, []).append(t)
    return found


def ranked(alarms: Sequence[Found]) -> list[Found]:
    """Those that last first, then by how far they moved over what is known about it."""
    return sorted(alarms, key=lambda a: (a.until is not None, -a.evidence_nats, a.at))
