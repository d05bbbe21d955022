"""Why a call failed, in ten words: every source of the tables, and which way of telling wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors import outcome
from collectors.outcome import error_kind
from observe.schema import ERROR_KINDS


@pytest.mark.parametrize(
    ("name", "status", "text", "kind"),
    [
        ("openai.APITimeoutError", None, "", "timeout"),
        ("openai.BadRequestError", 400, "", "bad_request"),
        ("BadRequestError", 400, "This model's maximum context length is 8192 tokens", "context_length"),
        ("BadRequestError", 400, "code: content_filter", "content_filter"),
        ("anthropic.OverloadedError", 529, "", "overloaded"),
        ("InternalServerError", 529, "", "overloaded"),
        ("anthropic.BadRequestError", 400, "prompt is too long: 210000 tokens > 200000 maximum", "context_length"),
        ("litellm.exceptions.ContextWindowExceededError", 400, "", "context_length"),
        ("ContentPolicyViolationError", 400, "", "content_filter"),
        ("BudgetExceededError", 400, "", "rate_limited"),
        ("Timeout", 408, "", "timeout"),
        ("vllm.v1.engine.exceptions.EngineDeadError", 500, "", "provider_error"),
        ("azure.core.exceptions.ClientAuthenticationError", None, "", "auth"),
        ("botocore.errorfactory.ThrottlingException", 400, "", "rate_limited"),
        ("com.amazonaws.bedrock#ModelTimeoutException", 408, "", "timeout"),
        ("ValidationException", 400, "Input is too long for requested model.", "context_length"),
        ("google.api_core.exceptions.ResourceExhausted", 429, "", "rate_limited"),
        ("google.api_core.exceptions.ServiceUnavailable", 503, "", "overloaded"),
        ("httpx.ReadTimeout", None, "", "timeout"),
        ("asyncio.CancelledError", None, "", "cancelled"),
        ("UNAVAILABLE", None, "", "overloaded"),
        ("invalid_request_error", 401, "code: invalid_api_key", "auth"),
        ("500", None, "", "provider_error"),
        ("_OTHER", None, "", "unknown"),
        (None, 418, "", "bad_request"),
        (None, 200, "", "unknown"),
    ],
)
def test_the_same_failure_has_one_name_whoever_tells_it(
    name: str | None, status: int | None, text: str, kind: str
) -> None:
    assert error_kind(name, status, text) == kind


@pytest.mark.parametrize(("code", "kind"), [(1, "cancelled"), (4, "timeout"), (8, "rate_limited"), (14, "overloaded"), (0, "unknown")])  # fmt: skip
def test_a_grpc_status_tells_when_nothing_else_does(code: int, kind: str) -> None:
    assert error_kind(None, None, "", code) == kind


def test_every_kind_of_the_tables_is_one_of_the_ten() -> None:
    named = {kind for kinds in outcome.CLASSES.values() for kind in kinds} | {kind for kind, _, _ in outcome.TEXTS}
    told = named | set(outcome.WEAK.values()) | set(outcome.HTTP.values()) | set(outcome.GRPC.values())

    assert told == set(ERROR_KINDS) - {"unknown"}


def test_no_class_has_two_kinds() -> None:
    pairs = {(n, kind) for kinds in outcome.CLASSES.values() for kind, names in kinds.items() for n in names.split()}

    assert len({name for name, _ in pairs}) == len(pairs)


def test_every_fact_names_its_source() -> None:
    assert all(len(source) > 8 for source in outcome.CLASSES)
    assert all(source for _, _, source in outcome.TEXTS)


@given(st.text(max_size=300), st.integers(), st.text(max_size=300), st.integers())
def test_anything_has_a_kind(name: str, status: int, text: str, code: int) -> None:
    assert error_kind(name, status, text, code) in ERROR_KINDS


def test_the_tables_are_named_in_the_documentation_of_the_column(project: Path) -> None:
    assert all(kind in (project / "docs" / "schema.md").read_text() for kind in ERROR_KINDS)
