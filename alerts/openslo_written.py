"""SLOs written as OpenSLO v1, with their tiers as alert policies.

Source: OpenSLO specification v1 (github.com/OpenSLO/OpenSLO).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from alerts import openslo_window
from alerts.openslo import VERSION
from alerts.promise import Promise, Sli
from alerts.sloth import query
from observe.spec.burn import Tier
from observe.spec.quantity import write_duration

_COUNTER = re.compile(r"sum\(increase\((.*)\[\$window\]\)\)", re.DOTALL)


def documents(found: Sequence[Promise], notes: list[str]) -> list[dict[str, Any]]:
    """SLOs as documents of kind SLO; those that Prometheus cannot count are noted and left out."""
    made, names = [], object_names(found)
    for promise in found:
        if promise.sli is None:
            notes.append(f"{promise.slo_id} is left out: Prometheus cannot count it")
            continue
        if promise.sli.by_time:
            notes.append(f"{promise.slo_id}: its minutes are written as counts; budgetingMethod stays Occurrences")
        made.append(_document(promise, promise.sli, names[promise.slo_id]))
    return made


def object_names(found: Sequence[Promise]) -> dict[str, str]:
    """What the object of each SLO is called, by slo_id: its name, with its service before it where another has it, too."""
    services: dict[str, set[str]] = defaultdict(set)
    for promise in found:
        services[_named(promise.name)].add(promise.service)
    return {
        p.slo_id: name if len(services[name := _named(p.name)]) == 1 else _named(f"{p.service}-{p.name}") for p in found
    }


def _document(promise: Promise, sli: Sli, name: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    labels = {**promise.given("labels", ""), **({"owner": promise.owner} if promise.owner else {})}
    if labels:
        metadata["labels"] = labels
    kept = {
        name: text
        for name, text in promise.given("annotations", "").items()
        if name in {"runbook_url", "dashboard_url"}
    }
    if kept:
        metadata["annotations"] = kept
    spec: dict[str, Any] = {"description": promise.description} if promise.description else {}
    spec |= {
        "service": promise.service,
        "indicator": {"metadata": {"name": name}, "spec": {"ratioMetric": _ratio(sli)}},
        "timeWindow": [openslo_window.written(promise.window_s, promise.calendar)],
        "budgetingMethod": "Occurrences",
        "objectives": [{"displayName": promise.name, "target": promise.objective}],
        "alertPolicies": [_policy(promise, tier) for tier in promise.usable],
    }
    return {"apiVersion": VERSION, "kind": "SLO", "metadata": metadata, "spec": spec}


def _named(name: str) -> str:
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")


def _ratio(sli: Sli) -> dict[str, Any]:
    if not sli.counts:
        return {"rawType": "failure", "raw": _metric(sli.ratio)}
    part = {"good": _metric(sli.good)} if sli.good else {"bad": _metric(sli.errors)}
    return {"counter": True, **part, "total": _metric(sli.total)}


def _metric(expression: str) -> dict[str, Any]:
    plain = _COUNTER.fullmatch(expression)
    text = f"sum({plain[1]})" if plain else query(expression)
    return {"metricSource": {"type": "Prometheus", "spec": {"query": text}}}


def _policy(promise: Promise, tier: Tier) -> dict[str, Any]:
    condition = {
        "kind": "burnrate", "threshold": float(f"{promise.factor(tier):.10g}"),
        "lookbackWindow": write_duration(tier.long_s),
        "alertAfter": write_duration(promise.after_s.get(tier.name, 0.0)).replace("0s", "0m"),
    }  # fmt: skip
    inline = {
        "kind": "AlertCondition", "metadata": {"name": tier.name},
        "spec": {"severity": promise.severity(tier), "condition": condition},
    }  # fmt: skip
    spec = {"alertWhenBreaching": True, "alertWhenNoData": promise.no_data, "conditions": [inline]}
    return {"kind": "AlertPolicy", "metadata": {"name": f"{_named(promise.name)}-{tier.name}"}, "spec": spec}
