"""Sinks for retrainings against servers that take only what the published APIs allow."""

import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from chains import Authority
from receivers import Http, http
from trainers import Airflow, Argo, Kubeflow, is_of_mlflow

from alerts import actionhook, airflow, argo, asking, cloudevents_sink, kubeflow, mlflow
from observe.clock import EventClock
from observe.schema import Action
from observe.spec.acting import Target, TargetSpec

T = datetime(2026, 11, 21, 9, tzinfo=UTC)
CLOCK = EventClock(T)
KEY = "0e0f1f4e-6f0b-5c86-9d59-5f6a3a9b8c11"
ACTION = Action(
    action_id=f"act-{KEY}", incident_id="inc-1", model="fraud", kind="retrain", target="t:retrain_fraud", mode="approval",
    state="sent", reason="drift.confirmed: amount moved by 0.4 σ", expires_at=T + timedelta(days=7), changed_at=T, key=KEY,
    approved_by="ann", parameters={
        "features": ["amount"], "since": "2026-11-20T08:00:00.000Z", "effect": 0.4, "unit": "sigma", "approve": "human",
        "performance": "accuracy unchanged within ±0.4 pp", "performance_state": "kept", "link": "http://o.example.com/incidents?id=inc-1",
        "training": {"from": "2026-11-20T08:30:00.000Z", "rows": 48_000, "enough": True},
    },
)  # fmt: skip


@pytest.fixture
def box() -> Iterator[Http]:
    with http() as opened:
        yield opened


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    def given(value: str) -> str:
        monkeypatch.setenv("TRAINER_SECRET", value)
        return "env:TRAINER_SECRET"

    return given


def target(kind: str, url: object, what: str = "retrain_fraud", **more: object) -> Target:
    return Target(kind, what, TargetSpec.model_validate({"type": kind, "url": url, **more}))


def of_airflow(box: Http, secret: Callable[[str], str], **more: bool) -> tuple[Airflow, Target]:
    server = Airflow({"retrain_fraud": False, **more})
    box.answer = server
    return server, target("airflow", box.url, username="observe", password=secret(server.password))


def test_airflow_is_asked_for_one_run_named_by_the_key(box: Http, secret: Callable[[str], str]) -> None:
    server, where = of_airflow(box, secret)

    receipt = airflow.send(ACTION, where, CLOCK)

    assert (receipt.taken, receipt.remote_id, receipt.done) == (True, KEY, None)
    assert receipt.url == f"{box.url}/dags/retrain_fraud/runs/{KEY}"
    assert server.refused == []
    run = server.runs["retrain_fraud", KEY]
    assert run["conf"] | {"key": KEY} == run["conf"]
    assert {k: run["conf"][k] for k in ("model", "features", "since", "effect", "training", "link")} == {
        "model": "fraud", **{k: ACTION.parameters[k] for k in ("features", "since", "effect", "training", "link")},
    }  # fmt: skip
    assert run["conf"]["answer"] == {
        "kind": "trained",
        "model_id": "fraud",
        "caused_by": KEY,
        "after": "<the new version>",
    }
    assert "approve" not in run["conf"]


def test_asked_again_airflow_has_the_run_already(box: Http, secret: Callable[[str], str]) -> None:
    server, where = of_airflow(box, secret)

    first, again = airflow.send(ACTION, where, CLOCK), airflow.send(ACTION, where, CLOCK)

    assert (first.taken, again.taken, again.status, len(server.runs)) == (True, True, 409, 1)
    assert again.text == "had the run already"


@pytest.mark.parametrize(
    ("state", "done"), [("queued", None), ("running", None), ("success", True), ("failed", False), ("gone", None)]
)
def test_a_run_of_airflow_is_followed_to_its_end(
    box: Http, secret: Callable[[str], str], state: str, done: bool | None
) -> None:
    server, where = of_airflow(box, secret)
    sent = replace(ACTION, receipt=airflow.send(ACTION, where, CLOCK).as_json())
    server.runs = {} if state == "gone" else {k: {**r, "state": state} for k, r in server.runs.items()}

    receipt = airflow.follow(sent, where, CLOCK)

    assert (receipt.done if receipt else None) is done


def test_what_airflow_refuses_is_told_with_what_to_do(box: Http, secret: Callable[[str], str]) -> None:
    server, where = of_airflow(box, secret)
    unknown = airflow.send(ACTION, replace(where, what="retrain_chat"), CLOCK)
    server.password = "another"
    stranger = airflow.send(ACTION, where, CLOCK)

    assert (unknown.taken, unknown.retry, unknown.status) == (False, False, 404)
    assert "no such DAG: is it deployed" in str(unknown.text)
    assert (stranger.taken, stranger.retry, stranger.status) == (False, True, 401)
    assert "password still right?" in str(stranger.text)
    assert "secret-word" not in str(stranger.text)


