"""Rules about drift, GPUs, sources and Observe itself; the same alert names and kinds as the service sends.

What the service found comes from its exposition. XIDs and idle GPUs are asked of dcgm-exporter's series
where Prometheus scrapes it, so that they are told while the service is away, too.

Source: our own metrics (`observe.telemetry`, `observe.app.publishing`); NVIDIA dcgm-exporter, default
counters; NVIDIA, "XID Errors" (those left out are the application's own doing as a rule).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from alerts.wording import NAMES

Group = dict[str, Any]
_KINDS: Final[Mapping[str, str]] = {
    "drift": "{{ $labels.model }}: {{ $value }} monitored streams have moved",
    "performance": "{{ $labels.model }} does worse by its labels",
    "skew": "{{ $labels.model }} is asked other rows than it was trained on",
    "silence": "a source of {{ $labels.model }} is silent",
    "imbalance": "one region is full while another idles",
    "gpu": "{{ $value }} GPUs lag behind their peers",
    "canary": "a new version of {{ $labels.model }} is worse than the old one",
}  # kind of alert -> its summary
_PAGES: Final[Mapping[str, str]] = {
    "drift": "/model/{{ $labels.model }}",
    "performance": "/model/{{ $labels.model }}",
    "skew": "/model/{{ $labels.model }}",
    "silence": '{{ if eq $labels.model "site" }}/{{ else }}/slos?model={{ $labels.model | urlquery }}{{ end }}',
    "imbalance": "/gpu",
    "gpu": "/gpu",
    "canary": "/model/{{ $labels.model }}",
}
_APPLICATION_XIDS: Final = "13|31|32|43|45|69|109"
_GPU: Final = "Hostname, gpu, UUID, modelName, cluster"


def groups(dashboard_url: str = "") -> list[Group]:
    """All groups of a site that are not about one SLO."""
    home = dashboard_url.rstrip("/")
    return [
        {"name": "observe:findings", "interval": "1m", "rules": [_finding(kind, home) for kind in _KINDS]},
        {"name": "observe:gpu", "interval": "1m", "rules": [_xid(home), _xid_page(home), _idle(home)]},
        {"name": "observe:self", "interval": "1m", "rules": _of_itself(home)},
    ]


def _rule(
    name: str, expression: str, severity: str, said: Mapping[str, str], for_: str = "", keeps: str = ""
) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": name, "expr": expression}
    if for_:
        rule["for"] = for_
    if keeps:
        rule["keep_firing_for"] = keeps
    if severity:
        rule["labels"] = {"severity": severity}
    rule["annotations"] = {key: text for key, text in said.items() if text}
    return rule


def _finding(kind: str, home: str) -> dict[str, Any]:
    """What the service found, as long as it says so; a short absence of the service does not end it."""
    expression = f'max by (model, kind, severity) (observe_alerts_firing{{kind="{kind}"}}) > 0'
    said = {
        "summary": _KINDS[kind],
        "description": "Found by Observe within its declared false-alarm budget; onset, effect and cause are in view incident.",
        "dashboard_url": f"{home}{_PAGES[kind]}" if home else "",
    }
    return _rule(NAMES[kind], expression, "", said, keeps="10m")


def _xid(home: str) -> dict[str, Any]:
    """A new XID: the gauge keeps the last code for ever, so only its change is news."""
    metric = "DCGM_FI_DEV_XID_ERRORS"
    news = f"({metric} > 0 and changes({metric}[10m]) > 0)"
    own = " or ".join(f"{metric} == {code}" for code in _APPLICATION_XIDS.split("|"))
    said = {
        "summary": "GPU {{ $labels.gpu }} of {{ $labels.Hostname }} reports XID {{ $value }}",
        "description": "The GPU or its driver reports a fault that is not the application's as a rule; see NVIDIA's list of XIDs.",
        "runbook_url": "https://docs.nvidia.com/deploy/xid-errors/",
        "dashboard_url": f"{home}/gpu" if home else "",
    }
    return _rule("GpuXid", f"max by ({_GPU}) ({news} unless ({own}))", "ticket", said, keeps="15m")


def _xid_page(home: str) -> dict[str, Any]:
    """An XID while an SLO pages in its cluster is a page: it keeps that one quiet, and somebody must be woken."""
    fault = 'ALERTS{alertname="GpuXid", severity="ticket", alertstate="firing"'
    burns = 'ALERTS{alertname="SloBurn", severity="page", alertstate="firing"'
    told = 'observe_alerts_firing{kind="slo", severity="page", alert_cluster'  # what the service pushed by itself
    there = f'label_replace({told}!~"|none"}} > 0, "cluster", "$1", "alert_cluster", "(.+)")'
    # of no one cluster ("none") it is never kept quiet, so no XID has to speak for it; "": a service that does not say yet
    pushed = (
        f'{fault}}} and on (cluster) {there}\n  or {fault}, cluster=""}} and on () ({told}!="none"}} > 0)'
        f'\n  or {fault}}} and on () ({told}=""}} > 0)'
    )
    same = (
        f"{fault}}} and on (cluster) {burns}}}"  # a Prometheus of one cluster may add that label only as alerts leave
    )
    either = f'{fault}}} and on () {burns}, cluster=""}}\n  or {fault}, cluster=""}} and on () {burns}}}'
    expression = f"max by ({_GPU}) (\n  {same}\n  or {either}\n  or {pushed}\n)"
    said = {
        "summary": "GPU {{ $labels.gpu }} of {{ $labels.Hostname }} reports an XID while SLOs of its cluster page",
        "description": (
            "SLO pages of this cluster are kept quiet while this one fires: look at the GPU first. "
            "They are told by themselves when it is over and they still burn."
        ),
        "runbook_url": "https://docs.nvidia.com/deploy/xid-errors/",
        "dashboard_url": f"{home}/incidents" if home else "",
    }
    return _rule("GpuXid", expression, "page", said)


def _idle(home: str) -> dict[str, Any]:
    """Memory is taken and nothing is computed: neither engine nor utilisation moved for six hours."""
    # there now and six hours ago: a new pod is a new series, and ranges also hold series that have ended
    taken = "min_over_time(DCGM_FI_DEV_FB_USED[6h]) > 1024 and DCGM_FI_DEV_FB_USED and DCGM_FI_DEV_FB_USED offset 6h"
    engine = "max_over_time(DCGM_FI_PROF_GR_ENGINE_ACTIVE[6h]) < 0.05"
    used = 'max_over_time(DCGM_FI_DEV_GPU_UTIL{GPU_I_ID=""}[6h])'  # 0 by design under MIG
    said = {
        "summary": "GPU {{ $labels.gpu }} of {{ $labels.Hostname }} has been idle for 6 h with its memory taken",
        "description": "More than 1 GiB of its memory is in use and at most 5 % of its engine was; somebody holds it and does not use it.",
        "dashboard_url": f"{home}/gpu" if home else "",
    }
    expression = (
        f"max by ({_GPU}) (\n  {taken}\n  and on (UUID, Hostname, GPU_I_ID) "
        f"(\n    ({engine} unless on (UUID, Hostname) {used} >= 5)\n"
        f"    or ({used} < 5 unless on (UUID, Hostname) DCGM_FI_PROF_GR_ENGINE_ACTIVE)\n  )\n)"
    )
    return _rule("GpuIdle", expression, "ticket", said, for_="15m")


def _of_itself(home: str) -> list[dict[str, Any]]:
    health = f"{home}/health" if home else ""

    def told(name: str, expression: str, for_: str, summary: str, description: str) -> dict[str, Any]:
        said = {"summary": summary, "description": description, "dashboard_url": health}
        return _rule(name, expression, "ticket", said, for_)

    return [
        told(
            "ObserveDown", "absent(observe_watermark_timestamp_seconds)", "5m", "Observe is gone",
            "Prometheus has no metrics of it. SLOs that Prometheus can count go on by its rules; nothing else is watched.",
        ),
        told(
            "ObserveBehind",
            'time() - max by (stage) (observe_watermark_timestamp_seconds{stage=~"detect[.]burn|summarise[.].+/attempts"}) > 900',
            "10m", "Observe is behind: {{ $labels.stage }}", "This stage is {{ $value | humanizeDuration }} behind the present.",
        ),
        told(
            "ObserveStageFailing", "sum by (stage) (increase(observe_stage_errors_total[30m])) > 3", "5m",
            "Observe fails at {{ $labels.stage }}", "The stage is tried again and again; the log says why.",
        ),
        told(
            "ObserveRejecting",
            "sum by (source) (rate(observe_rejected_total[15m])) / (sum by (source) (rate(observe_accepted_total[15m])) > 0) > 0.05",
            "15m", "Observe rejects {{ $value | humanizePercentage }} of what {{ $labels.source }} sends",
            "observe_rejected_total says for which reasons.",
        ),
        told(
            "ObserveRefusing", 'sum by (path) (increase(observe_refused_bodies_total{status=~"429|503"}[15m])) > 0', "15m",
            "Observe is full: bodies to {{ $labels.path }} are refused", "Nothing of these bodies was taken; senders must try again.",
        ),
        told(
            "ObserveChildRestarting", "sum by (child) (increase(observe_child_restarts_total[1h])) > 3", "",
            "Observe restarts {{ $labels.child }} again and again", "The log says what ends it.",
        ),
        told(
            "ObserveDataDamaged", "max by (kind) (observe_store_damages) > 0", "",
            "Data of Observe is damaged: {{ $labels.kind }}", "observe verify says what is missing or changed.",
        ),
        told(
            "ObserveBudgetOverspent",
            "max by (severity) (observe_alarm_budget_notified) > max by (severity) (observe_alarm_budget_declared)", "1h",
            "More {{ $labels.severity }} incidents than false alarms are allowed",
            "{{ $value }} incidents were notified in the period. If they were real, mark them so; if not, the budget is not kept.",
        ),
    ]  # fmt: skip
