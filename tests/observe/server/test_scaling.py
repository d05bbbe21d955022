"""GET /api/v1/scaling/{model}, as a scaler asks it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from inprocess import Client, in_process
from serving import SPEC

from observe.app.core import Core
from observe.schema import Batch


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[tuple[Client, Core]]:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/chat.yaml").write_text(SPEC % ", targetRps: 5")
    with in_process(tmp_path) as (client, core):
        yield client, core


def serve(core: Core, now: datetime) -> None:
    rows = [
        {"ts": now - timedelta(seconds=15 * i), "target": "http://chat-0", "model_id": "chat", "engine": "", "queue_depth": 0.0,
         "requests_ok_total": 1000.0 - 60 * i}
        for i in range(20)
    ]  # fmt: skip
    core.store.append(Batch("test", "1", {"serving_sample": pl.DataFrame(rows)}))


def test_a_number_comes_with_its_reason(asked: tuple[Client, Core]) -> None:
    client, core = asked
    serve(core, core.clock.now())
    core.loads.tick()
    answer = client.request("GET", "/api/v1/scaling/chat")

    assert answer.status_code == 200
    told = answer.json()
    assert told["desired"] == {"load_units": pytest.approx(0.8, abs=0.3), "replicas": 1}
    assert (told["stale"], told["evidence"]["binding"]) == (False, "present load")
    assert core.loads.last_read("chat") is not None


def test_what_is_not_known_is_503_with_a_reason_and_never_a_number(asked: tuple[Client, Core]) -> None:
    client, core = asked
    before = client.request("GET", "/api/v1/scaling/chat")
    core.loads.tick()
    after = client.request("GET", "/api/v1/scaling/chat")

    assert (before.status_code, after.status_code) == (503, 503)
    assert "nothing has been decided yet" in before.json()["error"]
    assert after.json()["error"] == "neither model servers nor a gateway told of it in the last 15 min"
    assert (after.json()["stale"], after.headers["Retry-After"]) == (True, "15")
    assert "desired" not in after.json()


def test_a_model_that_nobody_declared_is_404_with_the_nearest_name(asked: tuple[Client, Core]) -> None:
    answer = asked[0].request("GET", "/api/v1/scaling/cat")

    assert answer.status_code == 404
    assert "did you mean 'chat'?" in answer.json()["error"]


def test_the_answer_is_among_the_metrics(asked: tuple[Client, Core]) -> None:
    client, core = asked
    serve(core, core.clock.now())
    core.loads.tick()

    assert 'observe_scaling_desired_replicas{model="chat"} 1.0' in client.request("GET", "/metrics").text
