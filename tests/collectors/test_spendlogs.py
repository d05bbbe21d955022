"""Rows of LiteLLM's spend log become the attempts that its callback tells."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from collectors import litellm, spendlogs
from observe.errors import PayloadError
from observe.schema import Parsed

AT = datetime.fromtimestamp(1_790_000_100, UTC)
ROW: dict[str, Any] = {
    "request_id": "chatcmpl-1", "call_type": "acompletion", "api_key": "88dc", "spend": 0.002, "prompt_tokens": 10,
    "completion_tokens": 20, "total_tokens": 30, "startTime": "2026-09-21T14:13:20Z", "completionStartTime": "2026-09-21T14:13:21.500Z",
    "endTime": "2026-09-21T14:13:21.500Z", "model": "openai/small", "model_id": "dep-a", "model_group": "chat", "api_base": "http://x",
    "user": "u7", "metadata": json.dumps({"user_api_key_team_id": "team-1", "cost_breakdown": {"total_cost": 0.002}, "usage_object": {
        "prompt_tokens_details": {"cached_tokens": 4}}, "status": "success"}),
    "cache_hit": "False", "request_tags": '["prod"]', "team_id": "team-1", "end_user": "eve@example.com", "session_id": "trace-1",
    "status": "success", "custom_llm_provider": "openai", "messages": {"secret": 1}, "response": {}, "proxy_server_request": "a secret",
}  # fmt: skip


def parse(*rows: Any) -> Parsed:
    parsed = spendlogs.parse(json.dumps(rows).encode(), AT, {})
    assert parsed.offered == parsed.items + sum(parsed.rejected.values())
    return parsed


def one(**changes: Any) -> dict[str, Any]:
    return parse({**ROW, **changes}).tables["attempt"].row(0, named=True)


def test_json_inside_text_and_words_for_flags_are_understood() -> None:
    row = one()

    assert (row["attempt_id"], row["trace_id"], row["model_id"], row["model_served"], row["provider"]) == (
        "chatcmpl-1", "trace-1", "chat", "openai/small", "openai",
    )  # fmt: skip
    assert (row["tags"], row["cache_hit"], row["team_id"], row["api_key_hash"]) == (["prod"], False, "team-1", "88dc")
    assert (row["tokens_in"], row["tokens_out"], row["tokens_cached_in"], row["cost_usd"]) == (10, 20, 4, 0.002)
    assert one(metadata=json.loads(ROW["metadata"]), request_tags=["prod"]) == row


def test_a_first_token_before_the_end_means_it_was_streamed() -> None:
    streamed = one(completionStartTime="2026-09-21T14:13:20.400Z")

    assert (streamed["stream"], streamed["ttft_s"], streamed["duration_s"]) == (True, pytest.approx(0.4), 1.5)
    assert (one()["stream"], one()["ttft_s"]) == (False, None)


def test_a_failure_tells_its_kind_from_the_metadata() -> None:
    error = {"error_class": "RateLimitError", "error_code": "429", "error_message": "a secret"}
    row = one(status="failure", metadata=json.dumps({"error_information": error}), prompt_tokens=0, completion_tokens=0)

    assert (row["status"], row["error_kind"], row["http_status"], row["tokens_in"]) == ("error", "rate_limited", 429, None)  # fmt: skip


def test_neither_people_nor_prompts_are_kept() -> None:
    assert not any(word in repr(parse(ROW)) for word in ("secret", "eve@"))


def test_an_answer_from_the_cache_has_the_same_id_in_both_logs() -> None:
    """The gateway appends the time of logging, another one for each log."""
    start = datetime.fromisoformat(ROW["startTime"]).timestamp()
    told = {"id": "r_cache_hit1790000001.5", "startTime": start + 0.0004, "endTime": start + 1, "status": "success"}
    called = litellm.parse(json.dumps(told).encode(), AT, {}).tables["attempt"]["attempt_id"][0]

    assert called == one(request_id="r_cache_hit1790000009.1")["attempt_id"] != "r"


@pytest.mark.parametrize(
    ("document", "pages", "rows"),
    [([ROW, None], 1, 1), ({"data": [ROW], "total": 201, "page": 1, "total_pages": 3}, 3, 1), (ROW, 1, 1), ([], 1, 0), ([5], 1, 1)],
)  # fmt: skip
def test_an_answer_is_a_list_a_page_or_one_row(document: Any, pages: int, rows: int) -> None:
    page = spendlogs.read(json.dumps(document).encode())

    assert (page.pages, len(page.items)) == (pages, rows)


@pytest.mark.parametrize("body", [b"<html>", b'{"error": "no db"}', b"5", b"[" * 100_000])
def test_another_answer_is_no_spend_log(body: bytes) -> None:
    with pytest.raises(PayloadError, match="spend log"):
        spendlogs.parse(body, AT, {})
