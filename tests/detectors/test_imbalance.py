"""Devices that idle beside saturated ones."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
from inline_snapshot import snapshot

from detectors import capacity, imbalance
from observe.schema import Detected, Evidence, Json, Monitor, Window

T0 = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(minutes=5)
MONITOR = Monitor("site/imbalance/gpu", "site", "imbalance", "", "gpu", "imbalance", 300, "ticket", 0.0, 0.1)
COLUMNS = {"ts": pl.Datetime("us", "UTC"), "cluster": pl.String, "sku": pl.String, "devices": pl.Int64, "util_mean": pl.Float64,
           "idle_devices": pl.Int64, "saturated_devices": pl.Int64, "mem_total_mib": pl.Float64}  # fmt: skip


def group(
    window: int, cluster: str, util: float, idle: int, saturated: int, sku: str = "H100", devices: int = 64
) -> dict[str, object]:
    return {"ts": T0 + window * STEP, "cluster": cluster, "sku": sku, "devices": devices, "util_mean": util,
            "idle_devices": idle, "saturated_devices": saturated}  # fmt: skip


def idle(window: int) -> dict[str, object]:
    return group(window, "us-east", 0.06, 57, 0)


def busy(window: int, sku: str = "H100") -> dict[str, object]:
    return group(window, "eu-west", 0.98, 0, 64, sku)


def judge(
    rows: list[dict[str, object]], windows: int, state: Json | None = None, start: int = 0, prices: Json | None = None
) -> Detected:
    span = Window(T0 + start * STEP, T0 + windows * STEP)
    asked = replace(MONITOR, params={"prices": prices} if prices else {})
    return imbalance.detect(
        Evidence((asked,), span, pl.DataFrame(), {}, state or {}, {"gpu_5m": pl.DataFrame(rows, COLUMNS)})
    )


def mixed(window: int, memory: bool = False) -> list[dict[str, object]]:
    """In eu two H100 are saturated beside eight idle L4; in us eight A100 are saturated."""
    rows = [
        group(window, "eu", 0.98, 0, 2, "NVIDIA H100 80GB HBM3", 2), group(window, "eu", 0.01, 8, 0, "NVIDIA L4", 8),
        group(window, "us", 0.97, 0, 8, "NVIDIA A100-SXM4-80GB", 8),
    ]  # fmt: skip
    return [
        {**row, "mem_total_mib": mib * 1024.0 if memory else None} for row, mib in zip(rows, (80, 24, 80), strict=True)
    ]


def across(found: Detected) -> list[str]:
    """Notes of the last finding's pair, if it is one of two clusters."""
    last = found.findings[-1].details
    return [found.findings[-1].note] if "idle" in last and last["idle"]["cluster"] != last["busy"]["cluster"] else []


def states(found: Detected) -> list[str]:
    return [f.state for f in found.findings]


def test_an_idle_region_beside_a_saturated_one_is_found_after_three_windows() -> None:
    found = judge([f(i) for i in range(4) for f in (idle, busy)], 4)

    assert states(found) == ["ok", "ok", "alarm", "alarm"]
    assert found.findings[-1].note == snapshot("eu-west is 98 % busy while us-east is 6 % busy (57 of 64 H100 idle)")
    assert (found.findings[-1].onset, found.findings[-1].evidence_nats) == (T0, None)


def test_two_windows_of_four_are_not_enough() -> None:
    rows = [f(i) for i in (0, 3) for f in (idle, busy)] + [idle(1), idle(2)]

    assert "alarm" not in states(judge(rows, 4))


def test_a_fleet_that_is_busy_everywhere_or_idle_everywhere_is_balanced() -> None:
    assert set(states(judge([busy(i) for i in range(5)], 5))) == {"ok"}
    assert set(states(judge([idle(i) for i in range(5)], 5))) == {"ok"}


def test_the_pair_of_the_same_product_is_told_before_a_larger_one_of_another() -> None:
    other = [group(i, "ap-south", 0.0, 500, 0, "A100", 500) for i in range(3)]
    found = judge([f(i) for i in range(3) for f in (idle, busy)] + other, 3)

    assert found.findings[-1].details["idle"]["cluster"] == "us-east"


