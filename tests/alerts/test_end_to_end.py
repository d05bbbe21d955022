"""From a failing request to the receiver of a webhook: service, detectors, policy, Alertmanager, all of them real."""

import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from running import Service, free_port, running, until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat}
slos: [{name: availability, good: status = ok, objective: 99%, window: 30d}]
"""


def payloads() -> list[dict[str, object]]:
    """An hour of traffic, one request each two seconds; two in five fail during the last half."""
    end = datetime.now(UTC).timestamp() - 65
    rows = []
    for i in range(1800):
        at, failed = end - 2 * i, i < 900 and i % 5 < 2
        rows.append({
            "id": f"r{i}", "trace_id": f"r{i}", "call_type": "acompletion", "stream": False, "model": "chat", "model_group": "chat",
            "status": "failure" if failed else "success", "startTime": at - 1, "endTime": at, "prompt_tokens": 9, "completion_tokens": 3,
        })  # fmt: skip
    return rows


def send(service: Service) -> None:
    with service.client() as client:
        answer = client.post(
            "/ingest/litellm", content=json.dumps(payloads()), headers={"Content-Type": "application/json"}
        )
    assert answer.json()["stored"] == 1800, answer.text


def test_failing_requests_page_once_also_when_the_service_is_killed(tmp_path: Path, hook, start: Callable) -> None:  # type: ignore[no-untyped-def,type-arg]
    with start(free_port()) as server:
        # four intervals without us end an alert, as they should: a restart on a busy machine must fit into them
        more = f'alerts: {{mode: push, alertmanager: ["{server.url}"], interval: 20s}}'
        with running(tmp_path, more=more, models={"chat": MODEL}) as service:
            send(service)
            heard = hook.next("firing")
            service.stop(signal.SIGKILL)
            service.start()
            until(lambda: service.metric("observe_deliveries_total"), 60)

            assert {k: heard["labels"][k] for k in ("model", "severity", "kind")} == {
                "model": "chat",
                "severity": "page",
                "kind": "slo",
            }
            assert "burns its budget" in heard["annotations"]["summary"]
            starts = [datetime.fromisoformat(a["startsAt"]) for a in (heard, *server.alerts())]
            assert len(starts) == 2
            assert starts[0] == starts[1]
            assert hook.bodies.empty()
            told = service.sql("select state, severity, kind from incident")
            assert told.rows() == [("open", "page", "slo")]
            assert service.sql("select notified from alarm_budget where severity = 'page'").item() == 1
