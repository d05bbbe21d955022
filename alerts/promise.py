"""An SLO as rules need it: what is counted, what is promised, and which burns disturb whom.

Source: METHODS section 6; Google SRE Workbook, "Alerting on SLOs".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from observe.spec.burn import TIERS, Tier
from observe.spec.quantity import write_duration, write_percent

PHI: Final = 3.0  # burst factor where none is known: METHODS section 6
LADDER: Final = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 89.0)
WINDOW: Final = "$window"  # stands for the range in an expression
WINDOW_S: Final = "$window_s"  # and for its length in seconds


@dataclass(frozen=True, slots=True)
class Sli:
    """What Prometheus counts of an SLO, as PromQL with `$window` for the range.

    Either `total` and `errors` count events, or `ratio` is the share of bad ones and nothing is counted.
    """

    total: str = ""
    errors: str = ""
    ratio: str = ""
    good: str = ""  # what `errors` was made from, where good events were given
    by_time: bool = False  # an event is a minute

    @property
    def counts(self) -> bool:
        """Whether events are counted, so that there is evidence."""
        return bool(self.total)


@dataclass(frozen=True, slots=True)
class Promise:
    """One SLO: of which service, what is promised, and how its alarms are made.

    Args:
        slo_id: `<service or model>.<name>`, unique.
        service: whose rules file it goes into.
        name: what people call it.
        objective: share of good events, 0-1.
        window_s: period of the promise, s.
        sli: what Prometheus can see of it; None when it cannot.
        judged: what the service judges it by, for people; "" when the service does not.
        owner: who is responsible; "" when nobody is named.
        description: what it is about, in a sentence.
        tiers: burns that disturb someone.
        alpha: false alarms allowed a 360-day year, by severity.
        phi: burst factor, at least 1.
        after_s: how long a tier's condition must hold, by tier; at once where none is named.
        labels: further labels of its alerts, by severity; `""` for all.
        annotations: likewise annotations.
        no_data: whether vanished counters are told.
        tickets_only: whether no tier may page, whatever its severity.
        calendar: unit and time_zone of a period that begins at local midnight; empty for a rolling one.
        dialect: whose dashboards are to read the recordings, too: sloth or pyrra.
        origin: `file:line:col` it was declared at.
    """

    slo_id: str
    service: str
    name: str
    objective: float
    window_s: float
    sli: Sli | None
    judged: str = ""
    owner: str = ""
    description: str = ""
    tiers: tuple[Tier, ...] = TIERS
    alpha: Mapping[str, float] = field(default_factory=dict)
    phi: float = PHI
    after_s: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    annotations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    no_data: bool = True
    tickets_only: bool = False
    dialect: str = ""
    calendar: Mapping[str, str] = field(default_factory=dict)  # unit and time_zone, of a calendar period
    origin: str = ""

    @property
    def budget(self) -> float:
        """Share of events that may be bad."""
        return round(1 - self.objective, 12)

    @property
    def usable(self) -> tuple[Tier, ...]:
        """The tiers that a total outage can reach."""
        return tuple(t for t in self.tiers if t.can_fire(self.objective, self.window_s))

    @property
    def over(self) -> str:
        """The period, for people."""
        if self.calendar:
            return f"calendar {self.calendar['unit']} ({self.calendar['time_zone']})"
        return write_duration(self.window_s)

    def severity(self, tier: Tier) -> str:
        """Whom a tier disturbs: page or ticket."""
        return "ticket" if self.tickets_only else tier.severity

    def factor(self, tier: Tier) -> float:
        """Burn rate at which a tier fires; where nothing is counted no evidence keeps it from firing at the allowed one."""
        factor = tier.factor(self.window_s)
        return factor if self.sli is None or self.sli.counts else max(1.0, factor)

    def gate_nats(self, tier: Tier) -> float:
        """Evidence that a tier asks for; a severity's false alarms are split over its tiers."""
        of_severity = sum(t.severity == tier.severity for t in self.usable)
        return max(0.0, tier.gate_nats(self.alpha[tier.severity] / of_severity))

    def given(self, kind: str, severity: str) -> dict[str, str]:
        """Further labels or annotations of an alert of one severity."""
        given: Mapping[str, Mapping[str, str]] = self.labels if kind == "labels" else self.annotations
        return {**given.get("", {}), **given.get(severity, {})}


def left_out(promise: Promise) -> list[str]:
    """One warning for each tier that no outage can reach."""
    said = []
    for tier in promise.tiers:
        if tier in promise.usable:
            continue
        factor, window = promise.factor(tier), promise.over
        why = (
            f"even a total outage burns only {1 / promise.budget:.4g} times the budget, {factor:.4g} would be needed"
            if tier.long_s < promise.window_s
            else f"its {write_duration(tier.long_s)} window does not fit into {window}"
        )
        said.append(
            f"{promise.origin}: {promise.slo_id} ({write_percent(promise.objective)} over {window}): "
            f"tier {tier.name} can never fire and is left out: {why}"
        )
    return said


def on_ladder(phi: float | None) -> float:
    """A burst factor rounded up to a step, so that rules seldom change.

    >>> on_ladder(3.2), on_ladder(None)
    (5.0, 3.0)
    """
    if phi is None:
        return PHI
    return next((step for step in LADDER if phi <= step), LADDER[-1])