def test_the_alarm_ends_when_it_was_so_in_one_of_the_last_four_windows() -> None:
    rows = [f(i) for i in range(4) for f in (idle, busy)] + [idle(i) for i in range(4, 9)]

    assert states(judge(rows, 9)) == ["ok", "ok", "alarm", "alarm", "alarm", "alarm", "ok", "ok", "ok"]


def test_a_window_without_samples_is_unknown() -> None:
    assert states(judge([busy(0)], 2)) == ["ok", "unknown"]


def test_windows_judged_one_by_one_give_the_same_findings() -> None:
    rows = [f(i) for i in range(6) for f in (idle, busy)]
    state: Json = {}
    steps = []
    for i in range(8):
        found = judge(rows, i + 1, state, i)
        state, steps = found.state, steps + list(found.findings)

    assert steps == list(judge(rows, 8).findings)


PRICES = {"h100-80gb": 2.90, "l4": 0.70, "a100": 1.80}


def test_a_cluster_is_as_idle_as_its_capacity_is_not_as_its_devices_are() -> None:
    rows = [row for i in range(4) for row in mixed(i)]
    by_count, by_price = judge(rows, 4), judge(rows, 4, prices=PRICES)

    assert across(by_count) == snapshot(
        ["us is 97 % busy while eu is 20 % busy, by capacity (8 of 10 idle, 80 % of its capacity)"]
    )
    assert across(by_price) == []  # eight L4 are 49 % of what eu has
    assert [f.findings[-1].details["capacity"] for f in (by_count, by_price)] == ["count", "price"]


def test_memory_stands_in_where_a_price_is_missing() -> None:
    found = judge([row for i in range(4) for row in mixed(i, memory=True)], 4, prices={"h100": 2.90})

    assert found.findings[-1].details["capacity"] == "memory"
    assert across(found) == snapshot(
        ["us is 97 % busy while eu is 45 % busy, by capacity (8 of 10 idle, 55 % of its capacity)"]
    )


def test_idle_devices_that_could_take_next_to_nothing_are_no_imbalance() -> None:
    rows = [row for i in range(4) for row in (busy(i), group(i, "lab", 0.0, 6, 0, devices=6))]
    more = [row for i in range(4) for row in (busy(i), group(i, "lab", 0.0, 7, 0, devices=7))]

    assert (set(states(judge(rows, 4))), states(judge(more, 4))[-1]) == ({"ok"}, "alarm")


def test_products_of_one_cluster_are_held_against_each_other_and_never_against_the_whole() -> None:
    rows = [row for i in range(4) for row in mixed(i)[:2]]
    found = judge(rows, 4, prices=PRICES)

    assert found.findings[-1].note == snapshot(
        "eu NVIDIA H100 80GB HBM3 is 98 % busy while eu NVIDIA L4 is 1 % busy (8 of 8 NVIDIA L4 idle)"
    )
    assert {key.count("*") for key in found.state[MONITOR.monitor_id]} == {0}


def test_weights_are_of_one_kind_for_all_products() -> None:
    h100, l4, odd = {"sku": "H100", "mem_total_mib": 81_920.0}, {"sku": "L4", "mem_total_mib": 24_576.0}, {"sku": None}
    prices = {"h100": 2.0, "l4": 0.5}

    assert capacity.weights([h100, l4], prices).of == {"H100": 2.0, "L4": 0.5}
    assert capacity.weights([h100, l4], {"h100": 2.0}).of == {"H100": 80.0, "L4": 24.0}
    assert capacity.weights([h100, odd], prices) == capacity.Weights("count", {"H100": 1.0, "?": 1.0})


def test_windows_without_samples_end_nothing_and_are_unknown() -> None:
    rows = [r(k) for k in range(16) if k not in (8, 9, 10, 11) for r in (idle, busy)]

    found = judge(rows, 16).findings

    assert [f.state for f in found] == ["ok"] * 2 + ["alarm"] * 6 + ["unknown"] * 4 + ["alarm"] * 4
    assert found[-1].onset == found[2].onset
