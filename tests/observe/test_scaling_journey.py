"""From an approved action over the answer that KEDA reads to the replicas that come back: the loop is closed."""

from datetime import timedelta
from pathlib import Path

import polars as pl
from acted import T0, World
from serving import scraped

from observe.app.loads import Loads
from observe.schema import Batch
from observe.spec import load

SITE = """\
apiVersion: observe/v1
kind: Site
store: {path: ./data}
targets: {keda: {type: keda}}
actions: {mode: live}
"""
MODEL = """\
apiVersion: piqc.ai/v1alpha1
kind: ModelSpec
metadata: {name: chat}
spec: {operations: {scaling: {minReplicas: 2, maxReplicas: 12, targetRps: 10}}}
---
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat}
slos: [{name: ttft, latency: ttft_s, below: 800ms, objective: 99%}]
actions: [{when: slo.ttft.page, do: scale, target: "keda:vllm-chat", step: 2}]
"""


def test_an_approved_action_is_read_by_keda_and_succeeds_when_its_replicas_are_scraped(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "observe.yaml").write_text(SITE)
    (tmp_path / "models/chat.yaml").write_text(MODEL)
    world = World(tmp_path, load(tmp_path / "observe.yaml"))
    loads, totals = Loads(world.config, world.store, world.clock), dict[str, float]()

    def serve(replicas: int, batch: str) -> None:
        rows = scraped(world.clock.now(), totals, replicas, 12.0, 0.0, 4)
        world.store.append(Batch("test", batch, {"serving_sample": pl.DataFrame(rows)}))

    def told() -> int | None:
        loads.tick()
        answer = loads.answer("chat")
        return answer.decision.replicas if answer else None

    serve(2, "before")
    before = told()
    world.propose(target="keda:vllm-chat")
    proposed = told()
    world.approve()
    world.until(5)
    approved = told()
    loads.read_by_scaler("chat")
    world.clock.set(T0 + timedelta(minutes=6))
    serve(4, "there")
    loads.tick()
    world.until(365)
    states, receipt = world.states(), world.now().receipt
    world.close()

    assert (before, proposed, approved) == (2, 2, 4)
    assert states == ["proposed", "approved", "sent", "acknowledged", "succeeded"]
    assert "4 replicas are scraped, 4 were asked for by" in (receipt or {})["text"]
    assert "a scaler read the answer at 09:00:05" in (receipt or {})["text"]
