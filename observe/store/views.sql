-- Views of the store beside bulk tables and native ones shown as they are (views.py makes those).
-- Each block begins with "view:" and its name, then one line that says what it shows; lines with "*"
-- explain columns for docs/schema.md. A block may use the ones above it. Times are UTC.

-- view: alert
-- Alerts as they are now: the newest row of each.
SELECT * FROM core.alert QUALIFY row_number() OVER (PARTITION BY alert_id ORDER BY changed_at DESC) = 1

-- view: incident
-- Incidents as they are now: the newest row of each.
SELECT * FROM core.incident QUALIFY row_number() OVER (PARTITION BY incident_id ORDER BY changed_at DESC) = 1

-- view: explanation
-- Why incidents happened as far as is known now: the newest row of each.
SELECT * FROM core.explanation QUALIFY row_number() OVER (PARTITION BY incident_id ORDER BY changed_at DESC) = 1

-- view: narration
-- What a language model wrote about incidents, where the site asks for it: the newest row of each.
SELECT * FROM core.narration QUALIFY row_number() OVER (PARTITION BY incident_id ORDER BY made_at DESC) = 1

-- view: training_column
-- What models were trained on, as their files were counted last: one row a column.
SELECT * FROM core.training_column QUALIFY made_at = max(made_at) OVER (PARTITION BY model)

-- view: action
-- Actions as they are now: the newest row of each.
SELECT * FROM core.action QUALIFY row_number() OVER (PARTITION BY action_id ORDER BY changed_at DESC) = 1

-- view: action_outcome
-- Did it help? Every action that its target has taken, and every deploy, rollback and scaling by others; see docs/actions.md.
-- * action_id: NULL where it was not ours
-- * ours: whether it was an action of ours; what is not ours opens no circuit breaker
-- * who: who approved it, or rule; of what is not ours who did it, NULL where nobody told
-- * what: what was done, one line
-- * change_id: of what is not ours, see change_outcome
-- * incident_id: what it answers; of what is not ours the incident that was open then
-- * kind: scale | retrain | rollback | hold | deploy
-- * state: of what is not ours: seen
-- * sent_at: when its target was first asked; when it happened
-- * metric: e.g. ttft budget burn
-- * before: the metric in the hour before it was sent, from the onset on
-- * after: in the hour from when it could work
-- * effect: the change beyond that of the same hours of earlier days, in `unit`
-- * ci_low: 95 % interval of the effect
-- * ci_high: 95 % interval of the effect
-- * unit: x budget, or that of a performance metric
-- * days: earlier days it is compared with
-- * verdict: helped | no change | worse | unknown | too early
-- * text: the same in words
WITH done AS (
  SELECT
    action_id, incident_id, model, kind, target, state, sent_at, true AS ours, approved_by AS who,
    kind || ' ' || target || coalesce(' ' || (parameters ->> '$.from') || ' → ' || (parameters ->> '$.to'), '') AS what,
    NULL::VARCHAR AS change_id, outcome
  FROM action
  JOIN (SELECT action_id, min(changed_at) FILTER (state = 'sent') AS sent_at, bool_or(state IN ('acknowledged', 'succeeded')) AS taken FROM core.action GROUP BY 1) USING (action_id)
  WHERE taken
  UNION ALL
  SELECT NULL, incident_id, model, kind, NULL, 'seen', ts, false, actor, what, change_id, outcome FROM core.change_outcome)
SELECT
  action_id, incident_id, model, kind, target, state, sent_at, ours, who, what, change_id,
  outcome ->> '$.metric' AS metric,
  TRY_CAST(outcome ->> '$.before' AS DOUBLE) AS before,
  TRY_CAST(outcome ->> '$.after' AS DOUBLE) AS after,
  TRY_CAST(outcome ->> '$.effect' AS DOUBLE) AS effect,
  TRY_CAST(outcome ->> '$.ci_low' AS DOUBLE) AS ci_low,
  TRY_CAST(outcome ->> '$.ci_high' AS DOUBLE) AS ci_high,
  outcome ->> '$.unit' AS unit,
  TRY_CAST(outcome ->> '$.days' AS BIGINT) AS days,
  coalesce(outcome ->> '$.verdict', 'too early') AS verdict,
  outcome ->> '$.text' AS text
FROM done

-- view: reference_window
-- Periods proposed or accepted as the new normal after a training: the newest row of each.
SELECT * FROM core.reference_window QUALIFY row_number() OVER (PARTITION BY reference_id ORDER BY changed_at DESC) = 1

-- view: mute
-- What people have muted: the newest word about each object; in force while `until` lies ahead.
-- * object: incident, alert, monitor or model; * for everything
-- * since: when it was muted
-- * until: when it ends by itself
-- * reason: why, in their words
-- * actor: who did it
-- * command_id: the row of command that says so
SELECT object, ts AS since, TRY_CAST(parameters ->> '$.until' AS TIMESTAMPTZ) AS until, reason, actor, command_id
FROM (
  SELECT * FROM core.command WHERE verb IN ('mute', 'unmute')
  QUALIFY row_number() OVER (PARTITION BY object ORDER BY ts DESC, command_id DESC) = 1)
WHERE verb = 'mute'

