"""What people read: requests, fleets, queues, SLOs and the alarm budget."""

import json
from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from observe.schema import Alert, Batch, Command, Finding, Incident, Window
from observe.store.views import derived

MINUTE = timedelta(minutes=1)


def attempt(name: str, start, end, **columns: object) -> dict[str, object]:  # type: ignore[no-untyped-def]
    return {
        "attempt_id": name,
        "ts_start": start,
        "ts": end,
        "duration_s": (end - start).total_seconds(),
        "status": "ok",
        **columns,
    }


def send(store, table: str, rows: list[dict[str, object]]) -> None:
    store.append(Batch("s", f"{table}{len(rows)}{rows[0]}", {table: pl.DataFrame(rows, infer_schema_length=None)}))


@pytest.mark.parametrize(
    "view", [*derived(), "gpu_sample", "serving_sample", "metric_sample", "attempt", "label", "summary", "prediction"]
)
def test_every_view_answers_on_an_empty_store(store, view) -> None:
    assert store.read(f"SELECT * FROM {view}").is_empty()


def test_a_request_is_all_attempts_of_a_trace_and_ends_as_the_last_one(store, noon) -> None:
    second = timedelta(seconds=1)
    send(store, "attempt", [
        attempt("a", noon, noon + 2 * second, trace_id="t", status="error", http_status=500, model_id="m1", cost_usd=0.1, cost_known=True),
        attempt("b", noon + 3 * second, noon + 6 * second, trace_id="t", ttft_s=0.5, model_id="m2", cost_usd=0.2, cost_known=True, tokens_out=7),
    ])  # fmt: skip

    [row] = store.read("SELECT * FROM request").to_dicts()

    assert row["request_id"] == "t"
    assert (row["ts_start"], row["ts"], row["duration_s"]) == (noon, noon + 6 * second, 6.0)
    assert (row["status"], row["http_status"], row["model_id"], row["attempts"], row["tokens_out"]) == (
        "ok",
        None,
        "m2",
        2,
        7,
    )
    assert (row["ttft_s"], round(row["cost_usd"], 9), row["cost_known"]) == (3.5, 0.3, True)


def test_attempts_without_a_trace_are_requests_of_their_own(store, noon) -> None:
    send(store, "attempt", [attempt("a", noon, noon), attempt("b", noon, noon, status="cancelled")])

    assert store.read("SELECT request_id, status FROM request ORDER BY 1").rows() == [
        ("s:a", "ok"),
        ("s:b", "cancelled"),
    ]


def test_the_higher_attempt_number_is_last_when_two_end_together(store, noon) -> None:
    rows = [
        attempt(str(i), noon, noon, trace_id="t", attempt_no=i, status="error" if i < 2 else "ok") for i in (2, 0, 1)
    ]
    send(store, "attempt", rows)

    assert store.read("SELECT status FROM request").item() == "ok"


def test_a_fleet_is_counted_by_cluster_and_product(store, noon) -> None:
    send(
        store,
        "gpu_device",
        [{"device_id": d, "model": "H100", "mem_total_mib": 81_559.0, "last_seen": noon} for d in "abc"],
    )
    uses = {"a": 0.01, "b": 0.95, "c": 0.5}
    send(store, "gpu_sample", [
        {"ts": noon + i * MINUTE, "device_id": d, "cluster": "eu", "util_ratio": u, "power_w": 100.0, "temp_c": 50.0 + i,
         "throttle_mask": 0x20 if d == "c" and i == 1 else 0x4}
        for d, u in uses.items() for i in range(2)
    ])  # fmt: skip

    [row] = store.read("SELECT * EXCLUDE (util_mean, sm_clock_mean) FROM gpu_5m").rows()

    assert row == (noon, "eu", "H100", 3, 1, 1, 1, 51.0, 300.0, 81_559.0)


def test_a_device_is_shown_beside_what_tells_its_peers(store, noon) -> None:
    send(store, "gpu_device", [{"device_id": "a", "model": "H100", "node": "n1", "last_seen": noon}])
    send(store, "gpu_sample", [
        {"ts": noon + i * MINUTE, "device_id": "a", "cluster": "eu", "namespace": "ml", "pod": "train-0", "util_ratio": 0.2 * i, "sm_clock_mhz": 1700.0}
        for i in range(3)
    ])  # fmt: skip
    sql = "SELECT ts, cluster, node, sku, workload, round(util, 6), sm_clock, power FROM device_5m"
    row = (noon, "eu", "n1", "H100", "ml/train-0", 0.2, 1700.0, None)

    assert store.read(sql).rows() == [row]
    store.seal(noon + 60 * MINUTE)
    assert store.read(sql, {}, Window(noon, noon + 5 * MINUTE)).rows() == [row]


def test_load_is_averaged_by_model(store, noon) -> None:
    send(store, "serving_sample", [
        {"ts": noon + i * MINUTE, "target": "t", "model_id": "m", "engine": "", "queue_depth": float(i), "running": 4.0} for i in range(6)
    ])  # fmt: skip

    found = store.read("SELECT ts, queue_mean, queue_max, samples FROM queue_5m ORDER BY ts").rows()

    assert found == [(noon, 2.0, 4.0, 5), (noon + 5 * MINUTE, 5.0, 5.0, 1)]


