"""Spans of each instrumentation, written by hand after its documentation, become the same attempt."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from collectors import otlp

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW_NS = int(AT.timestamp()) * 10**9
START, FIRST, END = NOW_NS - 2 * 10**9, NOW_NS - 1_600_000_000, NOW_NS - 10**9

NEW = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "chat", "gen_ai.response.model": "gpt-4o-mini",
    "gen_ai.response.id": "r1", "gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": 0.4, "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.output_tokens": 7, "gen_ai.usage.cache_read.input_tokens": 8, "gen_ai.usage.cache_creation.input_tokens": 4,
    "gen_ai.usage.reasoning.output_tokens": 2, "gen_ai.response.finish_reasons": ["stop"], "gen_ai.conversation.id": "s1",
}  # fmt: skip
OLD = {
    "gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "chat", "gen_ai.response.model": "gpt-4o-mini",
    "gen_ai.response.id": "r1", "gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": 0.4, "gen_ai.usage.prompt_tokens": 20,
    "gen_ai.usage.completion_tokens": 7, "gen_ai.usage.cache_read_input_tokens": 8, "gen_ai.usage.cache_creation_input_tokens": 4,
    "gen_ai.usage.reasoning_tokens": 2, "gen_ai.response.finish_reasons": ["stop"], "session.id": "s1",
}  # fmt: skip
OPENLLMETRY = {
    "llm.request.type": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "chat", "gen_ai.response.model": "gpt-4o-mini",
    "gen_ai.response.id": "r1", "llm.is_streaming": True, "llm.usage.prompt_tokens": 20, "llm.usage.completion_tokens": 7,
    "llm.usage.cache_read_input_tokens": 8, "llm.usage.cache_creation_input_tokens": 4, "llm.usage.reasoning_tokens": 2,
    "gen_ai.completion.0.finish_reason": "stop", "traceloop.association.properties.session_id": "s1",
}  # fmt: skip
OPENINFERENCE = {
    "openinference.span.kind": "LLM", "llm.system": "openai", "llm.model_name": "gpt-4o-mini", "llm.response.id": "r1",
    "llm.invocation_parameters": json.dumps({"model": "chat", "stream": True}), "llm.token_count.prompt": 20, "llm.token_count.completion": 7,
    "llm.token_count.prompt_details.cache_read": 8, "llm.token_count.prompt_details.cache_write": 4,
    "llm.token_count.completion_details.reasoning": 2, "llm.finish_reason": "stop", "session.id": "s1",
}  # fmt: skip
ENVOY = {
    **{k: v for k, v in NEW.items() if k != "gen_ai.request.model"}, "gen_ai.original.model": "chat", "gen_ai.request.model": "gpt-4o-mini",
}  # fmt: skip
DIALECTS = {
    "genai": (NEW, ""), "genai-old": (OLD, ""), "openllmetry": (OPENLLMETRY, "llm.content.completion.chunk"),
    "openinference": (OPENINFERENCE, "First Token Stream Event"), "envoy": (ENVOY, ""),
}  # fmt: skip


def attempt(attributes: dict[str, Any], event: str = "", **span: Any) -> dict[str, Any]:
    made = {
        "traceId": "0" * 31 + "1", "spanId": "0" * 15 + "1", "startTimeUnixNano": str(START), "endTimeUnixNano": str(END),
        "attributes": [{"key": k, "value": _value(v)} for k, v in attributes.items()],
        "events": [{"name": event, "timeUnixNano": str(FIRST)}] if event else [], **span,
    }  # fmt: skip
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [made]}]}]}
    parsed = otlp.parse(json.dumps(body).encode(), AT, {"content_type": otlp.JSON})
    return parsed.tables["attempt"].row(0, named=True)


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(v) for v in value]}}
    kind = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}[type(value)]
    return {kind: value}


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_tells_the_same_attempt(name: str) -> None:
    one = attempt(*DIALECTS[name])

    assert {k: one[k] for k in ("operation", "provider", "model_requested", "model_served", "response_id", "stream", "finish_reason", "session_id")} == {
        "operation": "chat", "provider": "openai", "model_requested": "chat", "model_served": "gpt-4o-mini", "response_id": "r1",
        "stream": True, "finish_reason": "stop", "session_id": "s1",
    }  # fmt: skip
    tokens = [one[f"tokens_{k}"] for k in ("in", "out", "cached_in", "cache_write_in", "reasoning")]
    assert (tokens, one["ttft_s"], one["duration_s"]) == ([20, 7, 8, 4, 2], pytest.approx(0.4), 1.0)


def test_the_cached_part_is_never_added_to_the_tokens_in() -> None:
    assert attempt(NEW)["tokens_in"] == 20


@pytest.mark.parametrize("kind", ["EMBEDDING", "RERANKER"])
def test_openinference_names_the_model_of_other_calls_by_its_kind(kind: str) -> None:
    name = {"EMBEDDING": "embedding.model_name", "RERANKER": "reranker.model_name"}[kind]

    assert attempt({"openinference.span.kind": kind, name: "bge"})["model_served"] == "bge"


def test_vllm_tells_its_own_time_to_first_token() -> None:
    one = attempt({"gen_ai.latency.time_to_first_token": 0.25, "gen_ai.usage.prompt_tokens": 3})

    assert (one["ttft_s"], one["tokens_in"]) == (0.25, 3)


def test_an_error_told_only_by_an_exception_has_a_kind_and_leaves_no_text() -> None:
    said = [{"key": "exception.type", "value": {"stringValue": "openai.BadRequestError"}}]
    said += [
        {"key": "exception.message", "value": {"stringValue": "maximum context length is 8192, you sent a secret"}}
    ]
    one = attempt(OPENINFERENCE, events=[{"name": "exception", "attributes": said}], status={"code": 2})

    assert (one["status"], one["error_class"], one["error_kind"]) == (
        "error", "openai.BadRequestError", "context_length",
    )  # fmt: skip
    assert "secret" not in repr(one)
