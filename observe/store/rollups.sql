-- How rows fold into rollups. Each block begins with "fold:" and the table it makes; $rows stands for
-- the rows that are folded: sealed files when windows close, the hot table in views of what is open.

-- fold: gpu_1m
SELECT
  time_bucket(INTERVAL 1 MINUTE, ts) AS ts, device_id, cluster,
  max(coalesce(namespace || '/', '') || pod) AS workload,
  count(*) AS samples,
  count(util_ratio) AS util_count, sum(util_ratio) AS util_sum, max(util_ratio) AS util_max,
  count(tensor_active_ratio) AS tensor_count, sum(tensor_active_ratio) AS tensor_sum,
  count(dram_active_ratio) AS dram_count, sum(dram_active_ratio) AS dram_sum,
  count(mem_used_mib) AS mem_used_count, sum(mem_used_mib) AS mem_used_sum, max(mem_used_mib) AS mem_used_max,
  count(power_w) AS power_count, sum(power_w) AS power_sum,
  count(sm_clock_mhz) AS sm_clock_count, sum(sm_clock_mhz) AS sm_clock_sum,
  max(temp_c) AS temp_max,
  count(*) FILTER (throttle_mask & 232 <> 0) AS throttled,
  max(energy_j) AS energy_max,
  bit_or(quality) AS quality
FROM ($rows)
GROUP BY ALL

-- fold: gpu_fleet_5m
SELECT
  ts, cluster, sku,
  count(*) AS devices,
  count(util) AS util_devices, sum(util) AS util_sum,
  count(*) FILTER (util < 0.05) AS idle_devices,
  count(*) FILTER (util >= 0.9) AS saturated_devices,
  count(*) FILTER (throttled > 0) AS throttled_devices,
  count(sm_clock) AS sm_clock_devices, sum(sm_clock) AS sm_clock_sum,
  max(temp) AS temp_max,
  sum(power) AS power_w_sum
FROM (
  SELECT
    time_bucket(INTERVAL 5 MINUTE, m.ts) AS ts,
    coalesce(m.cluster, d.cluster) AS cluster,
    d.model AS sku,
    m.device_id AS device_id,
    round(sum(m.util_sum) / nullif(sum(m.util_count), 0), 9) AS util,
    sum(m.throttled) AS throttled,
    round(sum(m.sm_clock_sum) / nullif(sum(m.sm_clock_count), 0), 6) AS sm_clock,
    max(m.temp_max) AS temp,
    round(sum(m.power_sum) / nullif(sum(m.power_count), 0), 6) AS power
  FROM ($rows) AS m LEFT JOIN gpu_device AS d ON d.device_id = m.device_id
  WHERE d.parent_uuid IS NULL  -- MIG instances are parts of a board that has its own rows
  GROUP BY ALL)
GROUP BY ALL

-- fold: gpu_1h
SELECT
  time_bucket(INTERVAL 1 HOUR, ts) AS ts, device_id, cluster,
  sum(samples) AS samples,
  count(*) AS minutes,
  count(*) FILTER (util < 0.05) AS idle_minutes,
  count(*) FILTER (util >= 0.05) AS busy_minutes,
  count(*) FILTER (util >= 0.9) AS saturated_minutes,
  sum(util_count) AS util_count, sum(util_sum) AS util_sum, max(util_max) AS util_max,
  max(mem_used_max) AS mem_used_max,
  sum(power_count) AS power_count, sum(power_sum) AS power_sum,
  sum(CASE WHEN energy >= before THEN energy - before ELSE energy END)
    FILTER (seen >= time_bucket(INTERVAL 1 HOUR, ts) - INTERVAL 10 MINUTE) AS energy_j,
  max(temp_max) AS temp_max,
  sum(throttled) AS throttled
