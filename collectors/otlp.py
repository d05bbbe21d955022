"""OTLP/HTTP: traces become attempts, metrics samples, logs events.

A server uses it so, and answers as the OTLP specification asks:

    request = decode(body, content_type, content_encoding, signal)      # 400, 413, 415
    parsed = parse_request(request, at, labels)                         # rows, and what was refused, by reason
    status, kind, answer = response(parsed, content_type, signal)       # 200, partial_success for bad items
    status, headers, answer = error_response(error, content_type)

What is left out for reasons that are no fault of the exporter (a span that is no call to a model, a
record below WARN) is counted, but is no partial_success. Metrics that nobody allowed are a warning in
it, with no point rejected, as the specification has it for what a sender should know.

Source: OTLP specification 1.x; SOURCES sections 2.2 and 7.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from collectors import otlp_logs, otlp_metrics
from collectors.cardinality import Cardinality
from collectors.inflate import inflate
from collectors.otlp_logs import parse_logs
from collectors.otlp_metrics import parse_metrics
from collectors.otlp_wire import JSON, PROTOBUF, error_response, kind_of, read_message, write_message
from collectors.spans import parse_spans
from observe.schema import Parsed

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["JSON", "PROTOBUF", "SIGNALS", "Signal", "decode", "error_response", "parse", "parse_request", "response"]

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: Final[tuple[Signal, ...]] = ("traces", "metrics", "logs")
FAULTS: Final[Mapping[str, tuple[str, ...]]] = {  # reasons that an exporter is told
    "traces": ("too_old", "in_future", "bad_times", "invalid_id"),
    "metrics": otlp_metrics.FAULTS,
    "logs": otlp_logs.FAULTS,
}
_METRICS: Final = "ExportMetricsServiceRequest"
_PARSERS: Final[Mapping[str, Callable[[Any, datetime, Mapping[str, str]], Parsed]]] = {
    "ExportTraceServiceRequest": parse_spans,
    "ExportLogsServiceRequest": parse_logs,
}


def _messages(signal: Signal) -> tuple[Message, Message, str]:
    """An empty request and response of a signal, and the field of the response that counts rejected items."""
    if signal == "traces":
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

        return traces.ExportTraceServiceRequest(), traces.ExportTraceServiceResponse(), "rejected_spans"
    if signal == "metrics":
        from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics

        return metrics.ExportMetricsServiceRequest(), metrics.ExportMetricsServiceResponse(), "rejected_data_points"
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs

    return logs.ExportLogsServiceRequest(), logs.ExportLogsServiceResponse(), "rejected_log_records"


def decode(body: bytes, content_type: str, content_encoding: str = "", signal: Signal = "traces") -> Message:
    """A request of a signal from its body as it came on the wire.

    Raises:
        PayloadError: not a request of that signal.
        PayloadTooLarge: a cap on wire or inflated size is exceeded.
        UnsupportedPayload: a content type or encoding other than protobuf or JSON, gzip or deflate.
    """
    kind_of(content_type)
    return read_message(_messages(signal)[0], inflate(body, content_encoding), content_type)


def parse_request(
    request: Message, at: datetime, labels: Mapping[str, str], known: Cardinality | None = None
) -> Parsed:
    """The rows of a decoded request; see `parse_spans`, `parse_metrics`, `parse_logs`.

    Args:
        request: as decoded.
        at: now, aware UTC.
        labels: see `parse`.
        known: series and label values of metrics seen before; None holds the request to the caps alone.
    """
    name = request.DESCRIPTOR.name
    return parse_metrics(request, at, labels, known) if name == _METRICS else _PARSERS[name](request, at, labels)


def parse(payload: bytes, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """The rows of a request that is inflated already.

    Args:
        payload: an export request.
        at: now, aware UTC.
        labels: `signal` (traces when absent), `content_type` (protobuf when absent), `cluster`, `source`,
            `accept_past_s`, `accept_future_s`.

    Raises:
        PayloadError: not a request of that signal.
        PayloadTooLarge: more items than one body may hold.
    """
    signal: Signal = next((s for s in SIGNALS if s == labels.get("signal")), "traces")
    request = read_message(_messages(signal)[0], payload, labels.get("content_type") or PROTOBUF)
    return parse_request(request, at, labels)


def response(parsed: Parsed, content_type: str, signal: Signal = "traces") -> tuple[int, str, bytes]:
    """HTTP status, content type and body that acknowledge a request; say it once its rows are safe."""
    message: Any
    _, message, counter = _messages(signal)
    told = [(reason, parsed.rejected[reason]) for reason in FAULTS[signal] if parsed.rejected.get(reason)]
    said = [f"{reason}: {n}" for reason, n in told]
    if parsed.rejected.get("not_allowed"):
        name = parsed.examples.get("not_allowed", "")
        said.append(f"not kept, no pattern allows it: {parsed.rejected['not_allowed']}, e.g. {name}")
    if said:
        setattr(message.partial_success, counter, sum(n for _, n in told))
        message.partial_success.error_message = "; ".join(said)
    return 200, *write_message(message, content_type)
