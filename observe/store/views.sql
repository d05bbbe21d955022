-- Views of the store beside bulk tables and native ones shown as they are (views.py makes those).
-- Each block begins with "view:" and its name, then one line that says what it shows; lines with "*"
-- explain columns for docs/schema.md. A block may use the ones above it. Times are UTC.

-- view: alert
-- Alerts as they are now: the newest row of each.
SELECT * FROM core.alert QUALIFY row_number() OVER (PARTITION BY alert_id ORDER BY changed_at DESC) = 1

-- view: incident
-- Incidents as they are now: the newest row of each.
SELECT * FROM core.incident QUALIFY row_number() OVER (PARTITION BY incident_id ORDER BY changed_at DESC) = 1

-- view: action
-- Proposed actions as they are now: the newest row of each.
SELECT * FROM core.action QUALIFY row_number() OVER (PARTITION BY action_id ORDER BY changed_at DESC) = 1

-- view: request
-- One row per request: all attempts of one trace; its outcome is that of the last attempt.
-- * ts: when the last attempt ended
-- * ts_start: when the first attempt began
-- * request_id: trace_id, or source:attempt_id without one
-- * attempts: how many tries there were
-- * duration_s: last end minus first start, s
-- * ttft_s: from the first start to the first token of the last attempt, s; NULL unless streamed
-- * cost_usd: of all attempts, USD
-- * cost_known: whether the cost of every attempt is known
-- * status: of the last attempt: ok | error | cancelled
SELECT
  ts,
  first_start AS ts_start,
  request_id,
  model_id,
  cluster,
  team_id,
  status,
  attempts,
  epoch_us(ts) / 1e6 - epoch_us(first_start) / 1e6 AS duration_s,
  ttft_s + (epoch_us(last_start) - epoch_us(first_start)) / 1e6 AS ttft_s,
  tpot_s,
  stream,
  tokens_in,
  tokens_out,
  cost_usd,
  cost_known,
  error_class,
  http_status,
  model_served,
  provider,
  deployment_id
FROM (
  SELECT
    coalesce(trace_id, source || ':' || attempt_id) AS request_id,
    min(ts_start) AS first_start,
    count(*) AS attempts,
    sum(cost_usd) AS cost_usd,
    bool_and(cost_known) AS cost_known,
    arg_max_null(ts, last) AS ts,
    arg_max_null(ts_start, last) AS last_start,
    arg_max_null(model_id, last) AS model_id,
    arg_max_null(cluster, last) AS cluster,
    arg_max_null(team_id, last) AS team_id,
    arg_max_null(status, last) AS status,
    arg_max_null(ttft_s, last) AS ttft_s,
    arg_max_null(tpot_s, last) AS tpot_s,
    arg_max_null(stream, last) AS stream,
    arg_max_null(tokens_in, last) AS tokens_in,
    arg_max_null(tokens_out, last) AS tokens_out,
    arg_max_null(error_class, last) AS error_class,
    arg_max_null(http_status, last) AS http_status,
    arg_max_null(model_served, last) AS model_served,
    arg_max_null(provider, last) AS provider,
    arg_max_null(deployment_id, last) AS deployment_id
  FROM (SELECT *, epoch_us(ts) * 1000 + least(coalesce(attempt_no, 0), 999) AS last FROM attempt)
  GROUP BY 1)

-- view: gpu_5m
-- GPUs by cluster and product in 5-minute buckets; a device is idle below 5 % and saturated from 90 % mean use.
-- * ts: start of the bucket
-- * sku: product name
-- * cluster: of the samples, else of the device
-- * devices: GPUs with a sample in the bucket
-- * util_mean: mean over devices, 0-1
-- * idle_devices: mean use below 0.05
-- * saturated_devices: mean use from 0.9
-- * throttled_devices: any thermal or power-brake slowdown in the bucket (mask 0xE8)
-- * sm_clock_mean: MHz
-- * temp_max: degrees C
-- * power_w_sum: sum of the devices' mean draw, W
SELECT
  ts, cluster, sku,
  count(*) AS devices,
  avg(util) AS util_mean,
  count(*) FILTER (WHERE util < 0.05) AS idle_devices,
  count(*) FILTER (WHERE util >= 0.9) AS saturated_devices,
  count(*) FILTER (WHERE throttled) AS throttled_devices,
  avg(sm_clock) AS sm_clock_mean,
  max(temp) AS temp_max,
  sum(power) AS power_w_sum
FROM (
  SELECT
    time_bucket(INTERVAL 5 MINUTE, s.ts) AS ts,
    coalesce(s.cluster, d.cluster) AS cluster,
    d.model AS sku,
    s.device_id AS device_id,
    avg(s.util_ratio) AS util,
    bool_or(s.throttle_mask & 232 <> 0) AS throttled,
    avg(s.sm_clock_mhz) AS sm_clock,
    max(s.temp_c) AS temp,
    avg(s.power_w) AS power
  FROM gpu_sample AS s LEFT JOIN gpu_device AS d ON d.device_id = s.device_id
  GROUP BY ALL)
