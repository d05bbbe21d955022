import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot

from collectors import events
from observe.errors import PayloadError, PayloadTooLarge
from observe.schema import TABLES, Parsed
from observe.schema.exchange import frame_schema

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
GOLDEN = Path(__file__).parents[1] / "golden"


def parse(document: Any, **labels: str) -> Parsed:
    return events.parse(document if isinstance(document, bytes) else json.dumps(document).encode(), AT, labels)


def told(document: Any, **labels: str) -> list[dict[str, Any]]:
    """The events of a body, without what is absent and without time and id."""
    rows = parse(document, **labels).tables["change_event"].drop("ts", "event_id").rows(named=True)
    return [{k: v for k, v in row.items() if v is not None} for row in rows]


def test_our_own_form_is_kept_as_it_is() -> None:
    whole = {"ts": "2026-11-20T11:00:00Z", "event_id": "e1", "kind": "deploy", "object_kind": "Deployment", "object_name": "fraud-api", "namespace": "ml",
             "cluster": "eu", "node": "n1", "model_id": "fraud", "before": "v41", "after": "v42", "revision": "9f3c", "actor": "ci", "severity": "info", "message": "m",
             "caused_by": "k1", "data_from": None, "data_to": None}  # fmt: skip
    row = parse(whole).tables["change_event"].row(0, named=True)

    assert row == whole | {"ts": datetime(2026, 11, 20, 11, tzinfo=UTC)}


def test_a_training_says_which_run_it_was_and_what_it_learnt_from() -> None:
    [row] = told({"kind": "trained", "model": "fraud", "version": "v43", "run_id": "r-7", "data_from": "2026-11-01", "data_to": "2026-11-20T00:00:00Z"})  # fmt: skip

    assert row == {
        "kind": "trained", "model_id": "fraud", "after": "v43", "caused_by": "r-7",
        "data_from": datetime(2026, 11, 1, tzinfo=UTC), "data_to": datetime(2026, 11, 20, tzinfo=UTC),
    }  # fmt: skip


def test_a_webhook_of_mlflow_is_a_training_or_a_change_of_version() -> None:
    created = {"entity": "model_version", "action": "created", "timestamp": "2026-11-20T11:00:00+00:00",
               "data": {"name": "fraud", "version": "43", "source": "models:/m-1", "run_id": "r-7", "tags": {"observe.key": "k-1"}, "description": None}}  # fmt: skip
    aliased = {
        **created,
        "entity": "model_version_alias",
        "data": {"name": "fraud", "alias": "champion", "version": "43"},
    }

    trained, changed = told([created, aliased])

    assert (trained["kind"], trained["model_id"], trained["after"], trained["caused_by"]) == (
        "trained",
        "fraud",
        "43",
        "k-1",
    )
    assert (changed["kind"], changed["message"]) == ("model_version", "alias champion")
    assert dict(parse({**created, "action": "deleted"}).rejected) == {"missing_key": 1}


def test_a_flux_event_is_a_deploy_of_its_revision() -> None:
    assert told((GOLDEN / "event_flux.json").read_bytes(), cluster="eu") == snapshot(
        [
            {
                "kind": "deploy", "object_kind": "HelmRelease", "object_name": "fraud-api", "namespace": "ml", "cluster": "eu", "revision": "1.4.2",
                "actor": "helm-controller", "severity": "info",
                "message": "UpgradeSucceeded: Helm upgrade succeeded for release ml/fraud-api.v42 with chart fraud-api@1.4.2",
            }
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"severity": "error", "reason": "InstallFailed"}, "config"),
        ({"reason": "RollbackSucceeded"}, "rollback"),
        ({"involvedObject": {"kind": "GitRepository"}}, "config"),
    ],
)
def test_flux_failures_and_fetches_are_no_deploys(change: dict[str, Any], kind: str) -> None:
    event = json.loads((GOLDEN / "event_flux.json").read_text()) | change

    assert [e["kind"] for e in told(event)] == [kind]


def test_an_argo_application_is_a_deploy_from_one_revision_to_the_next() -> None:
    (event,) = told((GOLDEN / "event_argo.json").read_bytes())

    assert {
        k: event[k] for k in ("kind", "object_name", "cluster", "namespace", "before", "after", "actor")
    } == snapshot(
        {
            "kind": "deploy",
            "object_name": "fraud-api",
            "cluster": "eu-west",
            "namespace": "ml",
            "before": "aaa1111",
            "after": "bbb2222",
            "actor": "jo",
        }
    )


