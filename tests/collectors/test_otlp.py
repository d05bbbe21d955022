import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collectors import otlp
from collectors.genai import KEYS
from observe.errors import Overloaded, PayloadError, PayloadTooLarge, UnsupportedPayload
from observe.schema import TABLES, Parsed
from observe.schema.exchange import frame_schema

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW_NS = int(AT.timestamp()) * 10**9
GOLDEN = Path(__file__).parents[1] / "golden" / "otlp_genai.json"
CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "chat"}


def span(
    attributes: dict[str, Any],
    *,
    name: str = "chat",
    ids: tuple[int, int, int] = (1, 1, 0),
    start_s: float = -2.0,
    end_s: float = -1.0,
) -> Any:
    """A request of one span; ids are trace, span, parent; times in seconds from now."""
    request = ExportTraceServiceRequest()
    one = request.resource_spans.add().scope_spans.add().spans.add(name=name)
    one.trace_id, one.span_id = ids[0].to_bytes(16, "big"), ids[1].to_bytes(8, "big")
    one.parent_span_id = ids[2].to_bytes(8, "big") if ids[2] else b""
    one.start_time_unix_nano, one.end_time_unix_nano = NOW_NS + int(start_s * 1e9), NOW_NS + int(end_s * 1e9)
    for key, value in attributes.items():
        target = one.attributes.add(key=key).value
        kind = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}[type(value)]
        setattr(target, kind, value)
    return request


def parsed(*requests: Any, labels: dict[str, str] | None = None) -> Parsed:
    whole = ExportTraceServiceRequest()
    for request in requests:
        whole.MergeFrom(request)
    return otlp.parse(whole.SerializeToString(), AT, labels or {})


