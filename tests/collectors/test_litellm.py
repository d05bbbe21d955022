"""What LiteLLM logs becomes attempts: the facts measured on the real package."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import litellm
from observe.errors import PayloadError
from observe.schema import TABLES, Parsed
from observe.schema.exchange import frame_schema

AT = datetime.fromtimestamp(1_790_000_100, UTC)
BODY = (Path(__file__).parents[1] / "golden" / "litellm.ndjson").read_bytes()
ROWS = [json.loads(line) for line in BODY.splitlines()]


def parse(body: bytes, **labels: str) -> Parsed:
    parsed = litellm.parse(body, AT, {"cluster": "eu", **labels})
    assert parsed.offered == parsed.items + sum(parsed.rejected.values())
    return parsed


def attempts(*objects: dict[str, Any]) -> list[dict[str, Any]]:
    return parse(json.dumps(objects).encode()).tables["attempt"].to_dicts()


def one(**changes: Any) -> dict[str, Any]:
    return attempts({**ROWS[0], **changes})[0]


def test_array_lines_and_single_objects_say_the_same() -> None:
    lines = parse(BODY).tables["attempt"]

    assert parse(json.dumps(ROWS).encode()).tables["attempt"].equals(lines)
    assert parse(json.dumps(ROWS[0], indent=2).encode()).tables["attempt"]["attempt_id"].to_list() == ["chatcmpl-plain"]


def test_a_plain_call_is_one_attempt_with_duration_and_no_ttft() -> None:
    row = one()

    assert (row["duration_s"], row["ttft_s"], row["tpot_s"], row["stream"]) == (1.5, None, None, False)
    assert (row["model_requested"], row["model_served"], row["deployment_id"]) == ("chat", "openai/small", "dep-a")
    assert (row["operation"], row["team_id"], row["tags"], row["finish_reason"]) == ("chat", "team-1", ["prod"], "stop")
    assert (row["tokens_in"], row["tokens_out"], row["tokens_cached_in"], row["session_id"]) == (10, 20, 4, None)


def test_a_streamed_call_has_its_duration_from_start_to_end() -> None:
    row = attempts(ROWS[1])[0]

    assert (row["duration_s"], row["ttft_s"]) == (1.5, pytest.approx(0.4))
    assert row["tpot_s"] == pytest.approx(1.1 / 11)


def test_a_streamed_call_whose_first_token_was_not_seen_has_no_ttft() -> None:
    parsed = parse(json.dumps({**ROWS[1], "completionStartTime": ROWS[1]["endTime"]}).encode())

    assert parsed.tables["attempt"]["ttft_s"].to_list() == [None]
    assert parsed.notes == {"ttft_unknown": 1}


def test_the_tries_of_one_request_share_a_trace_and_are_numbered() -> None:
    tries = attempts(*ROWS[3:6])

    assert [r["attempt_no"] for r in tries] == [0, 1, 2]
    assert {r["trace_id"] for r in tries} == {"trace-r"}
    assert [r["status"] for r in tries] == ["error", "error", "ok"]


def test_a_lone_failure_does_not_pretend_to_be_the_first_try() -> None:
    assert attempts(ROWS[3])[0]["attempt_no"] is None


def test_a_failure_knows_no_tokens_and_no_names_but_why() -> None:
    row = attempts(ROWS[3])[0]

    assert (row["tokens_in"], row["tokens_out"], row["model_requested"], row["deployment_id"]) == (None,) * 4
    assert (row["error_class"], row["http_status"], row["model_id"]) == ("RateLimitError", 429, "openai/small")


def test_a_call_the_client_gave_up_is_cancelled() -> None:
    error = {"error_code": "499", "error_class": "CancelledError"}
    row = one(status="failure", error_information=error)

    assert (row["status"], row["error_kind"]) == ("cancelled", "cancelled")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error_class": "RateLimitError", "error_code": "429"}, "rate_limited"),
        ({"error_class": "BadRequestError", "error_code": "400", "normalized_error": "400_CONTEXT_WINDOW_EXCEEDED"}, "context_length"),
        ({"error_class": "BadRequestError", "error_code": "400", "error_message": "code: content_filter, a secret"}, "content_filter"),
        ({"error_class": "Timeout", "error_code": "408"}, "timeout"),
        ({}, "unknown"),
    ],
)  # fmt: skip
def test_a_failure_has_a_neutral_kind_and_keeps_no_text(error: dict[str, str], kind: str) -> None:
    row = one(status="failure", error_information=error)

    assert (row["error_kind"], one()["error_kind"]) == (kind, None)
    assert "secret" not in repr(row)


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({}, 0.002),
        ({"response_cost": 0.0, "cost_breakdown": {"total_cost": 0.003}}, 0.003),
        ({"response_cost": 0.004, "cost_breakdown": None}, 0.004),
        ({"response_cost": 0.0, "cost_breakdown": None}, None),
        ({"response_cost": 0.0, "cost_breakdown": {"total_cost": 0.0}}, None),
        ({"response_cost": None, "cost_breakdown": None}, None),
        ({"response_cost": 0.0, "cost_breakdown": None, "cache_hit": True}, 0.0),
        ({"response_cost": 0.0, "cost_breakdown": None, "prompt_tokens": 0, "completion_tokens": 0}, 0.0),
        ({"response_cost": -1.0, "cost_breakdown": None}, None),
    ],
)
def test_a_cost_is_known_or_null(changes: dict[str, Any], cost: float | None) -> None:
    row = one(**changes)

    assert (row["cost_usd"], row["cost_known"]) == (cost, cost is not None)


def test_prompts_answers_people_and_price_lists_are_not_kept() -> None:
    text = repr(parse(BODY).tables["attempt"].to_dicts())

    assert "secret" not in text
    assert "eve@example.com" not in text
    assert one()["end_user_hash"] == one(end_user=None, model_parameters={"user": "eve@example.com"})["end_user_hash"]


def test_a_broken_line_is_counted_without_repeating_it() -> None:
    parsed = parse(BODY + b'{"messages": "a secret\n[1]\n')

    assert parsed.rejected == {"syntax": 1, "not_an_object": 1}
    assert "secret" not in repr(parsed.examples)


@pytest.mark.parametrize("body", [b"", b"hello", b"[1,", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_holds_nothing_is_refused_whole(body: bytes) -> None:
    with pytest.raises(PayloadError):
        parse(body)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"startTime": None}, "bad_times"),
        ({"endTime": 1_789_999_999.0}, "bad_times"),
        ({"id": None, "litellm_call_id": ""}, "invalid_id"),
        ({"status": "maybe"}, "no_status"),
        ({"startTime": 1.0, "endTime": 2.0}, "too_old"),
        ({"endTime": 1_790_009_000.0}, "in_future"),
    ],
)
def test_an_object_that_is_no_attempt_is_counted_by_reason(changes: dict[str, Any], reason: str) -> None:
    assert parse(json.dumps([{**ROWS[0], **changes}]).encode()).rejected == {reason: 1}


def test_older_data_is_taken_when_the_caller_says_so() -> None:
    body = json.dumps({**ROWS[0], "startTime": 1.0, "endTime": 2.0}).encode()

    assert parse(body, accept_past_s="inf").items == 1


def test_times_as_text_are_understood() -> None:
    row = one(startTime="2026-09-21T14:13:20Z", endTime="2026-09-21T14:13:21.250Z")

    assert row["duration_s"] == 1.25


def test_impossible_tokens_are_null_and_flagged() -> None:
    row = one(prompt_tokens=10**30, completion_tokens=float("nan"))

    assert (row["tokens_in"], row["tokens_out"], row["quality"]) == (None, None, 1)


def test_text_that_cannot_be_stored_is_repaired() -> None:
    parsed = parse(json.dumps({**ROWS[0], "session_id": "\ud800\0", "trace_id": "x" * 9000}).encode())
    row = parsed.tables["attempt"].to_dicts()[0]

    assert (row["session_id"], len(row["trace_id"]), parsed.notes) == (
        "?\N{REPLACEMENT CHARACTER}",
        8192,
        {"truncated": 1},
    )


def test_the_frame_has_the_types_of_its_table() -> None:
    frame = parse(BODY).tables["attempt"]
    wanted = frame_schema(TABLES["attempt"])

    assert {c: wanted[c] for c in frame.columns} == dict(frame.schema)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=6), x, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(sorted(ROWS[0])), JSON, max_size=8))
def test_whatever_a_field_holds_the_object_is_kept_or_counted_and_the_next_one_is_stored(
    changes: dict[str, Any],
) -> None:
    parsed = parse(json.dumps([{**ROWS[0], **changes}, ROWS[1]]).encode())

    assert parsed.offered == 2 == parsed.items + sum(parsed.rejected.values())
    assert attempts(ROWS[1])[0] in parsed.tables["attempt"].to_dicts()
