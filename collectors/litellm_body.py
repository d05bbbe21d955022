"""The objects of a body as LiteLLM's loggers send it, and what a refused one looked like.

Source: litellm 1.109, integration `generic_api` (json_array, ndjson, single).
"""

from __future__ import annotations

import json
from typing import Any

from observe.errors import PayloadError


def read_items(payload: bytes) -> tuple[list[Any], int, dict[str, str]]:
    """The objects of a body, and how many lines could not be read, with an example."""
    text = payload.decode("utf-8", "replace").strip()
    lines = [line for line in text.split("\n") if line.strip()]
    whole = None if len(lines) > 1 and _json(lines[0]) is not None else _json(text)
    if isinstance(whole, list):
        return whole, 0, {}
    if whole is not None:
        return [whole], 0, {}
    read = [(_json(line), line) for line in lines]
    good = [item for item, _ in read if item is not None]
    if not good:
        raise PayloadError(f"litellm: expected a JSON array, one object a line, or one object; found {_shape(text)}")
    bad = [line for item, line in read if item is None]
    return good, len(bad), {"syntax": f"a line that is {_shape(bad[0])}"} if bad else {}


def _json(text: str) -> Any:
    """The value of a JSON text; None when it is broken (a bare null is broken here too)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _shape(text: str) -> str:
    """What a broken text looks like, without what people wrote in it."""
    return f"{len(text)} characters beginning with {text[:1]!r}, ending with {text[-1:]!r}"


def example(item: Any) -> str:
    """What an item was, without what people wrote: its keys, or its kind."""
    if not isinstance(item, dict):
        return type(item).__name__
    return (f"id {item.get('id')!r}, keys " + " ".join(sorted(map(str, item))))[:200]