def test_a_bearer_token_of_ones_own_is_used_as_it_is(box: Http, secret: Callable[[str], str]) -> None:
    server, _ = of_airflow(box, secret)
    where = target("airflow", box.url, token=secret(server.token))

    assert airflow.send(ACTION, where, CLOCK).taken
    assert [h.path for h in box.heard] == ["/api/v2/dags/retrain_fraud/dagRuns"]


def test_a_paused_dag_is_worth_a_second_look_before_anything_runs(box: Http, secret: Callable[[str], str]) -> None:
    server, where = of_airflow(box, secret, sleeping=True)

    assert airflow.check(where) == (True, "knows DAG retrain_fraud")
    assert airflow.check(replace(where, what="sleeping"))[0] is None
    assert airflow.check(replace(where, what="nothing"))[0] is False
    assert server.runs == {}


LOGIN = b"<html><form>user, password</form></html>"


def test_a_login_page_in_place_of_airflow_is_no_run_and_is_tried_again(box: Http, secret: Callable[[str], str]) -> None:
    box.answer = lambda heard: (200, LOGIN)
    where = target("airflow", box.url, token=secret("x"))
    login = target("airflow", box.url, username="observe", password=secret("x"))

    receipts = [airflow.send(ACTION, each, CLOCK) for each in (where, login)]

    assert [(r.taken, r.retry, r.status) for r in receipts] == [(False, True, 200)] * 2
    assert all("no login page before it?" in str(r.text) for r in receipts)
    assert airflow.check(where)[0] is False
    assert airflow.check(login)[0] is False


def test_another_run_than_the_one_asked_for_is_not_ours(box: Http, secret: Callable[[str], str]) -> None:
    box.answer = lambda heard: (200, b'{"dag_run_id": "manual__2026-11-21"}')

    assert not airflow.send(ACTION, target("airflow", box.url, token=secret("x")), CLOCK).taken


@pytest.mark.parametrize("pages", ["runs", "pipelines", "POST"])
def test_a_login_page_in_place_of_kubeflow_is_no_run_and_is_tried_again(
    box: Http, secret: Callable[[str], str], pages: str
) -> None:
    server = Kubeflow({"retrain_fraud": {"observe"}})
    box.answer = lambda heard: (
        (200, LOGIN)
        if pages == heard.method or (heard.method == "GET" and f"v2beta1/{pages}" in heard.path)
        else server(heard)
    )
    receipt = kubeflow.send(ACTION, target("kubeflow", box.url, token=secret(server.token)), CLOCK)

    assert (receipt.taken, receipt.retry, receipt.status, server.runs) == (False, True, 200, {})
    assert "no login page before it?" in str(receipt.text)


def test_a_run_that_is_not_found_is_looked_for_again(box: Http, secret: Callable[[str], str]) -> None:
    server = box.answer = Kubeflow({"retrain_fraud": {"observe"}})
    where = target("kubeflow", box.url, token=secret(server.token))
    sent = replace(ACTION, receipt=kubeflow.send(ACTION, where, CLOCK).as_json())
    away, server.runs = server.runs, {}
    assert kubeflow.follow(sent, where, CLOCK) is None
    server.runs = away
    away["run-1"]["state"] = "SUCCEEDED"

    ended = kubeflow.follow(sent, where, CLOCK)
    assert ended is not None
    assert ended.done is True


def test_why_a_run_failed_is_told_in_one_short_line_without_our_token(box: Http, secret: Callable[[str], str]) -> None:
    server = box.answer = Kubeflow({"retrain_fraud": {"observe"}})
    where = target("kubeflow", box.url, token=secret(server.token))
    sent = replace(ACTION, receipt=kubeflow.send(ACTION, where, CLOCK).as_json())
    server.runs["run-1"] |= {"state": "FAILED", "error": {"message": f"token\n  {server.token} " + "x" * 9000}}

    ended = kubeflow.follow(sent, where, CLOCK)
    assert ended is not None
    assert str(ended.text).startswith("run run-1: failed: token (hidden) xxx")
    assert len(str(ended.text)) == 500


def test_a_secret_that_an_answer_repeats_is_hidden_before_the_answer_is_cut(
    box: Http, secret: Callable[[str], str]
) -> None:
    said = json.dumps({"detail": "x" * 490 + " token-of-more-than-ten-letters"}).encode()
    box.answer = lambda heard: (400, said)
    where = target("airflow", box.url, token=secret("token-of-more-than-ten-letters"))

    receipt = asking.heard(where, asking.Call(bearer=asking.shown(where)))
    assert receipt.error == "x" * 490 + " (hidden)"


