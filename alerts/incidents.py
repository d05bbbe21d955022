"""Alerts that belong together are one incident: what happened, since when, how much, why, what to do.

Alarms of one model within 6 h of each other are one incident (for the site: of one model and kind). Incidents that one
sick thing strikes are one, too (`alerts.grouping`): the alerts of its parts count in the one they are told in.
Capacity that idles elsewhere belongs to the burn it could relieve: an imbalance alarm whose full side
is a cluster of a burning model joins that incident.
An incident that ended less than an hour ago is opened again rather than doubled. Its severity only
rises. Rows are written when something a person would want to know has changed, not for every window.

Source: METHODS section 4 "After an alarm"; hysteresis is our own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from alerts import cause, wording
from alerts.suggestion import suggest
from observe.schema import Alert, ChangeEvent, Finding, Incident

if TYPE_CHECKING:
    from observe.spec import Config

TOGETHER: Final = timedelta(hours=6)  # METHODS section 4
REOPEN: Final = timedelta(hours=1)  # fired again so soon, it was never well
STRONGER: Final = 1.25  # evidence must grow by this factor before the estimate shown is renewed
_MORE: Final = re.compile(r" \(\+\d+ more (feature|pair)s?( and \d+ more pairs?)?\)$")
RANK: Final[Mapping[str, int]] = {"inform": 0, "ticket": 1, "page": 2}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else is known while incidents are written."""

    changes: Sequence[ChangeEvent]
    signals: Sequence[Finding]
    config: Config
    now: datetime
    explained: frozenset[str] = frozenset()  # incidents whose cause `explaining` says; of others the nearest is named


def identity(prefix: str, *parts: str) -> str:
    """A stable id of 16 hex digits from what makes a thing itself."""
    return f"{prefix}-{sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"


def assign(
    fresh: Sequence[Alert],
    firing: Sequence[Alert],
    incidents: Sequence[Incident],
    relieves: Callable[[Alert, str], bool] = lambda alert, model: False,
) -> dict[str, str]:
    """The incident of each fresh alert, by alert id; ids of new incidents follow from their first alert.

    Args:
        fresh: alerts that have no incident yet.
        firing: alerts that fire and have one.
        incidents: open and recent incidents.
        relieves: whether an imbalance alert is about a cluster of this model.
    """
    homes = {i.incident_id: _Home(i.model, i.kind, [i.opened_at], i.resolved_at) for i in incidents}
    for a in firing:
        if a.incident_id in homes:
            homes[a.incident_id].starts.append(a.starts_at)
    chosen: dict[str, str] = {}
    for a in sorted(fresh, key=_leads):
        fitting = [
            i
            for i, h in homes.items()
            if h.kind == "slo" and a.kind == "imbalance" and h.near(a) and relieves(a, h.model)
        ]
        fitting = fitting or [i for i, home in homes.items() if home.takes(a)]
        if not fitting:
            fitting = [identity("inc", a.model, a.alert_id)]
            homes[fitting[0]] = _Home(a.model, a.kind, [], None)
        best = max(fitting, key=lambda i: (max(homes[i].starts, default=a.starts_at), i))
        homes[best].starts.append(a.starts_at)
        chosen[a.alert_id] = best
    return chosen


def _leads(alert: Alert) -> tuple[bool, datetime, str]:
    """Order in which alerts found incidents: an imbalance follows what it could relieve, else by time."""
    return alert.kind == "imbalance", alert.starts_at, alert.alert_id


@dataclass(slots=True)
class _Home:
    """What decides whether an incident takes one more alert."""

    model: str
    kind: str
    starts: list[datetime]  # of its known alarms
    resolved_at: datetime | None

    def takes(self, alert: Alert) -> bool:
        if alert.model != self.model or (alert.model == wording.SITE and alert.kind != self.kind):
            return False
        return self.near(alert) or (self.resolved_at is not None and abs(alert.starts_at - self.resolved_at) <= REOPEN)

    def near(self, alert: Alert) -> bool:
        """Whether one of its alarms began within six hours of this one."""
        return any(abs(alert.starts_at - start) <= TOGETHER for start in self.starts)


def families(incidents: Iterable[Incident]) -> dict[str, frozenset[str]]:
    """By incident, the ids whose alerts are its own: itself and its parts."""
    made: dict[str, set[str]] = {}
    for i in incidents:
        made.setdefault(i.incident_id, set()).add(i.incident_id)
        if i.part_of:
            made.setdefault(i.part_of, {i.part_of}).add(i.incident_id)
    return {name: frozenset(ids) for name, ids in made.items()}


def update(
    incidents: Sequence[Incident],
    changed: Sequence[Alert],
    firing: Sequence[Alert],
    speaking: Mapping[str, Finding],
    around: Surroundings,
) -> tuple[Incident, ...]:
    """The incidents whose state, severity, members, estimate or cause changed, as new rows.

    Args:
        incidents: open and recent incidents.
        changed: alerts that opened or resolved just now.
        firing: alerts that fire now.
        speaking: the strongest fresh alarm of an alert, by alert_id.
        around: what else is known.
    """
    known, members = {i.incident_id: i for i in incidents}, families(incidents)
    touched = {a.incident_id for a in (*changed, *firing)} | {i.incident_id for i in incidents if i.state == "open"}
    touched |= {str(known[i].part_of) for i in touched if i in known and known[i].part_of in known}
    rows = []
    for incident_id in sorted(touched):
        own = members.get(incident_id, frozenset({incident_id}))
        mine = [a for a in changed if a.incident_id in own]
        on = [a for a in firing if a.incident_id in own]
        before = known.get(incident_id)
        if before is None and not mine:
            continue  # an alert whose incident we were not given: nothing to say
        after = _written(before, mine, on, speaking, around)
        if after != before:
            rows.append(replace(after, changed_at=around.now))
    return tuple(rows)


