"""A canary from stored rows to a proposed rollback: by deployment of requests, by version of predictions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from observe.app.canaries import Canaries
from observe.app.stages import QUICK, Stages
from observe.clock import EventClock
from observe.registry import plugin
from observe.schema import Batch, Detected, Evidence, Monitor, Window
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

START = datetime(2026, 11, 20, 0, tzinfo=UTC)
SITE = """\
apiVersion: observe/v1
kind: Site
store: {path: ./data, size: 1GB}
---
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat}
canary: {by: deployment, rollbackAt: 2x}
actions:
  - {when: canary.failed, do: rollback, target: "argo:chat"}
"""
OLD_H, NEW_MIN, PER_MINUTE = 26, 60, 20


def attempts(worse: float) -> pl.DataFrame:
    """A day and two hours of v1, then an hour in which half of the traffic is answered by v2."""
    rng = np.random.default_rng(1)
    minutes = OLD_H * 60 + NEW_MIN
    n = minutes * PER_MINUTE
    at = np.sort(rng.uniform(0, minutes * 60, n))
    new = (at >= OLD_H * 3600) & (rng.uniform(size=n) < 0.5)
    failed = rng.uniform(size=n) < np.where(new, worse, 0.02)
    ts = [START + timedelta(seconds=float(s)) for s in at]
    return pl.DataFrame({
        "ts": ts, "ts_start": ts, "attempt_id": [f"a{i}" for i in range(n)], "trace_id": [f"t{i}" for i in range(n)],
        "model_id": ["chat"] * n, "deployment_id": np.where(new, "v2", "v1"), "status": np.where(failed, "error", "ok"),
        "ttft_s": rng.lognormal(-1, 0.5, n), "duration_s": rng.lognormal(0, 0.5, n),
    }).with_columns(pl.col("ts", "ts_start").cast(pl.Datetime("us", "UTC")))  # fmt: skip


def predictions(folder: Path) -> pl.DataFrame:
    rng = np.random.default_rng(2)
    n = (OLD_H * 60 + NEW_MIN) * PER_MINUTE
    ts = [START + timedelta(seconds=60 * i / PER_MINUTE) for i in range(n)]
    new = (np.arange(n) >= OLD_H * 60 * PER_MINUTE) & (np.arange(n) % 2 == 0)
    return pl.DataFrame({
        "ts": pl.Series(ts).cast(pl.Datetime("us", "UTC")), "prediction_id": [f"p{i}" for i in range(n)],
        "model_version": np.where(new, "8", "7"), "score": np.where(new, rng.beta(2, 8, n), rng.beta(2, 5, n)), "latency_s": rng.gamma(2, 0.01, n),
    })  # fmt: skip


class Here:
    def detect(self, name: str, evidence: Evidence) -> Detected:
        return plugin("observe.detectors", name).detect(evidence)  # type: ignore[no-any-return]


def ran(folder: Path, worse: float) -> Store:
    (folder / "observe.yaml").write_text(SITE)
    config, clock = load(folder / "observe.yaml"), EventClock(START + timedelta(hours=OLD_H, minutes=-30))
    store = Store.open(folder / "data", clock)
    store.append(Batch("test", "k", {"attempt": attempts(worse)}))
    stages = Stages(config, store, clock, Telemetry())
    for _ in range(10):
        clock.set(clock.now() + timedelta(minutes=10))
        stages.tick(QUICK, Here(), clock.now())
    return store


@pytest.mark.slow
def test_a_worse_deployment_becomes_one_incident_with_a_rollback_proposed(tmp_path: Path) -> None:
    store = ran(tmp_path, worse=0.1)
    try:
        (incident,) = store.read("select * from incident").to_dicts()
        (action,) = store.read("select kind, target, state, parameters::VARCHAR as p from action").to_dicts()
        finding = store.read(
            "select * from finding where detector = 'canary' and state = 'alarm' order by window_end limit 1"
        )
    finally:
        store.close()

    assert incident["kind"] == "canary"
    assert "v2 is worse: errors" in incident["summary"]
    assert (action["kind"], action["target"], action["state"]) == ("rollback", "argo:chat", "proposed")
    assert '"version":"v2"' in action["p"].replace(" ", "")
    assert finding["onset"][0] == START + timedelta(hours=OLD_H)


@pytest.mark.slow
def test_a_deployment_that_is_no_worse_alarms_nobody(tmp_path: Path) -> None:
    store = ran(tmp_path, worse=0.02)
    try:
        states = store.read("select distinct state from finding where detector = 'canary'")["state"].to_list()
        questions = store.read("select details::VARCHAR as d from finding where detector = 'canary' limit 1")["d"][0]
    finally:
        store.close()

    assert set(states) <= {"learning", "ok"}
    assert "latency:ttft_s:p99" in questions


def test_versions_of_predictions_are_told_apart_and_their_scores_asked_by_tenths(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "data", EventClock(START + timedelta(hours=OLD_H + 2)))
    try:
        store.append(Batch("test", "k", {"prediction:chat": predictions(tmp_path)}))
        monitor = Monitor(
            "chat/canary/model_version",
            "chat",
            "canary",
            "",
            "model_version",
            "canary",
            60,
            "ticket",
            4.6,
            0.0,
            None,
            "ratio",
            {"by": "model_version", "rollback_at": 2.0},
        )
        began = START + timedelta(hours=OLD_H)
        found = Canaries(store).frame([monitor], Window(began - timedelta(minutes=5), began + timedelta(hours=1)))
        quiet = Canaries(store).frame([monitor], Window(began - timedelta(hours=3), began - timedelta(hours=2)))
    finally:
        store.close()

    assert quiet.is_empty()
    assert found["ts"].min() == began - timedelta(hours=6)
    assert set(found["canary"]) == {"8"}
    assert set(found["question"]) == {
        "error",
        "latency:latency_s:p50",
        "latency:latency_s:p90",
        "latency:latency_s:p99",
        *(f"prediction:{i}" for i in range(1, 11)),
        "mean:latency_s",
        "mean:score",
    }
    after = found.filter(pl.col("ts") >= began, pl.col("question") == "latency:latency_s:p50")
    assert 0.4 < after["canary_x"].sum() / after["canary_n"].sum() < 0.6
    assert 0.4 < after["baseline_x"].sum() / after["baseline_n"].sum() < 0.6


def test_requests_that_a_shadow_answers_too_are_paired_and_numbers_near_each_other_agree(tmp_path: Path) -> None:
    began, n = START + timedelta(hours=2), 600
    ts = [began + timedelta(seconds=2 * i) for i in range(n)]
    both = pl.DataFrame({
        "ts": [*ts, *(t + timedelta(seconds=1) for t in ts)], "prediction_id": [*(f"d{i}" for i in range(n)), *(f"s{i}" for i in range(n))],
        "trace_id": [f"t{i}" for i in range(n)] * 2, "variant": ["default"] * n + ["shadow"] * n,
        "score": [*([0.5] * n), *(0.7 if i % 10 == 0 else 0.501 for i in range(n))],
    }).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))  # fmt: skip
    params = {"by": "variant", "rollback_at": 2.0, "disagree": 0.02, "within": 0.01}
    monitor = Monitor(
        "chat/canary/variant", "chat", "canary", "", "variant", "canary", 60, "ticket", 4.6, 0.0, None, "ratio", params
    )
    store = Store.open(tmp_path / "data", EventClock(START + timedelta(hours=4)))
    try:
        store.append(Batch("test", "k", {"prediction:chat": both}))
        found = Canaries(store).frame([monitor], Window(began - timedelta(minutes=5), began + timedelta(hours=1)))
    finally:
        store.close()

    pairs, means = found.filter(question="agreement"), found.filter(question="mean:score")
    assert (pairs["canary_x"].sum(), pairs["canary_n"].sum()) == (60, n)
    assert pairs.height == 20
    assert means["canary_sum"].sum() == pytest.approx(60 * 0.7 + 540 * 0.501)
    assert means["baseline_sum"].sum() == pytest.approx(300.0)


def test_a_model_without_a_canary_is_not_asked(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "data", EventClock(START))
    try:
        monitor = Monitor(
            "chat/canary/deployment",
            "chat",
            "canary",
            "",
            "deployment",
            "canary",
            60,
            "ticket",
            4.6,
            0.0,
            None,
            "ratio",
            {"by": "deployment"},
        )
        assert Canaries(store).frame([monitor], Window(START, START + timedelta(hours=1))).is_empty()
    finally:
        store.close()
