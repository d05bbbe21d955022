"""Rollups: every row is counted once, whatever the order in which rows come, and latencies keep their bins."""

from collections import Counter
from datetime import datetime, timedelta
from math import isnan
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observe.clock import EventClock
from observe.schema import Batch, Window
from observe.schema.latency import LAST, bin_of, bin_sql
from observe.store import Store

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOON = datetime.fromisoformat("2026-11-20T12:00:00+00:00")

samples = st.tuples(st.integers(0, 200), st.sampled_from("abc"), st.none() | st.floats(0, 1), st.booleans())
actions = st.lists(st.lists(samples, max_size=8) | st.sampled_from(["seal", "later", "restart"]), max_size=14)

FLEET = """
SELECT ts, cluster, sku, count(*) AS devices, round(avg(util), 6) AS util, count(*) FILTER (util < 0.05) AS idle,
  count(*) FILTER (throttled) AS throttled, round(sum(power), 4) AS power
FROM (SELECT time_bucket(INTERVAL 5 MINUTE, ts) AS ts, cluster, NULL::VARCHAR AS sku, device_id, avg(util_ratio) AS util,
  bool_or(throttle_mask & 232 <> 0) AS throttled, avg(power_w) AS power FROM gpu_sample GROUP BY ALL)
GROUP BY ALL ORDER BY ALL
"""
ROLLED = """
SELECT ts, cluster, sku, devices, round(util_mean, 6) AS util, idle_devices AS idle, throttled_devices AS throttled,
  round(power_w_sum, 4) AS power FROM gpu_5m ORDER BY ALL
"""


def gpu(number: int, rows) -> Batch:  # type: ignore[no-untyped-def]
    return Batch("s", f"g{number}", {"gpu_sample": pl.DataFrame({
        "ts": [NOON - m * MINUTE + (ord(d) + number) * timedelta(seconds=0.1) for m, d, _, _ in rows], "device_id": [d for _, d, _, _ in rows],
        "cluster": ["eu"] * len(rows), "util_ratio": [u for _, _, u, _ in rows], "power_w": [100.0 + m for m, _, _, _ in rows],
        "throttle_mask": [0x20 if t else 0 for _, _, _, t in rows],
    }, schema_overrides={"util_ratio": pl.Float64, "device_id": pl.String, "ts": pl.Datetime("us", "UTC"), "cluster": pl.String})})  # fmt: skip


def tries(number: int, rows) -> Batch:  # type: ignore[no-untyped-def]
    ended = [NOON - m * MINUTE for m, *_ in rows]
    return Batch("s", f"t{number}", {"attempt": pl.DataFrame({
        "ts": ended, "attempt_id": [f"{number}-{i}" for i in range(len(rows))], "model_id": [d for _, d, _, _ in rows],
        "status": ["error" if t else "ok" for *_, t in rows], "tokens_in": [m for m, *_ in rows], "ttft_s": [u for _, _, u, _ in rows],
    }, schema_overrides={"ttft_s": pl.Float64, "ts": pl.Datetime("us", "UTC"), "attempt_id": pl.String, "model_id": pl.String, "status": pl.String})})  # fmt: skip


@pytest.mark.slow
@settings(max_examples=8)
@given(actions)
def test_rollups_count_every_row_once_in_any_order_of_arrival(steps) -> None:  # type: ignore[no-untyped-def]
    with TemporaryDirectory() as folder:
        clock = EventClock(NOON)
        store = Store.open(Path(folder), clock)
        for number, step in enumerate(steps):
            if step == "seal":
                store.seal(clock.now())
            elif step == "later":
                clock.set(clock.now() + 40 * MINUTE)
            elif step == "restart":
                store.close()
                store = Store.open(Path(folder), clock)
            elif step:
                store.append(gpu(number, step))
                store.append(tries(number, step))
        counted = "SELECT model_id, status, sum(attempts)::BIGINT AS n, sum(tokens_in)::BIGINT AS t, sum(ttft_count)::BIGINT AS f, sum(list_sum(ttft_counts))::BIGINT AS h FROM {} GROUP BY ALL ORDER BY ALL"
        raw = "SELECT model_id, status, count(*) AS n, sum(tokens_in)::BIGINT AS t, count(ttft_s) AS f, nullif(count(ttft_s), 0) AS h FROM attempt GROUP BY ALL ORDER BY ALL"
        assert store.read(counted.format("traffic_1m")).rows() == store.read(raw).rows()
        store.seal(NOON + 2 * DAY)
        assert store.read(counted.format("attempt_1m")).rows() == store.read(raw).rows()
        assert store.read(counted.format("attempt_1h")).rows() == store.read(raw).rows()
        assert store.read("SELECT sum(samples)::BIGINT AS n FROM gpu_1m").item() == (
            store.read("SELECT nullif(count(*), 0) AS n FROM gpu_sample").item()
        )
        assert store.read(ROLLED).rows() == store.read(FLEET).rows()
        hours = "SELECT sum(samples)::BIGINT, sum(minutes)::BIGINT FROM gpu_1h"
        minutes = "SELECT sum(samples)::BIGINT, nullif(count(DISTINCT (ts, device_id)), 0) FROM gpu_1m"
        assert store.read(hours).rows() == store.read(minutes).rows()
        store.close()


def test_open_minutes_are_in_the_views_before_they_are_sealed(store) -> None:
    store.append(gpu(1, [(3, "a", 0.5, False), (7, "b", 0.01, False), (60, "c", 0.9, True)]))
    before = store.read(ROLLED)
    store.seal(NOON)

    assert before.rows() == store.read(FLEET).rows()
    assert store.read(ROLLED).equals(before)
    assert store.read(ROLLED, window=Window(NOON - DAY, NOON + DAY)).equals(before)


