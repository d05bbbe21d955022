"""LiteLLM's StandardLoggingPayload becomes attempts: one object, one try at a model.

What the real package taught, and each is a test:
`response_time` is the time to first token when streaming, so a duration is always end minus start;
a call that is not streamed has no time to first token; a retried call is several objects with one
`trace_id`; a failure reports 0 tokens and empty model names where it knows nothing; a cost of 0.0
with tokens and no breakdown is an unknown price. Prompts, answers and the price list
(`model_map_information`, 61 % of a body) are never kept.

Source: litellm 1.109, `litellm/types/utils.py`; integration `generic_api` (json_array, ndjson, single).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from collectors.instants import bounds, instant
from collectors.litellm_body import example, read_items
from collectors.litellm_values import finite, part_of, storable
from collectors.outcome import error_kind
from collectors.weight import check_json
from observe.schema import TABLES, Json, Parsed
from observe.schema.exchange import frame

MAX_TAGS: Final = 128
_MOST_TOKENS: Final = 10**9
_MOST_USD: Final = 1e6  # of one call
_OPERATIONS: Final[Mapping[str, str]] = {
    "completion": "chat", "acompletion": "chat", "anthropic_messages": "chat",
    "embedding": "embeddings", "aembedding": "embeddings", "atext_completion": "text_completion", "aresponses": "responses",
    "arerank": "rerank", "aimage_generation": "image_generation", "atranscription": "transcription", "aspeech": "speech",
    "amoderation": "moderation",
}  # fmt: skip
_CACHE_HIT: Final = "_cache_hit"  # after it the gateway puts a time of its own into an id
_OUT_OF_RANGE: Final = 1  # quality bit

Row = dict[str, Any]


def parse(payload: bytes, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """Attempts of one body: a JSON array, one object a line, or a single object.

    Args:
        payload: the body; an item is one object.
        at: now, aware UTC.
        labels: `cluster`, and `accept_past_s`, `accept_future_s` as in `instants.bounds`.

    Raises:
        PayloadError: not one object can be read.
        PayloadTooLarge: it would fill memory while it is read.
    """
    check_json(payload)
    items, broken, examples = read_items(payload)
    parsed = attempts(items, at, labels)
    if not broken:
        return parsed
    rejected = {"syntax": broken, **parsed.rejected}
    return replace(parsed, offered=parsed.offered + broken, rejected=rejected, examples={**examples, **parsed.examples})


def attempts(items: Sequence[Any], at: datetime, labels: Mapping[str, str]) -> Parsed:
    """Attempts of payloads that are read already; the rest as for `parse`."""
    rejected: Counter[str] = Counter()
    examples: dict[str, str] = {}
    notes: Counter[str] = Counter()
    oldest, newest = bounds(at, labels)
    rows: list[Row] = []
    for item in items:
        made = _attempt(item, oldest, newest, notes) if isinstance(item, dict) else "not_an_object"
        if isinstance(made, str):
            rejected[made] += 1
            examples.setdefault(made, example(item))
        else:
            rows.append(made)
    _number_attempts(rows)
    tables = {}
    if rows:
        cluster = labels.get("cluster") or None
        columns: dict[str, Sequence[Any]] = {name: [row[name] for row in rows] for name in rows[0] if name != "_tries"}
        tables["attempt"] = frame(TABLES["attempt"], {**columns, "cluster": [cluster] * len(rows)})
    return Parsed(tables, len(items), dict(rejected), dict(notes), examples)


def _attempt(item: Json, oldest: int, newest: int, notes: Counter[str]) -> Row | str:
    """One row, or the reason why there is none."""
    start, end = instant(item.get("startTime")), instant(item.get("endTime"))
    attempt_id = _id(item.get("id") or item.get("litellm_call_id"), start, notes)
    kind = _failure_kind(item)
    status = _status(item, kind)
    if start is None or end is None:
        return "bad_times"
    if not oldest <= end <= newest:
        return "too_old" if end < oldest else "in_future"
    if attempt_id is None or status is None or end < start:
        return "invalid_id" if attempt_id is None else "no_status" if status is None else "bad_times"
    failed = status != "ok"
    row: Row = {
        "ts": end,
        "ts_start": start,
        "attempt_id": attempt_id,
        "duration_s": (end - start) / 1e6,
        "status": status,
        "error_kind": kind if status != "ok" else None,
        "quality": 0,
    }
    row |= _names(item, notes) | _tokens(item, failed, row, notes) | _outcome(item, failed, notes)
    row |= _streaming(item, row, notes) | _cost(item, row)
    row["attempt_no"], row["_tries"] = None, _tries(item)
    return row


def _id(value: object, start_us: int | None, notes: Counter[str]) -> str | None:
    """The id under which callback, file and spend log tell of the same call.

    An answer from the cache repeats the id of the first answer with the time of logging behind it,
    another one in each log; the start of the call, in whole ms as the database has it, is the same.
    """
    said = storable(value, notes)
    if said is None or _CACHE_HIT not in said or start_us is None:
        return said
    return f"{said.partition(_CACHE_HIT)[0]}{_CACHE_HIT}{start_us // 1000}"


def _status(item: Json, kind: str) -> str | None:
    said = item.get("status") or part_of(item, "status_fields").get("llm_api_status")
    if said == "success":
        return "ok"
    if said == "failure":
        return "cancelled" if kind == "cancelled" else "error"
    return None


def _failure_kind(item: Json) -> str:
    """The neutral kind of the failure, if it was one."""
    error = part_of(item, "error_information")
    told = [error.get(name) for name in ("normalized_error", "error_message")]
    text = "\n".join(part for part in told if isinstance(part, str))
    return error_kind(str(error.get("error_class") or ""), _code(error), text)


def _code(error: Json) -> int | None:
    code = str(error.get("error_code") or "")
    return int(code) if code.isascii() and code.isdecimal() and len(code) == 3 else None


def _names(item: Json, notes: Counter[str]) -> Row:
    """Who asked whom for what."""
    metadata = part_of(item, "metadata")
    requested, served = storable(item.get("model_group"), notes), storable(item.get("model"), notes)
    user = (
        item.get("end_user")
        or metadata.get("user_api_key_end_user_id")
        or part_of(item, "model_parameters").get("user")
    )
    tags = item.get("request_tags")
    call = str(item.get("call_type") or "")
    return {
        "trace_id": storable(item.get("trace_id"), notes), "session_id": storable(item.get("session_id"), notes),
        "model_id": requested or served, "model_requested": requested, "model_served": served,
        "provider": storable(item.get("custom_llm_provider"), notes), "deployment_id": storable(item.get("model_id"), notes),
        "operation": storable(_OPERATIONS.get(call, call), notes),
        "team_id": storable(metadata.get("user_api_key_team_id"), notes),
        "api_key_hash": storable(metadata.get("user_api_key_hash"), notes),
        "end_user_hash": hashlib.sha256(str(user).encode("utf-8", "replace")).hexdigest()[:16] if user else None,
        "tags": [t for t in (storable(tag, notes) for tag in tags[:MAX_TAGS]) if t] if isinstance(tags, list) else None,
        "prompt_version": storable(part_of(metadata, "prompt_management_metadata").get("prompt_version"), notes),
    }  # fmt: skip


def _tokens(item: Json, failed: bool, row: Row, notes: Counter[str]) -> Row:
    """Token counts; of a failure 0 means not known."""
    usage = part_of(part_of(item, "metadata"), "usage_object")
    cached = part_of(usage, "prompt_tokens_details")
    found = {
        "tokens_in": item.get("prompt_tokens"),
        "tokens_out": item.get("completion_tokens"),
        "tokens_cached_in": cached.get("cached_tokens"),
        "tokens_cache_write_in": cached.get("cache_creation_tokens", usage.get("cache_creation_input_tokens")),
        "tokens_reasoning": part_of(usage, "completion_tokens_details").get("reasoning_tokens"),
    }
    counts: Row = {}
    for name, value in found.items():
        number = finite(value)
        if number is not None and not 0 <= number <= _MOST_TOKENS:
            row["quality"] |= _OUT_OF_RANGE
            notes["out_of_range"] += 1
            number = None
        counts[name] = None if number is None or (failed and number == 0) else int(number)
    return counts


def _outcome(item: Json, failed: bool, notes: Counter[str]) -> Row:
    """How it ended."""
    error = part_of(item, "error_information")
    choices = part_of(item, "response").get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    hit = item.get("cache_hit")
    return {
        "error_class": storable(error.get("error_class"), notes) if failed else None,
        "http_status": _code(error) if failed else None,
        "finish_reason": storable(first.get("finish_reason"), notes),
        "cache_hit": {"true": True, "false": False}.get(str(hit).lower()),
    }


def _streaming(item: Json, row: Row, notes: Counter[str]) -> Row:
    """Whether it was streamed and, only then, the time to the first token and between the others."""
    said, asked = item.get("stream"), part_of(item, "model_parameters").get("stream")
    stream = (
        said
        if isinstance(said, bool)
        else asked
        if isinstance(asked, bool)
        else None
        if row["status"] != "ok"
        else False
    )
    result: Row = {"stream": stream, "ttft_s": None, "tpot_s": None}
    first = instant(item.get("completionStartTime"))
    if not stream or row["status"] != "ok" or first is None:
        return result
    if not row["ts_start"] <= first < row["ts"]:  # the gateway writes the end where it saw no first token
        notes["ttft_unknown"] += 1
        return result
    result["ttft_s"] = (first - row["ts_start"]) / 1e6
    after_first = (row["tokens_out"] or 0) - 1
    if after_first > 0:
        result["tpot_s"] = (row["ts"] - first) / 1e6 / after_first
    return result


def _cost(item: Json, row: Row) -> Row:
    """What it cost; 0.0 with tokens and no breakdown that says more is an unknown price."""
    breakdown = finite(part_of(item, "cost_breakdown").get("total_cost"))
    cost = breakdown or finite(item.get("response_cost"))
    used = (row["tokens_in"] or 0) + (row["tokens_out"] or 0) > 0
    if cost is None:
        cost = breakdown
    known = cost is not None and 0.0 <= cost <= _MOST_USD and (cost > 0.0 or not used or row["cache_hit"] is True)
    return {"cost_usd": cost if known else None, "cost_known": known}


def _tries(item: Json) -> int | None:
    """Retries and fallbacks before this try, as the gateway says; failures do not say."""
    headers = part_of(part_of(item, "hidden_params"), "additional_headers")
    said = [finite(headers.get(f"x-litellm-attempted-{name}")) for name in ("retries", "fallbacks")]
    numbers = [int(n) for n in said if n is not None and 0 <= n < 1000]
    return sum(numbers) if numbers else None


def _number_attempts(rows: list[Row]) -> None:
    """Count the tries of a trace in order of their start; the gateway's own count wins when larger.

    A lone failure without a count stays NULL: tries before it may have come in another body.
    """
    traced = sorted((r for r in rows if r["trace_id"]), key=lambda r: (r["trace_id"], r["ts_start"]))
    rank = {id(r): 0 for r in traced}
    siblings: set[str] = set()
    for before, row in pairwise(traced):
        if before["trace_id"] == row["trace_id"]:
            rank[id(row)] = rank[id(before)] + 1
            siblings.add(row["trace_id"])
    for row in rows:
        place, said = rank.get(id(row), 0), row["_tries"]
        if said is not None:
            row["attempt_no"] = max(place, said)
        elif row["trace_id"] in siblings:
            row["attempt_no"] = place