-- view: undelivered
-- Messages that nobody has taken: waiting, refused, or given up after a day (dead); of the last seven days.
-- * message_id: idempotency key
-- * channel: how it is told: alertmanager, webhook, slack, pagerduty, email
-- * url: address of an Alertmanager, or <type>:<name> of a receiver
-- * state: waiting | refused | dead
-- * tries: tries so far
-- * status: status of the newest answer; NULL when nothing answered
-- * error: why it was not taken
-- * first_at: when it was first tried
-- * tried_at: when it was last tried
-- * incident_id: incident a receiver is told of; NULL for Alertmanager
-- * notice: opened | raised | grown | reopened | acknowledged | resolved | joined
SELECT message_id, channel, url, state, tries, status, error, first_at, tried_at, incident_id, notice
FROM (SELECT * FROM core.delivery QUALIFY row_number() OVER (PARTITION BY message_id ORDER BY tried_at DESC) = 1) AS d
WHERE state IN ('waiting', 'refused', 'dead')
  AND tried_at > now() - INTERVAL 7 DAYS
  AND NOT (incident_id IS NULL AND EXISTS (
    SELECT 1 FROM core.delivery AS later WHERE later.url = d.url AND later.state IN ('sent', 'partial') AND later.tried_at > d.tried_at))

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
  error_kind,
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
    arg_max_null(error_kind, last) AS error_kind,
    arg_max_null(http_status, last) AS http_status,
    arg_max_null(model_served, last) AS model_served,
    arg_max_null(provider, last) AS provider,
    arg_max_null(deployment_id, last) AS deployment_id
  FROM (SELECT *, epoch_us(ts) * 2000 + least(coalesce(attempt_no, 0), 19) * 100 + (hash(attempt_id) % 100)::BIGINT AS last FROM attempt)
  GROUP BY 1)

-- view: performance
-- How well models do by the labels that have come, by hour of the prediction; labels that came late are in it.
-- * model: model it is about
-- * ts: start of the hour
-- * predictions: answers of the hour
-- * labelled: of them, those with a usable label
-- * coverage: labelled of predictions, 0-1
-- * accuracy: share of right answers among labelled ones; NULL of a regression
-- * log_loss: mean of -ln(probability of what happened), cut at a probability of 1e-6
-- * calibration: mean of what happened less its predicted probability; 0 is good
-- * mae: mean absolute error, in the unit of the score
-- * rmse: root of the mean squared error
-- * bias: mean of truth less prediction
-- * late: of labelled, those that came after the hour was judged
WITH parts AS (
  SELECT model, ts, regexp_extract(measure, '/(performance|estimate)/(.*)$', 1) AS part, regexp_extract(measure, '/(performance|estimate)/(.*)$', 2) AS name, n, missing, counts, value_sum, late
  FROM summary WHERE measure LIKE '%/performance/%' OR measure LIKE '%/estimate/score'),
summed AS (
  SELECT model, ts,
    sum(n + missing) FILTER (part = 'estimate') AS predictions,
    sum(n) FILTER (part = 'performance' AND name IN ('accuracy', 'mae')) AS labelled,
    sum(n) FILTER (part = 'performance' AND name IN ('accuracy', 'mae') AND late) AS late,
    sum(counts[2]) FILTER (name = 'accuracy') AS hits, sum(n) FILTER (name = 'accuracy') AS answered,
    sum(value_sum) FILTER (name = 'log_loss') AS log_losses, sum(n) FILTER (name = 'log_loss') AS scored,
    sum(value_sum) FILTER (name = 'calibration') AS gaps, sum(value_sum) FILTER (name = 'mae') AS errors,
    sum(value_sum) FILTER (name = 'squared') AS squares, sum(value_sum) FILTER (name = 'bias') AS biases, sum(n) FILTER (name = 'mae') AS measured
  FROM parts GROUP BY model, ts)
SELECT model, ts, predictions::BIGINT AS predictions, coalesce(labelled, 0)::BIGINT AS labelled, labelled::DOUBLE / nullif(predictions, 0) AS coverage,
  hits::DOUBLE / nullif(answered, 0) AS accuracy, log_losses / nullif(scored, 0) AS log_loss, gaps / nullif(scored, 0) AS calibration,
  errors / nullif(measured, 0) AS mae, sqrt(squares / nullif(measured, 0)) AS rmse, biases / nullif(measured, 0) AS bias, coalesce(late, 0)::BIGINT AS late
FROM summed

-- view: label_unmatched
-- Labels of the newest day that have no prediction, by model: their ids differ, or the predictions have left.
-- * model: model it is about
-- * labels: how many
-- * newest: when the last of them became available
-- * example: prediction_id of one of them
SELECT l.model_id AS model, count(*) AS labels, max(l.ts) AS newest, max_by(l.prediction_id, l.ts) AS example
FROM label AS l
WHERE l.ts > (SELECT max(ts) FROM label) - INTERVAL 1 DAY
  AND NOT EXISTS (FROM prediction AS p WHERE p.prediction_id = l.prediction_id AND p.item_idx = l.item_idx)
GROUP BY l.model_id

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
-- * mem_total_mib: memory of one device of the product as described, MiB, median
SELECT
  ts, cluster, sku,
  sum(devices)::BIGINT AS devices,
  round(sum(util_sum) / nullif(sum(util_devices), 0), 9) AS util_mean,
  sum(idle_devices)::BIGINT AS idle_devices,
  sum(saturated_devices)::BIGINT AS saturated_devices,
  sum(throttled_devices)::BIGINT AS throttled_devices,
  sum(sm_clock_sum) / nullif(sum(sm_clock_devices), 0) AS sm_clock_mean,
  max(temp_max) AS temp_max,
  sum(power_w_sum) AS power_w_sum,
  any_value(mem_total_mib) AS mem_total_mib
