"""The running service, over HTTP: who may do what, what is stored, what is counted."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from running import Service, free_port, running, started

from observe.server.routes import api_routes, otlp_routes
from observe.server.routing import Served

ROUTES = api_routes()
PRIVATE = [r for r in ROUTES if r.role != "public"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service")) as service:
        yield service


def path_of(route: Served) -> str:
    return route.path.replace("{model}", "fraud")


def payload(n: int, prefix: str) -> list[dict[str, object]]:
    end = datetime.now(UTC).timestamp() - 5
    return [
        {"id": f"{prefix}{i}", "trace_id": f"{prefix}{i}", "call_type": "acompletion", "stream": True, "status": "success",
         "custom_llm_provider": "openai", "model": "gpt-4o", "model_group": "chat", "prompt_tokens": 10, "completion_tokens": 5,
         "startTime": end - 2, "completionStartTime": end - 1.5, "endTime": end, "response_cost": 0.001}
        for i in range(n)
    ]  # fmt: skip


def test_only_health_and_login_are_public() -> None:
    assert {r.path for r in ROUTES if r.role == "public"} == {"/healthz", "/readyz", "/api/v1/sessions"}
    assert all(r.role == "ingest" for r in otlp_routes())


@pytest.mark.parametrize("route", PRIVATE, ids=lambda r: f"{r.method} {r.path}")
def test_a_stranger_is_turned_away_from_every_route(service: Service, route: Served) -> None:
    for headers in ({}, {"Authorization": "Bearer guess"}):
        answer = httpx.request(route.method, service.url + path_of(route), headers=headers, trust_env=False)

        assert answer.status_code == 401, answer.text


def test_an_ingest_token_may_send_and_nothing_else(service: Service) -> None:
    with service.client() as admin:
        token = admin.post("/api/v1/tokens", json={"name": "gateway", "role": "ingest"}).json()["token"]
    with service.client(token) as gateway:
        codes = {r.path: gateway.request(r.method, path_of(r)).status_code for r in PRIVATE if r.role != "ingest"}
        sent = gateway.post("/ingest/litellm", json=payload(1, "i"))

    assert set(codes.values()) == {403}
    assert sent.status_code == 200


def test_a_viewer_may_look_but_not_act(service: Service) -> None:
    with service.client() as admin:
        token = admin.post("/api/v1/tokens", json={"name": "eve", "role": "viewer"}).json()["token"]
    with service.client(token) as viewer:
        assert viewer.get("/api/v1/incidents").status_code == 200
        assert viewer.post("/api/v1/commands", json={"verb": "mute", "object": "x"}).status_code == 403
        assert viewer.post("/api/v1/read", json={"sql": "select 1"}).status_code == 403


def test_unknown_paths_answer_404_as_json(service: Service) -> None:
    with service.client() as client:
        answer = client.get("/api/v1/nothing")

    assert answer.status_code == 404
    assert "GET /api/v1/nothing" in answer.json()["error"]


def test_what_is_acknowledged_can_be_queried_at_once(service: Service) -> None:
    with service.client() as client:
        answer = client.post("/ingest/litellm", json=payload(3, "q"))

    assert answer.json()["stored"] == 3
    rows = service.sql("select model_requested, ttft_s, duration_s, status from attempt where attempt_id like 'q%'")
    assert rows.rows() == [("chat", 0.5, 2.0, "ok")] * 3


def test_a_body_sent_twice_is_acknowledged_and_stored_once(service: Service) -> None:
    body = json.dumps(payload(2, "twice"))
    with service.client() as client:
        answers = [
            client.post("/ingest/litellm", content=body, headers={"Content-Type": "application/json"}).json()
            for _ in range(2)
        ]

    assert [a["duplicate"] for a in answers] == [False, True]
    assert service.sql("select count(*) from attempt where attempt_id like 'twice%'").item() == 2


def test_gzip_is_inflated_and_a_bomb_is_refused(service: Service) -> None:
    good = gzip.compress(json.dumps(payload(1, "gz")).encode())
    bomb = gzip.compress(b" " * 200_000_000, compresslevel=9)
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    with service.client() as client:
        assert client.post("/ingest/litellm", content=good, headers=headers).json()["stored"] == 1
        assert client.post("/ingest/litellm", content=bomb, headers=headers).status_code == 413


def test_accepted_is_stored_plus_rejected_plus_queued(service: Service) -> None:
    lines = [json.dumps({"prediction_id": f"a{i}", "ts": datetime.now(UTC).isoformat(), "x": i}) for i in range(20)]
    lines += [
        "{broken",
        json.dumps({"ts": "2026-01-01T00:00:00Z"}),
        json.dumps({"prediction_id": "old", "ts": "1999-01-01T00:00:00Z"}),
    ]
    with service.client() as client:
        answer = client.post(
            "/ingest/predictions/counted", content="\n".join(lines), headers={"Content-Type": "application/x-ndjson"}
        )
    source = '{source="predictions/counted"}'

    accepted, stored, queued = (
        service.metric(f"observe_{n}").get(source, 0.0) for n in ("accepted_total", "stored_total", "queued")
    )
    rejected = sum(
        v for k, v in service.metric("observe_rejected_total").items() if 'source="predictions/counted"' in k
    )
    assert answer.status_code == 200
    assert (accepted, stored, rejected, queued) == (23, 20, 3, 0)
    assert service.sql('select count(*) from predictions."counted"').item() == 20


def test_a_real_otlp_exporter_is_understood(service: Service) -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    headers = {"Authorization": f"Bearer {service.token}"}
    provider.add_span_processor(
        SimpleSpanProcessor(OTLPSpanExporter(f"http://127.0.0.1:{service.otlp_port}/v1/traces", headers=headers))
    )
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "otel-model",
        "gen_ai.usage.input_tokens": 12,
    }
    provider.get_tracer("test").start_span("chat otel-model", attributes=attributes).end()
    provider.shutdown()

    assert service.sql("select tokens_in, operation from attempt where model_requested = 'otel-model'").rows() == [
        (12, "chat")
    ]


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/x-protobuf", b"\xff\xff", 400),
        ("application/json", b"{", 400),
        ("text/plain", b"x", 415),
        ("application/json", b"{}", 200),
    ],
)
def test_otlp_answers_by_the_specification(service: Service, content_type: str, body: bytes, status: int) -> None:
    with service.client() as client:
        answer = client.post(
            f"http://127.0.0.1:{service.otlp_port}/v1/traces", content=body, headers={"Content-Type": content_type}
        )

    assert answer.status_code == status


def test_the_otlp_listener_serves_nothing_else(service: Service) -> None:
    with service.client() as client:
        assert client.get(f"http://127.0.0.1:{service.otlp_port}/api/v1/incidents").status_code == 404


def test_a_session_comes_from_a_token_or_a_code_that_works_once(service: Service) -> None:
    with service.client() as admin:
        code = admin.post("/api/v1/codes").json()["once"]
    opened = [httpx.post(f"{service.url}/api/v1/sessions", json={"once": code}, trust_env=False) for _ in range(2)]
    with service.client(opened[0].json()["session"]) as browser:
        assert browser.get("/api/v1/incidents").status_code == 200

    assert [o.status_code for o in opened] == [200, 401]
    assert httpx.post(f"{service.url}/api/v1/sessions", json={"token": "guess"}, trust_env=False).status_code == 401


def test_a_command_is_recorded_with_its_actor_and_chain(service: Service) -> None:
    with service.client() as admin:
        said = {"verb": "mute", "object": "site", "reason": "looked at it", "parameters": {"for": "1m"}}
        answer = admin.post("/api/v1/commands", json=said)

    row = service.sql(
        f"select actor, verb, object, reason, length(chain) from command where command_id = '{answer.json()['command_id']}'"
    )
    assert row.rows() == [("admin", "mute", "site", "looked at it", 64)]


def test_people_cannot_read_files_by_sql(service: Service) -> None:
    with service.client() as client:
        answer = client.post("/api/v1/sql", json={"sql": "select * from read_text('/etc/passwd')"})

    assert answer.status_code == 400
    assert "root:" not in answer.text


def test_a_change_event_is_stored_and_seen(service: Service) -> None:
    event = {
        "ts": (datetime.now(UTC) - timedelta(minutes=1)).isoformat(),
        "kind": "deploy",
        "model_id": "chat",
        "after": "v2",
    }
    with service.client() as client:
        answer = client.post("/ingest/events", json=event)

    assert answer.json()["stored"] == 1, answer.text
    assert service.sql("select kind, after from change_event where model_id = 'chat'").rows() == [("deploy", "v2")]


def test_an_address_open_to_the_network_without_authentication_is_refused(tmp_path: Path) -> None:
    site = tmp_path / "observe.yaml"
    site.write_text(
        "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n"
        f'server: {{listen: "0.0.0.0:{free_port()}", otlp: "127.0.0.1:{free_port()}", ui: "127.0.0.1:{free_port()}", auth: none}}\n'
    )

    done = subprocess.run(
        [sys.executable, "-m", "observe", "up", "-c", str(site)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "0.0.0.0" in done.stderr


@pytest.mark.slow
def test_without_tokens_a_foreign_page_is_still_turned_away(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.site.write_text(service.site.read_text().replace("server: {", "server: {auth: none, "))
    with started(service):
        asked = [{}, {"Origin": "http://evil.example.com"}, {"Host": "evil.example.com"}]
        codes = [httpx.get(f"{service.url}/api/v1/incidents", headers=h, trust_env=False).status_code for h in asked]

    assert codes == [200, 403, 403]


@pytest.mark.slow
def test_the_token_made_at_first_start_is_private_and_shown_once(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        token = service.token
        service.stop()
        service.start()
    said = (tmp_path / "service.log").read_text()

    assert (tmp_path / "data" / "admin.token").stat().st_mode & 0o777 == 0o600
    assert said.count(token) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [("/api/v1/sessions", '{"token": 5}'), ("/api/v1/sessions", '{"once": ["x"]}'), ("/api/v1/sessions", "[" * 100_000),
     ("/api/v1/tokens", '{"name": ["x"], "role": "viewer"}'), ("/api/v1/commands", '{"verb": "note", "object": "\\ud800"}'),
     ("/api/v1/commands", '{"verb": "note", "object": "x", "parameters": {"a": "\\ud800"}}'), ("/api/v1/sql", '{"sql": 1, "fresh": "no"}')],
)  # fmt: skip
def test_odd_bodies_are_refused_with_a_reason(service: Service, path: str, body: str) -> None:
    with service.client() as client:
        answer = client.post(path, content=body)

    assert answer.status_code in {400, 401}
    assert answer.json()["error"]


def test_a_model_name_outside_the_grammar_is_refused_with_a_hint(service: Service) -> None:
    with service.client() as client:
        answer = client.post(
            "/ingest/predictions/Fraud", content=b"{}", headers={"Content-Type": "application/x-ndjson"}
        )

    assert answer.status_code == 400
    assert "lower-case" in answer.json()["error"]


@pytest.mark.slow
def test_a_port_that_is_taken_is_told_without_a_traceback(tmp_path: Path, service: Service) -> None:
    site = tmp_path / "observe.yaml"
    site.write_text(service.site.read_text().replace("./data", str(tmp_path / "other")))
    done = subprocess.run(
        [sys.executable, "-m", "observe", "up", "-c", str(site)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "cannot listen on" in done.stderr
    assert "Traceback" not in done.stderr
