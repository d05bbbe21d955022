"""What SLOs that are not about requests count: minutes of cost, of drift, of GPUs, calls, counters, composites."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observe import summaries
from observe.clock import EventClock
from observe.schema import Alert, Batch, Finding
from observe.spec import Config, Model, Monitoring, Site
from observe.store import Store
from observe.summaries.composite import weighed
from observe.summaries.promises import BAD, TOTAL

T0 = datetime(2026, 3, 2, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
UTC_US = pl.Datetime("us", "UTC")


@contextmanager
def opened(path: Path) -> Iterator[tuple[Store, EventClock]]:
    clock = EventClock(T0 + timedelta(hours=1))
    store = Store.open(path / "data", clock, threads=1, memory="500MB")
    try:
        yield store, clock
    finally:
        store.close()


def config(*slos: Mapping[str, Any], others: Mapping[str, tuple[str, ...]] | None = None, **more: object) -> Config:
    watched = Monitoring.model_validate(
        {"metadata": {"name": "m"}, "slos": [{"objective": "99%", **s} for s in slos], **more}
    )
    known = {name: Model(name, aliases=aliases) for name, aliases in (others or {}).items()}
    return Config(Site(), {"m": Model("m", monitoring=watched), **known})


def attempts(*rows: Mapping[str, Any]) -> pl.DataFrame:
    given = [
        {"ts": T0, "attempt_id": str(i), "model_id": "m", "duration_s": 1.0, "status": "ok", "cost_known": False, "quality": 0,
         "trace_id": None, "cost_usd": None, "tokens_in": 10, "tokens_out": 0, "team_id": None, "ttft_s": None, "tpot_s": None} | dict(row)
        for i, row in enumerate(rows)
    ]  # fmt: skip
    types = {
        "ts": UTC_US,
        "trace_id": pl.String,
        "cost_usd": pl.Float64,
        "team_id": pl.String,
        "ttft_s": pl.Float64,
        "tpot_s": pl.Float64,
    }
    return pl.DataFrame(given, schema_overrides=types).with_columns(ts_start=pl.col("ts"))


def counted(store: Store, config: Config, clock: EventClock) -> dict[tuple[str, int], tuple[int, int]]:
    """All and bad events by SLO and minute after `T0`, late ones with them; closing until nothing more is written."""
    closed = summaries.close(store, config, clock.now())
    assert closed.failures == {}
    rows = store.read(
        "select measure, ts, sum(n)::BIGINT as n, sum(events)::BIGINT as bad from summary where measure like '%/slo/%' group by all"
    )
    return {(m.rpartition("/")[2], int((ts - T0) / MINUTE)): (n, bad) for m, ts, n, bad in rows.iter_rows()}


def test_every_latency_is_judged_by_the_exact_value_of_its_row(tmp_path: Path) -> None:
    slos = [
        {"name": name, "latency": column, "below": "800ms"}
        for name, column in (("first", "ttft_s"), ("whole", "duration_s"), ("each", "tpot_s"))
    ]
    rows = [
        {"ttft_s": v, "tpot_s": v, "duration_s": v, "ts": T0 + timedelta(seconds=1)} for v in (0.79999, 0.8, 0.80001)
    ]
    frame = attempts(*rows).with_columns(
        ts_start=pl.col("ts") - pl.duration(microseconds=(pl.col("duration_s") * 1e6).cast(pl.Int64))
    )
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"attempt": frame}))

        assert counted(store, config(*slos), clock) == {(name, 0): (3, 1) for name in ("first", "whole", "each")}


def test_only_requests_that_total_names_are_counted(tmp_path: Path) -> None:
    slo = {"name": "fine", "good": "status = ok", "total": "team_id != loadtest"}
    rows = [
        {"team_id": "a"},
        {"team_id": "loadtest", "status": "error"},
        {"team_id": "a", "status": "error"},
        {"status": "error"},
    ]
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"attempt": attempts(*rows)}))

        assert counted(store, config(slo), clock) == {
            ("fine", 0): (2, 1)
        }  # without a team nobody knows whether it counts


def test_a_minute_whose_tokens_cost_too_much_is_bad_and_one_without_known_cost_is_a_gap(tmp_path: Path) -> None:
    slo = {"name": "price", "cost": {"per": "1k tokens", "below": "0.02 USD"}}
    rows = [
        {"tokens_in": 1000, "cost_usd": 0.01, "cost_known": True},
        {"ts": T0 + MINUTE, "tokens_in": 500, "cost_usd": 0.02, "cost_known": True},
        {"ts": T0 + MINUTE, "tokens_in": 1000, "cost_usd": 0.02, "cost_known": True},
        {"ts": T0 + 2 * MINUTE, "tokens_in": 1000},
    ]
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"attempt": attempts(*rows)}))

        assert counted(store, config(slo), clock) == {("price", 0): (1, 0), ("price", 1): (1, 1)}


def test_calls_of_a_dependency_count_where_they_share_a_trace_with_the_model(tmp_path: Path) -> None:
    slo = {"name": "embedder", "dependency": "embedder", "below": "50ms"}
    rows = [
        {"trace_id": "a", "model_id": "embed-v2", "duration_s": 0.04}, {"trace_id": "a", "ts": T0 + 2 * MINUTE},
        {"trace_id": "b", "model_id": "embedder", "duration_s": 0.06}, {"trace_id": "b", "ts": T0 + timedelta(seconds=5)},
        {"trace_id": "c", "model_id": "embedder", "duration_s": 9.0},  # asked by another model
        {"trace_id": None, "model_id": "embedder", "duration_s": 9.0},  # asked by nobody knows whom
        {"trace_id": "d", "model_id": "embedder", "status": "error", "ts": T0 + MINUTE}, {"trace_id": "d"},
    ]  # fmt: skip
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"attempt": attempts(*rows)}))

        found = counted(store, config(slo, others={"embedder": ("embed-v2",)}), clock)

    assert found == {("embedder", 0): (1, 1), ("embedder", 1): (1, 1), ("embedder", 2): (1, 0)}


def samples(*heard: tuple[str, int, str]) -> pl.DataFrame:
    rows = [
        {"ts": T0 + minute * MINUTE, "device_id": device, "state": state, "quality": 0}
        for device, minute, state in heard
    ]
    return pl.DataFrame(rows, schema_overrides={"ts": UTC_US})


def devices(*names: str) -> pl.DataFrame:
    rows = [{"device_id": name, "first_seen": T0, "last_seen": T0 + 30 * MINUTE} for name in names]
    return pl.DataFrame(rows, schema_overrides={"first_seen": UTC_US, "last_seen": UTC_US})


def test_gpus_are_bad_while_missing_or_lost_and_silence_of_all_is_a_gap(tmp_path: Path) -> None:
    slo = {"name": "gpus", "minutes": {"good": "gpus present"}}
    heard = [("a", m, "ok") for m in (0, 4, 8, 12, 30)] + [("b", 0, "ok"), ("b", 12, "lost"), ("b", 30, "ok")]
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"gpu_sample": samples(*heard), "gpu_device": devices("a", "b")}))

        found = counted(store, config(slo), clock)

    bad = {minute for (_, minute), (n, bad) in found.items() if n == 2 and bad == 1}
    assert bad == set(range(5, 17))  # not heard for five minutes, then lost
    assert {m for _, m in found} == {*range(17), *range(30, 35)}  # from 17 on nobody was heard: the collector's silence


def test_declared_gpus_are_expected_whether_they_were_ever_heard_or_not(tmp_path: Path) -> None:
    slo = {"name": "gpus", "minutes": {"good": "gpus present", "gpus": 4}}
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"gpu_sample": samples(("a", 0, "ok"), ("MIG/1", 0, "ok"), ("MIG/2", 0, "ok"))}))

        assert counted(store, config(slo), clock)["gpus", 0] == (4, 2)  # two instances are one board


def finding(minute: int, state: str) -> Finding:
    start = T0 + minute * MINUTE
    return Finding(
        f"fnd-{minute}", "m/rate/x/missing", "rate", "m", "drift", "x", start, start + 5 * MINUTE, state, "ticket", None, None,
        None, None, None, None, None, None, None, None, "", {}, start + 6 * MINUTE,
    )  # fmt: skip


def test_minutes_without_a_drift_alert_are_good_and_unjudged_ones_are_gaps(tmp_path: Path) -> None:
    slo = {"name": "calm", "minutes": {"good": "no drift"}}
    began, ended = T0 + 3 * MINUTE, T0 + 12 * MINUTE
    alert = Alert(
        "alr-1",
        "m/rate/x/missing",
        "inc-1",
        "fnd-0",
        "m",
        "drift",
        "x",
        "ticket",
        "resolved",
        began,
        ended,
        "",
        {},
        {},
        ended,
    )
    with opened(tmp_path) as (store, clock), store.change() as tx:
        tx.insert([finding(0, "ok"), finding(10, "alarm"), finding(15, "learning")])
        tx.insert([alert])
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"attempt": attempts({})}))
        found = counted(store, config(slo, drift={"source": "attempts"}), clock)

    assert sorted(minute for _, minute in found) == [*range(5), *range(10, 15)]
    assert [minute for (_, minute), (_, bad) in sorted(found.items()) if bad] == [3, 4, 10, 11]


def asked(*minutes: tuple[int, float, float]) -> pl.DataFrame:
    labels = json.dumps({"slo_id": "m.shop"})
    rows = [
        {"ts": T0 + minute * MINUTE, "metric": metric, "labels": labels, "value": value}
        for minute, total, bad in minutes
        for metric, value in ((TOTAL, total), (BAD, bad))
    ]
    return pl.DataFrame(rows, schema_overrides={"ts": UTC_US})


SHOP = {"name": "shop", "prometheus": {"from": "main", "total": "x_total", "errors": "x_failed_total"}}


def test_what_a_prometheus_counted_loses_no_fraction_and_missing_minutes_are_gaps(tmp_path: Path) -> None:
    with opened(tmp_path) as (store, clock):
        store.append(Batch("main", "1", {"metric_sample": asked(*((m, 0.4, 0.1) for m in range(10)), (20, 7.6, 0.0))}))
        with store.change() as tx:
            tx.set_state("promql/m.shop", {"until": (T0 + 30 * MINUTE).isoformat()}, None)
        found = counted(store, config(SHOP), clock)

    assert {minute for _, minute in found} == {*range(10), 20}
    assert sum(n for n, _ in found.values()) == 12  # 4 + 7.6
    assert sum(bad for _, bad in found.values()) == 1


def test_while_a_prometheus_was_not_asked_nothing_is_said_about_the_time(tmp_path: Path) -> None:
    with opened(tmp_path) as (store, clock):
        store.append(Batch("main", "1", {"metric_sample": asked((0, 4, 0), (9, 4, 0))}))
        before = counted(store, config(SHOP), clock)
        with store.change() as tx:
            tx.set_state("promql/m.shop", {"until": (T0 + 5 * MINUTE).isoformat()}, None)
        after = counted(store, config(SHOP), clock)

    assert (before, after) == ({}, {("shop", 0): (4, 0)})


def test_a_composite_is_the_weighted_mean_of_the_bad_shares_of_its_parts(tmp_path: Path) -> None:
    slos = (
        {"name": "slow", "latency": "ttft_s", "below": "1s"}, {"name": "failed", "good": "status = ok"},
        {"name": "both", "composite": {"of": {"slow": 2, "failed": 1}}},
    )  # fmt: skip
    rows = [{"ttft_s": 2.0 if i < 30 else 0.1, "status": "error" if i >= 45 else "ok"} for i in range(60)]
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"attempt": attempts(*rows)}))
        found = counted(store, config(*slos), clock)
        summaries.close(store, config(*slos), clock.now())

    assert (found["slow", 0], found["failed", 0]) == ((60, 45), (60, 15))
    assert found["both", 0] == (60, round(60 * (2 * 45 / 60 + 15 / 60) / 3))


@given(st.lists(st.tuples(st.integers(-2, 40), st.floats(0, 1), st.integers(0, 40), st.floats(0, 1)), max_size=80))
def test_a_composite_spends_what_its_parts_spend_to_within_one_event(
    minutes: list[tuple[int, float, int, float]],
) -> None:
    day = datetime(2026, 3, 2, tzinfo=UTC)
    counts = [
        (day + i * MINUTE, {"a": (n, round(max(n, 0) * f)), "b": (m, round(m * g))})
        for i, (n, f, m, g) in enumerate(minutes)
    ]

    found = weighed(counts, {"a": 3, "b": 1}, by_minute=False)

    assert all(n >= 0 for _, n, _ in found)
    assert sum(bad for *_, bad in found) <= sum(n for _, n, _ in found) + 1


def test_a_composite_of_minutes_and_requests_counts_minutes() -> None:
    found = weighed([(T0, {"cost": (1, 1), "fine": (500, 0)})] * 3, {"cost": 1, "fine": 1}, by_minute=True)

    assert [(n, bad) for _, n, bad in found] == [(1, 0), (1, 1), (1, 1)] or sum(bad for *_, bad in found) in (1, 2)
    assert sum(n for _, n, _ in found) == 3


@pytest.mark.parametrize("name", ["price", "calm", "gpus", "shop"])
def test_an_slo_of_a_model_without_any_rows_fails_nothing(tmp_path: Path, name: str) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "price": {"cost": {"below": "1 USD"}}, "calm": {"minutes": {"good": "no drift"}},
        "gpus": {"minutes": {"good": "gpus present"}}, "shop": SHOP,
    }  # fmt: skip
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"attempt": attempts({"model_id": "other"})}))

        assert counted(store, config({**kinds[name], "name": name}, drift={"source": "attempts"}), clock) == {}
