"""A model's requests in a range: altogether, over time, and by latency.

Up to an hour they are folded from their tries; longer ranges add up the minutes of `traffic_1m`, from
some days on the hours of `attempt_1h`, whose latencies are those of the last try, in bins 10 % wide.

Four cards of a model's page and one of the overview are drawn from the one answer, so the fold of
tries into requests, which costs more than everything done with it, happens once a page.

Source: our own; SQL:1999 grouping sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from dashboards.cards import Query
from dashboards.reader import Reader, Value
from dashboards.scope import Scope
from dashboards.slo import Slo

REQUESTS = """
with r as (
  select (floor(epoch(ts) / $bucket) * $bucket)::DOUBLE as epoch, case when {column} > 0 then floor(log10({column}) * 12)::INTEGER end as bin,
    status, error_kind, ttft_s, cost_usd, cost_known, coalesce(tokens_in, 0) + coalesce(tokens_out, 0) as tokens
  from request
  where model_id = $model and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and ($cluster = '' or cluster = $cluster)
)
select case grouping(epoch, bin) when 3 then 'all' when 1 then 'time' else 'latency' end as part, epoch, bin, count(*)::DOUBLE as n,
  count(*) filter (status = 'error')::DOUBLE as errors, count(*) filter (status = 'cancelled')::DOUBLE as cancelled,
  mode(error_kind) filter (status = 'error') as kind, min(error_kind) filter (status = 'error') = max(error_kind) filter (status = 'error') as same_kind,
  count(ttft_s)::DOUBLE as streamed, quantile_cont(ttft_s, [0.5, 0.95])::DOUBLE[] as ttft,
  sum(cost_usd) filter (cost_known)::DOUBLE as usd, sum(tokens) filter (cost_known)::DOUBLE as tokens
from r group by grouping sets ((), (epoch), (epoch, bin)) order by epoch, bin
"""
ROLLED = """
with r as materialized (
  select (floor(epoch(ts) / $bucket) * $bucket)::DOUBLE as epoch, last, status, error_kind, attempts, cost_usd, tokens_priced, ttft_count, ttft_bins, ttft_counts,
    {column}_bins as bins, {column}_counts as counts
  from {source}
  where model_id = $model and ts >= date_trunc('minute', $start::TIMESTAMPTZ) and ts < $end::TIMESTAMPTZ and ($cluster = '' or cluster = $cluster)
), c as (
  select epoch, case grouping(epoch) when 1 then 'all' else 'time' end as part, coalesce(sum(attempts) filter (last), 0)::DOUBLE as n,
    coalesce(sum(attempts) filter (last and status = 'error'), 0)::DOUBLE as errors, coalesce(sum(attempts) filter (last and status = 'cancelled'), 0)::DOUBLE as cancelled,
    coalesce(sum(ttft_count) filter (last), 0)::DOUBLE as streamed, sum(cost_usd) filter (tokens_priced > 0)::DOUBLE as usd, sum(tokens_priced)::DOUBLE as tokens
  from r group by grouping sets ((), (epoch))
), e as (
  select error_kind, sum(attempts) as n from r where last and status = 'error' and error_kind is not null group by 1
), g as materialized (
  select epoch, bin, sum(k) as k from (select epoch, unnest(ttft_bins) as bin, unnest(ttft_counts) as k from r where last) group by 1, 2
), f as (
  select epoch, bin, k from g union all select NULL, bin, sum(k) from g group by bin
), w as (
  select epoch, bin, sum(k) over (partition by epoch order by bin) as below, sum(k) over (partition by epoch) as total from f
), q as (
  select epoch, [min(10 ** ((bin + 0.5) / 24)) filter (below >= 0.5 * total), min(10 ** ((bin + 0.5) / 24)) filter (below >= 0.95 * total)]::DOUBLE[] as ttft from w group by 1
), l as (
  select epoch, unnest(bins) as bin, unnest(counts) as k from r where last
)
select part, c.epoch as epoch, NULL::INTEGER as bin, n, errors, cancelled, (select arg_max(error_kind, n) from e) as kind, (select count(*) = 1 from e) as same_kind,
  streamed, ttft, usd, tokens from c left join q on q.epoch is not distinct from c.epoch
union all
select 'latency', epoch, floor(bin / 2)::INTEGER, sum(k)::DOUBLE, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL from l group by epoch, floor(bin / 2)::INTEGER
order by epoch, bin
"""
HOURS = "(select * from attempt_1h where ts < $edge::TIMESTAMPTZ union all by name select * from traffic_1m where ts >= $edge::TIMESTAMPTZ)"
ROLLED_BEYOND = timedelta(hours=1)  # ranges longer than this are read from minutes
HOURLY_FROM_S = 3600  # buckets from this width on are read from hours
OPEN = timedelta(hours=2)  # hours that ended before this are written for sure
PER_DECADE = 12  # latency bins of the query
LATENCIES = ("ttft_s", "tpot_s", "duration_s")  # columns of `request` that have a heat map


@dataclass(frozen=True, slots=True)
class Requests:
    """One answer of `REQUESTS` or `ROLLED` and the query that made it."""

    frame: pl.DataFrame
    query: Query

    @property
    def total(self) -> Mapping[str, Any]:
        """Counts, quantiles, cost and tokens of the range; `n` is 0 when there was no request."""
        return self.frame.filter(pl.col("part") == "all").row(0, named=True)

    @property
    def over_time(self) -> pl.DataFrame:
        """One row a bucket that had requests, in order; `epoch` (s) is its start."""
        return self.frame.filter(pl.col("part") == "time")

    @property
    def by_latency(self) -> pl.DataFrame:
        """Requests `n` by `epoch` (s) and `bin`, the floor of `PER_DECADE` × log10 of the latency in s."""
        return self.frame.filter((pl.col("part") == "latency") & pl.col("bin").is_not_null())


def column_of(slo: Slo | None) -> str:
    """The latency that an objective is about; time to first token when it is about none."""
    asked = str(slo.declared.get("column")) if slo else ""
    return asked if asked in LATENCIES else "ttft_s"


def rollup(view: Scope) -> tuple[str, dict[str, Value]]:
    """The relation that traffic of a view is read from, minutes or hours, and the parameters it names."""
    if view.bucket_s < HOURLY_FROM_S:
        return "traffic_1m", {}
    return HOURS, {"edge": (min(view.end, view.now) - OPEN).replace(minute=0, second=0, microsecond=0)}


def requests(read: Reader, view: Scope, model: str, column: str) -> Requests:
    """What a model answered in the view, `column` being the latency to count by; one query however often it is asked."""
    params: dict[str, Value] = {**view.params, "model": model}
    rolled = view.end - view.start > ROLLED_BEYOND
    if rolled:
        source, edge = rollup(view)
        sql = ROLLED.replace("{column}", column.removesuffix("_s")).replace("{source}", source)
        params |= edge
    else:
        sql = REQUESTS.replace("{column}", column)
    p50, p95 = (
        pl.col("ttft").list.get(i, null_on_oob=True).alias(name) for i, name in enumerate(("ttft_p50", "ttft_p95"))
    )
    return Requests(read(sql, params).with_columns(p50, p95), Query(sql, params))
