"""What senders see: formats, types that conflict, calls of model servers, floods of names."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from inprocess import Client, accounts, in_process

from observe.app import intake as intake_module
from observe.app.core import Core

NOW = datetime.now(UTC) - timedelta(seconds=30)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Core]]:
    with in_process(tmp_path_factory.mktemp("service")) as both:
        yield both


def table(*rows: str) -> str:
    return "\n".join(("prediction_id;ts;amount;code", *(r.replace("NOW", NOW.isoformat()) for r in rows)))


def test_a_csv_body_is_read_as_what_the_model_knows_and_conflicts_are_told_by_column(
    service: tuple[Client, Core],
) -> None:
    client, core = service
    kind = {"Content-Type": "text/csv; charset=utf-8"}
    first = client.post("/ingest/predictions/shop", table("a;NOW;44,1;A12", "b;NOW;7;B9"), kind).json()
    then = client.post("/ingest/predictions/shop", table("c;NOW;1,5;12", "d;NOW;n/a;13", "e;NOW;?;"), kind).json()

    assert (first["stored"], first["repaired"]) == (2, {})
    assert (then["stored"], then["repaired"]) == (3, {"type_conflict:amount": 2})
    assert then["examples"] == {"type_conflict:amount": "'n/a' is no DOUBLE"}
    found = core.store.read("SELECT prediction_id, amount, code, quality FROM predictions.shop ORDER BY 1").rows()
    assert found == [("a", 44.1, "A12", 0), ("b", 7.0, "B9", 0), ("c", 1.5, "12", 0), ("d", None, "13", 16), ("e", None, None, 16)]  # fmt: skip


def test_calls_of_a_model_server_in_binary_mode_may_all_have_the_same_body(service: tuple[Client, Core]) -> None:
    client, core = service
    for call in ("x1", "x2"):
        for side, body in (("request", {"instances": [[1.5]]}), ("response", {"predictions": [1]})):
            headers = {
                "ce-specversion": "1.0", "ce-id": call, "ce-type": f"org.kubeflow.serving.inference.{side}", "ce-source": "http://localhost:9081/",
                "ce-time": NOW.isoformat(), "ce-inferenceservicename": "iris", "ce-endpoint": "canary", "content-type": "application/json",
            }  # fmt: skip
            assert client.post("/ingest/cloudevents", json.dumps(body), headers).json()["stored"] == 1

    assert core.store.read("SELECT prediction_id, f0, score, variant, orphan FROM predictions.iris ORDER BY 1").rows() == [
        ("x1", 1.5, 1.0, "canary", None), ("x2", 1.5, 1.0, "canary", None),
    ]  # fmt: skip


def test_a_body_that_names_no_cluster_has_the_one_the_site_gives_its_way_in(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    site = "collectors: {a: {type: events, labels: {cluster: eu}}, b: {type: exposition, labels: {cluster: us}}}\n"
    change = {"ts": NOW.isoformat(), "kind": "deploy", "model_id": "m"}
    page = 'DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="%s"} 41\n'
    with in_process(tmp_path_factory.mktemp("placed"), more=site) as (client, core):
        for body in (change, {**change, "cluster": "own", "model_id": "n"}):
            assert client.post("/ingest/events", json.dumps(body)).json()["stored"] == 1
        for query in ("?target=n1", "?target=n2&cluster=own"):
            assert client.post(f"/ingest/exposition{query}", page % query).status_code == 200

        assert core.store.read("SELECT cluster FROM change_event ORDER BY 1")["cluster"].to_list() == ["eu", "own"]
        assert core.store.read("SELECT cluster FROM gpu_sample ORDER BY 1")["cluster"].to_list() == ["own", "us"]


def test_half_a_surrogate_pair_in_a_body_is_answered_not_broken(service: tuple[Client, Core]) -> None:
    client, _ = service
    answers = [client.post(path, r'[{"\ud800": "\ud800", "ts": "\udfff"}]') for path in ("/ingest/litellm", "/ingest/events", "/ingest/predictions/shop")]  # fmt: skip

    assert [a.status_code for a in answers] == [200, 200, 200]


def test_sources_that_senders_make_up_do_not_grow_our_metrics_without_end(
    service: tuple[Client, Core], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, core = service
    monkeypatch.setattr(intake_module, "MAX_SOURCES", len(core.intake._sources) + 3)
    for i in range(9):
        client.post(f"/ingest/labels/m{i}", "[]")

    told = {s.labels["source"] for m in core.telemetry.registry.collect() for s in m.samples if s.name == "observe_accepted_total"}  # fmt: skip
    assert len({t for t in told if t.startswith("labels/m")}) == 3
    assert "labels/__other__" in told


def test_in_the_end_accepted_is_stored_and_rejected(service: tuple[Client, Core]) -> None:
    found = accounts(service[1])

    assert found["accepted"] == found["stored"] + found["rejected"] + found["queued"] > 0
