"""Large bodies do not sum up, a full queue refuses, and whoever must wait is told until when."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from inprocess import Client, in_process
from running import aside

from observe.app.core import Core
from observe.errors import Overloaded
from observe.server import pressure
from observe.server.pressure import LARGE, PLACES, Pressure
from observe.server.routes import api_routes
from observe.store import store as store_module

BODIES = {
    "/v1/traces": '{"resourceSpans": []}', "/v1/metrics": '{"resourceMetrics": []}', "/v1/logs": '{"resourceLogs": []}', "/ingest/litellm": "[]",
    "/ingest/predictions/{model}": "[]", "/ingest/labels/{model}": "[]", "/ingest/exposition": "a 1\n", "/ingest/events": "[]", "/ingest/cloudevents": "[]",
}  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Core]]:
    with in_process(tmp_path_factory.mktemp("service")) as both:
        yield both


def post(client: Client, path: str) -> tuple[int, str | None]:
    answer = client.post(
        path.replace("{model}", "fraud"), content=BODIES[path], headers={"Content-Type": "application/json"}
    )
    return answer.status_code, answer.headers.get("retry-after")


def test_every_intake_is_tried_here() -> None:
    assert set(BODIES) == {r.path for r in api_routes() if r.role == "ingest"}


@pytest.mark.parametrize("path", BODIES)
def test_every_intake_says_when_to_come_again(
    service: tuple[Client, Core], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, core = service
    committer = core.store._committer
    assert post(client, path) == (200, None)

    monkeypatch.setattr(committer, "queued", round(committer._capacity * 0.8))
    assert post(client, path) == (429, "1")
    monkeypatch.setattr(committer, "queued", round(committer._capacity * 0.97))
    assert post(client, path) == (503, "1")
    monkeypatch.setattr(committer, "queued", 0)
    monkeypatch.setattr(store_module, "FREE_BYTES", 1 << 60)
    status, after = post(client, path)
    assert (status, int(after or 0) > 1) == (503, True)


def test_two_large_bodies_are_decoded_at_once_and_others_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressure, "PATIENCE_S", 0.1)
    free, busy = threading.Event(), []

    async def run() -> list[object]:
        held = Pressure()
        large = [asyncio.create_task(held.run(LARGE + 1, lambda: (busy.append(1), free.wait(10)))) for _ in range(PLACES + 1)]  # fmt: skip
        small = await held.run(LARGE, lambda: "small goes on")
        late = await asyncio.gather(large.pop(), return_exceptions=True)
        free.set()
        return [small, *late, *await asyncio.gather(*large), await held.run(LARGE + 1, lambda: "then")]

    small, late, *_, then = aside(lambda: asyncio.run(run()))

    assert (small, then, len(busy)) == ("small goes on", "then", PLACES)
    assert isinstance(late, Overloaded)
    assert (late.http_status, late.retry_after_s) == (429, 2)


def test_bytes_in_hand_are_let_go_when_a_request_ends(
    service: tuple[Client, Core], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = service
    monkeypatch.setattr(pressure, "HELD", 1000)
    answers = [client.post("/ingest/events", content=b"x" * n) for n in (900, 2000, 900)]

    assert [a.status_code for a in answers] == [400, 429, 400]
    assert answers[1].headers["retry-after"] == "2"
    assert client.app.state.pressure.held == 0