def _written(
    before: Incident | None,
    changed: Sequence[Alert],
    firing: Sequence[Alert],
    speaking: Mapping[str, Finding],
    around: Surroundings,
) -> Incident:
    made = before or _opened(min(changed, key=_leads), around.now)
    made = _with_members(made, changed, firing)
    speakers = firing if firing and before else {a.alert_id: a for a in (*changed, *firing)}.values()
    told = [(a, speaking[a.alert_id]) for a in speakers if a.alert_id in speaking]
    if told:
        alert, best = max(told, key=_weight)
        left = bool(firing) and any(a.state == "resolved" for a in changed)
        if before is None or left or made.severity != before.severity or _stronger(alert, best, made, changed):
            made = _with_estimate(made, best)
    made = replace(made, summary=_counted(made.summary, firing or changed))
    if made.state == "open" and made.kind != "imbalance" and made.incident_id not in around.explained:
        made = _with_cause(made, around)
    if made != before or (made.state == "open" and "could take it" not in (made.suggestion or "")):
        made = replace(made, suggestion=suggest(made, around.signals, around.config, around.now))
    return made


def _weight(told: tuple[Alert, Finding]) -> tuple[int, float, float]:
    """Severity, then evidence (a counted fact has none); of equals the alert that fired first."""
    alert, finding = told
    return RANK[alert.severity], finding.evidence_nats or 0.0, -alert.starts_at.timestamp()


def _stronger(alert: Alert, best: Finding, incident: Incident, changed: Sequence[Alert]) -> bool:
    """Whether an alert should now speak for an incident that has an estimate already."""
    if alert.severity != incident.severity:
        return False
    new, old = best.evidence_nats or 0.0, incident.evidence_nats or 0.0
    return new > old if alert in changed else new >= STRONGER * old > 0


def _opened(first: Alert, now: datetime) -> Incident:
    return Incident(
        incident_id=first.incident_id, kind=first.kind, model=first.model, severity=first.severity, state="open",
        since=first.starts_at, opened_at=first.starts_at, resolved_at=None, summary=first.summary, effect=None, unit=None,
        ci_low=None, ci_high=None, evidence_nats=None, cause=None, alerts=(), suggestion=None, changed_at=now,
    )  # fmt: skip


def _with_members(incident: Incident, changed: Sequence[Alert], firing: Sequence[Alert]) -> Incident:
    ordered = sorted((*changed, *firing), key=lambda a: (a.starts_at, a.alert_id))
    alerts = tuple(dict.fromkeys((*incident.alerts, *(a.alert_id for a in ordered))))
    worst = max((incident.severity, *(a.severity for a in ordered)), key=RANK.__getitem__)
    ends = [a.ends_at for a in changed if a.ends_at is not None]
    if firing:
        return replace(incident, alerts=alerts, severity=worst, state="open", resolved_at=None)
    ended = max((*ends, *([incident.resolved_at] if incident.resolved_at else [])), default=None)
    return replace(
        incident, alerts=alerts, severity=worst, state="resolved" if ended else incident.state, resolved_at=ended
    )


def _with_estimate(incident: Incident, best: Finding) -> Incident:
    return replace(
        incident, since=wording.onset(best), summary=best.note, effect=best.effect, unit=best.unit,
        ci_low=best.ci_low, ci_high=best.ci_high, evidence_nats=best.evidence_nats,
    )  # fmt: skip


def _counted(summary: str, alerts: Sequence[Alert]) -> str:
    """The summary with what else moved: features, and pairs of features whose correlation did."""
    bare = _MORE.sub("", summary)
    if not all(a.kind == "drift" for a in alerts):
        return bare
    pairs = {a.subject for a in alerts if a.key.endswith("/pair")}
    features = {a.subject for a in alerts} - pairs
    first = any(f" {name} " in f" {bare} " for name in pairs)  # what the summary itself is about
    counted = (len(features) - (not first), "feature"), (len(pairs) - first, "pair")
    more = [f"{n} more {what}{'s' if n > 1 else ''}" for n, what in counted if n > 0]
    return f"{bare} (+{' and '.join(more)})" if more else bare


def _with_cause(incident: Incident, around: Surroundings) -> Incident:
    others = [
        s for s in cause.signals(around.changes, around.signals) if s.kind != incident.kind
    ]  # none is its own cause
    candidates = (*cause.kept(incident.cause), *others)
    model = "" if incident.model == wording.SITE else incident.model
    found = cause.nearest(incident.since, model, wording.clusters(incident.model, around.config), candidates)
    if found is None or (incident.cause is not None and _same(found, cause.kept(incident.cause)[0])):
        return incident
    return replace(incident, cause=found.as_json())


def _same(a: cause.Signal, b: cause.Signal) -> bool:
    return (a.kind, a.subject) == (b.kind, b.subject)
