"""Valid payloads of every collector and route, from which `bench.fuzz` makes broken ones.

Source: our own golden files and small bodies of every format.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

GOLDEN: Final = Path(__file__).parents[1] / "tests" / "golden"
PATHS: Final[Mapping[str, str]] = {
    "predictions": "/ingest/predictions/fraud", "labels": "/ingest/labels/fraud", "litellm": "/ingest/litellm", "events": "/ingest/events",
    "cloudevents": "/ingest/cloudevents", "otlp": "/v1/traces", "prometheus": "/ingest/exposition?target=http://n1:9400/metrics", "spendlogs": "/ingest/litellm",
}  # fmt: skip
KINDS: Final[Mapping[str, str]] = {
    "parquet": "application/vnd.apache.parquet", "arrow": "application/vnd.apache.arrow.stream", "csv": "text/csv", "json": "application/json",
    "ndjson": "application/x-ndjson", "protobuf": "application/x-protobuf", "text": "text/plain",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seed:
    """A payload that is taken as it is."""

    collector: str
    payload: bytes
    labels: Mapping[str, str] = field(default_factory=dict)
    path: str = ""


def seeds(at: datetime) -> list[Seed]:
    """Payloads of every collector, of things that happened just before `at`."""
    found = [*_tables(at), *_calls(at), *_traces(at), *_gateway(at)]
    for name in ("dcgm_h100.prom", "vllm.prom", "infiniband.prom"):
        found.append(_seed("prometheus", (GOLDEN / name).read_bytes(), "text", target="http://n1:9400/metrics"))
    for name in ("event_argo.json", "event_flux.json", "event_kubernetes.json"):
        found.append(_seed("events", (GOLDEN / name).read_bytes(), "json"))
    change = {"kind": "deploy", "ts": at.isoformat(), "model_id": "fraud", "after": "v2", "message": "x"}
    return [*found, _seed("events", json.dumps([change] * 3).encode(), "json")]


def _seed(collector: str, payload: bytes, kind: str, path: str = "", **labels: str) -> Seed:
    labels = {"content_type": KINDS[kind], **labels}
    return Seed(collector, payload, labels, path or PATHS[collector])


def _tables(at: datetime) -> list[Seed]:
    """Predictions and labels in every format."""
    rows: list[dict[str, Any]] = [
        {"prediction_id": f"p{i}", "ts": (at - timedelta(seconds=i)).isoformat(), "score": 0.5, "amount": i * 1.5, "country": "NL", "first": i % 2 == 0}
        for i in range(4)
    ]  # fmt: skip
    truths = [{"prediction_id": f"p{i}", "value": i % 2, "ts": at.isoformat()} for i in range(3)]
    found = []
    for collector, items in (("predictions", rows), ("labels", truths)):
        frame, model = pl.DataFrame(items), {"model": "fraud"}
        text, parquet, stream, file = io.StringIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
        writer = csv.DictWriter(text, list(items[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(items)
        frame.write_parquet(parquet)
        frame.write_ipc_stream(stream, compression="zstd")
        frame.write_ipc(file)
        lines = "\n".join(map(json.dumps, items)).encode()
        found += [
            _seed(collector, lines, "ndjson", **model), _seed(collector, json.dumps(items).encode(), "json", **model),
            _seed(collector, json.dumps({collector: items}).encode(), "json", **model), _seed(collector, text.getvalue().encode(), "csv", **model),
            _seed(collector, parquet.getvalue(), "parquet", **model), _seed(collector, stream.getvalue(), "arrow", **model), _seed(collector, file.getvalue(), "arrow", **model),
        ]  # fmt: skip
    return found


def _calls(at: datetime) -> list[Seed]:
    """Calls to model servers, in every mode."""
    attributes = {
        "specversion": "1.0", "id": "c1", "type": "org.kubeflow.serving.inference.request", "source": "http://localhost:9081/", "time": at.isoformat(),
        "inferenceservicename": "iris", "namespace": "ml", "endpoint": "",
    }  # fmt: skip
    asked, answered = {"instances": [[1.5, 2], [3, "a"]]}, {"predictions": [1, {"label": "x", "score": 0.5}]}
    tensors = {"inputs": [{"name": "a", "shape": [2, 1], "datatype": "FP32", "data": [1.5, 2]}, {"name": "b", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4]]}]}  # fmt: skip
    response = {**attributes, "type": "org.kubeflow.serving.inference.response", "data": answered}
    both = [{**attributes, "data": asked}, response, {**attributes, "id": "c2", "data": tensors}]
    change = {**attributes, "id": "e", "type": "com.example.deploy", "data": {"after": "v2"}}
    capture = {
        "captureData": {"endpointInput": {"observedContentType": "text/csv", "data": "1,2\n3,4", "encoding": "CSV"}, "endpointOutput": {"observedContentType": "application/json", "data": "[0.1, 0.9]", "encoding": "JSON"}},
        "eventMetadata": {"eventId": "a", "inferenceTime": at.isoformat()}, "eventVersion": "0",
    }  # fmt: skip
    binary = {f"ce-{k}": v for k, v in attributes.items()}
    return [
        _seed("cloudevents", json.dumps(both).encode(), "json"), _seed("cloudevents", json.dumps(change).encode(), "json"),
        _seed("cloudevents", json.dumps(asked).encode(), "json", **binary), _seed("cloudevents", json.dumps({"headers": binary, "body": tensors}).encode(), "json"),
        _seed("predictions", json.dumps(capture).encode(), "ndjson", model="churn"),
    ]  # fmt: skip


def _traces(at: datetime) -> list[Seed]:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    text = (GOLDEN / "otlp_genai.json").read_bytes()
    request = ExportTraceServiceRequest()
    end = int(at.timestamp() * 1e9)
    span = {
        "traceId": "AAECAwQFBgcICQoLDA0ODw==", "spanId": "AAECAwQFBgc=", "name": "chat", "startTimeUnixNano": end - 10**9, "endTimeUnixNano": end,
        "attributes": [{"key": "gen_ai.request.model", "value": {"stringValue": "chat"}}, {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}, {"key": "gen_ai.usage.input_tokens", "value": {"intValue": 7}}],
    }  # fmt: skip
    ParseDict({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}, request)
    points = [{"timeUnixNano": str(end), "asDouble": 1.5, "attributes": [{"key": "a", "value": {"stringValue": "b"}}]}]
    metrics = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "gen_ai.client.token.usage", "gauge": {"dataPoints": points}}, {"name": "b", "sum": {"dataPoints": points, "aggregationTemporality": 2}}]}]}]}  # fmt: skip
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": str(end), "severityNumber": 17, "body": {"stringValue": "it broke 7 times"}}]}]}]}  # fmt: skip
    return [
        _seed("otlp", text, "json"), _seed("otlp", request.SerializeToString(), "protobuf"),
        _seed("otlp", json.dumps(metrics).encode(), "json", "/v1/metrics", signal="metrics"), _seed("otlp", json.dumps(logs).encode(), "json", "/v1/logs", signal="logs"),
    ]  # fmt: skip


def _gateway(at: datetime) -> list[Seed]:
    end = at.timestamp()
    row = {
        "id": "a1", "trace_id": "t1", "call_type": "acompletion", "stream": True, "status": "success", "model": "gpt-4o", "model_group": "chat", "prompt_tokens": 10,
        "completion_tokens": 5, "startTime": end - 2, "completionStartTime": end - 1.5, "endTime": end, "response_cost": 0.001, "metadata": {"user_api_key_team_id": "t"}, "request_tags": ["a"],
    }  # fmt: skip
    spent = {
        "request_id": "s1", "call_type": "acompletion", "spend": 0.001, "total_tokens": 15, "prompt_tokens": 10, "completion_tokens": 5, "startTime": (at - timedelta(seconds=2)).isoformat(), "endTime": at.isoformat(),
        "model": "gpt-4o", "model_group": "chat", "metadata": "{}", "request_tags": "[]", "cache_hit": "False", "status": "success",
    }  # fmt: skip
    return [
        _seed("litellm", json.dumps([row, {**row, "id": "a2", "status": "failure"}]).encode(), "json"), _seed("litellm", (GOLDEN / "litellm.ndjson").read_bytes(), "ndjson", accept_past_s="inf"),
        _seed("spendlogs", json.dumps([spent]).encode(), "json", "/ingest/litellm"),
    ]  # fmt: skip
