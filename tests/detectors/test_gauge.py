"""Signals on the hardware and in the queues: what changed, and when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from detectors import gauge
from observe.schema import Detected, Evidence, Json, Monitor, Window

T0 = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(minutes=5)
GPU = Monitor("site/gauge/gpu", "site", "gauge", "", "gpu", "gauge", 300, "inform", 0.0, 0.0, params={"kind": "gpu"})
QUEUE = Monitor(
    "chat/gauge/queue", "chat", "gauge", "", "queue", "gauge", 300, "inform", 0.0, 0.0, params={"kind": "queue"}
)
N, CHANGED = 120, 90  # windows, and the first that is changed


def gpus(**changed: Any) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    rows = {
        "throttled_devices": np.zeros(N),
        "sm_clock_mean": 1980 + rng.normal(0, 5, N),
        "saturated_devices": np.full(N, 4.0),
        **changed,
    }
    return pl.DataFrame({
        "ts": pl.Series([T0 + i * STEP for i in range(N)], dtype=pl.Datetime("us", "UTC")), "cluster": ["eu"] * N, "sku": ["H100"] * N,
        "devices": [16] * N, **rows,
    })  # fmt: skip


def queue(values: np.ndarray, model: str = "chat") -> pl.DataFrame:
    ts = pl.Series([T0 + i * STEP for i in range(N)], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame({"ts": ts, "model_id": [model] * N, "cluster": ["eu"] * N, "queue_mean": values})


def judge(monitor: Monitor, rows: pl.DataFrame, start: int = 76, end: int = N, state: Json | None = None) -> Detected:
    kind = monitor.params["kind"]
    window = Window(T0 + start * STEP, T0 + end * STEP)
    return gauge.detect(Evidence((monitor,), window, pl.DataFrame(), {}, state or {}, {f"{kind}_5m": rows}))


def step(before: float, after: float, first: float = 1.0, noise: float = 0.0) -> np.ndarray:
    """A level that changes at window CHANGED, of which a share `first` has changed already."""
    values = np.where(np.arange(N) >= CHANGED, after, before) + np.random.default_rng(2).normal(0, noise, N)
    values[CHANGED] = before + first * (after - before)
    return values


def test_a_quiet_fleet_says_nothing() -> None:
    assert judge(GPU, gpus()).findings == ()


def test_throttled_devices_are_found_with_their_onset_and_only_inform() -> None:
    first = judge(GPU, gpus(throttled_devices=step(0, 4))).findings[0]

    assert (first.state, first.severity, first.kind, first.evidence_nats) == ("alarm", "inform", "gpu", None)
    assert first.onset == T0 + CHANGED * STEP
    assert first.note == "eu H100: throttled devices 0 → 4"
    assert first.details == {"cluster": "eu", "sku": "H100", "metric": "throttled_devices", "before": 0.0, "after": 4.0}


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_the_onset_is_read_to_the_minute_from_the_first_changed_window(share: float) -> None:
    first = judge(GPU, gpus(sm_clock_mean=step(1980, 1600, share, noise=2.0))).findings[0]

    assert first.onset is not None
    assert abs((first.onset - (T0 + CHANGED * STEP + (1 - share) * STEP)).total_seconds()) < 45


def test_a_clock_that_rises_is_no_signal() -> None:
    assert judge(GPU, gpus(sm_clock_mean=step(1600, 1980))).findings == ()


def test_a_growing_queue_is_found_for_its_own_model_only() -> None:
    rows = pl.concat([queue(step(0.4, 14.0)), queue(step(0.4, 90.0), "other")])

    found = judge(QUEUE, rows).findings
    assert {f.details["model"] for f in found} == {"chat"}
    assert found[0].kind == "queue"


def test_two_odd_windows_are_not_a_change() -> None:
    values = np.zeros(N)
    values[CHANGED : CHANGED + 2] = 5

    assert judge(GPU, gpus(throttled_devices=values)).findings == ()


def test_the_end_of_a_change_is_told() -> None:
    values = np.zeros(N)
    values[CHANGED : CHANGED + 8] = 5

    found = judge(GPU, gpus(throttled_devices=values))
    assert [f.state for f in found.findings] == ["alarm", "ok"]
    assert found.state == {GPU.monitor_id: {}}


def test_windows_judged_one_by_one_give_the_same_findings() -> None:
    rows = gpus(throttled_devices=step(0, 4), sm_clock_mean=step(1980, 1600, 0.5, noise=2.0))
    state: Json = {}
    steps = []
    for i in range(76, N):
        found = judge(GPU, rows, i, i + 1, state)
        state, steps = found.state, steps + list(found.findings)

    assert steps == list(judge(GPU, rows).findings)


def test_noise_alone_is_seldom_a_change() -> None:
    found = 0
    for seed in range(20):
        values = 3 + np.abs(np.random.default_rng(seed).normal(0, 1, N))
        found += len(judge(QUEUE, queue(values)).findings)

    assert found == 0
