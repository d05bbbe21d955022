"""A model's requests in a range, folded from their tries once: altogether, over time, and by latency.

Four cards of a model's page and one of the overview are drawn from the one answer, so the fold of
tries into requests, which costs more than everything done with it, happens once a page.

Source: our own; SQL:1999 grouping sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from dashboards.cards import Query
from dashboards.reader import Reader, Value
from dashboards.scope import Scope
from dashboards.slo import Slo

REQUESTS = """
with r as (
  select (floor(epoch(ts) / $bucket) * $bucket)::DOUBLE as epoch, case when {column} > 0 then floor(log10({column}) * 12)::INTEGER end as bin,
    status, ttft_s, cost_usd, cost_known, coalesce(tokens_in, 0) + coalesce(tokens_out, 0) as tokens
  from request
  where model_id = $model and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and ($cluster = '' or cluster = $cluster)
)
select case grouping(epoch, bin) when 3 then 'all' when 1 then 'time' else 'latency' end as part, epoch, bin, count(*)::DOUBLE as n,
  count(*) filter (status = 'error')::DOUBLE as errors, count(*) filter (status = 'cancelled')::DOUBLE as cancelled,
  count(ttft_s)::DOUBLE as streamed, quantile_cont(ttft_s, [0.5, 0.95])::DOUBLE[] as ttft,
  sum(cost_usd) filter (cost_known)::DOUBLE as usd, sum(tokens) filter (cost_known)::DOUBLE as tokens
from r group by grouping sets ((), (epoch), (epoch, bin)) order by epoch, bin
"""
PER_DECADE = 12  # latency bins of the query
LATENCIES = ("ttft_s", "tpot_s", "duration_s")  # columns of `request` that have a heat map


@dataclass(frozen=True, slots=True)
class Requests:
    """One answer of `REQUESTS` and the query that made it."""

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


def requests(read: Reader, view: Scope, model: str, column: str) -> Requests:
    """What a model answered in the view, `column` being the latency to count by; one query however often it is asked."""
    params: dict[str, Value] = {**view.params, "model": model}
    sql = REQUESTS.replace("{column}", column)
    p50, p95 = (
        pl.col("ttft").list.get(i, null_on_oob=True).alias(name) for i, name in enumerate(("ttft_p50", "ttft_p95"))
    )
    return Requests(read(sql, params).with_columns(p50, p95), Query(sql, params))