def row(attributes: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    return parsed(span(CALL | attributes, **kwargs)).tables["attempt"].row(0, named=True)


def golden() -> Parsed:
    return otlp.parse(GOLDEN.read_bytes(), AT, {"content_type": "application/json"})


def test_the_golden_body_becomes_two_attempts_and_three_reasons() -> None:
    whole = golden()

    assert (whole.offered, whole.rejected) == (5, {"not_genai": 1, "nested_genai": 1, "not_a_call": 1})
    columns = [
        "attempt_id",
        "model_id",
        "provider",
        "operation",
        "cluster",
        "namespace",
        "status",
        "error_class",
        "tokens_in",
        "tokens_cached_in",
    ]
    assert whole.tables["attempt"].select(columns).rows() == snapshot(
        [
            ("00000000000000a2", "llama-70b-chat", "vllm", "chat", "eu-west", "llm", "ok", None, 120, 64),
            (
                "00000000000000a5",
                "gpt-4o-mini",
                None,
                "chat",
                "eu-west",
                "llm",
                "error",
                "openai.APIConnectionError",
                9,
                None,
            ),
        ]
    )


def test_times_come_from_the_span_and_the_first_token_from_attribute_or_event() -> None:
    rows = golden().tables["attempt"]

    assert rows["duration_s"].to_list() == pytest.approx([2.0, 0.7])
    assert rows["ttft_s"].to_list() == pytest.approx([0.5, 0.2])
    assert rows["tpot_s"].to_list() == [pytest.approx(1.5 / 30), None]
    assert rows["ts"][0] == datetime(2026, 11, 20, 11, 59, 52, 100_000, tzinfo=UTC)


def test_neither_prompts_nor_users_reach_a_row() -> None:
    rows = golden().tables["attempt"]

    assert "SECRET" not in str(rows.rows())
    assert "jane" not in str(rows.rows())
    assert rows["end_user_hash"].to_list() == snapshot(["8c87b489ce35cf2e", None])


def test_every_column_has_the_type_of_the_table() -> None:
    schema = frame_schema(TABLES["attempt"])

    assert {n: t for n, t in golden().tables["attempt"].schema.items() if t != schema[n]} == {}


def test_json_and_protobuf_of_one_request_give_the_same_rows() -> None:
    request = otlp.decode(GOLDEN.read_bytes(), "application/json")

    assert parsed(request).tables["attempt"].equals(golden().tables["attempt"])


@pytest.mark.parametrize(
    ("new", "old", "column"),
    [
        ({"gen_ai.provider.name": "openai"}, {"gen_ai.system": "openai"}, "provider"),
        ({"gen_ai.provider.name": "gcp.vertex_ai"}, {"gen_ai.system": "vertex_ai"}, "provider"),
        ({"gen_ai.usage.input_tokens": 7}, {"gen_ai.usage.prompt_tokens": 7}, "tokens_in"),
        ({"gen_ai.usage.output_tokens": 7}, {"llm.token_count.completion": 7}, "tokens_out"),
        ({"gen_ai.usage.reasoning.output_tokens": 7}, {"gen_ai.usage.reasoning_tokens": 7}, "tokens_reasoning"),
        ({"gen_ai.usage.cache_read.input_tokens": 7}, {"gen_ai.usage.cache_read_input_tokens": 7}, "tokens_cached_in"),
        (
            {"gen_ai.usage.cache_creation.input_tokens": 7},
            {"gen_ai.usage.cache_creation_input_tokens": 7},
            "tokens_cache_write_in",
        ),
        ({"gen_ai.provider.name": "azure.ai.openai"}, {"gen_ai.system": "az.ai.openai"}, "provider"),
        ({"gen_ai.provider.name": "gcp.gemini"}, {"gen_ai.system": "gemini"}, "provider"),
        ({"gen_ai.request.stream": True}, {"llm.is_streaming": "True"}, "stream"),
        ({"litellm.cost.total": 0.5}, {"gen_ai.cost.total_cost": 0.5}, "cost_usd"),
        ({"litellm.team.id": "acme"}, {"metadata.user_api_key_team_id": "acme"}, "team_id"),
        ({"gen_ai.operation.name": "chat"}, {"gen_ai.operation.name": "acompletion"}, "operation"),
        ({"gen_ai.operation.name": "embeddings"}, {"gen_ai.operation.name": "aembedding"}, "operation"),
        ({"litellm.deployment.id": "d1"}, {"hidden_params": '{"model_id": "d1"}'}, "deployment_id"),
        ({"gen_ai.response.finish_reasons": "stop"}, {"gen_ai.response.finish_reasons": "['stop']"}, "finish_reason"),
    ],
)
def test_old_names_mean_what_the_new_ones_mean(new: dict[str, Any], old: dict[str, Any], column: str) -> None:
    assert row(new)[column] == row(old)[column] is not None


def test_the_newest_name_wins_whatever_the_order() -> None:
    both = {"gen_ai.usage.prompt_tokens": 1, "gen_ai.usage.input_tokens": 2, "llm.token_count.prompt": 3}

    assert row(both)["tokens_in"] == row(dict(reversed(both.items())))["tokens_in"] == 2


@pytest.mark.parametrize(
    ("attributes", "stream", "ttft"),
    [
        ({"gen_ai.request.stream": False, "gen_ai.response.time_to_first_chunk": 0.5}, False, None),
        ({"gen_ai.response.time_to_first_chunk": 0.5}, True, 0.5),
        ({"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": 30.0}, True, None),
        ({"gen_ai.request.stream": True}, True, None),
        ({}, None, None),
    ],
)
def test_time_to_first_token_needs_a_stream_and_must_lie_inside_the_span(
    attributes: dict[str, Any], stream: bool | None, ttft: float | None
) -> None:
    one = row(attributes)

    assert (one["stream"], one["ttft_s"]) == (stream, ttft)
    assert one["quality"] == (1 if attributes.get("gen_ai.response.time_to_first_chunk") == 30.0 else 0)


@pytest.mark.parametrize(
    ("attributes", "outcome"),
    [
        ({}, ("ok", None, None, None)),
        (
            {"error.type": "RateLimitError", "http.response.status_code": 429},
            ("error", "RateLimitError", 429, "rate_limited"),
        ),
        ({"error.type": "503"}, ("error", "503", 503, "overloaded")),
        ({"error.type": "_OTHER", "rpc.grpc.status_code": 4}, ("error", "_OTHER", None, "timeout")),
        ({"error.type": "asyncio.CancelledError"}, ("cancelled", "asyncio.CancelledError", None, "cancelled")),
        ({"http.status_code": 499, "error.type": "x"}, ("cancelled", "x", 499, "cancelled")),
        ({"gen_ai.response.finish_reasons": "abort"}, ("cancelled", None, None, "cancelled")),
    ],
)
def test_status_follows_error_type_and_cancellation(attributes: dict[str, Any], outcome: tuple[Any, ...]) -> None:
    one = row(attributes)

    assert (one["status"], one["error_class"], one["http_status"], one["error_kind"]) == outcome


def test_status_code_error_alone_is_an_error_and_its_zero_tokens_are_unknown() -> None:
    request = span(CALL | {"gen_ai.usage.output_tokens": 0})
    request.resource_spans[0].scope_spans[0].spans[0].status.code = 2

    assert parsed(request).tables["attempt"].select("status", "tokens_out").row(0) == ("error", None)


@pytest.mark.parametrize(
    ("attributes", "cost"),
    [({"litellm.cost.total": 0.0}, None), ({"litellm.cost.total": 0.0, "litellm.cache_hit": True}, 0.0), ({}, None)],
)
def test_a_cost_of_zero_is_unknown_unless_a_cache_answered(attributes: dict[str, Any], cost: float | None) -> None:
    one = row(attributes)

    assert (one["cost_usd"], one["cost_known"]) == (cost, cost is not None)


@pytest.mark.parametrize(
    ("end_s", "reason"),
    [
        (0.0, None),
        (599.0, None),
        (601.0, "in_future"),
        (-7 * 86_400 + 10.0, None),
        (-7 * 86_400 - 1.0, "too_old"),
        (-3.0, "bad_times"),
        (-1.7e9, "too_old"),
    ],
)
def test_times_outside_what_is_taken_are_rejected_items(end_s: float, reason: str | None) -> None:
    start = -2.0 if end_s > -10 else end_s - 1.0
    whole = parsed(span(CALL, start_s=start, end_s=end_s))

    assert whole.rejected == ({reason: 1} if reason else {})


def test_the_past_that_is_taken_is_a_label() -> None:
    old = span(CALL, start_s=-86_401.0, end_s=-86_400.0)

    assert parsed(old, labels={"accept_past_s": "3600"}).rejected == {"too_old": 1}
    assert parsed(old, labels={"accept_past_s": "90000"}).rejected == {}


def test_a_call_told_by_two_nested_spans_is_one_attempt_even_across_a_plain_span() -> None:
    told = CALL | {"gen_ai.response.id": "r"}
    outer, http, inner = span(told, ids=(1, 1, 0)), span({"http.route": "/"}, ids=(1, 2, 1)), span(told, ids=(1, 3, 2))

    assert parsed(outer, http, inner).rejected == {"not_genai": 1, "nested_genai": 1}
    assert parsed(inner, http, outer).tables["attempt"]["attempt_id"].to_list() == ["0000000000000001"]


@pytest.mark.parametrize("other", [{"gen_ai.response.id": "s"}, {"gen_ai.operation.name": "embeddings"}])
def test_a_nested_call_of_another_response_or_operation_stays(other: dict[str, str]) -> None:
    told = CALL | {"gen_ai.response.id": "r"}

    assert parsed(span(told), span(told | other, ids=(1, 2, 1))).rejected == {}


def test_spans_that_are_their_own_ancestors_do_not_hang() -> None:
    told = CALL | {"gen_ai.response.id": "r"}

    assert parsed(span({}, ids=(1, 1, 2)), span({}, ids=(1, 2, 1)), span(told, ids=(1, 3, 2))).rejected == {
        "not_genai": 2
    }
    assert parsed(span(told, ids=(1, 1, 1))).rejected == {}


def test_the_raw_request_spans_of_litellm_are_dropped_and_counted() -> None:
    old = (
        span(CALL, name="litellm_request"),
        span({"llm.openai.model": "x"} | CALL, name="raw_gen_ai_request", ids=(1, 2, 1)),
    )

    assert parsed(*old).rejected == {"nested_genai": 1}


@pytest.mark.parametrize(
    "attributes", [{"openinference.span.kind": "CHAIN"}, {"gen_ai.operation.name": "invoke_agent"}]
)
def test_agents_and_chains_are_no_attempts(attributes: dict[str, str]) -> None:
    assert parsed(span(attributes)).rejected == {"not_a_call": 1}


@pytest.mark.parametrize("ids", [(0, 1, 0), (1, 0, 0)])
def test_a_zero_id_is_invalid(ids: tuple[int, int, int]) -> None:
    assert parsed(span(CALL, ids=ids)).rejected == {"invalid_id": 1}


def test_caps_cut_attributes_keys_and_values_and_are_counted() -> None:
    many = {f"k{i}": "v" for i in range(130)}
    whole = parsed(span(CALL | {"gen_ai.request.model": "é" * 9000, "x" * 300: "y"} | many))

    assert whole.notes == {"attributes_dropped": 5, "key_too_long": 1, "value_truncated": 1}
    assert len(whole.tables["attempt"]["model_requested"][0].encode()) == 8192


def test_gzip_is_inflated_and_other_encodings_are_415() -> None:
    body = gzip.compress(span(CALL).SerializeToString())

    assert otlp.decode(body, "application/x-protobuf", "gzip") == span(CALL)
    with pytest.raises(UnsupportedPayload):
        otlp.decode(body, "application/x-protobuf", "br")
    with pytest.raises(UnsupportedPayload):
        otlp.decode(body, "text/plain")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"resourceSpans": 1}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": []}]}]}]}',
        b"[" * 100_000,
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": 1e999}]}]}]}',
    ],
)
def test_json_that_is_no_request_is_400(body: bytes) -> None:
    with pytest.raises(PayloadError):
        otlp.decode(body, "application/json; charset=utf-8")