FROM (SELECT * FROM gpu_fleet_5m UNION ALL BY NAME SELECT * FROM ($open(gpu_fleet_5m)))
LEFT JOIN (SELECT model AS sku, median(mem_total_mib) AS mem_total_mib FROM gpu_device WHERE parent_uuid IS NULL GROUP BY model) USING (sku)
GROUP BY ts, cluster, sku
HAVING sum(devices) > 0

-- view: device_5m
-- Each GPU or MIG instance in 5-minute buckets, with what tells its peers.
-- * ts: start of the bucket
-- * device_id: UUID, or UUID/gi for a MIG instance
-- * parent_uuid: of the board, for a MIG instance
-- * mig_profile: e.g. 1g.10gb
-- * cluster: of the samples, else of the device
-- * node: host
-- * gpu_index: index on the node
-- * sku: product name
-- * workload: namespace/pod of the samples, the last by name of several
-- * util: busy fraction, mean
-- * tensor: tensor pipe active fraction, mean
-- * dram: memory interface active fraction, mean
-- * power: board draw, W, mean
-- * sm_clock: MHz, mean
-- * temp: degrees C, most
SELECT
  m.* EXCLUDE (told_cluster), coalesce(m.told_cluster, d.cluster) AS cluster, d.parent_uuid, d.mig_profile, d.node, d.gpu_index, d.model AS sku
FROM (
  SELECT
    time_bucket(INTERVAL 5 MINUTE, ts) AS ts, device_id,
    max(cluster) AS told_cluster,
    max(workload) AS workload,
    sum(util_sum) / nullif(sum(util_count), 0) AS util,
    sum(tensor_sum) / nullif(sum(tensor_count), 0) AS tensor,
    sum(dram_sum) / nullif(sum(dram_count), 0) AS dram,
    sum(power_sum) / nullif(sum(power_count), 0) AS power,
    sum(sm_clock_sum) / nullif(sum(sm_clock_count), 0) AS sm_clock,
    max(temp_max) AS temp
  FROM (SELECT * FROM gpu_1m UNION ALL BY NAME SELECT * FROM ($open(gpu_1m)))
  GROUP BY 1, 2) AS m LEFT JOIN gpu_device AS d ON d.device_id = m.device_id

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
  ts, model_id, cluster,
  sum(queue_sum) / nullif(sum(queue_count), 0) AS queue_mean,
  max(queue_max) AS queue_max,
  sum(running_sum) / nullif(sum(running_count), 0) AS running_mean,
  sum(kv_sum) / nullif(sum(kv_count), 0) AS kv_mean,
  sum(samples)::BIGINT AS samples
FROM (SELECT * FROM serving_5m UNION ALL BY NAME SELECT * FROM ($open(serving_5m)))
GROUP BY ts, model_id, cluster

-- view: traffic_1m
-- attempt_1m together with the attempts that are not sealed yet: what pages about traffic read.
SELECT * EXCLUDE (late, ingested_at) FROM attempt_1m UNION ALL BY NAME SELECT * FROM ($open(attempt_1m))

-- view: slo_status
-- Each SLO as last judged: how much of its budget is left, how fast it burns, when it is gone, and what cannot be seen.
-- * slo_id: <model>.<slo>
-- * model: model it belongs to
-- * state: of the newest finding
-- * severity: page | ticket | inform
-- * slo: name of the SLO
-- * judged_at: end of the last judged window
-- * counted: what is counted: requests, calls, events, minutes, GPU minutes
-- * objective: share of good ones that is promised
-- * window_s: length of the SLO window, s
-- * total: how many there were in the SLO window
-- * bad: of these, bad
-- * sli: share of good ones
-- * budget_left: share of the error budget that is left
-- * budget_low: 95 % interval of budget_left: how much of it is chance, bad ones coming in bursts
-- * budget_high: likewise
-- * budget_events: bad ones that the whole period allows; of a calendar period as expected at its end
-- * window_kind: rolling | calendar
-- * window_from: start of the period
-- * window_to: end of a calendar period
-- * gaps_s: of the period, time without data while some usually come: neither good nor bad, s
-- * exhausted_at: when the budget is gone if things go on; NULL when not until forecast_until, or nothing is known
-- * exhausted_low: 95 % interval of that: the earliest
-- * exhausted_high: the latest; NULL when perhaps never
-- * forecast_until: how far ahead was looked; NULL when nothing can be said
-- * forecast_basis: what goes on: the last days | since the onset
-- * forecast_from: when it was made: the last whole hour, or during an alarm when it was judged
-- * forecast_path: JSON list of [hours after forecast_from, budget left: expected, worst, best of 95 %]
-- * found_24h: smallest burn rate found within 24 h in nine of ten cases at the present traffic; NULL when not even an outage
-- * found_1h: likewise within an hour
-- * burn_5m: how many times faster than allowed the budget burned over the last 5 minutes
-- * burn_30m: likewise over the last 30 minutes
-- * burn_1h: likewise over the last hour
-- * burn_2h: likewise over the last 2 hours
-- * burn_6h: likewise over the last 6 hours
-- * burn_1d: likewise over the last day
-- * burn_3d: likewise over the last 3 days
-- * burn_low: JSON object of 95 % bounds by window: 5m, 30m, 1h, 2h, 6h, 1d, 3d; null where nothing was counted
-- * burn_high: likewise the upper ones
-- * onset: most likely start of the burn of an alarm
-- * note: in one line
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
  coalesce(details ->> '$.counted', 'requests') AS counted,
  (details ->> '$.objective')::DOUBLE AS objective,
  (details ->> '$.window_s')::DOUBLE AS window_s,
  (details ->> '$.total')::DOUBLE AS total,
  (details ->> '$.bad')::DOUBLE AS bad,
  (details ->> '$.sli')::DOUBLE AS sli,
  (details ->> '$.budget_left')::DOUBLE AS budget_left,
  (details ->> '$.budget_low')::DOUBLE AS budget_low,
  (details ->> '$.budget_high')::DOUBLE AS budget_high,
  (details ->> '$.budget_events')::DOUBLE AS budget_events,
  details ->> '$.window.kind' AS window_kind,
  (details ->> '$.window.from')::TIMESTAMPTZ AS window_from,
  (details ->> '$.window.to')::TIMESTAMPTZ AS window_to,
  (details ->> '$.gaps_s')::DOUBLE AS gaps_s,
  (details ->> '$.forecast.exhausted_at')::TIMESTAMPTZ AS exhausted_at,
  (details ->> '$.forecast.low')::TIMESTAMPTZ AS exhausted_low,
  (details ->> '$.forecast.high')::TIMESTAMPTZ AS exhausted_high,
  (details ->> '$.forecast.until')::TIMESTAMPTZ AS forecast_until,
  details ->> '$.forecast.basis' AS forecast_basis,
  (details ->> '$.forecast.from')::TIMESTAMPTZ AS forecast_from,
  details ->> '$.forecast.path' AS forecast_path,
  (details ->> '$.power.burn_24h')::DOUBLE AS found_24h,
  (details ->> '$.power.burn_1h')::DOUBLE AS found_1h,
  (details ->> '$.burn."5m"')::DOUBLE AS burn_5m,
  (details ->> '$.burn."30m"')::DOUBLE AS burn_30m,
  (details ->> '$.burn."1h"')::DOUBLE AS burn_1h,
  (details ->> '$.burn."2h"')::DOUBLE AS burn_2h,
  (details ->> '$.burn."6h"')::DOUBLE AS burn_6h,
  (details ->> '$.burn."1d"')::DOUBLE AS burn_1d,
  (details ->> '$.burn."3d"')::DOUBLE AS burn_3d,
  details ->> '$.burn_low' AS burn_low,
  details ->> '$.burn_high' AS burn_high,
  onset,
  note,
  (details ->> '$.phi')::DOUBLE AS phi,
  details ->> '$.tier' AS tier,
  evidence_nats
