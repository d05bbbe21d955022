"""Spans per second from an OTLP protobuf body to attempt rows, decode and parse, one process.

Usage: python bench/otlp_parse.py [SPANS] [ROUNDS] [--json]. Prints one JSON line; `--json` measures the
JSON encoding instead of protobuf. The floor is protobuf's own decoding of the same body.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors import otlp

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
START_NS = int((AT - timedelta(minutes=5)).timestamp()) * 10**9
TEXTS = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "vllm",
    "gen_ai.request.model": "llama-70b-chat",
    "gen_ai.response.model": "llama-3.3-70b",
    "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "' + "why " * 100 + '"}]}]',
    "server.address": "10.0.0.12",
    "litellm.team.id": "acme",
}
NUMBERS = {"gen_ai.usage.input_tokens": 812, "gen_ai.usage.output_tokens": 96, "gen_ai.request.max_tokens": 512}


def body(spans: int) -> ExportTraceServiceRequest:
    """One streamed chat call in three spans, as a gateway exports it: server, call, database."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for i in range(spans):
        span = scope.spans.add(
            name="span", start_time_unix_nano=START_NS + i * 1000, end_time_unix_nano=START_NS + i * 1000 + 10**9
        )
        span.trace_id, span.span_id = (i // 3 + 1).to_bytes(16, "big"), (i + 1).to_bytes(8, "big")
        if i % 3 != 1:
            span.attributes.add(key="http.route").value.string_value = "/v1/chat/completions"
            continue
        span.parent_span_id = i.to_bytes(8, "big")
        for key, text in TEXTS.items():
            span.attributes.add(key=key).value.string_value = text
        for key, number in NUMBERS.items():
            span.attributes.add(key=key).value.int_value = number
        span.attributes.add(key="gen_ai.request.stream").value.bool_value = True
        span.attributes.add(key="gen_ai.response.time_to_first_chunk").value.double_value = 0.21
    return request


def as_json(request: ExportTraceServiceRequest) -> bytes:
    """The request as OTLP/JSON, ids in hexadecimal."""
    document = json_format.MessageToDict(request)
    for pair, source in zip(
        document["resourceSpans"][0]["scopeSpans"][0]["spans"],
        request.resource_spans[0].scope_spans[0].spans,
        strict=True,
    ):
        pair["traceId"], pair["spanId"] = source.trace_id.hex(), source.span_id.hex()
        pair.pop("parentSpanId", None)
    return json.dumps(document).encode()


def main() -> None:
    """Measure and print."""
    counts = [int(a) for a in sys.argv[1:] if a.isdigit()]
    spans, rounds = [*counts, *(3000, 15)[len(counts) :]][:2]
    request = body(spans)
    binary = request.SerializeToString()
    use_json = "--json" in sys.argv
    payload = as_json(request) if use_json else binary
    labels = {"content_type": otlp.JSON if use_json else otlp.PROTOBUF}
    times, floor = [], []
    for _ in range(rounds):
        begin = time.perf_counter()
        parsed = otlp.parse(payload, AT, labels)
        times.append(time.perf_counter() - begin)
        assert parsed.offered == spans
        begin = time.perf_counter()
        ExportTraceServiceRequest.FromString(binary)
        floor.append(time.perf_counter() - begin)
    median = statistics.median(times)
    result = {
        "bench": "otlp_parse", "encoding": "json" if use_json else "protobuf", "spans": spans, "rows": parsed.tables["attempt"].height,
        "bytes": len(payload), "spans_per_s": round(spans / median), "calls_per_s": round(parsed.tables["attempt"].height / median),
        "over_protobuf_decode": round(median / statistics.median(floor), 1),
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
