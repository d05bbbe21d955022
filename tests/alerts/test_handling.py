"""The whole way of an incident: found, told, taken by a person, muted, tried out; with the real service and its pages."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from receivers import Http, http
from running import Service, running, until

pytestmark = pytest.mark.slow

MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat}
slos: [{name: availability, good: status = ok, objective: 99%, window: 30d}]
"""


@pytest.fixture
def receiver() -> Iterator[Http]:
    with http() as box:
        yield box


def observe(service: Service, *given: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"OBSERVE_TOKEN": token} if token else {})}
    argv = [sys.executable, "-m", "observe", *given, "-c", str(service.site)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment, timeout=120)


def fail(service: Service) -> None:
    end = datetime.now(UTC).timestamp() - 65
    rows = [
        {"id": f"r{i}", "trace_id": f"r{i}", "call_type": "acompletion", "stream": False, "model": "chat", "model_group": "chat",
         "status": "failure" if i < 900 and i % 5 < 2 else "success", "startTime": end - 2 * i - 1, "endTime": end - 2 * i,
         "prompt_tokens": 9, "completion_tokens": 3}
        for i in range(1800)
    ]  # fmt: skip
    with service.client() as client:
        answer = client.post("/ingest/litellm", content=json.dumps(rows), headers={"Content-Type": "application/json"})
    assert answer.json()["stored"] == 1800


def test_an_incident_is_told_taken_and_muted_by_page_and_command_line(tmp_path: Path, receiver: Http) -> None:
    (tmp_path / "secret").write_text("k3y")
    more = f'alerts: {{receivers: {{ops: {{type: webhook, url: "{receiver.url}/x", secret: "file:secret"}}}}}}'
    with running(tmp_path, more=more, models={"chat": MODEL}) as service:
        tried = observe(service, "check", "--test", "ops")
        assert (tried.returncode, "took a test message" in tried.stdout) == (0, True)
        assert "✓ alerts.receivers.ops" in observe(service, "check", "--live").stdout
        assert receiver.taken[0].json["title"].startswith("● TEST")
        receiver.taken.clear()

        fail(service)
        until(lambda: receiver.taken, 120)
        opened = receiver.taken[0].json
        incident = opened["incident"]["incident_id"]
        assert (opened["notice"], opened["incident"]["severity"]) == ("opened", "page")
        assert incident in observe(service, "incidents").stdout

        acknowledge_on_the_page(service, incident)
        until(lambda: [h for h in receiver.taken if h.json["notice"] == "acknowledged"], 30)

        refused = observe(service, "incidents", "mute", "chat", "--for", "2h")
        assert (refused.returncode, "needs --reason" in refused.stderr) == (2, True)
        assert observe(service, "incidents", "mute", "chat", "--for", "2h", "--reason", "test").returncode == 0
        (row,) = json.loads(observe(service, "incidents", "--json").stdout)
        assert (row["taken_by"], row["incident_id"], bool(row["muted_until"])) == ("admin", incident, True)
        verbs = service.sql("select verb from command where verb in ('acknowledge', 'mute') order by ts")
        assert verbs.to_series().to_list() == ["acknowledge", "mute"]


def acknowledge_on_the_page(service: Service, incident: str) -> None:
    """As an operator; a viewer is told that it may not."""
    with service.client() as admin:
        viewer = admin.post("/api/v1/tokens", json={"name": "eve", "role": "viewer"}).json()["token"]
    face = f"http://127.0.0.1:{service.ui_port}"
    for token, code in ((viewer, 403), (service.token, 303)):
        with httpx.Client(base_url=face, trust_env=False, timeout=60, headers={"Origin": face}) as browser:
            until(lambda: answers(browser), 60)
            browser.post("/login", data={"token": token})
            said = {"act": "acknowledge", "object": incident, "reason": "looking", "next": f"/incidents?id={incident}"}
            assert browser.post("/do", data=said).status_code == code


def answers(browser: httpx.Client) -> bool:
    try:
        return browser.get("/login").status_code == 200
    except httpx.HTTPError:
        return False
