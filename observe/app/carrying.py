"""What the past teaches about a model: what a replica carries, how long one takes, and how wrong forecasts were.

Source: our own; the methods are in `detectors.throughput`, `detectors.warmup` and `detectors.demand`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

import numpy as np

from detectors import demand, throughput, warmup
from detectors.demand import Forecast, Usual
from detectors.throughput import Carried
from detectors.warmup import ColdStart
from observe.app.minutes import Minutes, floor, minutes
from observe.app.seeing import names_of
from observe.schema import Window
from observe.spec.quantity import Malformed, parse_duration
from observe.store import Store

if TYPE_CHECKING:
    from observe.spec import Config, Model

CARRYING: Final = timedelta(days=3)  # of raw rows of model servers
COMING: Final = timedelta(days=14)  # of rollups of gateways
COLD_START: Final = "coldStart"  # annotation of a ModelSpec: how long a replica takes, 4m
SCALINGS: Final = """
select ts, try_cast(after as bigint) as replicas from change_event where kind = 'scale' and model_id = $model and ts >= $from::timestamptz
  and try_cast(after as bigint) > coalesce(try_cast(before as bigint), 0) order by ts"""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What was learnt of one model, and when."""

    at: datetime
    cold_start: ColdStart
    carried: Carried | None
    usual: Mapping[str, Usual]  # by unit

    def carried_by(self, model: Model) -> Carried | None:
        """What a replica of the model carries: measured, else declared."""
        return self.carried or throughput.declared(model.spec.scaling.target_rps if model.spec else None)

    def forecast(self, recent: Minutes, unit: str) -> Forecast | None:
        """What is to be expected within the cold start, in a unit."""
        usual = self.usual.get(unit)
        return demand.forecast(recent.columns[unit], recent.last, usual) if usual else None


def learnt(store: Store, model: Model, now: datetime) -> Learnt:
    """What the stored past says of one model."""
    names, end = {model.name: names_of(model)}, floor(now)
    near = minutes(store, names, Window(end - CARRYING, end))[model.name]
    took = warmup.cold_start(
        _scaled(store, model.name, near), int(near.start.timestamp()) // 60, near.columns["replicas"], _declared(model)
    )
    far = minutes(store, names, Window(end - COMING, end), served_too=False)[model.name]
    lead = max(1, ceil(took.seconds / 60))
    usual = {unit: demand.learn(_longer(far, near, unit), near.last, lead) for unit in throughput.UNITS}
    return Learnt(now, took, throughput.measured(near.columns), usual)


def cold_start_of(config: Config, model: str) -> float:
    """How long a replica of a model is declared to take, s."""
    declared = _declared(config.models[model])
    return warmup.ASSUMED_S if declared is None else declared


def _longer(far: Minutes, near: Minutes, unit: str) -> demand.Floats:
    """What a gateway told, which is kept for longer; else what model servers counted."""
    told = far.columns[unit]
    known = np.flatnonzero(np.isfinite(told))
    return told[known[0] :] if known.size else near.columns[unit]


def _declared(model: Model) -> float | None:
    written = model.spec.annotations.get(COLD_START) if model.spec else None
    try:
        return parse_duration(written) if written else None
    except Malformed:
        return None


def _scaled(store: Store, model: str, near: Minutes) -> list[tuple[int, int]]:
    rows = store.read(SCALINGS, {"model": model, "from": near.start})
    return [(int(ts.timestamp()) // 60, replicas) for ts, replicas in rows.iter_rows()]
