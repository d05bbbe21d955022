"""The table of OTLP/HTTP answers, all of it, on the running service: three signals, two encodings."""

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from running import Service, running

from collectors import otlp
from observe.errors import Overloaded, StoreError

pytestmark = pytest.mark.slow

JSON, PROTOBUF = "application/json", "application/x-protobuf"
MESSAGES = {
    "traces": (traces.ExportTraceServiceRequest, traces.ExportTraceServiceResponse, "rejectedSpans"),
    "metrics": (metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse, "rejectedDataPoints"),
    "logs": (logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse, "rejectedLogRecords"),
}  # fmt: skip
GENAI = [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}]
# Case -> status, and google.rpc.Code of the body where it is a refusal
CASES = {
    "whole": (200, None), "gzip": (200, None), "empty": (200, None), "unknown field": (200, None), "one too old": (200, None),
    "broken": (400, 3), "other encoding": (415, 3), "other type": (415, 3), "broken gzip": (400, 3), "too large": (413, 3),
    "bomb": (413, 3), "stranger": (401, 16), "viewer": (403, 7),
}  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("otlp")) as made:
        yield made


@pytest.fixture(scope="module")
def viewer(service: Service) -> str:
    with service.client() as admin:
        return str(admin.post("/api/v1/tokens", json={"name": "eve", "role": "viewer"}).json()["token"])


def items(signal: str, *seconds_ago: float) -> dict[str, Any]:
    """A request of one item for each time."""
    times = [str(time.time_ns() - int(ago * 1e9)) for ago in seconds_ago]
    if signal == "traces":
        ids = {"traceId": "0af7651916cd43dd8448eb211c80319c", "attributes": GENAI}
        spans = [
            {**ids, "spanId": f"{time.time_ns():016x}", "startTimeUnixNano": t, "endTimeUnixNano": t} for t in times
        ]
        return {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    if signal == "metrics":
        points = [{"timeUnixNano": t, "asDouble": 1.5} for t in times]
        return {
            "resourceMetrics": [
                {"scopeMetrics": [{"metrics": [{"name": "gen_ai.x", "gauge": {"dataPoints": points}}]}]}
            ]
        }
    records = [{"timeUnixNano": t, "severityNumber": 17, "body": {"stringValue": "bad"}} for t in times]
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}


def encoded(signal: str, kind: str, document: dict[str, Any]) -> bytes:
    if kind == JSON:
        return json.dumps(document).encode()
    message = MESSAGES[signal][0]()
    plain = json.loads(json.dumps(document).replace("0af7651916cd43dd8448eb211c80319c", "CvdlGRbNQ92ESOshHIAxnA=="))
    for resource in plain.get("resourceSpans", []):
        for span in resource["scopeSpans"][0]["spans"]:
            span["spanId"] = "AAAAAAAAAAE="
    return bytes(ParseDict(plain, message, ignore_unknown_fields=True).SerializeToString())


def body(case: str, signal: str, kind: str) -> tuple[bytes, dict[str, str]]:
    whole = encoded(signal, kind, items(signal, 1.0))
    headers = {"Content-Type": kind}
    made: dict[str, tuple[bytes, dict[str, str]]] = {
        "gzip": (gzip.compress(whole), {"Content-Encoding": "gzip"}),
        "empty": (b"{}" if kind == JSON else b"", {}),
        "unknown field": (encoded(signal, kind, {**items(signal, 1.0), "fromTheFuture": {"a": [1]}}), {}),
        "one too old": (encoded(signal, kind, items(signal, 1.0, 9 * 86_400)), {}),
        "broken": (b"{" if kind == JSON else b"\xff\xff", {}),
        "other encoding": (whole, {"Content-Encoding": "br"}), "other type": (whole, {"Content-Type": "text/plain"}),
        "broken gzip": (gzip.compress(whole)[:-9], {"Content-Encoding": "gzip"}),
        "too large": (b" " * (16 * 2**20 + 1), {}),
        "bomb": (gzip.compress(b" " * 70 * 2**20), {"Content-Encoding": "gzip"}),
    }  # fmt: skip
    content, more = made.get(case, (whole, {}))
    return content, {**headers, **more}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", [JSON, PROTOBUF])
@pytest.mark.parametrize("signal", MESSAGES)
def test_otlp_table_100_percent(service: Service, viewer: str, signal: str, kind: str, case: str) -> None:
    content, headers = body(case, signal, kind)
    token = {"stranger": "guess", "viewer": viewer}.get(case, service.token)
    answer = httpx.post(
        f"http://127.0.0.1:{service.otlp_port}/v1/{signal}", content=content, trust_env=False, timeout=30,
        headers={**headers, "Authorization": f"Bearer {token}"},
    )  # fmt: skip
    status, code = CASES[case]
    said = JSON if case == "other type" else kind

    assert (answer.status_code, answer.headers["content-type"]) == (status, said)
    if code is not None:
        told = ParseDict(answer.json(), Status()) if said == JSON else Status.FromString(answer.content)
        assert (told.code, bool(told.message)) == (code, True)
    else:
        response = MESSAGES[signal][1]
        full = answer.json() if kind == JSON else MessageToDict(response.FromString(answer.content))
        partial = {MESSAGES[signal][2]: "1", "errorMessage": "too_old: 1"} if case == "one too old" else None
        assert full == ({"partialSuccess": partial} if partial else {})


@pytest.mark.parametrize(
    ("error", "status", "code", "retry"),
    [(Overloaded("filling up", 3), 429, 8, "3"), (Overloaded("full", 9, 503), 503, 14, "9"), (StoreError("disk full"), 503, 14, "1")],
)  # fmt: skip
@pytest.mark.parametrize("kind", [JSON, PROTOBUF])
def test_what_may_be_sent_again_says_when(kind: str, error: Exception, status: int, code: int, retry: str) -> None:
    told, headers, content = otlp.error_response(error, kind)
    answer = ParseDict(json.loads(content), Status()) if kind == JSON else Status.FromString(content)

    assert (told, headers["Retry-After"], headers["Content-Type"], answer.code) == (status, retry, kind, code)


def test_real_exporters_of_metrics_and_logs_are_understood(service: Service) -> None:
    from opentelemetry._logs import SeverityNumber
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    base, headers = f"http://127.0.0.1:{service.otlp_port}/v1", {"Authorization": f"Bearer {service.token}"}
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{base}/metrics", headers=headers), 3_600_000)
    meters = MeterProvider([reader], shutdown_on_exit=False)
    meters.get_meter("app").create_histogram("gen_ai.client.token.usage", "{token}").record(
        42, {"gen_ai.token.type": "input"}
    )
    loggers = LoggerProvider(shutdown_on_exit=False)
    loggers.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{base}/logs", headers=headers)))
    loggers.get_logger("app").emit(
        severity_number=SeverityNumber.ERROR, body="lost 3 of 4 workers", timestamp=time.time_ns()
    )
    meters.shutdown()
    loggers.shutdown()

    sums = service.sql("select value, unit, kind from metric_sample where metric = 'gen_ai.client.token.usage_sum'")
    assert sums.rows() == [(42.0, "{token}", "sum")]
    assert service.sql("select template, count from log_event where template <> 'bad'").rows() == [
        ("lost <n> of <n> workers", 1)
    ]
