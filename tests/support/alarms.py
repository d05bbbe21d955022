"""Findings, change events and a configuration for the tests of alerts; every time is minutes after `T0`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from observe.schema import Alert, ChangeEvent, Decision, Finding, Incident
from observe.spec import Config, load

T0 = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SITE = """\
apiVersion: observe/v1
kind: Site
store: {{path: ./data}}
collectors:
  gpus: {{type: prometheus, targets: ["http://127.0.0.1:9400/metrics"], every: 15s}}
alerts: {{mode: {mode}, alertmanager: ["{alertmanager}"], interval: {interval}, dashboardUrl: "http://observe.example.com"}}
"""
MODELS = """\
apiVersion: piqc.ai/v1alpha1
kind: ModelSpec
metadata: {name: chat, version: "42", labels: {team: assistants}, annotations: {runbook: "https://runbooks.example.com/chat"}}
spec:
  operations: {scaling: {minReplicas: 2, maxReplicas: 12}}
---
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat}
selector: {cluster: [eu-west]}
slos:
  - {name: ttft, latency: ttft_s, below: 800ms, objective: 99%, window: 30d}
  - {name: availability, good: status = ok, objective: 99.9%, window: 30d}
actions:
  - {when: slo.ttft.page, do: scale, target: "keda:vllm-chat", approve: human, step: 2, cooldown: 10m}
---
apiVersion: observe/v1
kind: Monitoring
metadata: {name: fraud}
drift: {source: predictions, features: [amount, items, age]}
actions:
  - {when: drift.confirmed, for: 24h, do: retrain, target: "airflow:retrain_fraud", approve: human}
"""


def configured(
    folder: Path, alertmanager: str = "http://127.0.0.1:9", interval: str = "60s", mode: str = "push"
) -> Config:
    (folder / "models").mkdir(parents=True, exist_ok=True)
    (folder / "models" / "all.yaml").write_text(MODELS)
    site = folder / "observe.yaml"
    site.write_text(SITE.format(alertmanager=alertmanager, interval=interval, mode=mode))
    return load(site)


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def finding(monitor: str, minute: float, state: str = "alarm", **more) -> Finding:
    """A finding of `<model>/<detector>/<subject>[/<score>]` whose window ends at a minute."""
    model, detector, subject = monitor.split("/")[:3]
    kinds = {"burn": "slo", "level": "drift", "rate": "drift", "gauge": subject}
    severity = {"burn": "page", "gauge": "inform"}.get(detector, "ticket")
    made = Finding(
        finding_id=f"fnd-{monitor}-{minute}", monitor_id=monitor, detector=detector, model=model, kind=kinds.get(detector, detector),
        subject=subject, window_start=at(minute - 5), window_end=at(minute), state=state, severity=severity, evidence_nats=20.0,
        threshold_nats=10.0, effect=0.42, unit="sigma", ci_low=0.36, ci_high=0.48, onset=None, onset_low=None, onset_high=None,
        n=900, note=f"{subject} moved", details={}, made_at=at(minute),
    )  # fmt: skip
    return replace(made, **more)


def change(kind: str, minute: float, **more) -> ChangeEvent:
    made = ChangeEvent(
        ts=at(minute), event_id=f"{kind}-{minute}", kind=kind, object_kind=None, object_name=None, namespace=None, cluster=None,
        node=None, model_id=None, before=None, after=None, revision=None, actor=None, severity=None, message=None, source="test",
        ingested_at=at(minute),
    )  # fmt: skip
    return replace(made, **more)


class History:
    """The rows that decisions appended, and the views on them that the next decision is given."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.alerts: dict[str, Alert] = {}
        self.incidents: dict[str, Incident] = {}
        self.actions: dict[str, object] = {}

    def decide(self, minute: float, *findings: Finding, changes=(), signals=(), running=None) -> Decision:
        from alerts import policy

        firing = [a for a in self.alerts.values() if a.state == "firing"]
        made = policy.decide(
            findings,
            firing,
            list(self.incidents.values()),
            changes,
            signals,
            self.config,
            at(minute),
            list(self.actions.values()),
            running=running or {},
        )
        self.alerts |= {a.alert_id: a for a in made.alerts}
        self.incidents |= {i.incident_id: i for i in made.incidents}
        self.actions |= {a.action_id: a for a in made.actions}
        return made

    @property
    def incident(self) -> Incident:
        (only,) = self.incidents.values()
        return only