def test_enormous_json_is_413() -> None:
    with pytest.raises(PayloadTooLarge, match="protobuf"):
        otlp.parse(b'{"a": "' + b"x" * (16 * 2**20 - 8) + b'"}', AT, {"content_type": "application/json"})


def test_hundreds_of_thousands_of_empty_spans_are_413() -> None:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    scope.ParseFromString(b"\x12\x00" * 200_001)

    with pytest.raises(PayloadTooLarge, match="200000 spans"):
        otlp.parse_request(request, AT, {})


def test_an_answer_tells_faults_but_not_spans_that_are_no_calls() -> None:
    parsed_ = Parsed({}, 9, {"not_genai": 5, "nested_genai": 1, "too_old": 2, "invalid_id": 1})

    status, kind, body = otlp.response(parsed_, "application/x-protobuf")
    answer = ExportTraceServiceResponse.FromString(body)
    assert (status, kind) == (200, "application/x-protobuf")
    assert (answer.partial_success.rejected_spans, answer.partial_success.error_message) == (
        3,
        "too_old: 2; invalid_id: 1",
    )
    assert otlp.response(Parsed({}, 5, {"not_genai": 5}), "application/json") == (200, "application/json", b"{}")
    assert json.loads(otlp.response(parsed_, "application/json")[2])["partialSuccess"]["rejectedSpans"] == "3"


