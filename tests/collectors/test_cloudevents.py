"""What model servers and platforms log as CloudEvents."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import cloudevents, predictions
from collectors.inference import rows_of
from observe.schema import Parsed

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
CALL = "org.kubeflow.serving.inference.request"
KSERVE = {
    "ce-specversion": "1.0", "ce-type": CALL, "ce-source": "http://localhost:9081/", "ce-id": "e5", "ce-time": "2026-11-20T11:59:00.000Z",
    "ce-inferenceservicename": "iris", "ce-namespace": "ml", "ce-endpoint": "canary", "ce-traceparent": "00-90a2951c292515b95056d5f778a7824b-d3c911c939c7bef6-00",
}  # fmt: skip
BODY = {"instances": [[1, 2], [3, 4]]}


def parse(payload: Any, **labels: str) -> Parsed:
    return cloudevents.parse(payload if isinstance(payload, bytes) else json.dumps(payload).encode(), AT, labels)


def structured(**more: Any) -> dict[str, Any]:
    return {**{k.removeprefix("ce-"): v for k, v in KSERVE.items()}, "data": BODY, **more}


def halves(parsed: Parsed) -> list[dict[str, Any]]:
    return parsed.tables["prediction_half"].to_dicts() if parsed.tables else []


def test_binary_structured_and_batched_mode_say_the_same() -> None:
    encoded = {**structured(data_base64=base64.b64encode(json.dumps(BODY).encode()).decode())}
    del encoded["data"]
    recorded = {"headers": {k.title(): v for k, v in KSERVE.items()}, "body": BODY}
    found = [
        halves(parse(BODY, **KSERVE)), halves(parse(structured())), halves(parse([structured()])),
        halves(parse(encoded)), halves(parse(recorded)), halves(parse(structured(data=json.dumps(BODY)))),
    ]  # fmt: skip

    assert found == [found[0]] * 6
    assert {k: found[0][0][k] for k in ("half_id", "side", "model_id", "variant", "trace_id")} == {
        "half_id": "e5", "side": "request", "model_id": "iris", "variant": "canary", "trace_id": "90a2951c292515b95056d5f778a7824b",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (1, "syntax"), ({"a": 1}, "syntax"), (structured(id=""), "missing_key"), (structured(type=7), "missing_key"), (structured(type="com.example.thing"), "unknown_type"),
        (structured(inferenceservicename=None), "bad_model"), (structured(inferenceservicename="A b"), "bad_model"), (structured(data="no json"), "bad_data"),
        (structured(data={"inputs": [{"name": "x", "shape": [3], "data": [1]}]}), "bad_data"), (structured(data={"instances": [[0]] * 10_001}), "bad_data"),
        (structured(time="soon"), "bad_ts"), (structured(time="2026-01-01T00:00:00Z"), "too_old"), (structured(time=2**63), "in_future"), (structured(time=2**70), "bad_ts"),
    ],
)  # fmt: skip
def test_an_event_that_cannot_be_kept_is_counted_with_a_reason(event: Any, reason: str) -> None:
    whole = parse([structured(), event])

    assert (whole.offered, whole.items, whole.rejected) == (2, 1, {reason: 1})


V2 = {"inputs": [{"name": "amount", "shape": [2], "datatype": "FP32", "data": [1.5, 2.5]}, {"name": "country", "shape": [2, 1], "datatype": "BYTES", "data": ["NL", "DE"]}]}  # fmt: skip


@pytest.mark.parametrize(
    ("request_body", "response_body", "found"),
    [
        (V2, {"model_version": "3", "outputs": [{"name": "predict", "shape": [2], "data": [0, 1]}, {"name": "predict_proba", "shape": [2], "data": [0.1, 0.9]}]},
         [{"features": {"amount": 1.5, "country": "NL"}, "model_version": "3", "prediction": 0, "score": 0.1, "item_idx": 0}, {"features": {"amount": 2.5, "country": "DE"}, "model_version": "3", "prediction": 1, "score": 0.9, "item_idx": 1}]),
        ({"inputs": [{"name": "x", "shape": [1, 2, 2], "data": [[[1, 2], [3, 4]]]}]}, {"outputs": [{"name": "y", "shape": [1, 2], "data": [0.3, 0.7]}]},
         [{"features": {"x_0": 1, "x_1": 2, "x_2": 3, "x_3": 4}, "prediction": "[0.3, 0.7]", "item_idx": 0}]),
        ({"instances": [{"a": 1}, 5]}, {"predictions": [{"label": "cat", "score": 0.8}]},
         [{"features": {"a": 1}, "prediction": "cat", "score": 0.8, "item_idx": 0}, {"features": {"f0": 5}, "orphan": "request_only", "item_idx": 1}]),
        (None, {"predictions": [[0.5]]}, [{"prediction": 0.5, "orphan": "response_only", "item_idx": 0}]),
    ],
)  # fmt: skip
def test_bodies_of_both_protocols_become_one_row_for_each_instance(
    request_body: Any, response_body: Any, found: list[dict[str, Any]]
) -> None:
    assert rows_of(request_body, response_body) == found


def test_a_line_of_a_sagemaker_capture_is_its_predictions() -> None:
    line = {
        "captureData": {"endpointInput": {"observedContentType": "text/csv", "data": "69,0,153.7\n70,1,n\n", "encoding": "CSV"}, "endpointOutput": {"observedContentType": "text/csv; charset=utf-8", "data": "0.25\n0.5", "encoding": "CSV"}},
        "eventMetadata": {"eventId": "a", "inferenceId": "b", "inferenceTime": "2026-11-20T11:00:00Z"}, "eventVersion": "0",
    }  # fmt: skip
    frame = predictions.parse(json.dumps(line).encode(), AT, {"model": "churn"}).tables["prediction:churn"]

    assert frame.select("prediction_id", "item_idx", "score", "f0", "f2").rows() == [
        ("b", 0, 0.25, 69.0, "153.7"), ("b", 1, 0.5, 70.0, "n"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "kind", "told"),
    [
        (structured(type="dev.flux.event", data={"involvedObject": {"kind": "Kustomization", "name": "web", "namespace": "apps"}, "severity": "info", "reason": "ReconciliationSucceeded", "message": "ok", "metadata": {"revision": "main/7"}, "reportingController": "kustomize-controller"}), "deploy", "web"),
        (structured(type="com.example.deploy", subject="fraud-api", data={"after": "v42"}), "deploy", "fraud-api"),
        (structured(type="com.example.thing", data={"kind": "scale", "object_name": "vllm"}), "scale", "vllm"),
    ],
)  # fmt: skip
def test_other_events_are_changes_where_they_tell_one(event: dict[str, Any], kind: str, told: str) -> None:
    row = parse(event).tables["change_event"].row(0, named=True)

    assert (row["kind"], row["object_name"], row["ts"]) == (kind, told, datetime(2026, 11, 20, 11, 59, tzinfo=UTC))


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "shape", "data", "a"]), inner, max_size=3), max_leaves=8)  # fmt: skip


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from([*structured(), "data_base64", "subject"]), JSON), st.sampled_from(["instances", "inputs", "predictions", "outputs", "kind"]), JSON, st.sampled_from(["request", "response"]))  # fmt: skip
def test_whatever_an_event_says_it_is_kept_or_counted(changed: dict[str, Any], key: str, data: Any, side: str) -> None:
    event = structured(type=f"io.seldon.serving.inference.{side}", data={key: data}) | changed
    whole = parse([event])

    assert whole.offered == 1 == whole.items + sum(whole.rejected.values())
    for row in halves(whole):
        pair = (row, None) if row["side"] == "request" else (None, row)
        made = cloudevents.predictions([pair], AT, {"model": "m"})
        assert made.items == made.offered > 0
