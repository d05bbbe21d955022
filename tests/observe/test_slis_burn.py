"""From rows to a burning budget, by the stages of the service, for every kind of SLO."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from observe.app.stages import QUICK, Stages
from observe.clock import EventClock
from observe.registry import plugin
from observe.schema import Batch, Detected, Evidence
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

T0 = datetime(2026, 3, 2, 10, tzinfo=UTC)
SITE = "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n"
CHAT = """\
apiVersion: piqc.ai/v1alpha1
kind: ModelSpec
metadata: {name: chat}
spec:
  identity: {model: {task: chat}}
  operations: {scaling: {targetLatencyMsP95: 800}}
  pipeline: {dependencies: [{id: embedder, interface: {maxLatencyMs: 50}}]}
  governance: {cost: {targetCostPer1kTokensUsd: 0.02}}
---
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat}
slos:
  - {name: ok, good: status = ok, objective: 99%}
  - {name: price, cost: {}, objective: 99%, window: {calendar: month, timeZone: Europe/Berlin}}
  - {name: gpus, minutes: {good: gpus present, gpus: 4}, objective: 99%}
  - {name: embed, dependency: embedder, objective: 99%}
  - {name: all, composite: {of: {ok: 1, price: 1, gpus: 1}}, objective: 99%}
"""
MINUTES, HEALTHY = 600, 180


class Here:
    def detect(self, name: str, evidence: Evidence) -> Detected:
        return plugin("observe.detectors", name).detect(evidence)  # type: ignore[no-any-return]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "observe.yaml").write_text(SITE)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/chat.yaml").write_text(CHAT)
    clock = EventClock(T0 + timedelta(minutes=MINUTES + 5))
    made = Store.open(tmp_path / "data", clock, threads=1, memory="500MB")
    yield made
    made.close()


def rows() -> dict[str, pl.DataFrame]:
    """Ten hours of ten requests a minute; after three of them tokens cost ten times as much, calls are slow, a GPU is gone."""
    attempts, samples = [], []
    for minute in range(MINUTES):
        bad = minute >= HEALTHY
        for i in range(10):
            at, trace = T0 + timedelta(minutes=minute, seconds=5 * i + 3), f"{minute}-{i}"
            attempts.append({"ts": at - timedelta(seconds=1), "attempt_id": f"e{trace}", "trace_id": trace, "model_id": "embedder",
                             "duration_s": 0.2 if bad else 0.01, "cost_usd": None, "cost_known": False, "ttft_s": None})  # fmt: skip
            attempts.append({"ts": at, "attempt_id": trace, "trace_id": trace, "model_id": "chat", "duration_s": 1.0,
                             "cost_usd": 0.1 if bad else 0.01, "cost_known": True, "ttft_s": 0.5})  # fmt: skip
        samples += [
            {"ts": T0 + timedelta(minutes=minute), "device_id": f"g{g}", "quality": 0} for g in range(3 if bad else 4)
        ]
    frame = pl.DataFrame(
        attempts,
        schema_overrides={"ts": pl.Datetime("us", "UTC"), "cost_usd": pl.Float64, "ttft_s": pl.Float64},
        infer_schema_length=None,
    )
    more = frame.with_columns(
        ts_start=pl.col("ts") - pl.duration(milliseconds=(pl.col("duration_s") * 1000).cast(pl.Int64)),
        status=pl.lit("ok"), quality=pl.lit(0), tokens_in=pl.lit(1000), tokens_out=pl.lit(0),
    )  # fmt: skip
    return {"attempt": more, "gpu_sample": pl.DataFrame(samples, schema_overrides={"ts": pl.Datetime("us", "UTC")})}


@pytest.mark.slow
def test_every_kind_of_slo_burns_when_its_own_trouble_begins_and_only_then(store: Store, tmp_path: Path) -> None:
    config, clock = load(tmp_path / "observe.yaml"), EventClock(T0 + timedelta(minutes=MINUTES + 5))
    store.append(Batch("t", "1", rows()))
    stages = Stages(config, store, clock, Telemetry())
    for _ in range(3):
        stages.tick(QUICK, Here(), clock.now())
    found = store.read(
        "select subject, state, window_end, severity from finding where kind = 'slo' order by window_end"
    )
    alarms = {slo: severity for slo, state, _, severity in found.iter_rows() if state == "alarm"}
    first = dict(
        found.filter(pl.col("state") == "alarm").group_by("subject").agg(pl.col("window_end").min()).iter_rows()
    )

    assert alarms == {"price": "ticket", "gpus": "ticket", "embed": "page", "all": "ticket"}  # minutes page nobody
    assert dict(store.read("select slo, counted from slo_status").iter_rows()) == {
        "ok": "requests", "latency": "requests", "price": "minutes", "gpus": "GPU minutes", "embed": "calls", "all": "minutes",
    }  # fmt: skip
    assert all(at > T0 + timedelta(minutes=HEALTHY) for at in first.values())
    assert {"ok", "latency"} <= set(found["subject"])  # judged, too: the second one nobody wrote
