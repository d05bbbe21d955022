"""The routes by which an admin looks after tokens: list, make, rotate, revoke.

Names go in bodies, for they may hold anything printable.

Source: our own; TRUST section 2.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from observe.errors import UsageError
from observe.server.bodies import flag, json_object, text
from observe.server.routing import Call

if TYPE_CHECKING:
    from observe.credentials import Credential

_REASON = 2000  # characters of a command's reason


async def listed(call: Call) -> Response:
    """`GET /api/v1/tokens`."""
    rows = await run_in_threadpool(call.core.tokens.listed)
    return JSONResponse([{k: _plain(v) for k, v in asdict(row).items()} for row in rows])


async def make(call: Call) -> Response:
    """`POST /api/v1/tokens`: {"name", "role", "sql": bool, "expires": "90d"}."""
    assert call.who is not None
    body = await json_object(call)
    made = await run_in_threadpool(
        call.core.tokens.make, call.who, text(body, "name") or "", text(body, "role") or "",
        sql=flag(body, "sql", default=False), expires=text(body, "expires"),
    )  # fmt: skip
    return _told(made)


async def rotate(call: Call) -> Response:
    """`POST /api/v1/tokens/rotate`: {"name", "grace": "1h", "reason"}."""
    assert call.who is not None
    body = await json_object(call)
    made = await run_in_threadpool(
        call.core.tokens.rotate, call.who, _name(text(body, "name")), text(body, "grace"), _why(text(body, "reason"))
    )
    return _told(made)


async def revoke(call: Call) -> Response:
    """`POST /api/v1/tokens/revoke`: {"name", "reason"}."""
    assert call.who is not None
    body = await json_object(call)
    name = _name(text(body, "name"))
    ended = await run_in_threadpool(call.core.tokens.revoke, call.who, name, _why(text(body, "reason")))
    return JSONResponse({"name": name, "ended": ended})


def _name(name: str | None) -> str:
    if not name:
        raise UsageError('whose token? {"name": "gateway"}; GET /api/v1/tokens lists them')
    return name


def _why(reason: str | None) -> str | None:
    return reason[:_REASON].strip() or None if reason else None


def _told(made: tuple[str, Credential]) -> Response:
    """A secret, this once, and what it is good for."""
    secret, kept = made
    told = {"token": secret, "name": kept.name, "role": kept.role, "sql": kept.sql}
    return JSONResponse({**told, "expires_at": _plain(kept.expires_at)}, 201)


def _plain(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
