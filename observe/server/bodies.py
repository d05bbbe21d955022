"""What a small JSON body holds: an object, and fields of the types they must have.

Source: our own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from observe.errors import UsageError
from observe.server.routing import Call


async def json_object(call: Call) -> Mapping[str, Any]:
    """The body of a request, a JSON object; an empty body is an empty one.

    Raises:
        UsageError: it is something else.
    """
    try:
        value = json.loads(await call.body() or b"{}")
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is not JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise UsageError("the body must be a JSON object")
    return value


def text(body: Mapping[str, Any], name: str) -> str | None:
    """A field that must be text when it is there; lone surrogates cannot be stored.

    Raises:
        UsageError: it is something else.
    """
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or value != value.encode("utf-8", "replace").decode():
        raise UsageError(f"{name} must be text")
    return value


def flag(body: Mapping[str, Any], name: str, default: bool) -> bool:
    """A field that must be true or false when it is there.

    Raises:
        UsageError: it is something else.
    """
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be true or false")
    return value
