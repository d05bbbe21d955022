"""OTLP/HTTP: traces become attempts; metrics and logs are understood, counted and not stored yet.

A server uses it so, and answers as the OTLP specification asks:

    request = decode(body, content_type, content_encoding)      # 400, 413, 415
    parsed = parse_request(request, at, labels)                 # rows, and what was refused, by reason
    status, kind, answer = response(parsed, content_type)       # 200, partial_success for bad items
    status, headers, answer = error_response(error, content_type)

Spans that are no calls to a model (`not_genai`, `not_a_call`, `nested_genai`) are counted but are
no fault of the exporter: they do not appear in partial_success.

Source: OTLP specification 1.x; SOURCES sections 2.2 and 7.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from collectors.inflate import inflate
from collectors.otlp_wire import JSON, PROTOBUF, error_response, kind_of, read_message, write_message
from collectors.spans import parse_spans
from observe.schema import Parsed

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = [
    "JSON",
    "PROTOBUF",
    "decode",
    "error_response",
    "parse",
    "parse_request",
    "parse_unstored",
    "response",
    "unstored_response",
]

FAULTS: Final = ("too_old", "in_future", "bad_times", "invalid_id")  # reasons that an exporter is told
NOT_STORED: Final = "not_supported_yet"


def decode(body: bytes, content_type: str, content_encoding: str = "") -> ExportTraceServiceRequest:
    """A trace request from its body as it came on the wire.

    Raises:
        PayloadError: not a trace request.
        PayloadTooLarge: a cap on wire or inflated size is exceeded.
        UnsupportedPayload: a content type or encoding other than protobuf or JSON, gzip or deflate.
    """
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    kind_of(content_type)
    return read_message(ExportTraceServiceRequest(), inflate(body, content_encoding), content_type)


def parse_request(request: ExportTraceServiceRequest, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """The attempts of a decoded trace request; see `spans.parse_spans`."""
    return parse_spans(request, at, labels)


def parse(payload: bytes, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """The attempts of a trace request that is inflated already.

    Args:
        payload: an ExportTraceServiceRequest.
        at: now, aware UTC.
        labels: `content_type` (protobuf when absent), `cluster`, `accept_past_s`, `accept_future_s`.

    Raises:
        PayloadError: not a trace request.
        PayloadTooLarge: more spans than one body may hold.
    """
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    return parse_spans(
        read_message(ExportTraceServiceRequest(), payload, labels.get("content_type") or PROTOBUF), at, labels
    )


def response(parsed: Parsed, content_type: str) -> tuple[int, str, bytes]:
    """HTTP status, content type and body that acknowledge a trace request; say it after the commit."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    message = ExportTraceServiceResponse()
    faults = {reason: parsed.rejected[reason] for reason in FAULTS if parsed.rejected.get(reason)}
    if faults:
        message.partial_success.rejected_spans = sum(faults.values())
        message.partial_success.error_message = "; ".join(f"{reason}: {n}" for reason, n in faults.items())
    return 200, *write_message(message, content_type)


def parse_unstored(body: bytes, signal: str, content_type: str, content_encoding: str = "") -> Parsed:
    """A valid metrics or logs request, every item counted as `not_supported_yet`.

    Args:
        body: as it came on the wire.
        signal: `metrics` (counted in data points) or `logs` (in records).
        content_type: protobuf or JSON.
        content_encoding: gzip, deflate or empty.

    Raises:
        PayloadError: not a request of that signal.
    """
    kind_of(content_type)
    inflated = inflate(body, content_encoding)
    items = _data_points(inflated, content_type) if signal == "metrics" else _log_records(inflated, content_type)
    return Parsed({}, items, {NOT_STORED: items} if items else {})


def _data_points(body: bytes, content_type: str) -> int:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    request = read_message(ExportMetricsServiceRequest(), body, content_type)
    points = 0
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                points += len(getattr(metric, kind).data_points) if kind else 0
    return points


def _log_records(body: bytes, content_type: str) -> int:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = read_message(ExportLogsServiceRequest(), body, content_type)
    return sum(len(scope.log_records) for resource in request.resource_logs for scope in resource.scope_logs)


def unstored_response(parsed: Parsed, signal: str, content_type: str) -> tuple[int, str, bytes]:
    """HTTP 200 with a partial_success that says metrics or logs are not stored yet; never retried."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

    n = parsed.rejected.get(NOT_STORED, 0)
    if signal == "metrics":
        metrics = ExportMetricsServiceResponse()
        if n:
            metrics.partial_success.rejected_data_points = n
            metrics.partial_success.error_message = "metrics are not stored yet"
        return 200, *write_message(metrics, content_type)
    logs = ExportLogsServiceResponse()
    if n:
        logs.partial_success.rejected_log_records = n
        logs.partial_success.error_message = "logs are not stored yet"
    return 200, *write_message(logs, content_type)