FROM (
  SELECT *, util_sum / nullif(util_count, 0) AS util,
    lag(energy IGNORE NULLS) OVER device AS before,
    lag(CASE WHEN energy IS NOT NULL THEN ts END IGNORE NULLS) OVER device AS seen
  FROM (
    SELECT
      ts, device_id, any_value(cluster) AS cluster, sum(samples) AS samples, sum(util_count) AS util_count,
      sum(util_sum) AS util_sum, max(util_max) AS util_max, max(mem_used_max) AS mem_used_max,
      sum(power_count) AS power_count, sum(power_sum) AS power_sum, max(energy_max) AS energy,
      max(temp_max) AS temp_max, sum(throttled) AS throttled
    FROM ($rows)
    GROUP BY ts, device_id)
  WINDOW device AS (PARTITION BY device_id ORDER BY ts))
GROUP BY ALL

-- fold: serving_5m
SELECT
  time_bucket(INTERVAL 5 MINUTE, ts) AS ts, model_id, cluster,
  count(*) AS samples,
  count(queue_depth) AS queue_count, sum(queue_depth) AS queue_sum, max(queue_depth) AS queue_max,
  count(running) AS running_count, sum(running) AS running_sum,
  count(kv_util_ratio) AS kv_count, sum(kv_util_ratio) AS kv_sum
FROM ($rows)
GROUP BY ALL

-- fold: attempt_1m
SELECT
  time_bucket(INTERVAL 1 MINUTE, ts) AS ts, model_id, cluster, team_id, provider, status, error_kind, last,
  count(*) AS attempts,
  count(*) FILTER (attempt_no > 0) AS retries,
  coalesce(sum(tokens_in), 0)::BIGINT AS tokens_in,
  coalesce(sum(tokens_out), 0)::BIGINT AS tokens_out,
  coalesce(sum(tokens_cached_in), 0)::BIGINT AS tokens_cached_in,
  coalesce(sum(cost_usd) FILTER (cost_known), 0) AS cost_usd,
  count(*) FILTER (cost_known) AS cost_known,
  coalesce(sum(coalesce(tokens_in, 0) + coalesce(tokens_out, 0)) FILTER (cost_known), 0)::BIGINT AS tokens_priced,
  count(ttft_s) AS ttft_count,
  sum(ttft_s) FILTER (isfinite(ttft_s)) AS ttft_sum,
  map_keys(histogram($ttft_s)) AS ttft_bins,
  map_values(histogram($ttft_s))::BIGINT[] AS ttft_counts,
  count(duration_s) AS duration_count,
  sum(duration_s) FILTER (isfinite(duration_s)) AS duration_sum,
  map_keys(histogram($duration_s)) AS duration_bins,
  map_values(histogram($duration_s))::BIGINT[] AS duration_counts,
  count(tpot_s) AS tpot_count,
  sum(tpot_s) FILTER (isfinite(tpot_s)) AS tpot_sum,
  map_keys(histogram($tpot_s)) AS tpot_bins,
  map_values(histogram($tpot_s))::BIGINT[] AS tpot_counts
FROM (
  SELECT r.*, coalesce(epoch_us(r.ts) * 1000 + least(coalesce(r.attempt_no, 0), 999) >= t.newest, true) AS last
  FROM ($rows) AS r LEFT JOIN (
    SELECT trace_id, max(epoch_us(ts) * 1000 + least(coalesce(attempt_no, 0), 999)) AS newest
    FROM ($tries)
    WHERE trace_id IS NOT NULL
    GROUP BY ALL) AS t ON t.trace_id = r.trace_id)
GROUP BY ALL

