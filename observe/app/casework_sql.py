"""The queries of `casework`: all over views and rollups, all bounded by a window.

Source: our own.
"""

from __future__ import annotations

from typing import Final

FINDINGS: Final = """
select * from finding where list_contains($monitors, monitor_id) and state = 'alarm' and window_end >= $since
order by made_at desc limit 200"""

RATE: Final = """
select ts, sum(n)::DOUBLE as n, sum(coalesce(events, 0))::DOUBLE as bad from summary
where measure = $measure and window_s = 60 and not late and ts >= $from and ts < $to group by ts order by ts"""

HARDWARE: Final = """
with pods as (
  select distinct pod from serving_sample where model_id = $model and pod is not null and ts >= $from and ts < $to
), deployments as (
  select distinct deployment_id as name from attempt where model_id = $model and deployment_id is not null and ts >= $from and ts < $to
), running as (
  select distinct device_id, node, pod from gpu_sample where pod is not null and ts >= $from and ts < $to
)
select distinct device_id, node from running
where pod in (select pod from pods) or exists (select 1 from deployments where pod = name or starts_with(pod, name || '-'))"""

PLACES: Final = "select distinct cluster, provider from traffic_1m where model_id = $model and ts >= $from and ts < $to"

CHANGES: Final = """
select * from change_event
where ts >= $from and ts < $to and (model_id is null or $model = '' or model_id = $model)
order by ts desc limit $most"""

FIRST: Final = """
select least((select min(ts) from change_event where ts >= $from and ts < $to),
  (select min(ts) from summary where ts >= $from and ts < $to)) as first"""

DRIFTS: Final = """
select * from finding where kind = 'drift' and state = 'alarm' and model = $model and window_end >= $from and window_end <= $to
order by window_end limit 500"""
DRIFTS_BEFORE: Final = """
select count(*) from alert where kind = 'drift' and model = $model and starts_at >= $from and starts_at < $to"""

TRAFFIC: Final = """
select ts, traffic, tokens_in / nullif(told, 0) as tokens, cached / nullif(tokens_in, 0) as cache, again / nullif(n, 0) as retries
from (
  select time_bucket(to_seconds($step::BIGINT), ts) as ts, sum(attempts - retries)::DOUBLE as traffic, sum(attempts)::DOUBLE as n,
    sum(tokens_in)::DOUBLE as tokens_in, sum(tokens_cached_in)::DOUBLE as cached, sum(retries)::DOUBLE as again,
    (sum(attempts) filter (tokens_in > 0))::DOUBLE as told
  from traffic_1m where model_id = $model and ts >= $from and ts < $to group by 1)
order by ts"""

ROLLED: Final = "select count(*) from attempt_1m where model_id = $model and ts >= $from and ts < $to"

ERRORS: Final = """
select ts, provider, failed / nullif(n, 0) as share, kind from (
  select time_bucket(to_seconds($step::BIGINT), ts) as ts, provider, sum(attempts)::DOUBLE as n,
    coalesce(sum(attempts) filter (list_contains($kinds, error_kind)), 0)::DOUBLE as failed,
    arg_max(error_kind, attempts) filter (list_contains($kinds, error_kind)) as kind
  from traffic_1m where model_id = $model and provider is not null and status <> 'cancelled' and ts >= $from and ts < $to group by 1, 2)
order by provider, ts"""

SERVING: Final = """
select ts, cluster, avg(queue) as queue, max(kv) as kv from (
  select date_trunc('minute', ts) as ts, coalesce(cluster, '') as cluster, target, avg(queue_depth) as queue, avg(kv_util_ratio) as kv
  from serving_sample where model_id = $model and ts >= $from and ts < $to group by 1, 2, 3)
group by 1, 2 order by cluster, ts"""
SERVING_BEFORE: Final = """
select ts, coalesce(cluster, '') as cluster, queue_mean as queue, kv_mean as kv from queue_5m
where model_id = $model and ts >= $from and ts < $to order by cluster, ts"""

# NVML clock event reasons: 0x8 hardware slowdown, 0x20 and 0x40 heat, 0x80 power brake, 0x4 power cap; gpu_5m counts 0xE8.
GPUS: Final = """
select ts, node, cluster, count(*) filter (slow) / count(*) as throttle, avg(util) as saturation,
  mode(case when (mask & 96) <> 0 then 'heat' when (mask & 132) <> 0 then 'power' when slow then 'hardware' end) filter (slow) as why
from (
  select date_trunc('minute', ts) as ts, coalesce(node, '') as node, coalesce(cluster, '') as cluster, device_id,
    bool_or((throttle_mask & 232) <> 0) as slow, bit_or(throttle_mask) as mask, avg(util_ratio) as util
  from gpu_sample
  where ts >= $from and ts < $to and (len($clusters::VARCHAR[]) = 0 or cluster is null or list_contains($clusters::VARCHAR[], cluster))
    and (len($nodes::VARCHAR[]) = 0 or node is null or list_contains($nodes::VARCHAR[], node))
  group by 1, 2, 3, 4)
group by 1, 2, 3 qualify dense_rank() over (order by node, cluster) <= 400 order by node, cluster, ts"""
GPUS_BEFORE: Final = """
select ts, coalesce(cluster, '') as cluster, sum(throttled_devices) / nullif(sum(devices), 0) as throttle, avg(util_mean) as saturation
from gpu_5m where ts >= $from and ts < $to group by 1, 2 order by cluster, ts"""

