"""What a model carried, minute by minute: replicas, waiting requests, cache, traffic and latency.

Model servers tell replicas, queues and, by their counters, traffic; a gateway tells traffic as people see it, and
is believed before the counters. A minute in which a gateway that is heard saw nothing had no requests; a minute
after its newest row is unknown.

Source: our own; counters that fall began again at 0 (SOURCES section 2.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from observe.schema import Window
from observe.store import Store

Floats = NDArray[np.float64]

MINUTE: Final = timedelta(minutes=1)
COLUMNS: Final = ("replicas", "waiting", "kv", "latency", "requests", "tokens_out", "tokens")
KNOWN: Final = "with known as (select unnest($names::varchar[]) as model_id, unnest($models::varchar[]) as model)"
SERVED: Final = f"""
{KNOWN}, step as (
  select model, time_bucket(interval 1 minute, ts) as minute, target, coalesce(pod, '') as pod, engine, queue_depth, kv_util_ratio,
    tokens_in_total as i, lag(tokens_in_total) over w as i0, tokens_out_total as o, lag(tokens_out_total) over w as o0,
    if(coalesce(requests_ok_total, requests_failed_total) is null, null, coalesce(requests_ok_total, 0) + coalesce(requests_failed_total, 0)) as r,
    lag(r) over w as r0
  from serving_sample join known using (model_id) where ts >= $from::timestamptz and ts < $to::timestamptz
  window w as (partition by model, target, coalesce(pod, ''), engine order by ts)
), engines as (
  select model, minute, target, pod, engine, avg(queue_depth) as q, avg(kv_util_ratio) as kv,
    sum(if(i < i0, i, i - i0)) as i, sum(if(o < o0, o, o - o0)) as o, sum(if(r < r0, r, r - r0)) as r
  from step group by all
)
select model, minute, count(distinct (target, pod))::double as replicas, max(pod <> '')::double as named, sum(q) as waiting, avg(kv) as kv,
  sum(r) / 60 as requests, sum(o) / 60 as tokens_out, (sum(i) + sum(o)) / 60 as tokens
from engines group by all order by model, minute"""
TOLD: Final = f"""
{KNOWN}
select model, ts as minute, (sum(attempts) filter (last) / 60)::double as requests, (sum(tokens_out) / 60)::double as tokens_out,
  (sum(tokens_in + tokens_out) / 60)::double as tokens,
  coalesce(sum(ttft_sum) / nullif(sum(ttft_count), 0), sum(duration_sum) / nullif(sum(duration_count), 0)) as latency
from traffic_1m join known using (model_id) where ts >= $from::timestamptz and ts < $to::timestamptz
group by all order by model, minute"""


@dataclass(frozen=True, slots=True)
class Minutes:
    """Columns of equal length, oldest first, NaN where unknown."""

    start: datetime
    columns: Mapping[str, Floats]
    heard: datetime | None  # end of the newest minute that anybody told of

    @property
    def last(self) -> int:
        """The last minute since the epoch."""
        return int(self.start.timestamp()) // 60 + self.columns["requests"].size - 1


def minutes(
    store: Store, names: Mapping[str, Sequence[str]], window: Window, *, served_too: bool = True
) -> dict[str, Minutes]:
    """The minutes of models in a window of whole minutes, by model; one reading for all of them.

    Args:
        store: where rows are.
        names: under which rows of each model come.
        window: whole minutes.
        served_too: whether model servers are asked, whose rows are raw and many.
    """
    pairs = [(name, model) for model, every in names.items() for name in every]
    params = {
        "from": window.start, "to": window.end, "names": [n for n, _ in pairs], "models": [m for _, m in pairs],
    }  # fmt: skip
    n = int(window.length / MINUTE)
    served = _by_model(store.read(SERVED, params, window), window.start, n) if served_too else {}
    told = _by_model(store.read(TOLD, params, window), window.start, n)
    return {model: _minutes(served.get(model, {}), told.get(model, {}), window.start, n) for model in names}


def _by_model(rows: pl.DataFrame, start: datetime, n: int) -> dict[str, dict[str, Floats]]:
    parts = rows.partition_by("model", as_dict=True, include_key=False)
    return {str(model): _grid(part, start, n) for (model,), part in parts.items()}


def _minutes(served: Mapping[str, Floats], told: Mapping[str, Floats], start: datetime, n: int) -> Minutes:
    columns = {name: served.get(name, np.full(n, np.nan)) for name in COLUMNS}
    columns["replicas"] = _countable(columns["replicas"], served.get("named"))
    if told:
        columns |= _gateway(told)
    heard = [
        int(np.flatnonzero(np.isfinite(x))[-1]) for x in (*served.values(), *told.values()) if np.isfinite(x).any()
    ]
    return Minutes(start, columns, start + (max(heard) + 1) * MINUTE if heard else None)


def _countable(replicas: Floats, named: Floats | None) -> Floats:
    """Replicas by minute; unknown where one address without a pod's name may stand for any number of them."""
    if named is not None and not np.nansum(named) and np.nanmax(replicas) <= 1:
        return np.full(replicas.size, np.nan)
    return replicas


def _gateway(told: Mapping[str, Floats]) -> dict[str, Floats]:
    """What a gateway told; silence between two rows is no traffic."""
    seen = np.flatnonzero(np.isfinite(told["requests"]))
    within = np.zeros(told["requests"].size, dtype=bool)
    if seen.size:
        within[seen[0] : seen[-1] + 1] = True
    filled = {
        name: np.where(within & np.isnan(told[name]), 0.0, told[name]) for name in ("requests", "tokens_out", "tokens")
    }
    return {**filled, "latency": told["latency"]}


def _grid(rows: pl.DataFrame, start: datetime, n: int) -> dict[str, Floats]:
    """Columns by name over every minute."""
    first = int(start.timestamp()) // 60
    place = rows["minute"].dt.epoch("s").to_numpy() // 60 - first
    result = {}
    for name in rows.columns[1:]:
        values = np.full(n, np.nan)
        values[place] = rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        result[name] = values
    return result


def floor(at: datetime) -> datetime:
    """The whole minute that is over."""
    return datetime.fromtimestamp(int(at.timestamp()) // 60 * 60, UTC)