def test_an_slo_stands_as_it_was_judged_last(store, noon) -> None:
    details = {
        "objective": 0.999,
        "window_s": 2592000,
        "total": 10,
        "bad": 1,
        "sli": 0.9,
        "budget_left": -3.5,
        "burn": {"5m": 14.5, "3d": 1.0},
        "burn_low": {"5m": 9.0},
        "budget_low": -5.5,
        "window": {"kind": "calendar", "from": "2026-11-01T00:00:00+01:00", "to": "2026-12-01T00:00:00+01:00"},
        "forecast": {"exhausted_at": "2026-11-21T12:00:00+00:00", "low": None, "path": [[0, 0.5, 0.4, 0.6]]},
        "power": {"burn_24h": 3.5, "burn_1h": None},
        "phi": 1.0,
        "tier": "fast",
    }
    first = Finding(
        "f1", "m/burn/ttft", "burn", "m", "slo", "ttft", noon - 5 * MINUTE, noon, "alarm", "page", 12.0, 9.7, 14.5, "x budget",
        None, None, None, None, None, 10, "burns", details, noon,
    )  # fmt: skip
    with store.change() as change:
        change.insert([first, replace(first, finding_id="f0", window_end=noon - MINUTE, state="ok")])

    row = store.read(
        "SELECT slo_id, state, objective, budget_left, burn_5m, burn_1h, burn_3d, tier FROM slo_status"
    ).rows()

    assert row == [("m.ttft", "alarm", 0.999, -3.5, 14.5, None, 1.0, "fast")]
    more = store.read("""
        SELECT budget_low, epoch(window_to - window_from) / 86400 AS days, exhausted_at = '2026-11-21 12:00:00+00'::TIMESTAMPTZ AS noon,
          exhausted_low, forecast_path, found_24h, found_1h, burn_low ->> '$."5m"' AS low, gaps_s FROM slo_status""").rows()
    assert more == [(-5.5, 30.0, True, None, "[[0,0.5,0.4,0.6]]", 3.5, None, "9.0", None)]


def test_an_alert_is_shown_as_it_is_now(store, noon) -> None:
    fired = Alert("a", "k", "i", "f", "m", "drift", "x", "ticket", "firing", noon, None, "moved", {}, {}, noon)
    with store.change() as change:
        change.insert([fired, replace(fired, state="resolved", ends_at=noon + MINUTE, changed_at=noon + MINUTE)])

    assert store.read("SELECT state, starts_at FROM alert").rows() == [("resolved", noon)]


def test_the_alarm_budget_counts_what_was_notified_lately_and_what_was_marked_false(store, noon) -> None:
    now = store.read("SELECT now()").item()
    opened = Incident(
        "i1", "slo", "m", "page", "open", now, now, None, "burns", None, None, None, None, None, None, ("a",), None, now
    )
    long_ago = replace(opened, incident_id="i2", opened_at=now - timedelta(days=200))
    false_alarm = Command(now, "c", "ann", "operator", "false_alarm", "i1", None, {}, "")
    store.set_setting(
        "false_alarms", {"page": {"count": 2, "period_s": 7776000}, "ticket": {"count": 1, "period_s": 604800}}
    )
    with store.change() as change:
        change.insert([opened, long_ago, false_alarm])

    found = store.read(
        "SELECT severity, declared, period_s, notified, false_marked, spent FROM alarm_budget ORDER BY 1"
    ).rows()

    assert found == [("page", 2.0, 7776000.0, 1, 1, 0.5), ("ticket", 1.0, 604800.0, 0, 0, 0.0)]
    assert json.loads(store.read("SELECT value FROM core.setting").item())["page"]["count"] == 2


def test_an_incident_is_spent_once_in_its_period_however_many_alarms_it_holds_and_however_often_it_was_written(
    store,
) -> None:
    now = store.read("SELECT now()").item()

    def opened(name: str, severity: str, ago: timedelta, alerts: tuple[str, ...] = ("a",)) -> Incident:
        at = now - ago
        return Incident(
            name, "drift", "m", severity, "open", at, at, None, "moved", None, None, None, None, None, None, alerts, None, at
        )  # fmt: skip

    three = opened("three alarms within 6 h", "ticket", timedelta(hours=9), ("a", "b", "c"))
    risen = opened("a ticket that became a page", "ticket", timedelta(days=2))
    rows = [
        three,
        replace(three, state="resolved", resolved_at=now, changed_at=now),
        risen,
        replace(risen, severity="page", changed_at=now),
        opened("just within", "ticket", timedelta(days=7) - MINUTE),
        opened("just before", "ticket", timedelta(days=7) + MINUTE),
        opened("a page of the period", "page", timedelta(days=89)),
        opened("shown only", "inform", timedelta(hours=1)),
    ]
    marks = [
        Command(now, f"c{i}", who, "operator", "false_alarm", risen.incident_id, None, {}, "")
        for i, who in enumerate("ab")
    ]
    store.set_setting(
        "false_alarms", {"page": {"count": 1, "period_s": 90 * 86_400}, "ticket": {"count": 4, "period_s": 7 * 86_400}}
    )
    with store.change() as change:
        change.insert([*rows, *marks])

    found = store.read("SELECT severity, declared, notified, false_marked, spent FROM alarm_budget ORDER BY 1").rows()

    assert found == [("page", 1.0, 2, 1, 2.0), ("ticket", 4.0, 2, 0, 0.5)]
