"""The whole loop in real processes: approved on the command line, the service killed with -9 in mid-request, sent again by the same key."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from acted import action
from receivers import Heard, Http, http
from running import Service, until
from serviced import service

pytestmark = pytest.mark.slow


def observe(made: Service, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "observe", "actions", *words, "-c", str(made.site)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def listed(made: Service) -> dict[str, dict]:  # type: ignore[type-arg]
    with made.client() as client:
        return {a["incident_id"]: a for a in client.get("/api/v1/actions").json()}


def test_a_service_killed_while_it_asks_asks_again_and_the_receiver_does_it_once(tmp_path: Path) -> None:
    with http() as ops:
        dead = threading.Event()
        did, made = hanging(ops, dead), service(tmp_path, ops.url, "1", "2")
        made.start()
        try:
            shown = observe(made)
            denied = observe(made, "deny", action("2").action_id)
            approved = observe(made, "approve", action("1").action_id[:12], "--reason", "capacity is there")
            until(lambda: ops.heard)
            made.stop(signal.SIGKILL)
            dead.set()
            made.start()
            until(lambda: listed(made)["inc-1"]["state"] == "acknowledged")
            rows = listed(made)
            told = observe(made, "show", action("1").action_id)
        finally:
            made.stop()

    assert "▲ proposed" in shown.stdout
    assert approved.returncode == 0, approved.stderr
    assert (denied.returncode, "deny needs --reason" in denied.stderr) == (2, True)
    assert len(ops.heard) >= 2
    assert {h.headers["Idempotency-Key"] for h in ops.heard} == did == {action("1").key}
    assert (rows["inc-1"]["approved_by"], rows["inc-1"]["receipt"]["status"]) == ("admin", 200)
    assert rows["inc-2"]["state"] == "proposed"
    assert "took it" in told.stdout


def hanging(ops: Http, dead: threading.Event) -> set[str]:
    """A receiver that does what it is first asked at once, and answers when nobody listens any more."""
    did: set[str] = set()

    def answer(heard: Heard) -> tuple[int, bytes]:
        did.add(json.loads(heard.body)["key"])
        if len(ops.heard) == 1:
            dead.wait(60)
        return 200, b'{"id": "op-1"}'

    ops.answer = answer
    return did
