"""Bad events of all events of SLOs that are not about requests: minutes of cost, of drift, of GPUs, calls, counters.

Each query answers `ts, measure, n, events` for the minutes of which something is known; the others have no row.

- Cost: attempts whose cost is known. A minute is one event; it is bad when its tokens cost more than promised.
- Calls of a dependency: attempts of the other model within a trace of this one, counted in the minute in which both
  are known: that of the call's end, or of the first attempt of this model in the trace where that ends later. Failed
  ones are bad, cancelled ones are out, what has no trace cannot be told apart and is out, too.
- GPUs: one event a board and minute. Expected are as many as declared, else those heard within a day. A board is there
  when it was heard within five minutes, as long as Prometheus keeps a value; it is well unless its newest sample says
  that it was lost or that a row could not be remapped. A minute in which no board at all is heard is the collector's
  silence and not theirs: it has no events.
- Drift: one event a minute that a detector judged; bad while an alert of kind drift fires.
- Counters: what a Prometheus counted by the minute. Its numbers are fractions, so each minute has what the count since
  midnight UTC, rounded, grew by: nothing is lost but the last fraction of a day.

Source: our own; ARCHITECTURE section 5, "SLO semantics": time-based SLIs are time-weighted and say so.
Assumes: a trace lasts an hour at most (`rates.OPEN`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from observe.summaries.promises import BAD, TOTAL, Promises

if TYPE_CHECKING:
    from observe.spec.slos import Slo

EXPECTED: Final = "24 hours"  # how long a GPU that is not heard is still expected
HEARD: Final = 5  # minutes a sample stands for
_MINUTES: Final = "time_bucket(interval 60 second, ts)"


def cost_sql(source: Promises) -> str:
    """Minutes whose tokens have a known cost."""
    of_slo = " union all ".join(
        f"select ts, {text(source.measure(s))} as measure, 1 as n, (cost > {_per_token(s)!r} * tokens)::int as events from spent"
        for s in source.slos
    )
    return f"""
        with spent as (
          select {_MINUTES} as ts, sum(cost_usd) as cost, sum(coalesce(tokens_in, 0) + coalesce(tokens_out, 0)) as tokens
          from attempt where {source.where} and ts >= $from and ts < $to and cost_known and cost_usd is not null
          group by 1 having tokens > 0)
        {of_slo} order by measure, ts"""


def _per_token(slo: Slo) -> float:
    return (slo.cost.per_token_usd if slo.cost else None) or 0.0


def dependency_sql(source: Promises) -> str:
    """Calls of the models a model depends on, within its traces."""
    of_slo = " union all ".join(
        f"select {_MINUTES} as ts, {text(source.measure(s))} as measure, count(*) as n,"
        f" count(*) filter (status = 'error' or duration_s > {s.threshold_s or 0.0!r}) as events"
        f" from met where list_contains({_listed(source.names_of(s))}, model_id) group by 1"
        for s in source.slos
    )
    own = _listed(source.own)
    return f"""
        with own as (
          select trace_id, min(ts) as ts from attempt
          where list_contains({own}, model_id) and trace_id is not null and ts >= $since and ts < $to group by 1),
        met as (
          select greatest(c.ts, own.ts) as ts, c.model_id as model_id, c.duration_s as duration_s, c.status as status
          from attempt as c join own on own.trace_id = c.trace_id
          where {source.where} and not list_contains({own}, c.model_id) and c.status <> 'cancelled'
            and c.ts >= $since and c.ts < $to and greatest(c.ts, own.ts) >= $from)
        {of_slo} order by measure, ts"""


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(map(text, names))}]"


def gpus_sql(source: Promises) -> str:
    """Boards by the minute: expected, and of these missing or unwell."""
    of_slo = " union all ".join(
        f"select ts, {text(source.measure(s))} as measure, {_expected(s)} as n,"
        f" greatest({_expected(s)} - least(well, {_expected(s)}), 0) as events from seen"
        for s in source.slos
    )
    return f"""
        with heard as (
          select split_part(device_id, '/', 1) as board, {_MINUTES} as ts,
            arg_max(coalesce(state, 'ok') <> 'lost' and coalesce(row_remap_failure, 0) = 0, gpu_sample.ts) as well
          from gpu_sample where {source.where} and ts >= $since and ts < $to group by all),
        standing as (
          select board, ts + to_minutes(later) as ts, arg_max(well, heard.ts) as well
          from heard, range({HEARD}) as ahead(later) group by all),
        known as (
          select split_part(device_id, '/', 1) as board, min(first_seen) as first_seen, max(last_seen) as last_seen
          from gpu_device where {source.where} group by 1),
        seen as (
          select s.ts as ts, count(*) filter (s.well) as well,
            greatest(count(*), (select count(*) from known where first_seen < s.ts + interval 1 minute
              and last_seen >= s.ts - interval {EXPECTED})) as expected
          from standing as s where s.ts >= $from and s.ts < $to group by s.ts)
        select * from ({of_slo}) where n > 0 order by measure, ts"""


def text(value: str) -> str:
    """`value` as an SQL string."""
    return "'" + value.replace("'", "''") + "'"


def _expected(slo: Slo) -> str:
    declared = slo.minutes.gpus if slo.minutes else None
    return "expected" if declared is None else str(declared)


def drift_sql(source: Promises) -> str:
    """Minutes that were judged for drift, and those in which an alert fired."""
    of_slo = " union all ".join(
        f"select ts, {text(source.measure(s))} as measure, 1 as n, fired::int as events from judged"
        for s in source.slos
    )
    return f"""
        with minutes as (
          select distinct unnest(generate_series(
            greatest(time_bucket(interval 60 second, window_start), $from),
            least(window_end, $to) - interval 1 minute, interval 1 minute)) as ts
          from finding where kind = 'drift' and model = $model and state in ('ok', 'alarm')
            and window_start < $to and window_end > $from),
        judged as (
          select ts, exists(
            select 1 from alert where kind = 'drift' and model = $model
              and starts_at <= minutes.ts and (ends_at is null or ends_at > minutes.ts)) as fired
          from minutes)
        {of_slo} order by measure, ts"""


def prometheus_sql(source: Promises) -> str:
    """Events that a Prometheus counted."""
    of_slo = " union all ".join(
        f"select ts, {text(source.measure(s))} as measure, n, events from counted where labels = {text(source.series(s))}"
        for s in source.slos
    )
    since = "partition by labels, date_trunc('day', ts) order by ts"
    return f"""
        with samples as (
          select labels, {_MINUTES} as ts, max(value) filter (metric = '{TOTAL}') as n,
            coalesce(max(value) filter (metric = '{BAD}'), 0) as bad
          from metric_sample where {source.where} and ts >= date_trunc('day', $from::TIMESTAMPTZ) and ts < $to
          group by all having n is not null),
        so_far as (
          select labels, ts, round(sum(n) over ({since})) as n, round(sum(least(bad, n)) over ({since})) as bad from samples),
        grown as (
          select labels, ts, n - lag(n, 1, 0) over ({since}) as n, bad - lag(bad, 1, 0) over ({since}) as events
          from so_far),
        counted as (select labels, ts, n::BIGINT as n, events::BIGINT as events from grown where ts >= $from)
        {of_slo} order by measure, ts"""


QUERIES: Final[Mapping[str, Callable[[Promises], str]]] = {
    "slo-cost": cost_sql, "slo-dependency": dependency_sql, "slo-gpus": gpus_sql, "slo-drift": drift_sql,
    "slo-prometheus": prometheus_sql,
}  # fmt: skip
