"""Devices that idle beside saturated ones."""

from datetime import UTC, datetime, timedelta

import polars as pl
from inline_snapshot import snapshot

from detectors import imbalance
from observe.schema import Detected, Evidence, Json, Monitor, Window

T0 = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(minutes=5)
MONITOR = Monitor("site/imbalance/gpu", "site", "imbalance", "", "gpu", "imbalance", 300, "ticket", 0.0, 0.1)
COLUMNS = {"ts": pl.Datetime("us", "UTC"), "cluster": pl.String, "sku": pl.String, "devices": pl.Int64, "util_mean": pl.Float64,
           "idle_devices": pl.Int64, "saturated_devices": pl.Int64}  # fmt: skip


def group(
    window: int, cluster: str, util: float, idle: int, saturated: int, sku: str = "H100", devices: int = 64
) -> dict[str, object]:
    return {"ts": T0 + window * STEP, "cluster": cluster, "sku": sku, "devices": devices, "util_mean": util,
            "idle_devices": idle, "saturated_devices": saturated}  # fmt: skip


def idle(window: int) -> dict[str, object]:
    return group(window, "us-east", 0.06, 57, 0)


def busy(window: int, sku: str = "H100") -> dict[str, object]:
    return group(window, "eu-west", 0.98, 0, 64, sku)


def judge(rows: list[dict[str, object]], windows: int, state: Json | None = None, start: int = 0) -> Detected:
    span = Window(T0 + start * STEP, T0 + windows * STEP)
    return imbalance.detect(
        Evidence((MONITOR,), span, pl.DataFrame(), {}, state or {}, {"gpu_5m": pl.DataFrame(rows, COLUMNS)})
    )


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
