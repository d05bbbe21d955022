"""Pages of agents: the API answers while they wait for the store, and nobody sends more than is taken."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from inprocess import Client, in_process
from running import until

from observe.app import pages
from observe.app.core import Core
from observe.server import pressure

PAGE = b'DCGM_FI_DEV_POWER_USAGE{UUID="GPU-%d"} 300\n'


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Client, Core]]:
    with in_process(tmp_path) as both:
        yield both


def push(client: Client, n: int, page: bytes = b"") -> int:
    return client.post(f"/ingest/exposition?target=n{n}&cluster=eu", page or PAGE % n).status_code


def test_pages_that_wait_for_the_store_hold_up_no_other_request(service: tuple[Client, Core]) -> None:
    client, core = service
    core.sql.start()
    with ThreadPoolExecutor(200) as many:
        with core.store.change():  # nothing is committed meanwhile
            sent = [many.submit(push, client, n) for n in range(pages.IN_HAND + 20)]
            until(lambda: sum(s.done() for s in sent) == 20)
            assert client.request("GET", "/api/v1/config").status_code == 200
        statuses = Counter(s.result() for s in sent)

    assert statuses == {200: pages.IN_HAND, 429: 20}
    assert core.store.read("select distinct cluster from gpu_sample").rows() == [("eu",)]
    assert push(client, 0) == 200


def test_a_large_page_leaves_its_place_before_it_is_committed(
    service: tuple[Client, Core], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, core = service
    monkeypatch.setattr(pressure, "LARGE", 10)
    monkeypatch.setattr(pressure, "PATIENCE_S", 0.5)
    with ThreadPoolExecutor(8) as many:
        with core.store.change():
            waiting = [many.submit(push, client, n) for n in range(5)]
            until(lambda: core.pages.in_hand == 5)
        assert [w.result() for w in waiting] == [200] * 5


def test_one_target_takes_only_so_many_of_the_places(service: tuple[Client, Core]) -> None:
    client, core = service
    with ThreadPoolExecutor(8) as many:
        with core.store.change():
            first = [many.submit(push, client, 1, PAGE % n) for n in range(pages.OF_ONE)]
            until(lambda: core.pages.in_hand == pages.OF_ONE)
            answer = client.post("/ingest/exposition?target=n1&cluster=eu", PAGE % 99)
            other = many.submit(push, client, 2)
        assert (answer.status_code, "n1" in json.loads(answer.content)["error"]) == (429, True)
        assert [f.result() for f in (*first, other)] == [200] * (pages.OF_ONE + 1)


def test_each_agent_that_pushes_is_a_source_of_its_own_and_makes_the_fleet_watched(
    service: tuple[Client, Core],
) -> None:
    client, core = service
    before = {m.monitor_id for m in core.stages._monitors()}
    assert [push(client, n) for n in (1, 2)] == [200, 200]
    core.vitals.take()
    told = core.store.read("select target, state, stored_1h from source_health order by target").rows()

    assert told == [("push", "ok", 4), ("push/eu/n1", "ok", 2), ("push/eu/n2", "ok", 2)]
    assert {m.monitor_id for m in core.stages._monitors()} - before == {
        "site/silence/exposition", "site/imbalance/gpu", "site/straggler/gpu",
    }  # fmt: skip
    assert 'observe_halves_waiting{side="request"} 0.0' in core.exposition().decode()