FROM finding
WHERE detector = 'burn'
QUALIFY row_number() OVER (PARTITION BY monitor_id ORDER BY window_end DESC) = 1

-- view: alarm_budget
-- The declared false-alarm budget by severity, and what the last period spent of it.
-- * severity: page | ticket
-- * declared: notified incidents allowed in the period while nothing changed
-- * period_s: length of the period, s
-- * notified: incidents opened in the last period; those that were told in another from the first count there
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
  AND (incident.part_of IS NULL OR incident.incident_id IN (SELECT incident_id FROM core.incident WHERE part_of IS NULL))
LEFT JOIN (SELECT DISTINCT object FROM core.command WHERE verb = 'false_alarm') AS marked
  ON marked.object = incident.incident_id
WHERE promise.allowed IS NOT NULL
GROUP BY promise.severity, promise.allowed, promise.period_s

-- view: source_health
-- Every source as it is now: when it was last heard, how late its rows come, what was refused; `now` is the newest minute of service_sample.
-- * source: collector of the site, or the way in as counted: otlp, litellm, predictions/<model>
-- * target: the address or path that is read; push for what is sent to us, push/<cluster>/<node> for the part of it that one agent pushes, until it has been silent for a day
-- * way: pull | push
-- * state: ok | silent (longer than it may be) | failing (the newest try failed, of what is sent to us within the hour) | never (not heard yet)
-- * judged_at: the instant this is told for
-- * last_heard: when it was last read, or rows last came; for paths and devices when rows were last stored
-- * allowed_s: how long it may be silent, s; NULL where its rhythm is not known
-- * last_rows: rows stored then
-- * lag_s: age of the newest row when it came, s; below 0 its clock runs ahead
-- * offered_1h: items that came in the last hour
-- * stored_1h: of these stored
-- * rejected_1h: of these not stored, see reject_reason
-- * errors_1h: tries that failed in the last hour
-- * last_error: of the newest try that failed, in the last day
WITH moment AS (
  SELECT coalesce((SELECT max(ts) FROM service_sample), (SELECT max(ts) FROM collector_run), now()) AS judged_at
), declared AS (
  SELECT source, type, reads, every_s, unnest(targets) AS target
  FROM (
    SELECT unnest(from_json(value, '[{"source":"VARCHAR","type":"VARCHAR","reads":"VARCHAR","every_s":"DOUBLE","targets":["VARCHAR"]}]'), recursive := true)
    FROM core.setting WHERE key = 'collectors')
), said AS (
  SELECT subject AS source, (details ->> '$.allowed_s')::DOUBLE AS allowed_s
  FROM finding, moment
  WHERE detector = 'silence' AND window_end > judged_at - INTERVAL 1 DAY
  QUALIFY row_number() OVER (PARTITION BY subject ORDER BY window_end DESC) = 1
), runs AS (
  SELECT
    collector AS source,
    coalesce(paths.target, run.target) AS target,
    coalesce(any_value(paths.reads), if(run.target = 'push' OR starts_with(run.target, 'push/'), 'push', 'address')) AS reads,
    max(ts) FILTER (ok AND (stored > 0 OR coalesce(paths.reads, 'address') = 'address')) AS last_heard,
    max(ts) FILTER (ok) AS last_ok,
    max(ts) FILTER (NOT ok) AS last_bad,
    arg_max(stored, ts) FILTER (ok) AS last_rows,
    arg_max(lag_s, ts) FILTER (ok) AS lag_s,
    coalesce(sum(offered) FILTER (ts > judged_at - INTERVAL 1 HOUR), 0)::BIGINT AS offered_1h,
    coalesce(sum(stored) FILTER (ts > judged_at - INTERVAL 1 HOUR), 0)::BIGINT AS stored_1h,
    count(*) FILTER (NOT ok AND ts > judged_at - INTERVAL 1 HOUR) AS errors_1h,
    arg_max(error, ts) FILTER (NOT ok AND ts > judged_at - INTERVAL 1 DAY) AS last_error
  FROM collector_run AS run
  CROSS JOIN moment
  LEFT JOIN (SELECT * FROM declared WHERE reads IN ('path', 'device')) AS paths ON paths.source = run.collector
  GROUP BY collector, coalesce(paths.target, run.target), run.target = 'push' OR starts_with(run.target, 'push/')
  HAVING NOT starts_with(coalesce(paths.target, run.target), 'push/') OR max(ts) > any_value(judged_at) - INTERVAL 1 DAY
), told AS (
  SELECT
    coalesce(runs.source, known.source) AS source,
    coalesce(runs.target, known.target) AS target,
    coalesce(known.reads, runs.reads) AS reads,
    CASE
      WHEN known.reads = 'address' THEN 3 * known.every_s
      WHEN starts_with(runs.target, 'push/') THEN 3 * greatest(coalesce(known.every_s, 300), 60)  -- they are told once a minute
      WHEN coalesce(known.type, split_part(runs.source, '/', 1)) IN ('labels', 'events') OR known.reads = 'path' THEN said.allowed_s
      ELSE coalesce(said.allowed_s, 3 * known.every_s, 900)
    END AS allowed_s,
    runs.* EXCLUDE (source, target, reads)
  FROM declared AS known
  FULL JOIN runs ON CASE
    WHEN known.reads = 'push' THEN runs.reads = 'push' AND split_part(runs.source, '/', 1) = known.type
    ELSE runs.source = known.source AND runs.target = known.target END
  LEFT JOIN said ON said.source = known.source
  WHERE known.source IS NOT NULL OR runs.reads = 'push' OR NOT EXISTS (SELECT 1 FROM core.setting WHERE key = 'collectors')
)
SELECT
  source,
  target,
  if(reads = 'push', 'push', 'pull') AS way,
  CASE
    WHEN last_bad > coalesce(last_ok, TIMESTAMPTZ '1970-01-01 00:00:00+00') AND (reads <> 'push' OR last_bad > judged_at - INTERVAL 1 HOUR) THEN 'failing'
    WHEN last_heard IS NULL THEN 'never'
    WHEN epoch_us(judged_at) - epoch_us(last_heard) > allowed_s * 1e6 THEN 'silent'
    ELSE 'ok'
  END AS state,
  judged_at,
  last_heard,
  allowed_s,
  last_rows,
  lag_s,
  coalesce(offered_1h, 0) AS offered_1h,
  coalesce(stored_1h, 0) AS stored_1h,
  coalesce(offered_1h - stored_1h, 0) AS rejected_1h,
  coalesce(errors_1h, 0) AS errors_1h,
  last_error
