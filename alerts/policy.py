"""Findings become alerts, alerts become incidents, incidents propose actions; pure, and the same twice.

A finding in state `alarm` opens or keeps the alert of its monitor. Detectors hold an alarm until it is
over, so any other state resolves it, but for `unknown`: no data is not recovery. A finding of severity
`inform` is a signal, never an alert. An alert whose severity changes ends as what it was and begins as
what it is, in the same incident, so that the labels of an alert never change.

Source: our own; ARCHITECTURE section 2 "Alert", METHODS sections 4 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from alerts import incidents, proposals, wording
from alerts.incidents import Surroundings, identity
from observe.schema import Action, Alert, ChangeEvent, Decision, Finding, Incident
from observe.spec.monitors import PAGES, no_data, undeclared

if TYPE_CHECKING:
    from observe.spec import Config

NO_DATA: Final = "unknown"


def decide(  # noqa: PLR0913, PLR0917 - everything a decision may look at, as the stage is given it
    findings: Sequence[Finding],
    open_alerts: Sequence[Alert],
    open_incidents: Sequence[Incident],
    changes: Sequence[ChangeEvent],
    signals: Sequence[Finding],
    config: Config,
    now: datetime,
    actions: Sequence[Action] = (),
    explained: frozenset[str] = frozenset(),
    running: Mapping[str, int] = MappingProxyType({}),
) -> Decision:
    """What to append for these findings; only rows that changed.

    Args:
        findings: findings not decided upon yet, in any order.
        open_alerts: the newest row of every firing alert.
        open_incidents: the newest row of every incident that is open or changed within the last day.
        changes: change events around the onsets of the findings.
        signals: recent alarms of kinds gpu, queue and imbalance.
        config: what is declared.
        now: the present, written as `at`.
        actions: the newest row of recent actions; without it an action would be proposed again.
        explained: incidents that have an explanation, which names their cause.
        running: replicas that are seen, by model.
    """
    desk = _Desk(open_alerts, open_incidents, config, now)
    for finding in sorted({f.finding_id: f for f in findings}.values(), key=lambda f: (f.window_end, f.finding_id)):
        desk.take(finding)
    desk.end_orphans()
    changed, firing = desk.rows(open_incidents)
    informed = [f for f in findings if f.state == "alarm" and f.kind in ("gpu", "queue", "imbalance")]
    around = Surroundings(changes, (*signals, *informed), config, now, explained)
    written = incidents.update(open_incidents, changed, firing, desk.speaking, around)
    current = {i.incident_id: i for i in (*open_incidents, *written)}
    performed = [f for f in (*signals, *findings) if f.kind == "performance"]
    present = proposals.Present(tuple(current.values()), firing, changes, actions, performed, running)
    return Decision(changed, written, proposals.propose(present, config, now))


@dataclass(slots=True)
class _Desk:
    """Alerts while findings are taken one after another."""

    open_alerts: Sequence[Alert]
    open_incidents: Sequence[Incident]
    config: Config
    now: datetime
    firing: dict[str, Alert] = field(default_factory=dict)  # by key
    changed: dict[str, Alert] = field(default_factory=dict)  # by alert_id
    speaking: dict[str, Finding] = field(default_factory=dict)  # strongest fresh alarm, by alert_id
    replayed: set[str] = field(default_factory=set)  # keys inside an episode that was decided before
    known: frozenset[str] = frozenset()  # alert ids that were decided before

    def __post_init__(self) -> None:
        self.firing = {a.key: a for a in self.open_alerts}
        self.known = frozenset(a for i in self.open_incidents for a in i.alerts)

    def take(self, finding: Finding) -> None:
        """Let one finding open, keep, replace or resolve the alert of its monitor."""
        key, alert = finding.monitor_id, self.firing.get(finding.monitor_id)
        if alert is not None and self._is_old(finding, alert):
            return
        if finding.state == "alarm" and finding.severity != "inform":
            self._alarm(finding, alert)
        elif finding.state not in ("alarm", NO_DATA):
            self.replayed.discard(key)
            if alert is not None:
                self._resolve(alert, finding.window_end, finding.finding_id)

    def _is_old(self, finding: Finding, alert: Alert) -> bool:
        decided_before = alert.alert_id not in self.changed and finding.made_at < alert.changed_at
        return decided_before or finding.window_end < alert.starts_at

    def _alarm(self, finding: Finding, alert: Alert | None) -> None:
        if alert is None:
            self._open(finding)
        elif finding.severity != alert.severity:
            self._resolve(alert, finding.window_end, finding.finding_id)
            self._open(finding, alert.incident_id)
        else:
            best = self.speaking.get(alert.alert_id)
            if best is None or (finding.evidence_nats or 0.0) > (best.evidence_nats or 0.0):
                self.speaking[alert.alert_id] = finding

    def _open(self, finding: Finding, incident_id: str = "") -> None:
        key, starts_at = finding.monitor_id, finding.window_end
        alert_id = identity("alr", key, wording.instant(starts_at), finding.severity)
        if alert_id in self.known or key in self.replayed:
            self.replayed.add(key)
            return
        alert = Alert(
            alert_id=alert_id, key=key, incident_id=incident_id, finding_id=finding.finding_id, model=finding.model,
            kind=finding.kind, subject=finding.subject, severity=finding.severity, state="firing", starts_at=starts_at,
            ends_at=None, summary="", labels={}, annotations={}, changed_at=self.now,
        )  # fmt: skip
        self.firing[key] = self.changed[alert_id] = alert
        self.speaking[alert_id] = finding

    def _resolve(self, alert: Alert, ended: datetime, finding_id: str) -> None:
        ends_at = max(ended, alert.starts_at)
        resolved = replace(alert, state="resolved", ends_at=ends_at, finding_id=finding_id, changed_at=self.now)
        self.changed[alert.alert_id] = resolved
        del self.firing[alert.key]

    def end_orphans(self) -> None:
        """Resolve alerts whose question is not asked any more: nobody would ever resolve them."""
        for alert in [a for a in self.firing.values() if not _asked(a, self.config)]:
            self._resolve(alert, self.now, alert.finding_id)

    def rows(self, incidents_known: Sequence[Incident]) -> tuple[tuple[Alert, ...], tuple[Alert, ...]]:
        """Changed rows and what fires now, every alert with its incident and words."""
        fresh = [a for a in self.changed.values() if not a.labels]
        homeless = [a for a in fresh if not a.incident_id]
        homes = incidents.assign(
            homeless, [a for a in self.firing.values() if a.incident_id], incidents_known, self._relieves
        )
        done = {a.alert_id: self._worded(a, a.incident_id or homes[a.alert_id]) for a in fresh}
        changed = tuple(done.get(i, a) for i, a in sorted(self.changed.items()))
        return changed, tuple(done.get(a.alert_id, a) for _, a in sorted(self.firing.items()))

    def _relieves(self, alert: Alert, model: str) -> bool:
        """Whether the full side of an imbalance is a cluster of this model."""
        busy = self.speaking[alert.alert_id].details.get("busy") if alert.alert_id in self.speaking else None
        return isinstance(busy, Mapping) and busy.get("cluster") in wording.clusters(model, self.config)

    def _worded(self, alert: Alert, incident_id: str) -> Alert:
        told = self.speaking[alert.alert_id]
        return replace(
            alert, incident_id=incident_id, summary=told.note, labels=wording.labels_of(told, alert.severity, self.config),
            annotations=wording.annotations_of(told, incident_id, self.config),
        )  # fmt: skip


def _asked(alert: Alert, config: Config) -> bool:
    """Whether the configuration still asks the question behind an alert."""
    if alert.model == wording.SITE:
        expected = alert.subject in config.site.collectors or (alert.subject == PAGES and undeclared(config, {PAGES}))
        return alert.kind != "silence" or expected
    model = config.models.get(alert.model)
    if model is None or model.monitoring is None:
        return False
    if alert.kind == "silence":
        return any(slo.no_data_s and no_data(model.name, slo) == alert.subject for slo in model.monitoring.slos)
    if alert.kind == "skew":
        return model.monitoring.drift is not None and model.monitoring.drift.skew is not None
    if alert.kind == "performance":
        return model.monitoring.performance is not None
    return alert.kind != "slo" or any(slo.name == alert.subject for slo in model.monitoring.slos)
