"""A commit that takes long holds no sender up: bodies are answered once their rows are safe, and stored after it."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from inprocess import in_process
from running import until

from observe.store.committer import CROWD

JSON = {"Content-Type": "application/json"}


def body(i: int) -> str:
    now = datetime.now(UTC).isoformat()
    return json.dumps([{"ts": now, "prediction_id": f"p{i}-{n}", "score": 0.5, "amount": 1.0} for n in range(5)])


def test_many_who_wait_for_a_commit_are_answered_before_it_and_their_rows_come(tmp_path: Path) -> None:
    with in_process(tmp_path) as (client, core), ThreadPoolExecutor(CROWD) as senders:
        with core.store.change():
            sent = [senders.submit(client.post, "/ingest/predictions/m", body(i), JSON) for i in range(CROWD)]
            answers = [s.result(60) for s in sent]
            page = client.request("GET", "/metrics").text

        assert [a.status_code for a in answers] == [200] * CROWD
        assert [(a.json()["stored"], a.json()["queued"]) for a in answers] == [(0, 5)] * CROWD
        assert f"observe_spilled_bodies_total {CROWD}.0" in page
        until(lambda: core.store.stats()["queue_bytes"] == 0, 30)
        assert core.store.read("SELECT count(DISTINCT prediction_id) AS n FROM prediction").item() == 5 * CROWD
        again = client.post("/ingest/predictions/m", body(99), JSON).json()
        assert (again["stored"], again["queued"]) == (5, 0)
