"""What a configuration comes to, for people: effective values with their origin, and the arithmetic of alarms.

Source: our own. This is what `observe check` prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from observe.schema import Json, Monitor
from observe.spec.burn import Tier, usable
from observe.spec.config import Config, Model
from observe.spec.load import leaves
from observe.spec.monitors import derive
from observe.spec.performance import PERFORMANCE
from observe.spec.periods import as_json as period_json
from observe.spec.periods import written
from observe.spec.quantity import write_duration, write_percent
from observe.spec.skew import SKEW
from observe.spec.slos import STATE_MINUTES, Slo
from observe.spec.unused import NOTE, is_kept, is_unused

_EXACT: Final[Mapping[str, str]] = {  # how, by kind
    "latency": "from rows, one a request, exactly",
    "good": "from rows, one a request, exactly",
    "dependency": "from rows, calls within a trace of this model, exactly",
    "cost": "by the minute, time-weighted: all attempts whose cost is known",
    "drift": "by the minute, time-weighted: minutes that were judged",
    "gpus": "by the minute and GPU, time-weighted",
    "prometheus": "as Prometheus extrapolates counters; a bucket counts only up to its own edge",
    "composite": "by the minute: the weighted mean of the bad shares of its parts",
}
_WIDEST_VALUE = 48  # characters; longer values push their origin to the right


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
    return {
        "spec": model.spec.as_written() if model.spec else None,
        "monitoring": watched,
        "aliases": list(model.aliases),
    }


def _monitor_json(monitor: Monitor) -> Json:
    return {
        "monitor_id": monitor.monitor_id, "detector": monitor.detector, "severity": monitor.severity,
        "window_s": monitor.window_s, "share": monitor.share, "threshold_nats": round(monitor.threshold_nats, 3),
        "min_effect": monitor.min_effect, "unit": monitor.unit,
    }  # fmt: skip


def _values(
    dumped: Mapping[str, Any], prefix: str, origins: Mapping[str, str], unused: Callable[[str], bool] = lambda _: False
) -> Iterator[str]:
    """One value a line with its origin, under the name of its group (`store`, `collectors.gpus`)."""
    indent = "  " if prefix == "site" else "    "
    rows = [_row(dumped, loc) for loc in leaves(dumped)]
    left = max((len(r.key) for r in rows), default=0) + 2
    right = max((len(r.value) for r in rows if len(r.value) <= _WIDEST_VALUE), default=0)
    for group, members in groupby(rows, key=lambda row: row.group):
        if group:
            yield f"{indent}{group}"
        for row in members:
            place = origins.get(f"{prefix}.{row.path}", "default")
            note = f"{NOTE} ({place})" if unused(row.path) else place
            key = f"  {row.key}" if group else row.key
            yield f"{indent}{key:<{left}}  {row.value:<{right}}  # {note}"


class _Row(NamedTuple):
    """A value of the configuration: the heading it stands under, its name there, and itself."""

    path: str
    group: str
    key: str
    value: str


def _row(dumped: Mapping[str, Any], loc: tuple[str | int, ...]) -> _Row:
    value: Any = dumped
    for part in loc:
        value = value[part]
    deep = {"collectors": 2, "slos": 2, "actions": 2, "spec": 3}.get(str(loc[0]), 1)
    head = min(deep, len(loc) - 1)
    group, key = (".".join(map(str, part)) for part in (loc[:head], loc[head:]))
    return _Row(".".join(map(str, loc)), group, key, _shown(value))


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _of_model(model: Model, origins: Mapping[str, str], monitors: tuple[Monitor, ...]) -> Iterator[str]:
    if model.aliases:
        yield f"  also called {', '.join(model.aliases)}"
    if model.spec is not None:
        yield "  ModelSpec"
        yield from _values(model.spec.as_written(), f"models.{model.name}.modelspec", origins, is_kept)
    if model.monitoring is None:
        yield "  nothing is watched: add a Monitoring"
        return
    yield "  Monitoring"
    dumped = model.monitoring.model_dump(by_alias=True, mode="json")
    yield from _values(dumped, f"models.{model.name}", origins, is_unused)
    yield from _alarms(model, [m for m in monitors if m.model == model.name])


def _promise(slo: Slo, slos: Sequence[Slo]) -> Iterator[str]:
    derived = " (derived; derivedSlos: off keeps it away)" if slo.derived else ""
    share = f"{write_percent(slo.objective)} of {slo.counted(slos)} over {written(period_json(slo.window))}"
    yield f"  SLO {slo.name}{derived}: {share}: {slo.says}"
    yield f"    counted {_EXACT[slo.kind]}"
    if slo.of_minutes(slos):
        yield "    tickets only: bad states that last for hours would page more often than is declared (docs/slos.md)"
    if slo.no_data_s:
        yield f"    a ticket after {write_duration(slo.no_data_s)} without any"


def _outage(slo: Slo, tier: Tier, gate: float) -> str:
    """After how long a total outage is found; of minutes a bad state is one event an hour, so evidence takes its time."""
    after: float | None = tier.outage_s(slo.objective, slo.window_s)
    if slo.by_minute:
        units = (slo.minutes.gpus if slo.minutes else None) or 1
        after = tier.convinced_s(slo.objective, slo.window_s, gate, (units, STATE_MINUTES))
    if after is None:
        return "no outage within its window is evidence enough: slower tiers tell"
    return f"total outage found after {write_duration(round(after))}"


def _alarms(model: Model, monitors: list[Monitor]) -> Iterator[str]:
    assert model.monitoring is not None
    for slo in model.monitoring.slos:
        gates = {
            row["name"]: row["gate_nats"]
            for m in monitors
            if m.feature == slo.name
            for row in m.params.get("tiers", ())
        }
        yield from _promise(slo, model.monitoring.slos)
        for tier in usable(slo.objective, slo.window_s):
            outage = _outage(slo, tier, gates[tier.name])
            windows = f"{write_duration(tier.long_s)} and {write_duration(tier.short_s)}"
            factor = f"{tier.factor(slo.window_s):.3g}x the budget"
            yield f"    {tier.name:<17} {factor} over {windows}, evidence {gates[tier.name]:.1f} nats, {outage}"
    levels = [m for m in monitors if m.detector in {"level", "rate"}]
    if model.monitoring.drift is not None and not model.monitoring.drift.features:
        yield "  drift: every feature that arrives; thresholds follow when features are known"
    elif levels:
        yield "  questions asked"
    for m in levels:
        least = f", looks for {m.min_effect:g} {m.unit} or more" if m.min_effect is not None else ""
        cadence = write_duration(m.window_s)
        yield f"    {m.monitor_id.partition('/')[2]}: {m.severity} at {m.threshold_nats:.1f} nats, judged every {cadence}{least}"
    yield from _by_labels(model, monitors)
    yield from _by_training(model, monitors)


def _by_training(model: Model, monitors: list[Monitor]) -> Iterator[str]:
    """What is asked of the training file."""
    drift = model.monitoring.drift if model.monitoring else None
    if drift is None or drift.skew_file is None:
        return
    yield f"  skew: served features beside {drift.skew_file.name}, once a day"
    for m in monitors:
        if m.detector == SKEW and m.threshold_nats > 0:
            least = f"{m.min_effect:g} {m.unit}, shares {m.params['least_pp']:g} pp"
            yield f"    {m.feature}: {m.severity} at {m.threshold_nats:.1f} nats, looks for {least} or more"


def _by_labels(model: Model, monitors: list[Monitor]) -> Iterator[str]:
    """What is asked of a model's labels."""
    said = model.monitoring.performance if model.monitoring else None
    if said is None:
        return
    yield f"  performance: by labels, each hour {write_duration(said.delay_s)} after its end"
    for m in monitors:
        if m.detector == PERFORMANCE:
            yield f"    {m.feature}: {m.severity} at {m.threshold_nats:.1f} nats, looks for {m.min_effect:g} {m.unit} or more"