def test_nobody_there_is_tried_again(secret: Callable[[str], str]) -> None:
    with http() as gone:
        url = gone.url
    receipt = airflow.send(ACTION, target("airflow", url, token=secret("x")), CLOCK)

    assert (receipt.taken, receipt.retry, receipt.status) == (False, True, None)


def test_a_secret_that_cannot_be_read_is_told_and_tried_again(box: Http) -> None:
    receipt = airflow.send(ACTION, target("airflow", box.url, token="env:NO_SUCH_VARIABLE"), CLOCK)

    assert (receipt.taken, receipt.retry) == (False, True)
    assert "env:NO_SUCH_VARIABLE is not set" in str(receipt.text)
    assert box.heard == []


def test_kubeflow_runs_the_pipeline_once_and_is_followed(box: Http, secret: Callable[[str], str]) -> None:
    server = box.answer = Kubeflow({"retrain_fraud": {"observe"}})
    where = target("kubeflow", box.url, token=secret(server.token), **{"with": {"experiment": "e1", "namespace": "ml"}})

    first, again = kubeflow.send(ACTION, where, CLOCK), kubeflow.send(ACTION, where, CLOCK)

    assert (first.taken, first.remote_id, again.remote_id, len(server.runs)) == (True, "run-1", "run-1", 1)
    run = server.runs["run-1"]
    assert run["display_name"] == f"retrain_fraud-{KEY}"
    assert run["pipeline_version_reference"] == {"pipeline_id": "id-of-retrain_fraud"}
    assert run["runtime_config"]["parameters"]["observe"]["features"] == ["amount"]
    sent = replace(ACTION, receipt=first.as_json())
    assert kubeflow.follow(sent, where, CLOCK) is None
    run["state"], run["error"] = "FAILED", {"message": "out of memory"}
    ended = kubeflow.follow(sent, where, CLOCK)
    assert ended is not None
    assert (ended.done, ended.text) == (False, "run run-1: failed: out of memory")


def test_a_pipeline_without_our_input_says_so_and_takes_none_when_told(box: Http, secret: Callable[[str], str]) -> None:
    server = box.answer = Kubeflow({"retrain_fraud": set()})
    where = target("kubeflow", box.url, token=secret(server.token))
    refused = kubeflow.send(ACTION, where, CLOCK)
    none = target("kubeflow", box.url, token=secret(server.token), **{"with": {"parameter": "none"}})

    assert (refused.taken, refused.retry, refused.status) == (False, False, 400)
    assert "does the pipeline declare the input" in str(refused.text)
    assert "not required by pipeline: observe" in str(refused.text)
    assert kubeflow.send(ACTION, none, CLOCK).taken
    assert kubeflow.check(none) == (True, "knows pipeline retrain_fraud")


def test_argo_gets_the_whole_of_it_in_the_body_and_the_key_as_event_id(box: Http, secret: Callable[[str], str]) -> None:
    server = box.answer = Argo()
    where = target("argo-events", f"{box.url}/retrain", token=secret(server.token))

    assert argo.send(ACTION, where, CLOCK).taken
    [event] = server.events
    assert (event["body"]["what"], event["body"]["model"], event["body"]["key"]) == ("retrain_fraud", "fraud", KEY)
    assert {k: event["header"][k] for k in ("ce-id", "ce-specversion", "content-type", "idempotency-key")} == {
        "ce-id": KEY, "ce-specversion": "1.0", "content-type": "application/json", "idempotency-key": KEY,
    }  # fmt: skip


def test_a_wrong_token_at_argo_says_whose_it_should_be(box: Http, secret: Callable[[str], str]) -> None:
    box.answer = Argo()
    receipt = argo.send(ACTION, target("argo-events", f"{box.url}/retrain", token=secret("wrong")), CLOCK)

    assert (receipt.taken, receipt.status) == (False, 401)
    assert "authSecret" in str(receipt.text)


def test_a_cloudevent_in_binary_mode_has_its_attributes_in_headers(box: Http) -> None:
    odd = replace(ACTION, model="fraud-€")

    receipt = cloudevents_sink.send(odd, target("cloudevents", box.url), CLOCK)

    [heard] = box.heard
    headers = {k.lower(): v for k, v in heard.headers.items()}
    assert receipt.taken
    assert {k: v for k, v in headers.items() if k.startswith("ce-")} == {
        "ce-specversion": "1.0", "ce-id": KEY, "ce-type": "observe.action.retrain", "ce-time": "2026-11-21T09:00:00.000Z",
        "ce-source": "/observe/models/fraud-%25E2%2582%25AC", "ce-subject": "fraud-%E2%82%AC",
    }  # fmt: skip
    assert headers["content-type"] == "application/json"
    assert heard.json["features"] == ["amount"]