FROM told CROSS JOIN moment

-- view: reject_reason
-- Items that were offered and not stored, by source and reason; `duplicate` is a row that was there already.
-- * source: see source_health
-- * reason: why
-- * n_1h: in the last hour
-- * n_24h: in the last day
-- * last_at: when it last happened
-- * example: what one such item of the last day looked like: names stay, text, words and numbers are left out; NULL where none was given
WITH moment AS (
  SELECT coalesce((SELECT max(ts) FROM service_sample), (SELECT max(ts) FROM collector_run), now()) AS judged_at
), kept AS (
  SELECT by_source.key AS source, reasons.key AS reason, reasons.value ->> '$.example' AS example
  FROM core.setting AS s, json_each(s.value) AS by_source, json_each(by_source.value) AS reasons
  WHERE s.key = 'reject_examples'
), counted AS (
  SELECT
    collector AS source,
    entry.key AS reason,
    coalesce(sum(entry.value) FILTER (ts > judged_at - INTERVAL 1 HOUR), 0)::BIGINT AS n_1h,
    sum(entry.value)::BIGINT AS n_24h,
    max(ts) AS last_at
  FROM (
    SELECT collector, ts, judged_at, unnest(map_entries(rejected::JSON::MAP(VARCHAR, BIGINT))) AS entry
    FROM collector_run, moment
    WHERE ts > judged_at - INTERVAL 1 DAY AND rejected <> '{}')
  GROUP BY ALL
)
SELECT counted.*, kept.example FROM counted LEFT JOIN kept USING (source, reason)

