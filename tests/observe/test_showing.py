"""An agent's listener: few at once, none for ever."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import httpx
import pytest
from running import until

from observe.app import showing
from observe.app.agent import Agent
from observe.app.showing import Listener
from observe.clock import WallClock


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener(Agent(lambda _: b"a 1\n", "n1", 60, WallClock()), "127.0.0.1:0", None)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def dripping(server: Listener) -> socket.socket:
    """A client that begins to ask and does not end."""
    made = socket.create_connection(server.server_address[:2], timeout=10)
    made.sendall(b"GET /healthz HTTP/1.1\r\nX-A: ")
    return made


def health(server: Listener) -> int:
    return httpx.get(f"http://127.0.0.1:{server.server_port}/healthz", trust_env=False).status_code


def test_clients_that_drip_take_no_more_than_their_places(listener: Listener) -> None:
    before = set(threading.enumerate())  # of earlier tests one may end meanwhile
    clients = [dripping(listener) for _ in range(40)]
    refused = sum(b"503" in client.recv(100) for client in clients[showing.AT_ONCE :])

    assert refused == 40 - showing.AT_ONCE
    assert len(set(threading.enumerate()) - before) == showing.AT_ONCE
    for client in clients:
        client.close()
    assert until(lambda: health(listener) == 200)


def test_who_drips_on_is_cut_off_and_others_are_answered(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "PATIENCE_S", 0.3)
    begun = time.monotonic()
    with closing(dripping(listener)) as client:
        assert health(listener) == 200
        with suppress(OSError):  # a reset or a broken pipe
            while time.monotonic() - begun < 20:
                client.sendall(b"x")
                time.sleep(0.02)
    assert time.monotonic() - begun < 5