GROUP BY ts, cluster, sku

-- view: queue_5m
-- Load of model servers by model and cluster in 5-minute buckets.
-- * ts: start of the bucket
-- * model_id: as the server names it
-- * cluster: where it is served
-- * queue_mean: requests waiting, mean
-- * queue_max: requests waiting, most
-- * running_mean: requests being served, mean
-- * kv_mean: KV cache in use, 0-1, mean
-- * samples: samples in the bucket
SELECT
  time_bucket(INTERVAL 5 MINUTE, ts) AS ts,
  model_id,
  cluster,
  avg(queue_depth) AS queue_mean,
  max(queue_depth) AS queue_max,
  avg(running) AS running_mean,
  avg(kv_util_ratio) AS kv_mean,
  count(*) AS samples
FROM serving_sample
GROUP BY ALL

-- view: slo_status
-- Each SLO as last judged: how much of its budget is left and how fast it burns.
-- * slo_id: <model>.<slo>
-- * model: model it belongs to
-- * state: of the newest finding
-- * severity: page | ticket | inform
-- * slo: name of the SLO
-- * judged_at: end of the last judged window
-- * objective: share of good requests that is promised
-- * window_s: length of the SLO window, s
-- * total: requests in the SLO window
-- * bad: of these, bad
-- * sli: share of good requests
-- * budget_left: share of the error budget that is left
-- * burn_5m: how many times faster than allowed the budget burned over the last 5 minutes
-- * burn_30m: likewise over the last 30 minutes
-- * burn_1h: likewise over the last hour
-- * burn_2h: likewise over the last 2 hours
-- * burn_6h: likewise over the last 6 hours
-- * burn_1d: likewise over the last day
-- * burn_3d: likewise over the last 3 days
-- * phi: overdispersion of bad events
-- * tier: burn tier that fired
-- * evidence_nats: log evidence that the objective is broken
SELECT
  model || '.' || subject AS slo_id,
  model,
  subject AS slo,
  window_end AS judged_at,
  state,
  severity,
  (details ->> '$.objective')::DOUBLE AS objective,
  (details ->> '$.window_s')::DOUBLE AS window_s,
  (details ->> '$.total')::DOUBLE AS total,
  (details ->> '$.bad')::DOUBLE AS bad,
  (details ->> '$.sli')::DOUBLE AS sli,
  (details ->> '$.budget_left')::DOUBLE AS budget_left,
  (details ->> '$.burn."5m"')::DOUBLE AS burn_5m,
  (details ->> '$.burn."30m"')::DOUBLE AS burn_30m,
  (details ->> '$.burn."1h"')::DOUBLE AS burn_1h,
  (details ->> '$.burn."2h"')::DOUBLE AS burn_2h,
  (details ->> '$.burn."6h"')::DOUBLE AS burn_6h,
  (details ->> '$.burn."1d"')::DOUBLE AS burn_1d,
  (details ->> '$.burn."3d"')::DOUBLE AS burn_3d,
  (details ->> '$.phi')::DOUBLE AS phi,
  details ->> '$.tier' AS tier,
  evidence_nats
FROM core.finding
WHERE detector = 'burn'
QUALIFY row_number() OVER (PARTITION BY monitor_id ORDER BY window_end DESC) = 1

-- view: alarm_budget
-- The declared false-alarm budget by severity, and what the last period spent of it.
-- * severity: page | ticket
-- * declared: notified incidents allowed in the period while nothing changed
-- * period_s: length of the period, s
-- * notified: incidents opened in the last period
-- * false_marked: of these, marked as false alarms
-- * spent: notified / declared
SELECT
  promise.severity AS severity,
  promise.allowed AS declared,
  promise.period_s AS period_s,
  count(incident.incident_id) AS notified,
  count(marked.object) AS false_marked,
  count(incident.incident_id) / promise.allowed AS spent
FROM (
  SELECT
    severity,
    (value ->> ('$.' || severity || '.count'))::DOUBLE AS allowed,
    (value ->> ('$.' || severity || '.period_s'))::DOUBLE AS period_s
  FROM core.setting, unnest(['page', 'ticket']) AS names(severity)
  WHERE key = 'false_alarms') AS promise
LEFT JOIN incident
  ON incident.severity = promise.severity
  AND incident.opened_at > now() - to_seconds(promise.period_s)
LEFT JOIN (SELECT DISTINCT object FROM core.command WHERE verb = 'false_alarm') AS marked
  ON marked.object = incident.incident_id
WHERE promise.allowed IS NOT NULL
GROUP BY promise.severity, promise.allowed, promise.period_s
