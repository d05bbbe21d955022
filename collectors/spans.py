"""GenAI spans become attempts: one row for each call to a model, nothing counted twice.

A span that is no call to a model is counted, not an error: offered = rows + rejected.

    not_genai      no GenAI marker (see `genai.MARKERS`)
    not_a_call     an agent, a tool or a workflow around calls
    nested_genai   the same call told again by an outer or inner instrumentation
    invalid_id     trace or span id missing, of wrong length or zero
    bad_times      it ends before it starts
    too_old, in_future   outside what this intake takes

Source: OTLP trace.v1; SOURCES sections 2.1, 2.2 and 7.1.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from collectors import genai
from collectors.attributes import Facts, count, facts, flag, member, number, plain, text, texts
from collectors.ending import ending, moments
from collectors.instants import bounds
from observe.errors import PayloadTooLarge
from observe.schema import TABLES, Parsed
from observe.schema.exchange import frame

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

COLUMNS: Final = (
    "ts", "ts_start", "attempt_id", "trace_id", "parent_span_id", "response_id", "session_id", "model_id", "model_requested", "model_served",
    "provider", "deployment_id", "operation", "cluster", "namespace", "duration_s", "ttft_s", "tpot_s", "stream", "status",
    "error_class", "error_kind", "http_status", "finish_reason", "tokens_in", "tokens_out", "tokens_cached_in",
    "tokens_cache_write_in", "tokens_reasoning", "cost_usd", "cost_known", "cache_hit", "attempt_no", "team_id", "api_key_hash", "end_user_hash", "tags", "prompt_version", "quality",
)  # fmt: skip
OUT_OF_RANGE: Final = 1  # quality bit of `attempt`
SPAN_LIMIT: Final = 200_000  # spans of one body; a collector's batch is 8,192
_ANCESTORS: Final = 32  # spans climbed in search of an outer call
_CLOCK_S: Final = 0.001  # how far a first token may lie outside its span by rounding


@dataclass(slots=True)
class _Call:
    """A call to a model, with what tells whether another span tells it too."""

    span: bytes  # trace id and span id
    parent: bytes
    operation: str | None
    response_id: str | None
    row: tuple[Any, ...]


@dataclass(slots=True)
class _Reading:
    """What is known while one request is read."""

    low: int  # earliest event time taken, us since the epoch
    high: int
    rejected: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    parents: dict[bytes, bytes] = field(default_factory=dict)
    calls: list[_Call] = field(default_factory=list)


def parse_spans(request: ExportTraceServiceRequest, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """The attempts of a trace request, and what was not one, counted by reason.

    Args:
        request: as decoded by `otlp_wire.decode_traces`.
        at: now, aware UTC.
        labels: `cluster` stands in where the resource names none; `accept_past_s`, `accept_future_s`.

    Raises:
        PayloadTooLarge: more than 200,000 spans.
    """
    offered = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
    if offered > SPAN_LIMIT:
        raise PayloadTooLarge(f"a body may hold {SPAN_LIMIT} spans; this one has {offered}: export fewer at once")
    reading = _Reading(*bounds(at, labels))
    for resource_spans in request.resource_spans:
        place = _place(resource_spans.resource, labels)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                _read(span, place, reading)
    rows = list(_rows_told_once(reading))
    columns: dict[str, Any] = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True)) if rows else {}
    tables = {"attempt": frame(TABLES["attempt"], columns)} if rows else {}
    return Parsed(tables, offered, dict(reading.rejected), dict(reading.notes))


def _place(resource: Resource, labels: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Cluster and namespace that a resource runs in."""
    found: dict[str, str | None] = {}
    for attribute in resource.attributes[:128]:
        column = genai.RESOURCE.get(attribute.key)
        if column:
            found[column] = text(plain(attribute.value, Counter()))
    return found.get("cluster") or labels.get("cluster"), found.get("namespace")


