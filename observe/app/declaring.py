"""What the configuration declares, as settings the views and pages can read.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alerts.muting import calendar
from observe.app.reports import schedules
from observe.spec.collecting import PULLED
from observe.spec.periods import as_json
from observe.summaries.given import FIXED

if TYPE_CHECKING:
    from observe.spec import CollectorSpec, Config, Model, Monitoring
    from observe.spec.drift import Drift


def declared(config: Config) -> Mapping[str, Any]:
    """Plain JSON by setting: `false_alarms`, `prices`, `models`, `collectors`, `store`, `reports`, `maintenance`; no secrets among them."""
    site = config.site
    return {
        "false_alarms": {k: {"count": r.count, "period_s": r.period_s} for k, r in site.false_alarms.items()},
        "prices": dict(site.prices),
        "models": {name: _model(model) for name, model in config.models.items()},
        "collectors": [_collector(name, spec) for name, spec in site.collectors.items()],
        "store": {"size_bytes": site.store.size_bytes, "lateness_s": max(site.lateness_s.values())},
        "reports": schedules(config),
        "maintenance": [
            {**m.model_dump(mode="json", by_alias=True, exclude={"models"}, exclude_none=True), "on": sorted(names)}
            for m, names in calendar(config)
        ],
    }


def is_pulled(spec: CollectorSpec) -> bool:
    """Whether we read this source ourselves; the others are sent to us."""
    return spec.type in PULLED or spec.path is not None


def _collector(name: str, spec: CollectorSpec) -> Mapping[str, Any]:
    """`reads` says what: addresses, paths, this machine (device), or what is pushed."""
    reads = "address" if spec.targets else "path" if spec.path else "device" if is_pulled(spec) else "push"
    targets = spec.targets or ((str(spec.path) if spec.path else "this machine" if reads == "device" else "push"),)
    return {"source": name, "type": spec.type, "reads": reads, "every_s": spec.every_s, "targets": list(targets)}


def _model(model: Model) -> Mapping[str, Any]:
    said: dict[str, Any] = {"aliases": list(model.aliases), "slos": [], "drift": None}
    if model.spec is not None:
        spec = model.spec
        said |= {
            "version": spec.version, "labels": dict(spec.labels), "accelerator_type": spec.accelerator_type,
            "accelerator_count": spec.accelerator_count, "min_replicas": spec.min_replicas, "max_replicas": spec.max_replicas,
            "target_latency_p95_s": spec.target_latency_p95_s,
            "target_cost_per_1k_tokens_usd": spec.target_cost_per_1k_tokens_usd,
        }  # fmt: skip
    if model.monitoring is not None and model.monitoring.performance is not None:
        told = model.monitoring.performance
        unsure = [[name, column] for name, column in told.columns if column.casefold() not in FIXED]
        said["performance"] = {"task": told.task, "delay_s": told.delay_s, "columns": unsure}
    return said if model.monitoring is None else {**said, **_watched(model.monitoring)}


def _watched(monitoring: Monitoring) -> Mapping[str, Any]:
    slos = [
        {"name": s.name, "kind": s.kind, "column": s.column, "threshold_s": s.threshold_s, "good_sql": s.good_sql,
         "objective": s.objective, "window_s": s.window_s, "window": as_json(s.window), "events": s.counted(monitoring.slos),
         "says": s.says, "derived": s.derived, "tickets_only": s.of_minutes(monitoring.slos), "total_sql": s.total.sql if s.total else None}
        for s in monitoring.slos
    ]  # fmt: skip
    drift = monitoring.drift
    if drift is None:
        return {"slos": slos}
    features = [{"name": f.name, "unit": f.unit, "min_effect": _effect(f.min_effect)} for f in drift.features]
    return {
        "slos": slos,
        "drift": {
            "source": drift.source,
            "min_effect": _effect(drift.min_effect),
            "features": features,
            **_skew(drift),
        },
    }


def _skew(drift: Drift) -> Mapping[str, Any]:
    """The name of the training file that what is served is held against."""
    return {"skew": drift.skew_file.name} if drift.skew_file else {}


def _effect(effect: Any) -> Mapping[str, Any] | None:
    return None if effect is None else {"value": effect.value, "unit": effect.unit}
