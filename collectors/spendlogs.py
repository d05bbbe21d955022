"""Rows of LiteLLM's spend log become attempts, under the ids that its callback gives the same calls.

`request_id` is the `id` of the StandardLoggingPayload, `session_id` its trace id, `spend` its cost and
`api_key` the key's hash; `metadata` and `request_tags` are JSON written as text, `cache_hit` is a word.
The log has no flag for streaming: a first token before the end tells it, as in the payload. The log
tells of a request that failed once, where the callback tells of every try.

Source: litellm 1.109 `proxy/_types.py` (SpendLogsPayload) and `proxy/spend_tracking/spend_management_endpoints.py`:
`GET /spend/logs/v2` answers `{"data": [...], "page", "total_pages"}`, `GET /spend/logs?summarize=false` a list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from collectors.instants import instant
from collectors.litellm import attempts
from observe.errors import PayloadError
from observe.schema import Json, Parsed

MAX_JSON: Final = 65_536  # characters of a JSON text inside a row
_SAME: Final = (
    "call_type", "model", "model_group", "model_id", "custom_llm_provider", "prompt_tokens", "completion_tokens",
    "startTime", "completionStartTime", "endTime", "cache_hit", "end_user",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the spend log: its rows as payloads, and how many pages there are."""

    items: tuple[Any, ...]
    pages: int = 1


def parse(payload: bytes, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """The attempts of one answer; see `litellm.parse`.

    Raises:
        PayloadError: it is no answer of the spend log.
    """
    return attempts(read(payload).items, at, labels)


def read(payload: bytes) -> Page:
    """One answer: a list of rows, a page of them, or one row.

    Raises:
        PayloadError: none of these.
    """
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        raise PayloadError("spend log: expected JSON; is the target the address of a LiteLLM proxy?") from None
    if isinstance(said, dict) and isinstance(said.get("data"), list):
        pages = said.get("total_pages")
        return Page(_items(said["data"]), pages if isinstance(pages, int) and 0 <= pages < 10**9 else 1)
    if isinstance(said, dict) and "request_id" in said:
        return Page(_items([said]))
    if not isinstance(said, list):
        raise PayloadError("spend log: expected a list of rows or a page with `data`, as of /spend/logs/v2")
    return Page(_items(said))


def _items(rows: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(_payload(row) if isinstance(row, dict) else row for row in rows if row is not None)


def _payload(row: Json) -> Json:
    """A row as the StandardLoggingPayload says the same; what people wrote stays behind."""
    metadata = _object(row.get("metadata"))
    error = metadata.get("error_information")
    usage = metadata.get("usage_object") or metadata.get("additional_usage_values")
    return {
        **{name: row.get(name) for name in _SAME},
        "id": row.get("request_id"), "trace_id": row.get("session_id"), "status": row.get("status") or metadata.get("status"),
        "stream": _streamed(row), "response_cost": row.get("spend"), "cost_breakdown": metadata.get("cost_breakdown"),
        "request_tags": _list(row.get("request_tags")), "error_information": error if isinstance(error, dict) else {},
        "metadata": {
            "user_api_key_team_id": row.get("team_id") or metadata.get("user_api_key_team_id"),
            "user_api_key_hash": row.get("api_key"), "usage_object": usage if isinstance(usage, dict) else {},
        },
    }  # fmt: skip


def _streamed(row: Json) -> bool | None:
    start, first, end = (instant(row.get(name)) for name in ("startTime", "completionStartTime", "endTime"))
    return None if start is None or first is None or end is None else start < first < end


def _object(value: object) -> Json:
    found = _json(value)
    return found if isinstance(found, dict) else {}


def _list(value: object) -> list[Any] | None:
    found = _json(value)
    return found if isinstance(found, list) else None


def _json(value: object) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if len(value) <= MAX_JSON else None
    except (ValueError, RecursionError):
        return None