def _read(span: Span, place: tuple[str | None, str | None], reading: _Reading) -> None:
    trace_id, span_id = span.trace_id, span.span_id
    parent = span.parent_span_id
    if parent:
        reading.parents[trace_id + span_id] = trace_id + parent
    known = facts(span.attributes, reading.notes)
    operation = _operation(known)
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    reason = _refusal(span.name, known, operation, trace_id, span_id) or _late(start // 1000, end // 1000, reading)
    if reason:
        reading.rejected[reason] += 1
        return
    row = _row(span, known, operation, place, (start, end))
    reading.calls.append(_Call(trace_id + span_id, trace_id + parent, operation, text(known.get("response_id")), row))


def _refusal(name: str, known: Facts, operation: str | None, trace_id: bytes, span_id: bytes) -> str | None:
    """Why a span is no attempt, by what it says."""
    if name in genai.REPEATED_SPANS:
        return "nested_genai"
    if genai.MARKERS.isdisjoint(known):
        return "not_genai"
    if operation in genai.NOT_CALLS:
        return "not_a_call"
    if len(trace_id) != 16 or len(span_id) != 8 or not any(trace_id) or not any(span_id):
        return "invalid_id"
    return None


def _late(start_us: int, end_us: int, reading: _Reading) -> str | None:
    """Why a span's times cannot be taken."""
    if end_us > reading.high or start_us > reading.high:
        return "in_future"
    if end_us < reading.low:
        return "too_old"
    if end_us < start_us:
        return "bad_times"
    return "too_old" if start_us < reading.low else None


def _operation(known: Facts) -> str | None:
    told = text(known.get("operation"))
    if told:
        return genai.OPERATIONS.get(told, told)
    kind = text(known.get("span_kind"))
    if kind:
        return genai.SPAN_KINDS.get(kind.upper(), "invoke_workflow")
    if known.get("workflow_kind"):
        return "invoke_workflow"
    return genai.REQUEST_TYPES.get(str(known.get("request_type")))


def _rows_told_once(reading: _Reading) -> Iterable[tuple[Any, ...]]:
    """Rows of calls, without those that an outer span of the same body tells as well.

    A call is told twice when its nearest enclosing call has the same operation and response id:
    a client library and a gateway in one process both report it. The outer one stays.
    """
    calls = {call.span: call for call in reading.calls}
    for call in reading.calls:
        outer = _enclosing(call, calls, reading.parents) if call.response_id else None
        if outer and outer.response_id == call.response_id and outer.operation == call.operation:
            reading.rejected["nested_genai"] += 1
        else:
            yield call.row


def _enclosing(call: _Call, calls: Mapping[bytes, _Call], parents: Mapping[bytes, bytes]) -> _Call | None:
    above: bytes | None = call.parent
    for _ in range(_ANCESTORS):
        if above is None or above == call.span:
            return None
        if above in calls:
            return calls[above]
        above = parents.get(above)
    return None


def _row(
    span: Span, known: Facts, operation: str | None, place: tuple[str | None, str | None], ns: tuple[int, int]
) -> tuple[Any, ...]:
    """One attempt, in the order of `COLUMNS`."""
    get = known.get
    start, end = ns
    duration = (end - start) / 1e9
    first_token, exception = moments(span)
    told = ending(span, known, exception)
    stream = _streamed(known, first_token)
    ttft, quality = _ttft(get("ttft_s"), first_token, start, duration) if stream else (None, 0)
    tokens_in, tokens_out = count(get("tokens_in")), count(get("tokens_out"))
    finish = (texts(get("finish_reason")) or (None,))[0]
    status = "cancelled" if finish in genai.CANCELLED_FINISH else told.status
    if status == "error":  # a failed call spent no tokens; LiteLLM writes 0
        tokens_in, tokens_out = tokens_in or None, tokens_out or None
    tpot = (duration - ttft) / (tokens_out - 1) if ttft is not None and tokens_out and tokens_out > 1 else None
    requested = text(get("model_requested") or member(get("invocation_parameters"), "model"))
    served = text(get("model_served"))
    cache_hit = flag(get("cache_hit"))
    cost = _cost(known, cache_hit)
    return (
        end // 1000, start // 1000, span.span_id.hex(), span.trace_id.hex(), span.parent_span_id.hex() or None,
        text(get("response_id")), text(get("session_id")), requested or served, requested, served, _provider(known),
        text(get("deployment_id") or member(get("hidden_params"), "model_id")), operation, *place, duration, ttft, tpot, stream,
        status, told.error_class, "cancelled" if status == "cancelled" else told.kind, told.http_status, finish, tokens_in, tokens_out,
        count(get("tokens_cached_in")), count(get("tokens_cache_write_in")), count(get("tokens_reasoning")), cost, cost is not None,
        cache_hit, count(get("attempt_no")), text(get("team_id")), text(get("api_key_hash")), _hashed(get("end_user")), texts(get("tags")), text(get("prompt_version")), quality,
    )  # fmt: skip


def _streamed(known: Facts, first_token: int | None) -> bool | None:
    told = flag(known.get("stream"))
    if told is None:
        told = flag(member(known.get("invocation_parameters"), "stream"))
    if told is None and (first_token is not None or known.get("ttft_s") is not None):
        return True
    return told


def _ttft(told: Any, first_token: int | None, start: int, duration: float) -> tuple[float | None, int]:
    """Time to first token, s, and the quality bit that says it was impossible."""
    seconds = number(told)
    if seconds is None:
        if first_token is None:
            return None, 0
        seconds = (first_token - start) / 1e9
    if -_CLOCK_S <= seconds <= duration + _CLOCK_S:
        return min(max(seconds, 0.0), duration), 0
    return None, OUT_OF_RANGE


def _cost(known: Facts, cache_hit: bool | None) -> float | None:
    """USD; a price of 0 means unknown unless a cache answered."""
    cost = number(known.get("cost_usd"))
    return cost if cost or cache_hit else None


def _provider(known: Facts) -> str | None:
    told = text(known.get("provider"))
    return genai.PROVIDERS.get(told, told) if told else None


def _hashed(user: Any) -> str | None:
    """The first 16 hex digits of the user's sha256; the user itself is never stored."""
    told = text(user)
    return hashlib.sha256(told.encode()).hexdigest()[:16] if told else None
