"""Starved models beside idle devices, every five minutes: what the fleet page shows and `capacity_match` holds.

A model is starved when it needs more replicas than it has; devices idle when their mean use was below 5 % in the last
closed five minutes.

Source: our own; the comparison is `detectors.placement`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from detectors.placement import Between, Idle, Match, Starved, matches
from observe.schema import Window
from observe.schema.scaling import CapacityMatch, ScalingDecision
from observe.spec.clusters import may_lie, rtt_between
from observe.store import Store

if TYPE_CHECKING:
    from observe.spec import Config, Model

EVERY: Final = timedelta(minutes=5)
AGAIN: Final = timedelta(minutes=1)  # where nothing idled
_BACK: Final = timedelta(minutes=15)
IDLE: Final = """
select coalesce(cluster, '?') as cluster, coalesce(sku, '?') as sku, arg_max(idle_devices, ts) as idle, arg_max(mem_total_mib, ts) / 1024 as mem_gib
from gpu_5m where ts >= $from::timestamptz and ts < $to::timestamptz group by all having idle > 0 order by all"""
RUNS_IN: Final = """
select distinct cluster from serving_sample where ts >= $from::timestamptz and list_contains($names, model_id) and cluster is not null order by 1"""


def starved(
    config: Config, decisions: Sequence[ScalingDecision], places: Mapping[str, tuple[str, ...]]
) -> list[Starved]:
    """Models that need more replicas than there are.

    Args:
        config: what is declared.
        decisions: the newest of each model.
        places: clusters each model runs in.
    """
    return [
        _starved(config.models[d.model], d, places.get(d.model, ()))
        for d in decisions
        if d.sure
        and d.replicas is not None
        and d.running is not None
        and d.replicas > d.running
        and d.model in config.models
    ]


def _starved(model: Model, decision: ScalingDecision, places: tuple[str, ...]) -> Starved:
    spec = model.spec
    assert spec is not None
    assert decision.replicas is not None
    assert decision.running is not None
    limits = [s.threshold_s for s in (model.monitoring.slos if model.monitoring else ()) if s.latency and s.threshold_s]
    seen = (decision.evidence.get("seen") or {}).get("tokens")
    return Starved(
        model=model.name, said=f"has {decision.running}, needs {decision.replicas}: {decision.said}",
        short=decision.replicas - decision.running, clusters=places, accelerator=spec.accelerator_type,
        devices=spec.accelerator_count, model_id=spec.model_id, precision=spec.spec.identity.model.precision,
        latency_s=min(limits, default=spec.target_latency_p95_s), tokens=seen,
    )  # fmt: skip


def compared(config: Config, store: Store, decisions: Sequence[ScalingDecision], now: datetime) -> list[CapacityMatch]:
    """Rows of one round; none when nothing is starved or nothing idles."""
    lacking = [d for d in decisions if d.sure and (d.replicas or 0) > (d.running or 0)]
    if not lacking:
        return []
    closed = datetime.fromtimestamp(int(now.timestamp()) // 300 * 300, UTC)
    window = Window(closed - _BACK, closed)
    idle = [Idle(*row) for row in store.read(IDLE, {"from": window.start, "to": window.end}, window).iter_rows()]
    places = {d.model: _places(config, store, d.model, window) for d in lacking}
    models = starved(config, lacking, places)
    between = {(s.model, i.cluster): _between(config, s, i.cluster) for s in models for i in idle}
    return [_row(m, now) for m in matches(models, idle, between, config.site.prices)]


def _places(config: Config, store: Store, name: str, window: Window) -> tuple[str, ...]:
    """Clusters a model is served in: as rows say, else as declared."""
    model = config.models[name]
    names = [name, *model.aliases]
    seen = store.read(RUNS_IN, {"from": window.start, "names": names}, window)["cluster"].to_list()
    return tuple(seen) or (model.monitoring.selector.clusters if model.monitoring else ())


def _between(config: Config, model: Starved, cluster: str) -> Between:
    clusters = config.site.clusters
    allowed, said = may_lie(config.models[model.model].spec, cluster, clusters)
    place = (
        [text for text in (clusters[cluster].provider, clusters[cluster].region) if text] if cluster in clusters else []
    )
    said = f"{' '.join(place)}; {said}" if place else said
    trips = [t for place in model.clusters if (t := rtt_between(place, cluster, clusters)) is not None]
    egress = [clusters[p].egress_usd_gb for p in model.clusters if p in clusters and p != cluster]
    paid = [e for e in egress if e is not None]
    return Between(allowed, said, min(trips, default=None), max(paid, default=None))


def _row(found: Match, now: datetime) -> CapacityMatch:
    s, i = found.starved, found.idle
    return CapacityMatch(
        ts=now, model=s.model, starved=s.said, replicas_short=s.short, cluster=i.cluster, sku=i.sku, idle=i.idle, fits=found.fits,
        replicas=found.replicas, devices_each=found.devices, why=found.why, rtt_s=found.rtt_s, saved_usd_h=found.saved_usd_h,
        idle_usd_h=found.idle_usd_h,
    )  # fmt: skip