-- fold: attempt_open
-- Each attempt for itself, in the columns of attempt_1m: they add up to the same, and are planned in half the time.
SELECT
  time_bucket(INTERVAL 1 MINUTE, ts) AS ts, model_id, cluster, team_id, provider, status, error_kind, last,
  1::BIGINT AS attempts,
  coalesce(attempt_no > 0, false)::BIGINT AS retries,
  coalesce(tokens_in, 0)::BIGINT AS tokens_in,
  coalesce(tokens_out, 0)::BIGINT AS tokens_out,
  coalesce(tokens_cached_in, 0)::BIGINT AS tokens_cached_in,
  CASE WHEN cost_known THEN coalesce(cost_usd, 0) ELSE 0 END AS cost_usd,
  coalesce(cost_known, false)::BIGINT AS cost_known,
  CASE WHEN cost_known THEN coalesce(tokens_in, 0) + coalesce(tokens_out, 0) ELSE 0 END::BIGINT AS tokens_priced,
  (ttft_s IS NOT NULL)::BIGINT AS ttft_count, CASE WHEN isfinite(ttft_s) THEN ttft_s END AS ttft_sum,
  CASE WHEN ttft_s IS NOT NULL THEN [$ttft_s] END AS ttft_bins, CASE WHEN ttft_s IS NOT NULL THEN [1::BIGINT] END AS ttft_counts,
  (duration_s IS NOT NULL)::BIGINT AS duration_count, CASE WHEN isfinite(duration_s) THEN duration_s END AS duration_sum,
  CASE WHEN duration_s IS NOT NULL THEN [$duration_s] END AS duration_bins, CASE WHEN duration_s IS NOT NULL THEN [1::BIGINT] END AS duration_counts,
  (tpot_s IS NOT NULL)::BIGINT AS tpot_count, CASE WHEN isfinite(tpot_s) THEN tpot_s END AS tpot_sum,
  CASE WHEN tpot_s IS NOT NULL THEN [$tpot_s] END AS tpot_bins, CASE WHEN tpot_s IS NOT NULL THEN [1::BIGINT] END AS tpot_counts
FROM (
  SELECT *, trace_id IS NULL OR tried = max(tried) OVER (PARTITION BY trace_id) AS last
  FROM (SELECT *, epoch_us(ts) * 1000 + least(coalesce(attempt_no, 0), 999) AS tried FROM ($rows)))

-- fold: attempt_1h
WITH m AS MATERIALIZED (
  SELECT *, to_json([ts::VARCHAR, model_id, cluster, team_id, provider, status, error_kind, last::VARCHAR])::VARCHAR AS key
  FROM (SELECT * REPLACE (time_bucket(INTERVAL 1 HOUR, ts) AS ts) FROM ($rows)))
SELECT b.* EXCLUDE (key), ttft_bins, ttft_counts, duration_bins, duration_counts, tpot_bins, tpot_counts
FROM (
  SELECT
    ts, model_id, cluster, team_id, provider, status, error_kind, last, key,
    sum(attempts) AS attempts, sum(retries) AS retries, sum(tokens_in) AS tokens_in, sum(tokens_out) AS tokens_out,
    sum(tokens_cached_in) AS tokens_cached_in, sum(cost_usd) AS cost_usd, sum(cost_known) AS cost_known,
    sum(tokens_priced) AS tokens_priced, sum(ttft_count) AS ttft_count, sum(ttft_sum) AS ttft_sum,
    sum(duration_count) AS duration_count, sum(duration_sum) AS duration_sum,
    sum(tpot_count) AS tpot_count, sum(tpot_sum) AS tpot_sum
  FROM m
  GROUP BY ALL) AS b
LEFT JOIN (
  SELECT key, list(bin ORDER BY bin) AS ttft_bins, list(k ORDER BY bin) AS ttft_counts
  FROM (SELECT key, bin, sum(k)::BIGINT AS k FROM (SELECT key, unnest(ttft_bins) AS bin, unnest(ttft_counts) AS k FROM m) GROUP BY ALL)
  GROUP BY ALL) AS ttft ON ttft.key = b.key
LEFT JOIN (
  SELECT key, list(bin ORDER BY bin) AS duration_bins, list(k ORDER BY bin) AS duration_counts
  FROM (SELECT key, bin, sum(k)::BIGINT AS k FROM (SELECT key, unnest(duration_bins) AS bin, unnest(duration_counts) AS k FROM m) GROUP BY ALL)
  GROUP BY ALL) AS duration ON duration.key = b.key
LEFT JOIN (
  SELECT key, list(bin ORDER BY bin) AS tpot_bins, list(k ORDER BY bin) AS tpot_counts
  FROM (SELECT key, bin, sum(k)::BIGINT AS k FROM (SELECT key, unnest(tpot_bins) AS bin, unnest(tpot_counts) AS k FROM m) GROUP BY ALL)
  GROUP BY ALL) AS tpot ON tpot.key = b.key