def test_an_argo_sync_that_failed_is_no_deploy() -> None:
    app = json.loads((GOLDEN / "event_argo.json").read_text())["app"]
    app["status"]["operationState"]["phase"] = "Failed"

    assert [(e["kind"], e["severity"]) for e in told(app)] == [("config", "error")]


def test_kubernetes_events_are_scalings_and_node_changes_and_the_rest_is_counted() -> None:
    whole = parse((GOLDEN / "event_kubernetes.json").read_bytes())

    assert whole.rejected == {"not_a_change": 1}
    assert whole.tables["change_event"].select(
        "event_id", "kind", "object_name", "node", "before", "after"
    ).rows() == snapshot(
        [("11-aa/1", "scale", "vllm-chat", None, "2", "4"), ("22-bb/1", "node_remove", "gpu-7", "gpu-7", None, None)]
    )


def test_a_deployment_is_a_deploy_of_its_images_once_a_generation() -> None:
    deployment = {
        "kind": "Deployment", "metadata": {"name": "fraud", "namespace": "ml", "uid": "u", "generation": 7, "creationTimestamp": "2020-01-01T00:00:00Z"},
        "spec": {"template": {"spec": {"containers": [{"image": "fraud:42"}, {"image": "proxy:1"}]}}},
        "status": {"conditions": [{"type": "Progressing", "lastUpdateTime": "2026-11-20T11:00:00Z"}]},
    }  # fmt: skip
    whole = parse(deployment)

    assert whole.tables["change_event"].select("event_id", "kind", "after").row(0) == (
        "u/7",
        "deploy",
        "fraud:42, proxy:1",
    )


@pytest.mark.parametrize("kind", ["deployment", "Release", "rollout", "deploy"])
def test_other_words_for_a_kind_mean_that_kind(kind: str) -> None:
    assert told({"kind": kind}) == [{"kind": "deploy"}]


def test_an_unknown_kind_is_kept_as_config_with_its_name() -> None:
    whole = parse({"kind": "wobble", "message": "it wobbled"})

    assert whole.notes == {"unknown_kind": 1, "ts_assumed": 1}
    assert told({"kind": "wobble", "message": "it wobbled"}) == [{"kind": "config", "message": "wobble: it wobbled"}]


def test_an_event_without_an_id_is_named_by_its_content() -> None:
    names = [
        parse(e).tables["change_event"]["event_id"][0]
        for e in ({"kind": "deploy", "after": "1"}, {"after": "1", "kind": "deploy"}, {"kind": "deploy", "after": "2"})
    ]

    assert names[0] == names[1] != names[2]


def test_what_a_body_does_not_say_its_labels_do() -> None:
    assert told([{"kind": "scale"}, {"kind": "scale", "cluster": "us"}], cluster="eu", model="chat") == [
        {"kind": "scale", "cluster": "eu", "model_id": "chat"},
        {"kind": "scale", "cluster": "us", "model_id": "chat"},
    ]


def test_bad_events_cost_themselves_only() -> None:
    whole = parse(
        [
            {"kind": "deploy"},
            3,
            {"a": 1},
            {"kind": "deploy", "ts": "soon"},
            {"kind": "deploy", "ts": 0},
            {"kind": "deploy", "ts": "2027-01-01"},
        ]
    )

    assert (whole.offered, whole.items) == (6, 1)
    assert whole.rejected == {"syntax": 1, "missing_key": 1, "bad_ts": 1, "too_old": 1, "in_future": 1}


def test_lines_of_objects_are_taken_too() -> None:
    assert parse(b'{"kind": "deploy"}\n{oops\n\n{"kind": "scale"}').rejected == {"syntax": 1}


@pytest.mark.parametrize("body", [b"", b"not json", b"[" * 100_000, b"\xff"])
def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(PayloadError):
        parse(body)


def test_an_enormous_body_is_413() -> None:
    with pytest.raises(PayloadTooLarge):
        parse(b" " * (8 * 2**20 + 1))


def test_every_column_has_the_type_of_the_table() -> None:
    schema = frame_schema(TABLES["change_event"])

    assert {n: t for n, t in parse({"kind": "deploy"}).tables["change_event"].schema.items() if t != schema[n]} == {}


LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
NAMES = st.sampled_from(["kind", "ts", "metadata", "status", "involvedObject", "reportingController", "items", "object", "app", "spec", "history", "revision", "operationState"])  # fmt: skip
JSON = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=12
)


@settings(max_examples=300)
@given(st.binary(max_size=120) | JSON.map(lambda x: json.dumps(x).encode()))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    try:
        whole = parse(body)
    except PayloadError:
        return
    assert whole.offered == whole.items + sum(whole.rejected.values())
