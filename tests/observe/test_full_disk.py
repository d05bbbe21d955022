"""A disk that is full takes nothing in and loses nothing: reads go on, and so does intake once there is room."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from full_disk import small_disk
from running import Service, running, until

NDJSON = {"content-type": "application/x-ndjson"}


class Client:
    """Sends batches of ten rows and remembers which were acknowledged."""

    def __init__(self, service: Service) -> None:
        self.service, self.sent, self.acknowledged = service, 0, set[str]()

    def send(self, rows: int = 10) -> httpx.Response:
        name, now = f"n{self.sent}", datetime.now(UTC).isoformat()
        self.sent += 1
        body = "\n".join(json.dumps({"id": f"{name}-{i}", "ts": now, "text": "x" * 2000}) for i in range(rows))
        with self.service.client() as client:
            answer = client.post("/ingest/predictions/fraud", content=body, headers=NDJSON)
        if answer.status_code == 200:
            self.acknowledged.add(name)
        return answer


@pytest.mark.slow
@pytest.mark.parametrize("mount", [True, False], ids=["small disk", "limit on file sizes"])
def test_a_full_disk_refuses_intake_and_loses_nothing(tmp_path: Path, mount: bool) -> None:
    with small_disk(tmp_path / "data", mount=mount) as disk, running(tmp_path) as service:
        assert service.process is not None
        client = Client(service)
        for _ in range(5):
            assert client.send().status_code == 200

        disk.fill(service.process.pid)
        refused = until(lambda: (a := client.send(200)).status_code != 200 and a, 30)
        for _ in range(6):  # our own stages try to write meanwhile
            time.sleep(0.5)
            client.send(200)
        with service.client() as reader:
            models = reader.get("/api/v1/models")
            asked = reader.post("/api/v1/sql", json={"sql": "select 1"})

        assert (refused.status_code, int(refused.headers["retry-after"]) <= 30) == (503, True)
        assert [m["model_id"] for m in models.json()] == ["fraud"]  # reads are alive
        assert asked.status_code in (200, 503)

        disk.free(service.process.pid)
        until(lambda: client.send().status_code == 200, 30)
        found = service.sql("select split_part(prediction_id, '-', 1) as n, count(*) as rows, "
                            "count(distinct prediction_id) as ids from prediction group by 1")  # fmt: skip
        accepted, stored = (sum(service.metric(f"observe_{m}_total").values()) for m in ("accepted", "stored"))
        rejected, queued = sum(service.metric("observe_rejected_total").values()), service.metric("observe_queued")
        with service.client() as reader:
            report = reader.get("/api/v1/verify").json()

    assert client.acknowledged <= set(found["n"])
    assert {(r, i) for _, r, i in found.rows()} <= {(10, 10), (200, 200)}
    assert accepted == stored + rejected + sum(queued.values())
    assert report["findings"] == []