def test_late_rows_are_marked_and_add_up(store) -> None:
    store.append(tries(1, [(150, "m", 0.5, False)]))
    store.append(gpu(1, [(150, "a", 0.5, False)]))
    store.seal(NOON)
    store.append(tries(2, [(150, "m", 0.7, False)]))
    store.append(gpu(2, [(150, "a", 0.7, False)]))
    store.seal(NOON)

    late = {
        t: store.read(f"SELECT late FROM {t} ORDER BY late")["late"].to_list()
        for t in ("attempt_1m", "attempt_1h", "gpu_1m", "gpu_1h")
    }

    assert late == {
        "attempt_1m": [False, True],
        "attempt_1h": [False, True],
        "gpu_1m": [False, True],
        "gpu_1h": [False, True],
    }
    assert store.read("SELECT devices, util_mean FROM gpu_5m").rows() == [(1, 0.6)]


def test_a_retried_request_counts_once_where_last(store) -> None:
    rows = pl.DataFrame({
        "ts": [NOON - HOUR, NOON - HOUR + MINUTE / 2], "attempt_id": ["a", "b"], "trace_id": ["t", "t"],
        "status": ["error", "ok"], "attempt_no": [0, 1], "model_id": ["m", "m"],
    })  # fmt: skip
    store.append(Batch("s", "a", {"attempt": rows}))
    said = "SELECT status, last, attempts, retries FROM traffic_1m ORDER BY status"
    hot = store.read(said).rows()
    store.seal(NOON)

    assert hot == [("error", False, 1, 0), ("ok", True, 1, 1)]
    assert store.read(said).rows() == hot


def test_energy_is_the_sum_of_the_counters_steps_also_over_a_reset(store) -> None:
    counter = [1000.0 + 60 * i for i in range(60)] + [10.0 + 60 * i for i in range(60)]
    rows = pl.DataFrame(
        {"ts": [NOON - 3 * HOUR + i * MINUTE for i in range(120)], "device_id": ["a"] * 120, "energy_j": counter}
    )
    store.append(Batch("s", "a", {"gpu_sample": rows}))
    store.seal(NOON)

    found = store.read("SELECT energy_j, minutes FROM gpu_1h ORDER BY ts").rows()

    assert found == [(59 * 60.0, 60), (10.0 + 59 * 60.0, 60)]


def test_idle_and_busy_minutes_are_corrected_when_rows_come_late(store) -> None:
    store.append(gpu(1, [(130, "a", 0.0, False), (129, "a", 0.95, False)]))
    store.seal(NOON)
    said = "SELECT sum(idle_minutes)::BIGINT AS idle, sum(busy_minutes)::BIGINT AS busy, sum(saturated_minutes)::BIGINT AS full FROM gpu_1h"
    before = store.read(said).row(0)
    store.append(gpu(2, [(130, "a", 1.0, False)]))
    store.seal(NOON)

    assert (before, store.read(said).row(0)) == ((1, 1, 1), (0, 2, 1))


def test_files_sealed_before_there_were_rollups_are_folded_once(store) -> None:
    store.append(tries(1, [(600, "m", 0.5, False), (60, "m", 0.5, True)]))
    store.append(gpu(1, [(600, "a", 0.5, False)]))
    store.seal(NOON)
    with store.change() as change:
        change.execute("UPDATE core.manifest SET rolled = NULL")
        change.execute("DELETE FROM core.state")
        for table in ("attempt_1m", "attempt_1h", "gpu_1m", "gpu_1h", "gpu_fleet_5m"):
            change.execute(f"DELETE FROM hot.{table}")
            change.execute("UPDATE core.manifest SET dead_at = now() WHERE table_name = ?", [table])

    for _ in range(2):
        store.seal(NOON)
    with store.change() as change:
        counted = change.execute("SELECT sum(attempts), count(*) FILTER (late) FROM attempt_1m")

    assert counted == [(2, 0)]
    assert store.read(ROLLED).rows() == store.read(FLEET).rows()


@pytest.mark.parametrize("table", ["gpu_1m", "gpu_1h", "attempt_1m", "attempt_1h", "gpu_fleet_5m", "serving_5m"])
def test_rollups_are_kept_as_the_policy_says_for_all_of_them(store, table) -> None:
    store.append(gpu(1, [(600, "a", 0.5, False)]))
    store.append(tries(1, [(600, "m", 0.5, False)]))
    keys = {"ts": [NOON - 10 * HOUR], "target": ["t"], "model_id": ["m"], "engine": [""]}
    store.append(Batch("s", "q", {"serving_sample": pl.DataFrame(keys)}))
    for _ in range(2):
        store.seal(NOON)
    held = store.read(f"SELECT count(*) FROM {table}").item()
    store.retain(NOON, {"rollup": HOUR})

    assert (held, store.read(f"SELECT count(*) FROM {table}").item()) == (1, 0)


@settings(max_examples=10)
@given(
    st.lists(
        st.floats(1e-6, 1e5) | st.just(0.0) | st.just(float("nan")) | st.just(float("inf")), min_size=1, max_size=30
    )
)
def test_the_store_counts_latencies_in_the_bins_that_are_declared(values) -> None:  # type: ignore[no-untyped-def]
    connection = duckdb.connect()
    connection.register("v", pl.DataFrame({"x": values}).to_arrow())
    found = Counter(b for (b,) in connection.execute(f"SELECT {bin_sql('x')} FROM v").fetchall())

    assert found == Counter(LAST if isnan(v) else bin_of(v) for v in values)
