"""How an alert reads: its labels, which never change in its life, and its annotations.

Labels route and group; they are strings without measurements, so that an alert keeps its identity at
the receiver. Everything measured is in the annotations.

Source: Prometheus and Alertmanager label conventions; our own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from observe.schema import Finding, Incident

if TYPE_CHECKING:
    from observe.spec import Config, ModelSpec

SITE: Final = "site"
NAMES: Final[Mapping[str, str]] = {
    "slo": "SloBurn", "drift": "Drift", "silence": "SourceSilent", "imbalance": "CapacityImbalance", "gpu": "GpuStraggler",
    "canary": "CanaryWorse", "performance": "PerformanceLoss", "skew": "TrainingServingSkew",
}  # fmt: skip
_PAGES: Final[Mapping[str, str]] = {"imbalance": "/gpu", "gpu": "/gpu", "silence": "/"}
_BEFORE: Final = timedelta(hours=1)  # shown before the onset, so that the change can be seen


def instant(at: datetime) -> str:
    """An instant as RFC 3339 in UTC, milliseconds, `Z`.

    >>> instant(datetime(2026, 11, 20, 9, 5, tzinfo=UTC))
    '2026-11-20T09:05:00.000Z'
    """
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def said(at: datetime) -> str:
    """An instant as people read it.

    >>> said(datetime(2026, 11, 20, 9, 5, tzinfo=UTC))
    '2026-11-20 09:05 UTC'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def onset(finding: Finding) -> datetime:
    """The most likely start of what a finding reports; its window's start when it names none."""
    return finding.onset or finding.window_start


def clusters(model: str, config: Config) -> tuple[str, ...]:
    """Clusters a model is declared to run in; empty when it does not say."""
    known = config.models.get(model)
    return known.monitoring.selector.clusters if known and known.monitoring else ()


def whose(incident: Incident) -> str:
    """Whose incident it is: its models; "" for the platform's own."""
    return ", ".join(m for m in (incident.models or (incident.model,)) if m != SITE)


def spec_of(model: str, config: Config) -> ModelSpec | None:
    """The ModelSpec of a model, if it has one."""
    known = config.models.get(model)
    return known.spec if known else None


def cluster_of(finding: Finding, config: Config) -> str:
    """The one cluster a finding is about; "" when it is about several or none is known."""
    told = finding.details.get("cluster")
    if isinstance(told, str):
        return told
    declared = clusters(finding.model, config)
    return declared[0] if len(declared) == 1 else ""


def labels_of(finding: Finding, severity: str, config: Config) -> dict[str, str]:
    """The labels of the alert that a finding raises; empty ones are left out."""
    spec = spec_of(finding.model, config)
    own = spec.labels if spec else {}
    made = {
        "alertname": NAMES.get(finding.kind, finding.kind.capitalize()),
        "slo_id": f"{finding.model}.{finding.subject}" if finding.kind == "slo" else "",
        "monitor": "" if finding.kind == "slo" else finding.monitor_id,
        "service": str(own.get("service", finding.model)),
        "team": str(own.get("team", "")),
        "model": finding.model,
        "severity": severity,
        "kind": finding.kind,
        "cluster": cluster_of(finding, config),
    }
    return {name: value for name, value in made.items() if value}


def annotations_of(finding: Finding, incident_id: str, config: Config) -> dict[str, str]:
    """The annotations of an alert: what, since when, how much, how sure, where to look."""
    since = onset(finding)
    spec = spec_of(finding.model, config)
    made = {
        "summary": f"{finding.model}: {finding.note}" if finding.model != SITE else finding.note,
        "description": description(finding),
        "onset": instant(since),
        "effect": effect(finding.effect, finding.unit, finding.ci_low, finding.ci_high),
        "evidence": evidence(finding.evidence_nats, finding.threshold_nats),
        "incident": incident_id,
        "runbook_url": str(spec.annotations.get("runbook", "")) if spec else "",
        "dashboard_url": dashboard_url(finding, config),
    }
    return {name: value for name, value in made.items() if value}


def description(finding: Finding) -> str:
    """Two or three sentences a person can act upon."""
    what = {
        "slo": f"SLO {finding.subject} of {finding.model}",
        "drift": f"Feature {finding.subject} of {finding.model}",
        "canary": f"Version {finding.subject} of {finding.model}",
        "performance": f"{finding.subject.replace('_', ' ').capitalize()} of {finding.model} by its labels",
        "skew": f"Feature {finding.subject} of {finding.model} beside its training file",
    }
    head = f"{what.get(finding.kind, finding.subject)}: {finding.note}."
    since = f"Most likely since {said(onset(finding))}"
    if finding.onset_low and finding.onset_high:
        since += f" (between {said(finding.onset_low)} and {said(finding.onset_high)})"
    rows = f" Judged on {finding.n:,} {finding.details.get('counted', 'rows')}." if finding.n else ""
    return f"{head} {since}.{rows}"


def effect(value: float | None, unit: str | None, low: float | None, high: float | None) -> str:
    """An effect with its interval, in the user's unit; "" when there is none.

    >>> effect(0.42, "sigma", 0.36, 0.48)
    '+0.42 σ (95 % 0.36 … 0.48)'
    >>> effect(18.0, "x budget", None, None)
    '18 x budget'
    """
    if value is None:
        return ""
    sign = "+" if unit in ("sigma", "σ", "pp", "%") and value > 0 else ""
    shown = f"{sign}{value:.3g} {'σ' if unit == 'sigma' else unit or ''}".rstrip()
    return shown if low is None or high is None else f"{shown} (95 % {low:.3g} … {high:.3g})"


def evidence(nats: float | None, needed: float | None) -> str:
    """How sure we are; a counted fact needs no evidence."""
    if nats is None:
        return "counted, not estimated"
    return f"{nats:.1f} nats" + (f", {needed:.1f} needed" if needed is not None else "")


def slo_url(home: str | None, slo_id: str) -> str:
    """The page of an SLO, the same whether the service or a generated rule tells of it; "" when the site names no address.

    >>> slo_url("https://observe.example.com/", "chat.ttft")
    'https://observe.example.com/slos?id=chat.ttft'
    """
    return f"{str(home).rstrip('/')}/slos?id={quote(slo_id, safe='')}" if home else ""


def dashboard_url(finding: Finding, config: Config) -> str:
    """The page that shows it; of what is not an SLO from an hour before the onset until now; "" without an address."""
    home = config.site.alerts.dashboard_url
    if not home:
        return ""
    if finding.kind == "slo" or (finding.kind == "silence" and finding.model != SITE):
        return slo_url(home, f"{finding.model}.{finding.monitor_id.rpartition('/')[2]}")
    path = _PAGES.get(finding.kind, "/gpu") if finding.model == SITE else f"/model/{quote(finding.model, safe='')}"
    query = {"from": instant(onset(finding) - _BEFORE), "cluster": cluster_of(finding, config)}
    return f"{str(home).rstrip('/')}{path}?{urlencode({k: v for k, v in query.items() if v})}"