def test_a_cloudevent_in_structured_mode_is_one_json_object_and_signed(box: Http, secret: Callable[[str], str]) -> None:
    more = {"with": {"mode": "structured", "type": "com.example.retrain"}, "secret": secret("whsec_c2VjcmV0")}

    cloudevents_sink.send(ACTION, target("cloudevents", box.url, **more), CLOCK)

    [heard] = box.heard
    assert heard.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert not [k for k in heard.headers if k.lower().startswith("ce-")]
    assert {k: heard.json[k] for k in ("specversion", "id", "type", "datacontenttype")} == {
        "specversion": "1.0", "id": KEY, "type": "com.example.retrain", "datacontenttype": "application/json",
    }  # fmt: skip
    assert heard.json["data"]["key"] == KEY
    assert heard.headers["webhook-signature"].startswith("v1,")


def test_the_events_we_send_are_cloudevents_to_our_own_front_door(box: Http) -> None:
    from collectors import cloudevents

    cloudevents_sink.send(ACTION, target("cloudevents", box.url, **{"with": {"type": "com.example.trained"}}), CLOCK)
    [heard] = box.heard
    labels = {k.lower(): v for k, v in heard.headers.items() if k.lower().startswith("ce-")}
    parsed = cloudevents.parse(heard.body, T, labels)

    assert dict(parsed.rejected) == {}
    assert parsed.tables["change_event"]["kind"].to_list() == ["trained"]


def test_mlflow_is_told_as_its_own_webhooks_tell(box: Http, secret: Callable[[str], str]) -> None:
    where = target("mlflow", f"{box.url}/hook", secret=secret("s3cret"))

    assert mlflow.send(ACTION, where, CLOCK).taken

    [heard] = box.heard
    assert set(heard.json) == {"entity", "action", "timestamp", "data"}
    assert (heard.json["entity"], heard.json["data"]["name"]) == ("registered_model", "retrain_fraud")
    assert is_of_mlflow(heard, "s3cret")
    assert not is_of_mlflow(heard, "another")


def test_a_target_that_asks_for_a_certificate_is_shown_ours_and_trusted_by_its_authority(
    tmp_path: Path, secret: Callable[[str], str]
) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.sign("us", client=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("target", "127.0.0.1"))
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    with http(tls=context) as box:
        box.answer = Argo()
        where = {"url": f"{box.url}/retrain", "token": secret("argo-token")}
        known = argo.send(ACTION, target("argo-events", **where, ca=authority.path, cert=cert, key=key), CLOCK)
        nobody = argo.send(ACTION, target("argo-events", **where, ca=authority.path), CLOCK)
        stranger = argo.send(ACTION, target("argo-events", **where), CLOCK)

    assert [(r.taken, r.retry) for r in (known, nobody, stranger)] == [(True, False), (False, True), (False, True)]
    assert "CERTIFICATE_VERIFY_FAILED" in str(stranger.text)


def test_a_webhook_is_shown_the_token_and_the_certificate_beside_the_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNING", "s3cret")
    monkeypatch.setenv("BEARER", "of-the-webhook")
    authority = Authority(tmp_path)
    cert, key = authority.sign("us", client=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("target", "127.0.0.1"))
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    with http(tls=context) as box:
        box.answer = lambda heard: (200, b'{"id": "of-the-webhook, run 7"}')
        where = {"secret": "env:SIGNING", "token": "env:BEARER", "ca": authority.path}
        known = target("webhook", box.url, **where, cert=cert, key=key)
        receipts = [actionhook.send(ACTION, each, CLOCK) for each in (known, target("webhook", box.url, **where))]
        assert actionhook.check(known)[0] is True

    assert [(r.taken, r.remote_id) for r in receipts] == [(True, "(hidden), run 7"), (False, None)]
    assert {h.headers["Authorization"] for h in box.heard} == {"Bearer of-the-webhook"}
    assert box.heard[0].headers["webhook-signature"].startswith("v1,")


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValueError, match="cert and key go together"):
        target("argo-events", "https://127.0.0.1/retrain", cert=Path("client.pem"))


def test_a_body_is_the_same_at_every_try(box: Http) -> None:
    box.fail(1)
    where = target("argo-events", f"{box.url}/retrain")
    receipts = [argo.send(replace(ACTION, changed_at=T + timedelta(minutes=m)), where, CLOCK) for m in range(2)]

    assert [(r.taken, r.retry) for r in receipts] == [(False, True), (True, False)]
    assert len({h.body for h in box.heard}) == 1
    assert json.loads(box.heard[0].body)["expires_at"] == "2026-11-28T09:00:00.000Z"
