"""Devices that fall behind the devices that do the same work."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from devices import training
from streams import START

from detectors import straggler
from detectors.fleet_memory import Runs
from detectors.peers import compared, groups, workload
from detectors.rings import Rings
from detectors.usual import drop, learn
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

MONITOR = Monitor("site/straggler/gpu", "site", "straggler", "", "gpu", "straggler", 900, "ticket", 10.9, 0.01)
DAY = 288


def judge(rows: pl.DataFrame, days: float, state: Json | None = None) -> Detected:
    span = Window(START, START + timedelta(days=days))
    return straggler.detect(Evidence((MONITOR,), span, pl.DataFrame(), {}, state or {}, {"device_5m": rows}))


def alarms(found: Detected) -> list[Finding]:
    return [f for f in found.findings if f.onset is not None and "counts" in f.details]


@pytest.mark.slow
def test_a_device_at_a_quarter_of_its_clock_less_is_named_within_the_hour() -> None:
    began = START + timedelta(days=2.5)
    first = alarms(judge(training(6, 3 * DAY, (5 * DAY // 2, 0.25)), 3))[0]

    assert (first.subject, first.kind, first.unit) == ("eu/n1/GPU-0", "gpu", "%")
    assert first.window_end <= began + timedelta(hours=1)
    assert first.onset_low <= began <= first.onset_high  # type: ignore[operator]
    assert first.ci_low <= -25 <= first.ci_high  # type: ignore[operator]
    assert "25 % slower than its 5 peers" in first.note


@pytest.mark.slow
def test_a_device_a_few_percent_slower_is_found_by_evidence() -> None:
    found = alarms(judge(training(8, 4 * DAY, (7 * DAY // 2, 0.04)), 4))

    assert found
    assert {f.details["device"] for f in found} == {"GPU-0"}
    assert found[0].evidence_nats is not None


@pytest.mark.slow
def test_a_device_that_was_always_slower_is_its_own_normal_and_told_so() -> None:
    found = judge(training(6, 4 * DAY, (0, 0.08)), 4)
    said = [f.note for f in found.findings if f.state == "inform_only" and f.onset is None]

    assert not alarms(found)
    assert said
    assert set(said) == {"eu n1 GPU 0 (GPU-0): always 8 % slower than its 5 peers"}


@pytest.mark.slow
def test_a_class_that_missed_its_gate_is_shown_and_disturbs_nobody() -> None:
    found = judge(training(6, 3 * DAY, (5 * DAY // 2, 0.25)), 3)

    assert {(f.state, f.severity) for f in alarms(found)} == {("inform_only", "inform")}
    assert {f.severity for f in found.findings if f.state == "alarm"} == {"inform"}


@pytest.mark.slow
def test_the_alarm_ends_when_the_device_is_back() -> None:
    rows = training(6, 4 * DAY, (5 * DAY // 2, 0.25))
    well = training(6, 4 * DAY)
    back = START + timedelta(days=3)
    found = judge(pl.concat([rows.filter(pl.col("ts") < back), well.filter(pl.col("ts") >= back)]), 4)

    assert alarms(found)
    assert alarms(found)[-1].window_end <= back + timedelta(hours=3)
    assert found.findings[-1].state == "ok"


def test_three_devices_are_too_few_to_compare() -> None:
    last = judge(training(3, DAY), 1).findings[-1]

    assert (last.state, last.note) == ("too_few", "3 have fewer than 3 peers: not compared")


def test_two_days_are_learnt_before_anything_is_called_fine() -> None:
    assert {f.state for f in judge(training(6, DAY), 1).findings} == {"learning"}


@pytest.mark.slow
def test_half_a_group_that_drops_together_is_no_straggler() -> None:
    rows = training(8, 3 * DAY)
    low = pl.col("device_id").is_in(["GPU-0", "GPU-1", "GPU-2"]) & (pl.col("ts") >= START + timedelta(days=2.5))
    rows = rows.with_columns(
        pl.when(low).then(pl.col("sm_clock") * 0.7).otherwise(pl.col("sm_clock")).alias("sm_clock")
    )
    found = judge(rows, 3)

    assert not alarms(found)
    assert any("dropped together" in f.note for f in found.findings)


@pytest.mark.slow
def test_devices_that_are_busy_at_different_times_call_nobody_a_straggler() -> None:
    rng, days = np.random.default_rng(501), 6
    rows = training(8, days * DAY, seed=501)
    on = np.repeat(rng.random((days * DAY // 12, 8)) < 0.6, 12, axis=0).ravel()
    rows = rows.with_columns(
        pl.when(pl.Series(on)).then(pl.col(c)).otherwise(low).alias(c) for c, low in (("util", 0.02), ("power", 90.0), ("sm_clock", 1200.0))
    )  # fmt: skip

    assert not alarms(judge(rows, days))


def test_a_mig_instance_is_compared_with_instances_of_its_profile_and_boards_are_left_out() -> None:
    rows = training(4, 1)
    parts = rows.with_columns(
        parent_uuid=pl.lit("GPU-0"), mig_profile=pl.lit("1g.10gb"), device_id=pl.lit("GPU-0/") + pl.col("device_id")
    )
    found = compared(groups(pl.concat([rows, parts])))

    assert found["device_id"].to_list() == [
        "GPU-0/GPU-0",
        "GPU-0/GPU-1",
        "GPU-0/GPU-2",
        "GPU-0/GPU-3",
        "GPU-1",
        "GPU-2",
        "GPU-3",
    ]
    assert found["peers"].to_list() == [4, 4, 4, 4, 3, 3, 3]


@pytest.mark.parametrize(("pod", "job"), [
    ("ml/vllm-7d9fb5c6d4-xk2zv", "ml/vllm"), ("ml/train-worker-0", "ml/train-worker"), ("cuda-75454ffb9f-8ljq7", "cuda"), ("ml/one", "ml/one"),
])  # fmt: skip
def test_replicas_of_a_workload_share_its_name(pod: str, job: str) -> None:
    assert workload(pod) == job


def test_rings_are_read_as_they_were_pushed() -> None:
    ring = Rings.new(4, 6.0)
    ring.include(["a", "b"])
    ring.push(np.array([1.25, np.nan]))
    again = Rings.new(4, 6.0)
    again.load(ring.dumped())

    np.testing.assert_array_equal(again.values, ring.values)
    assert abs(ring.values[0, -1] - 1.25) < 0.05


def test_evidence_of_a_drop_grows_from_its_first_block() -> None:
    past = np.random.default_rng(7).standard_normal((2, 480))
    past[0, -8:] -= 3.0
    known = np.zeros(past.shape, dtype=bool)
    known[:, :384] = True
    found = drop(learn(past, known.copy()), known)

    assert found.nats[0] > 15
    assert found.nats[1] < 5
    assert abs(int(found.start[0]) - 472) <= 2


def test_a_device_that_was_gone_begins_its_run_anew() -> None:
    runs, day = Runs(), 86_400
    for at in range(0, 3 * day, 300):
        for name in ("a", "b"):
            runs.take(name, "g", at, is_hit=False, told=False)
    for at in (0, 300, 600):
        runs.take("a", "g", 3 * day + at, is_hit=True, told=False)
    runs.forget(3 * day + 900)
    kept = runs.is_on("a")
    runs.forget(6 * day)

    assert kept
    assert runs.take("a", "g", 6 * day, is_hit=True, told=False) is None
    assert not runs.is_on("a")