-- view: telemetry_doubt
-- What is wrong, missing or contradictory in what sources send, found by the rows of the last hour: the telemetry doctor.
-- * level: doubt (numbers that mislead) | hint (numbers that are missing)
-- * source: collector or model it is about
-- * what: what was seen
-- * n: rows, devices or requests it concerns
-- * of: out of so many
-- * since: when it was first seen in that hour
-- * why: why it matters
-- * todo: what to do
WITH moment AS (
  SELECT coalesce((SELECT max(ts) FROM service_sample), (SELECT max(ts) FROM collector_run), now()) AS judged_at
), gpu AS (
  SELECT s.*, d.mig_profile IS NOT NULL AS mig
  FROM gpu_sample AS s LEFT JOIN gpu_device AS d USING (device_id)
  WHERE s.ts > (SELECT judged_at - INTERVAL 1 HOUR FROM moment) AND NOT starts_with(s.source, 'import/')
), flags AS (
  SELECT
    source,
    count(*) AS samples,
    count(DISTINCT device_id) AS devices,
    count(DISTINCT device_id) FILTER (quality & 4 <> 0) AS stuck, min(ts) FILTER (quality & 4 <> 0) AS stuck_at,
    count(*) FILTER (quality & 1 <> 0) AS ranged, min(ts) FILTER (quality & 1 <> 0) AS ranged_at,
    count(*) FILTER (quality & 2 <> 0) AS blank, min(ts) FILTER (quality & 2 <> 0) AS blank_at,
    count(DISTINCT device_id) FILTER (mig AND util_source = 'gpu_util') AS mig_util,
    count(DISTINCT device_id) FILTER (mig AND util_ratio IS NULL) AS mig_none,
    min(ts) AS since,
    list_filter([
      if(count(sm_active_ratio) = 0, 'DCGM_FI_PROF_SM_ACTIVE (how busy the SMs are)', NULL),
      if(count(sm_occupancy_ratio) = 0, 'DCGM_FI_PROF_SM_OCCUPANCY (room for larger batches)', NULL),
      if(count(tensor_active_ratio) = 0, 'DCGM_FI_PROF_PIPE_TENSOR_ACTIVE (whether tensor cores work)', NULL),
      if(count(ecc_dbe_total) = 0, 'DCGM_FI_DEV_ECC_DBE_VOL_TOTAL (memory that fails)', NULL),
      if(count(throttle_mask) = 0, 'DCGM_FI_DEV_CLOCKS_EVENT_REASONS (why clocks fall)', NULL),
      if(count(power_violation_s) = 0, 'DCGM_FI_DEV_POWER_VIOLATION (time lost to the power cap)', NULL),
      if(count(thermal_violation_s) = 0, 'DCGM_FI_DEV_THERMAL_VIOLATION (time lost to heat)', NULL)
    ], lambda field: field IS NOT NULL) AS missing
  FROM gpu GROUP BY source
), twice AS (
  SELECT device_id, string_agg(DISTINCT source, ' and ' ORDER BY source) AS sources, min(ts) AS since
  FROM gpu WHERE ts > (SELECT judged_at - INTERVAL 10 MINUTES FROM moment) GROUP BY device_id HAVING count(DISTINCT source) > 1
), falls AS (
  SELECT source, 'energy_j of ' || device_id AS series, min(ts) AS since, count(*) AS n FROM (
    SELECT source, device_id, ts, energy_j < lag(energy_j) OVER (PARTITION BY source, device_id ORDER BY ts) AS fell FROM gpu)
  WHERE fell GROUP BY ALL HAVING count(*) > 1
  UNION ALL
  SELECT source, 'tokens_out_total of ' || target, min(ts), count(*) FROM (
    SELECT source, target, ts, tokens_out_total < lag(tokens_out_total) OVER (PARTITION BY source, target, model_id, engine ORDER BY ts) AS fell
    FROM serving_sample WHERE ts > (SELECT judged_at - INTERVAL 1 HOUR FROM moment))
  WHERE fell GROUP BY ALL HAVING count(*) > 1
), calls AS (
  SELECT
    coalesce(model_id, '(no name)') AS model,
    count(*) AS n,
    count(*) FILTER (NOT cost_known AND status = 'ok' AND tokens_out > 0) AS unpriced, min(ts) FILTER (NOT cost_known) AS unpriced_at,
    count(*) FILTER (stream AND status = 'ok') AS streamed,
    count(*) FILTER (stream AND status = 'ok' AND ttft_s IS NULL) AS untimed, min(ts) FILTER (stream AND ttft_s IS NULL) AS untimed_at,
    min(ts) AS since
  FROM attempt WHERE ts > (SELECT judged_at - INTERVAL 1 HOUR FROM moment) GROUP BY 1
), shared AS (
  SELECT string_agg(DISTINCT source, ' and ' ORDER BY source) AS sources, count(DISTINCT trace_id) AS n, min(ts) AS since FROM (
    SELECT trace_id, source, ts, min(source) OVER same <> max(source) OVER same AS told_twice
    FROM attempt
    WHERE trace_id IS NOT NULL AND response_id IS NOT NULL AND NOT starts_with(source, 'import/') AND ts > (SELECT judged_at - INTERVAL 10 MINUTES FROM moment)
    WINDOW same AS (PARTITION BY trace_id, response_id))
  WHERE told_twice HAVING count(*) > 0
), mixed AS (
  SELECT model_id, count(*) FILTER (quality & 16 <> 0) AS n, count(*) AS total, min(ts) FILTER (quality & 16 <> 0) AS since
  FROM prediction WHERE ts > (SELECT judged_at - INTERVAL 1 HOUR FROM moment) GROUP BY 1
), named AS (
  SELECT models.key AS model, columns.value ->> '$[0]' AS field, columns.value ->> '$[1]' AS name
  FROM core.setting AS s, json_each(s.value) AS models, json_each(models.value, '$.performance.columns') AS columns
  WHERE s.key = 'models' AND models.key IN (SELECT model FROM core.model_table)
), absent AS (
  SELECT model, field, name, (
    SELECT max_by(f.feature, jaro_winkler_similarity(lower(f.feature), lower(name))) FROM core.feature_column AS f
    WHERE f.model = named.model AND jaro_winkler_similarity(lower(f.feature), lower(name)) > 0.85) AS near
  FROM named
  WHERE NOT EXISTS (FROM core.feature_column AS f WHERE f.model = named.model AND lower(f.feature) = lower(name))
), found AS (
  SELECT 'doubt' AS level, source, 'profiling counters are 0 while the GPUs are busy' AS what, stuck AS n, devices AS "of", stuck_at AS since,
    'a GPU that works would be counted as idle; Observe goes by GPU_UTIL instead' AS why,
    'restart dcgm-exporter or nv-hostengine on these nodes; check that no profiler holds the counters' AS todo
  FROM flags WHERE stuck > 0
  UNION ALL SELECT 'doubt', source, 'values outside of what is possible', ranged, samples, ranged_at,
    'they were left out, so means stand on fewer samples', 'update DCGM and the driver; spikes of GPU_UTIL are known of older ones'
  FROM flags WHERE ranged > 0
  UNION ALL SELECT 'hint', source, 'blank values that mean "not supported"', blank, samples, blank_at,
    'these columns are NULL, never 0', 'drop these fields from the exporter''s list for GPUs that do not have them'
  FROM flags WHERE blank > 0
  UNION ALL SELECT 'doubt', source, 'MIG instances measured by GPU_UTIL, or not at all', mig_util + mig_none, devices, since,
    'GPU_UTIL does not exist under MIG: it reads 0 or the whole board', 'export DCGM_FI_PROF_GR_ENGINE_ACTIVE or DCGM_FI_PROF_SM_ACTIVE'
  FROM flags WHERE mig_util + mig_none > 0
  UNION ALL SELECT 'hint', source, len(missing) || ' fields never come', devices, devices, since,
    'they would tell: ' || array_to_string(missing, ', '), 'add them to dcgm-exporter''s counters file (-f counters.csv)'
  FROM flags WHERE len(missing) > 0
  UNION ALL SELECT 'doubt', sources, 'the same GPUs are read by more than one collector', count(*), NULL, min(since),
    'sums over samples and rows count them twice', 'remove one of the targets'
  FROM twice GROUP BY sources
  UNION ALL SELECT 'doubt', source, 'a counter goes down: ' || min(series) || if(count(*) > 1, ' and ' || count(*) - 1 || ' more', ''), sum(n), NULL, min(since),
    'a restart does that once; again and again it is several processes behind one address', 'read each process by itself, or a multiprocess directory'
  FROM falls GROUP BY source
  UNION ALL SELECT 'doubt', model, 'the cost of answers is not known', unpriced, n, unpriced_at,
    'sums of cost are too low by these', 'give the gateway a price for this model'
  FROM calls WHERE unpriced > 0.01 * n
  UNION ALL SELECT 'doubt', model, 'streamed answers without a time to first token', untimed, streamed, untimed_at,
    'a latency objective on ttft_s does not see them', 'let the gateway or SDK report the first chunk'
  FROM calls WHERE untimed > 0.01 * streamed
  UNION ALL SELECT 'hint', model, 'requests of a model that no file declares', n, NULL, since,
    'nobody is told when it gets slow, fails or drifts', 'observe init --from-traffic proposes a file for it'
  FROM calls WHERE model NOT IN (SELECT unnest(json_keys(value)) FROM core.setting WHERE key = 'models')
  UNION ALL SELECT 'doubt', sources, 'the same answers are told by two sources', n, NULL, since,
    'requests, tokens and cost are counted twice', 'let either the gateway or the SDK report them'
  FROM shared
  UNION ALL SELECT 'doubt', model_id, 'features that came with another type were blanked', n, total, since,
    'drift is judged without these values', 'send one type a feature (POST answers name it with an example); where its first rows were wrong, declare it: kind: numeric'
  FROM mixed WHERE n > 0
  UNION ALL SELECT 'doubt', model, 'performance.' || field || ' names ''' || name || ''', which no prediction has had', NULL, NULL, NULL,
    'what hangs on this column is unknown; the rest is counted, and it begins when the column comes',
    if(near IS NULL, 'send it as a feature of the predictions, or correct the name', 'did you mean ''' || near || '''? Correct the name, or send the column')
  FROM absent
  UNION ALL SELECT 'doubt', min(source), 'agents lost pages for want of room', count(DISTINCT labels), NULL, min(ts),
    'GPU samples of the time that they could not reach us are missing', 'look why they could not: a network policy, a certificate, or the service was down for long'
  FROM metric_sample WHERE metric = 'observe_agent_pages_dropped_total' AND value > 0 AND ts > (SELECT judged_at - INTERVAL 1 HOUR FROM moment)
  HAVING count(*) > 0
  UNION ALL SELECT 'doubt', source, 'its clock runs ahead by ' || round(-lag_s)::BIGINT || ' s', last_rows, NULL, last_heard,
    'windows close before its rows are due, and later ones look early', 'let ntpd or chrony set the clock of the sender'
  FROM source_health WHERE lag_s < -5
)
SELECT level, source, what, n::BIGINT AS n, "of"::BIGINT AS "of", since, why, todo FROM found

-- view: pipeline_health
-- The service's own parts as they were in the newest minute of service_sample: full, late, failing, or fine.
-- * part: queue | commit | halves | seal | summarise | judge | store | kept | disk | memory | event_loop | stages | children | deliveries; kept only when raw rows left for room
-- * state: ok | doubt | wrong | unknown
-- * judged_at: that minute
-- * age_s: how far behind it is, s, where that is what counts
-- * value: what was measured
-- * most: up to where it is fine, s where it has an age
-- * unit: of value and most: ratio | bytes | s | rows | times | messages | calls
-- * todo: what to do when it is not fine
WITH sample AS (
  SELECT *, epoch_us(ts) / 1e6 AS at_s FROM service_sample ORDER BY ts DESC LIMIT 1
), past AS (
  SELECT
    sum(greatest(0, stage_errors_total - before.errors)) AS errors,
    sum(greatest(0, child_restarts_total - before.restarts)) AS restarts,
    max(loop_lag_max_s) FILTER (ts > newest - INTERVAL 10 MINUTES) AS loop_lag_s
  FROM (
    SELECT *, max(ts) OVER () AS newest, {
      'errors': lag(stage_errors_total) OVER (ORDER BY ts), 'restarts': lag(child_restarts_total) OVER (ORDER BY ts)} AS before
    FROM service_sample WHERE ts > (SELECT ts - INTERVAL 1 HOUR FROM sample))
), site AS (
  SELECT
    (SELECT (value ->> '$.size_bytes')::DOUBLE FROM core.setting WHERE key = 'store') AS size_bytes,
    coalesce((SELECT (value ->> '$.lateness_s')::DOUBLE FROM core.setting WHERE key = 'store'), 300) + 900 AS behind_s
), part AS (
  SELECT ts AS judged_at, unnest([
    {'part': 'queue', 'age_s': NULL::DOUBLE, 'value': queue_ratio, 'most': 0.7, 'worst': 0.95, 'unit': 'ratio',
     'todo': 'senders are told to come again; look at the disk, and whether one source sends far more than before'},
    {'part': 'commit', 'age_s': if(queue_bytes > 0, at_s - epoch_us(last_commit_at) / 1e6, 0), 'value': queue_bytes, 'most': 30, 'worst': 60, 'unit': 'bytes',
     'todo': 'look for a full or slow disk, and for StoreError in the log'},
    {'part': 'halves', 'age_s': coalesce(halves_oldest_s, 0), 'value': coalesce(requests_waiting + responses_waiting, 0), 'most': 90, 'worst': 600, 'unit': 'calls',
     'todo': 'requests and responses of model servers wait for each other beyond their 60 s: look for a full queue, and for event=stage_failed in the log'},
    {'part': 'seal', 'age_s': if(hot_rows > 0, at_s - epoch_us(last_seal_at) / 1e6, 0), 'value': hot_rows, 'most': 10800, 'worst': 86400, 'unit': 'rows',
     'todo': 'rows are safe but not in files yet, so queries get slow: look for stage=seal in the log'},
    {'part': 'summarise', 'age_s': at_s - epoch_us(summarised_until) / 1e6, 'value': NULL, 'most': behind_s, 'worst': 4 * behind_s, 'unit': 's',
     'todo': 'objectives and drift are judged late: look for stage=summarise in the log'},
    {'part': 'judge', 'age_s': at_s - epoch_us(judged_until) / 1e6, 'value': NULL, 'most': behind_s, 'worst': 4 * behind_s, 'unit': 's',
     'todo': 'alerts come late: look for stage=detect in the log, and whether the machine has cores to spare'},
    {'part': 'store', 'age_s': NULL, 'value': lake_bytes + database_bytes, 'most': 1.1 * size_bytes, 'worst': 1.5 * size_bytes, 'unit': 'bytes',
     'todo': 'the oldest rows leave at store.size; what is above it is not sealed yet, or waits for a query to end'},
    {'part': 'kept', 'age_s': NULL, 'value': -raw_kept_s, 'most': -86400, 'worst': -3600, 'unit': 's',
     'todo': 'raw rows leave before store.retain says since store.size is met; give it more, or keep less'},
    {'part': 'disk', 'age_s': NULL, 'value': -disk_free_bytes, 'most': -1073741824, 'worst': -268435456, 'unit': 'bytes',
     'todo': 'below 256 MB nothing is taken any more: make room, or lower store.size'},
    {'part': 'memory', 'age_s': NULL, 'value': rss_bytes, 'most': 1610612736, 'worst': 4294967296, 'unit': 'bytes',
     'todo': 'more than 1.5 GiB is not foreseen: restart the service, and tell what was sent to it'},
    {'part': 'event_loop', 'age_s': NULL, 'value': loop_lag_s, 'most': 1, 'worst': 10, 'unit': 's',
     'todo': 'observe_loop_held_total in /metrics names what held them up'},
    {'part': 'stages', 'age_s': NULL, 'value': coalesce(errors, 0), 'most': 0, 'worst': 60, 'unit': 'times',
     'todo': 'they are tried again; event=stage_failed in the log says why'},
    {'part': 'children', 'age_s': NULL, 'value': coalesce(restarts, 0), 'most': 0, 'worst': 10, 'unit': 'times',
     'todo': 'they are started again; look before event=child_ended in the log'},
    {'part': 'deliveries', 'age_s': NULL, 'value': deliveries_waiting, 'most': 0, 'worst': 20, 'unit': 'messages',
     'todo': 'select * from delivery says which and why; observe check --live tries the receiver'}
  ]::STRUCT(part VARCHAR, age_s DOUBLE, value DOUBLE, most DOUBLE, worst DOUBLE, unit VARCHAR, todo VARCHAR)[], recursive := true)
  FROM sample CROSS JOIN past CROSS JOIN site
)
SELECT
  part,
  CASE
    WHEN coalesce(age_s, value) IS NULL OR most IS NULL THEN 'unknown'
    WHEN coalesce(age_s, value) > worst THEN 'wrong'
    WHEN coalesce(age_s, value) > most THEN 'doubt'
    ELSE 'ok'
  END AS state,
  judged_at,
  age_s,
  abs(value) AS value,
  abs(most) AS most,
  unit,
  todo
FROM part
WHERE part <> 'kept' OR value IS NOT NULL