LOGS: Final = """
with mine as (
  select date_trunc('minute', ts) as ts, template_id, template, service, model_id, cluster, "count" as n from log_event
  where ts >= $from and ts < $to and severity_number >= 13 and (model_id is null or $model = '' or model_id = $model)
    and (cluster is null or len($clusters::VARCHAR[]) = 0 or list_contains($clusters::VARCHAR[], cluster))
), often as (
  select template_id from mine group by 1
  having coalesce(sum(n) filter (ts >= $near), 0) >= 5
    and coalesce(sum(n) filter (ts >= $near), 0) > 2.0 * coalesce(sum(n) filter (ts < $near), 0)
      * greatest(epoch($to::TIMESTAMPTZ) - epoch($near::TIMESTAMPTZ), 60) / (epoch($near::TIMESTAMPTZ) - epoch($from::TIMESTAMPTZ))
  order by coalesce(sum(n) filter (ts >= $near), 0) desc, template_id limit 12
)
select ts, template_id, any_value(template) as template, any_value(service) as service, any_value(model_id) as model_id,
  any_value(cluster) as cluster, sum(n)::DOUBLE as n
from mine where template_id in (select template_id from often) group by 1, 2 order by template_id, ts"""

SIZE: Final = "select count(*) from attempt where model_id = $model and ts >= $from and ts < $to"

# The order of tries as the view `request` has it.
_LAST: Final = "epoch_us(ts) * 2000 + least(coalesce(attempt_no, 0), 19) * 100 + (hash(attempt_id) % 100)::BIGINT"
_BUCKET: Final = "case when {0} is null then null when {0} < 250 then '< 250' when {0} < 1000 then '250 – 1k' when {0} < 4000 then '1k – 4k' when {0} < 8000 then '4k – 8k' when {0} < 16000 then '8k – 16k' else '≥ 16k' end"
_VALUES: Final = {
    "prompt version": "prompt_version", "deployment": "deployment_id", "served by": "model_served", "provider": "provider",
    "cluster": "cluster", "namespace": "namespace", "error kind": "error_kind", "error class": "error_class",
    "prompt tokens": _BUCKET.format("tokens_in"),
    "cached tokens": "case when tokens_cached_in is null or coalesce(tokens_in, 0) = 0 then null when tokens_cached_in = 0 then 'none' when tokens_cached_in * 2 < tokens_in then 'under half' else 'half or more' end",
    "cache hit": "if(cache_hit, 'yes', 'no')", "retried": "if(tries > 1, 'yes', 'no')", "team": "team_id", "API key": "api_key_hash",
    "route": "operation", "streaming": "if(stream, 'yes', 'no')", "tag": "tag",
}  # fmt: skip
_KEPT: Final = (
    "prompt_version", "deployment_id", "model_served", "provider", "cluster", "namespace", "error_kind", "error_class", "tokens_in",
    "tokens_cached_in", "cache_hit", "team_id", "api_key_hash", "operation", "stream",
)  # fmt: skip


def differs(bad: str, counted: str) -> str:
    """Requests by dimension and value, bad and good, since the onset and before it; dimension '' is all of them.

    Args:
        bad: SQL over `request` that is true for a bad one; it comes from the validated configuration.
        counted: likewise for those that the objective counts.
    """
    kept = ", ".join(f"arg_max_null({c}, last) as {c}" for c in _KEPT)
    values = ", ".join(f"{{'dimension': '{d}', 'value': ({s})::VARCHAR}}" for d, s in _VALUES.items())
    sums = ", ".join(
        f"count(*) filter ({side} and {when})::BIGINT as {name}"
        for name, side, when in (
            ("bad", "bad", "since"), ("good", "not bad", "since"), ("bad_before", "bad", "not since"), ("good_before", "not bad", "not since"),
        )
    )  # fmt: skip
    return f"""
with kept as (
  select coalesce(trace_id, source || ':' || attempt_id) as request_id, count(*) as tries, arg_max_null(tags[1], last) as tag, {kept}
  from (select *, {_LAST} as last from attempt where ts >= $from and ts < $to) where hash(coalesce(trace_id, source || ':' || attempt_id)) % $every = 0
  group by 1
), judged as (
  select request_id, ts >= $onset::TIMESTAMPTZ as since, {bad} as bad from request
  where model_id = $model and ts >= $from and ts < $to and (ts < $low::TIMESTAMPTZ or ts >= $onset::TIMESTAMPTZ)
    and (cluster is null or len($clusters::VARCHAR[]) = 0 or list_contains($clusters::VARCHAR[], cluster))
    and status <> 'cancelled' and {counted} and hash(request_id) % $every = 0
), each as (
  select request_id, since, bad, unnest([{values}]) as v from judged join kept using (request_id)
), counted as (
  select v.dimension as dimension, v.value as value, {sums}, bit_xor(hash(request_id))::VARCHAR || '/' || count(*) as same
  from each where v.value is not null group by 1, 2
), placed as (
  select *, row_number() over (partition by dimension order by bad desc, good desc, value) as place from counted
)
select dimension, if(place <= 40, value, '(others)') as value, sum(bad)::BIGINT as bad, sum(good)::BIGINT as good,
  sum(bad_before)::BIGINT as bad_before, sum(good_before)::BIGINT as good_before,
  if(any_value(place) <= 40, any_value(same), '') as same
from placed group by 1, 2
union all by name select '' as dimension, '' as value, {sums}, '' as same from judged
order by dimension, value"""
