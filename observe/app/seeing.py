"""The present of one model as a decision about its size needs it, and what its ModelSpec allows.

Source: our own; docs/scaling.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectors.capacity import price
from detectors.demand import LEVEL, smoothed
from detectors.load import Envelope, Seen
from detectors.warmup import ColdStart
from observe.app.minutes import Floats, Minutes
from observe.schema import Window
from observe.store import Store

if TYPE_CHECKING:
    from observe.spec import Model

SCRAPED: Final = "scraped"  # replicas are counted at model servers
PATIENCE_S: Final = 900.0  # before fewer are asked for; twice the cold start where that is longer
GROWING: Final = 2  # minutes over which a queue is seen to grow
LATELY: Final = timedelta(minutes=5)
SCALED_WITHIN: Final = timedelta(days=30)  # an older scale event says nothing about now
BURNING: Final = "select model, slo, coalesce(burn_1h, 0) from slo_status where state = 'alarm' and severity = 'page'"
SCALED: Final = """
select model_id, arg_max(try_cast(after as bigint), ts) from change_event
where ts >= $from::timestamptz and kind = 'scale' and model_id is not null and try_cast(after as bigint) is not null group by 1"""
ASKED: Final = """
select model, action_id, (parameters ->> '$.to')::bigint as wanted from action
where kind = 'scale' and state in ('sent', 'acknowledged', 'succeeded') and expires_at > $now::timestamptz and wanted is not null"""
GPUS: Final = """
with pods as (
  select distinct model_id, namespace, pod from serving_sample where ts >= $from::timestamptz and pod is not null)
select model_id, avg(util_ratio) from gpu_sample join pods using (namespace, pod)
where ts >= $from::timestamptz and util_ratio is not null group by 1"""


@dataclass(frozen=True, slots=True)
class Around:
    """What is known besides traffic, by model; read once for all of them."""

    burning: Mapping[str, Mapping[str, float]]  # burn rates of SLOs that page, by name
    scaled: Mapping[str, int]  # replicas after the newest scale event
    floors: Mapping[str, Mapping[str, int]]  # replicas that actions in force ask for, by action
    gpus: Mapping[str, float]  # use of the GPUs beneath its pods, 0-1


def around(store: Store, now: datetime) -> Around:
    """What is known besides traffic."""
    lately = Window(now - LATELY, now)
    return Around(
        burning=_nested(store.read(BURNING).iter_rows()),
        scaled={m: int(n) for m, n in store.read(SCALED, {"from": now - SCALED_WITHIN}).iter_rows()},
        floors=_nested(store.read(ASKED, {"now": now}).iter_rows()),
        gpus=dict(store.read(GPUS, {"from": lately.start}, lately).iter_rows()),
    )


def _nested(rows: Iterable[tuple[Any, ...]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for model, name, value in rows:
        found.setdefault(model, {})[name] = value
    return found


class Unsure(Exception):
    """Why no number can be told."""


def names_of(model: Model) -> tuple[str, ...]:
    """All names that rows of a model come under."""
    return (model.name, *model.aliases)


def envelope_of(model: Model, cold_start: ColdStart, prices: Mapping[str, float]) -> Envelope:
    """What the ModelSpec allows.

    Raises:
        Unsure: it says no maximum, or that people scale it.
    """
    spec = model.spec
    if spec is None or spec.max_replicas is None:
        raise Unsure("its ModelSpec has no operations.scaling.maxReplicas: nothing bounds an answer")
    if spec.scaling.strategy == "manual":
        raise Unsure("its ModelSpec says strategy: manual")
    each = price(spec.accelerator_type or "", prices)
    low = 1 if spec.min_replicas is None else spec.min_replicas
    return Envelope(
        low=min(low, spec.max_replicas), high=spec.max_replicas, warm=spec.scaling.warm_pool.size or 0,
        cold_start_s=cold_start.seconds, patience_s=max(PATIENCE_S, 2 * cold_start.seconds),
        predictive=spec.scaling.strategy != "reactive",
        price_usd_h=each * spec.accelerator_count if each and spec.accelerator_count else None,
        cost_per_1k_usd=spec.target_cost_per_1k_tokens_usd,
    )  # fmt: skip


def seen(model: Model, recent: Minutes, about: Around, unit: str, envelope: Envelope) -> Seen:
    """The present.

    Raises:
        Unsure: nobody tells its traffic.
    """
    columns, name = recent.columns, model.name
    rate = _latest(smoothed(columns[unit], LEVEL))
    if rate is None:
        raise Unsure(f"nobody tells its traffic in {unit}: neither a gateway nor counters of its model servers")
    waiting, work = _latest(columns["waiting"]) or 0.0, _work(columns, unit)
    lately = _lately(columns["replicas"])
    return Seen(
        replicas=int(lately.max()) if lately.size else about.scaled.get(name, envelope.low),
        rate=rate + _growth(columns["waiting"]) * work, waiting=waiting, work=work, kv=_latest(columns["kv"]),
        gpu=about.gpus.get(name), burning=about.burning.get(name, {}), tokens=_latest(smoothed(columns["tokens"], LEVEL)),
        floors=about.floors.get(name, {}),
    )  # fmt: skip


def basis(name: str, recent: Minutes, about: Around) -> str:
    """How it is known how many replicas there are: scraped, else of the newest scale event, else the declared minimum."""
    if _lately(recent.columns["replicas"]).size:
        return SCRAPED
    return "last scale event" if name in about.scaled else "declared minimum"


def _lately(values: Floats) -> Floats:
    """What is known of the last three minutes."""
    return values[-3:][np.isfinite(values[-3:])]


def _latest(values: Floats) -> float | None:
    """The newest of the last three minutes that is known."""
    known = _lately(values)
    return float(known[-1]) if known.size else None


def _growth(waiting: Floats) -> float:
    """Requests a second by which a queue grows: what comes in beyond what is answered."""
    ends = waiting[-1 - GROWING :]
    if ends.size <= GROWING or not np.isfinite(ends[[0, -1]]).all():
        return 0.0
    return max(0.0, float(ends[-1] - ends[0]) / (60 * GROWING))


def _work(columns: Mapping[str, Floats], unit: str) -> float:
    """Units of one request."""
    requests, work = (float(np.nansum(columns[name])) for name in ("requests", unit))
    return work / requests if requests > 0 and work > 0 else 1.0
