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

from detectors import gates, scores
from observe.app import backtest_streams as streams
from observe.app.backtest_levels import Levels, levels
from observe.app.backtest_plan import DAY_S, HOUR_S, Options, Plan, plan
from observe.app.backtest_table import Table
from observe.app.backtest_walk import Alarm, Moved, Past, Trail, walk
from observe.schema import Finding, Monitor

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
    in_units: tuple[float, float, float] | None = (
        None  # effect and its interval in the feature's own unit, of its median
    )


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest lasting change that is found within a day with 90 %: as the detector knows it, and as people do."""

    value: float  # sigma of the score, or a ratio of rates
    in_units: (
        float | None
    )  # change of the median in the feature's own unit, of a share in pp; the share that a rate rises to
    unit: str  # of the latter: median | pp | % of rows


@dataclass(frozen=True, slots=True)
class Backtest:
    """What was found, and at what rate, against the budget."""

    plan: Plan
    monitors: tuple[Monitor, ...]
    budget_per_30d: float
    alarms: tuple[Found, ...]  # in order of time
    states: Mapping[str, str]  # the newest by feature
    judged: Mapping[str, Mapping[str, float]]  # share of the windows by feature and state of its location
    smallest: Mapping[str, Smallest | None]  # of the main stream of each feature
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
        last.unit or "", raised.evidence_nats or 0.0, levels(past, monitor, onset, alarm.until or planned.judged.end), last.note or "",
        _in_units(past, monitor, last),
    )  # fmt: skip


def _in_units(past: Past, monitor: Monitor, finding: Finding) -> tuple[float, float, float] | None:
    """By how much the median moved, with its interval, where the effect is told in sigma of the reference."""
    mine = (b for b in past.binnings.values() if f"{b.model}/{b.source_table}/{b.feature}" == monitor.measure)
    quantiles = next((b.quantiles for b in mine), None)
    if monitor.score != "location" or not quantiles or None in (finding.effect, finding.ci_low, finding.ci_high):
        return None
    middle = scores.at_sigma(quantiles, 0.0)
    effect, low, high = (
        float(f"{scores.at_sigma(quantiles, v or 0.0) - middle:.6g}")
        for v in (finding.effect, finding.ci_low, finding.ci_high)
    )
    return effect, low, high


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


def _smallest(planned: Plan, trails: Collection[Trail]) -> dict[str, Smallest | None]:
    """The smallest lasting change that the main stream of each feature would have found; None where unknown."""
    found: dict[str, Smallest | None] = dict.fromkeys(planned.kinds)
    for feature, ts in _by_feature(trails).items():
        main = _main(ts)
        value, units = (main.details.get(f"min_detectable_24h{end}") for end in ("", "_units"))
        if value is not None:
            upper = main.details.get("upper")  # of a rate: the share of rows that is still normal
            rows = min(100.0, float(f"{100 * value * upper:.3g}")) if upper is not None else units
            unit = "% of rows" if upper is not None else "median" if main.monitor.score == "location" else "pp"
            found[feature] = Smallest(value, rows, unit)
    return found


def ranked(alarms: Sequence[Found]) -> list[Found]:
    """Those that last first, then by how far they moved over what is known about it."""
    return sorted(alarms, key=lambda a: (a.until is not None, -a.evidence_nats, a.at))
