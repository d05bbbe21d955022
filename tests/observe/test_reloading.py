"""Configuration that changes while the service runs: taken whole, refused whole, written down, told."""

import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from running import Service, running, until

pytestmark = pytest.mark.slow

CHAT = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {{name: chat}}
selector: {{gatewayModels: [{alias}]}}
slos:
  - {{name: ttft, latency: ttft_s, below: 800ms, objective: {objective}}}
{more}
"""
SLO = "  - {name: speed, latency: duration_s, below: 2s, objective: 99%}"


def chat(alias: str = "gpt-chat", objective: str = "99%", more: str = "") -> str:
    return CHAT.format(alias=alias, objective=objective, more=more)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path, models={"chat": chat()}) as service:
        yield service


def rewrite(service: Service, text: str) -> None:
    (service.folder / "models" / "chat.yaml").write_text(text)


def in_force(service: Service) -> dict[str, object]:
    with service.client() as client:
        return client.get("/api/v1/config").json()  # type: ignore[no-any-return]


def send(service: Service, model: str, name: str) -> None:
    end = datetime.now(UTC).timestamp() - 420  # in a window of five minutes that has closed
    row = {"id": name, "trace_id": name, "call_type": "acompletion", "stream": True, "status": "success", "model": model,
           "model_group": model, "startTime": end - 2, "completionStartTime": end - 1.5, "endTime": end}  # fmt: skip
    with service.client() as client:
        assert client.post("/ingest/litellm", json=[row]).json()["stored"] == 1


def is_judged(service: Service, slo_id: str) -> bool:
    """Whether an objective was looked at; traffic goes on, without it nobody looks. A finding of it may take five minutes."""
    send(service, "gpt-next", f"more-{datetime.now(UTC).timestamp()}")
    return any(slo_id in labels for labels in service.metric("observe_slo_evaluated_timestamp_seconds"))


@pytest.mark.timeout(600)
def test_a_changed_model_is_taken_and_told_a_broken_one_is_refused_and_told(service: Service) -> None:
    before = in_force(service)
    send(service, "gpt-next", "before")
    rewrite(service, chat(alias="gpt-next", objective="99.9%", more=SLO))
    now = until(lambda: (told := in_force(service))["hash"] != before["hash"] and told, 10)
    send(service, "gpt-next", "after")

    assert now["since"] > before["since"]
    assert service.sql("select attempt_id, model_id from attempt order by attempt_id").rows() == [
        ("after", "chat"),
        ("before", "gpt-next"),
    ]
    command = service.sql("select actor, verb, object, parameters from command").row(0)
    assert command[:3] == ("file", "reload", "models/chat.yaml")
    values = json.loads(command[3])["values"]
    assert values["models.chat.slos.ttft.objective"] == ["99%", "99.9%"]
    assert values["models.chat.slos.speed.below"] == [None, "2s"]
    event = service.sql("select kind, model_id, source, message from change_event").row(0)
    assert event[:3] == ("config", "chat", "observe")
    assert "gpt-chat → gpt-next (+" in event[3]
    until(lambda: is_judged(service, "chat.speed"), 360, every=2.0)  # what comes late is folded in every five minutes

    rewrite(service, chat(objective="101%"))
    wrong = until(lambda: (told := in_force(service))["errors"] and told, 10)
    assert "chat.yaml:6:" in wrong["errors"][0]
    assert (wrong["valid"], wrong["hash"], wrong["config"]) == (False, now["hash"], now["config"])
    assert service.metric("observe_config_valid") == {"": 0.0}
    assert (service.folder / "service.log").read_text().count("event=config_refused") == 1

    rewrite(service, chat(alias="gpt-next", objective="99.9%", more=SLO))
    until(lambda: service.metric("observe_config_valid") == {"": 1.0}, 10)
    assert in_force(service)["since"] == now["since"]
    assert service.sql("select count(*) from command").item() == 1


def test_an_operator_reloads_and_a_new_model_and_collector_are_taken(service: Service) -> None:
    (service.folder / "models" / "fraud.yaml").write_text("name: fraud\naliases: [fraud-v2]\n")
    (service.folder / "in").mkdir()
    (service.folder / "in" / "a.ndjson").write_text(
        json.dumps({"prediction_id": "p", "ts": datetime.now(UTC).isoformat(), "x": 1.0}) + "\n"
    )
    site = service.site.read_text().replace(
        "collectors:\n", "collectors:\n  scored: {type: files, path: ./in/*.ndjson, model: fraud, every: 1s}\n"
    )
    service.site.write_text(site)
    with service.client() as client:
        answer = client.post("/api/v1/commands", json={"verb": "reload", "reason": "new model"})
        models = client.get("/api/v1/models").json()

    assert answer.status_code == 201, answer.text
    assert answer.json()["values"]["models.fraud.aliases"] == [None, "fraud-v2"]
    assert [m["model_id"] for m in models if m["declared"]] == ["chat", "fraud"]
    until(lambda: service.sql("select count(*) from collector_run where collector = 'scored' and ok").item(), 5)
    assert service.sql("select actor, role, object, reason from command").rows() == [
        ("admin", "admin", "models/fraud.yaml, observe.yaml", "new model")
    ]


def test_what_needs_a_restart_is_left_and_said(service: Service) -> None:
    before = in_force(service)["config"]["site"]["server"]  # type: ignore[index]
    service.site.write_text(service.site.read_text().replace('ui: "127.0.0.1', 'ui: "127.0.0.2'))
    service.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
    told = until(lambda: (c := in_force(service)["config"])["warnings"] and c, 5)  # type: ignore[index]

    assert told["site"]["server"] == before
    assert "takes effect at the next start" in told["warnings"][0]
    assert "site.server.ui: 127.0.0.1" in told["warnings"][0]


def test_a_person_whose_reload_is_refused_hears_why_and_it_is_kept(service: Service) -> None:
    rewrite(service, "apiVersion: observe/v1\nkind: Monitorin\n")
    with service.client() as client:
        answer = client.post("/api/v1/commands", json={"verb": "reload"})
    parameters = service.sql("select parameters from command where verb = 'reload'").item()

    assert answer.status_code == 400
    assert "did you mean 'Monitoring'?" in answer.json()["error"]
    assert "unknown kind 'Monitorin'" in json.loads(parameters)["refused"]


def test_the_same_values_written_otherwise_change_nothing(service: Service) -> None:
    before = in_force(service)
    path = service.folder / "models" / "chat.yaml"
    path.write_text("# a comment\n" + path.read_text())
    os.utime(path)
    until(lambda: in_force(service)["config"]["origins"] != before["config"]["origins"], 10)  # type: ignore[index]

    assert {k: in_force(service)[k] for k in ("hash", "since")} == {k: before[k] for k in ("hash", "since")}
    assert service.sql("select count(*) from command").item() == 0