@pytest.mark.parametrize(
    ("error", "status", "code", "retry"),
    [
        (PayloadError("bad"), 400, 3, None), (PayloadTooLarge("big"), 413, 3, None), (UnsupportedPayload("odd"), 415, 3, None),
        (Overloaded("full", 7), 429, 8, "7"), (Overloaded("full", 2, 503), 503, 14, "2"), (RuntimeError("x"), 500, 13, None),
    ],
)  # fmt: skip
def test_errors_are_google_rpc_status_in_the_format_of_the_request(
    error: Exception, status: int, code: int, retry: str | None
) -> None:
    told, headers, body = otlp.error_response(error, "application/x-protobuf")
    answer = Status.FromString(body)

    assert (told, answer.code, answer.message, headers.get("Retry-After")) == (status, code, str(error), retry)
    assert json.loads(otlp.error_response(error, "text/plain")[2]) == {"code": code, "message": str(error)}


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from([otlp.JSON, otlp.PROTOBUF]))
def test_any_bytes_are_parsed_or_refused(body: bytes, kind: str) -> None:
    try:
        whole = otlp.parse(body, AT, {"content_type": kind})
    except PayloadError:
        return
    assert whole.offered == whole.items + sum(whole.rejected.values())


VALUES = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8), st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans()
)
NAMES = st.sampled_from(sorted(KEYS)) | st.text(st.characters(codec="utf-8"), max_size=8)


@settings(max_examples=200)
@given(
    st.dictionaries(NAMES, VALUES, max_size=6),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=17),
)
def test_every_span_is_a_row_or_a_reason(attributes: dict[str, Any], start: int, end: int, trace_id: bytes) -> None:
    request = span(attributes)
    request.MergeFrom(span(attributes, ids=(1, 2, 1)))
    one = request.resource_spans[0].scope_spans[0].spans[0]
    one.start_time_unix_nano, one.end_time_unix_nano, one.trace_id = start, end, trace_id
    whole = parsed(request)

    assert whole.offered == 2 == whole.items + sum(whole.rejected.values())


def test_json_ids_are_hexadecimal_and_one_that_is_not_costs_its_span_only() -> None:
    body = json.loads(GOLDEN.read_text())
    body["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["traceId"] = "not hex at all"
    whole = otlp.parse(json.dumps(body).encode(), AT, {"content_type": "application/json"})

    assert (whole.offered, whole.rejected["invalid_id"], whole.items) == (5, 1, 2)
