"""What a configuration comes to, for people: effective values with their origin, and the arithmetic of alarms.

Source: our own. This is what `observe check` prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from observe.schema import Json, Monitor
from observe.spec.burn import usable
from observe.spec.config import Config, Model
from observe.spec.load import leaves
from observe.spec.modelspec import ModelSpec
from observe.spec.monitors import derive
from observe.spec.quantity import write_duration, write_percent
from observe.spec.unused import NOTE, is_unused

_WIDEST_VALUE = 60  # characters; longer values push their origin to the right


def render(config: Config) -> str:
    """The effective configuration as text: one value a line with its origin, then what each model's alarms need."""
    lines = ["site", *_values(config.site.model_dump(by_alias=True, mode="json"), "site", config.origins)]
    monitors = derive(config, {})
    for model in config.models.values():
        lines += ["", f"model {model.name}", *_of_model(model, config.origins, monitors)]
    if config.warnings:
        lines += ["", "warnings", *(f"  {warning}" for warning in config.warnings)]
    return "\n".join(lines) + "\n"


def as_json(config: Config) -> Json:
    """The same as plain JSON data: site, models (spec, monitoring, aliases), monitors, origins, warnings."""
    return {
        "site": config.site.model_dump(by_alias=True, mode="json"),
        "models": {m.name: _model_json(m) for m in config.models.values()},
        "monitors": [_monitor_json(m) for m in derive(config, {})],
        "origins": dict(config.origins),
        "warnings": list(config.warnings),
    }


def _model_json(model: Model) -> Json:
    watched = model.monitoring.model_dump(by_alias=True, mode="json") if model.monitoring else None
    return {"spec": dict(model.spec.raw) if model.spec else None, "monitoring": watched, "aliases": list(model.aliases)}


def _monitor_json(monitor: Monitor) -> Json:
    return {
        "monitor_id": monitor.monitor_id, "detector": monitor.detector, "severity": monitor.severity,
        "window_s": monitor.window_s, "share": monitor.share, "threshold_nats": round(monitor.threshold_nats, 3),
        "min_effect": monitor.min_effect, "unit": monitor.unit,
    }  # fmt: skip


def _values(dumped: Mapping[str, Any], prefix: str, origins: Mapping[str, str]) -> Iterator[str]:
    rows = [(".".join(map(str, loc)), _shown(_value(dumped, loc))) for loc in leaves(dumped)]
    left = max((len(path) for path, _ in rows), default=0)
    right = max((len(value) for _, value in rows if len(value) <= _WIDEST_VALUE), default=0)
    for path, value in rows:
        place = origins.get(f"{prefix}.{path}", "default")
        unused = prefix != "site" and is_unused(path)
        yield f"  {path:<{left}}  {value:<{right}}  # {f'{NOTE} ({place})' if unused else place}"


def _value(dumped: Any, loc: tuple[str | int, ...]) -> Any:
    for part in loc:
        dumped = dumped[part]
    return dumped


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _of_model(model: Model, origins: Mapping[str, str], monitors: tuple[Monitor, ...]) -> Iterator[str]:
    if model.aliases:
        yield f"  also called {', '.join(model.aliases)}"
    if model.spec is not None:
        yield from _of_spec(model.spec)
    if model.monitoring is None:
        yield "  nothing is watched: add a Monitoring"
        return
    yield from _values(model.monitoring.model_dump(by_alias=True, mode="json"), f"models.{model.name}", origins)
    mine = [m for m in monitors if m.model == model.name]
    yield from _alarms(model, mine)


def _of_spec(spec: ModelSpec) -> Iterator[str]:
    used = {
        "version": spec.version, "accelerator": spec.accelerator_type, "count": spec.accelerator_count,
        "minReplicas": spec.min_replicas, "maxReplicas": spec.max_replicas,
        "targetLatencyMsP95": None if spec.target_latency_p95_s is None else f"{spec.target_latency_p95_s * 1000:g}",
        "targetCostPer1kTokensUsd": spec.target_cost_per_1k_tokens_usd,
    }  # fmt: skip
    yield f"  ModelSpec: {_told(used) or 'nothing that is used'}"
    kept = _told({"pii.allowed": spec.pii_allowed, "retention.logsDays": spec.logs_days})
    if kept:
        yield f"  ModelSpec: {kept}  # {NOTE}"


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _alarms(model: Model, monitors: list[Monitor]) -> Iterator[str]:
    assert model.monitoring is not None
    for slo in model.monitoring.slos:
        gates = {
            row["name"]: row["gate_nats"]
            for m in monitors
            if m.feature == slo.name
            for row in m.params.get("tiers", ())
        }
        yield f"  SLO {slo.name}: {write_percent(slo.objective)} over {write_duration(slo.window_s)}"
        for tier in usable(slo.objective, slo.window_s):
            outage = write_duration(round(tier.outage_s(slo.objective, slo.window_s)))
            windows = f"{write_duration(tier.long_s)} and {write_duration(tier.short_s)}"
            factor = f"{tier.factor(slo.window_s):.3g}x the budget"
            yield f"    {tier.name:<17} {factor} over {windows}, evidence {gates[tier.name]:.1f} nats, total outage found after {outage}"
    levels = [m for m in monitors if m.detector in {"level", "rate"}]
    if model.monitoring.drift is not None and not model.monitoring.drift.features:
        yield "  drift: every feature that arrives; thresholds follow when features are known"
    for m in levels:
        least = f", looks for {m.min_effect:g} {m.unit} or more" if m.min_effect is not None else ""
        cadence = write_duration(m.window_s)
        yield f"    {m.monitor_id.partition('/')[2]}: {m.severity} at {m.threshold_nats:.1f} nats, judged every {cadence}{least}"
