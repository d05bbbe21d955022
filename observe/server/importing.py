"""`POST /api/v1/import/{kind}`: what `observe import` sends to the service that owns the data directory.

Source: our own. The body is a part of a file (`observe.app.files`); without one the answer is how
far the file came.
"""

from __future__ import annotations

import asyncio

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from observe.app.files import Body
from observe.app.importing import Told
from observe.errors import UsageError
from observe.server.routing import Call

_ONE = asyncio.Semaphore(1)  # a body at a time: an import must not take the threads that intake needs


async def take(call: Call) -> Response:
    """Store one body of a file, finish the file (`whole=1`), or say how far it came (neither)."""
    asked, importing = call.request.query_params, call.core.importing
    told = Told(call.request.path_params["kind"], asked.get("model", ""), asked.get("source", "")).checked()
    content = await call.body()
    numbers = {name: _number(asked.get(name, "0"), name) for name in ("body", "rows", "lost")}
    async with _ONE:
        name = asked.get("file", "")
        fingerprint: str = name or await run_in_threadpool(call.core.intake.content_id, told.source, content)
        if asked.get("whole"):
            await run_in_threadpool(importing.finish, told, fingerprint)
        elif content or numbers["lost"]:
            kind = call.request.headers.get("content-type", "")
            body = Body(numbers["body"], content, kind, numbers["rows"], 0.0, numbers["lost"])
            counted = await run_in_threadpool(importing.take, told, body, fingerprint)
            return JSONResponse(counted.as_json())
        return JSONResponse(dict(await run_in_threadpool(importing.mark, told, fingerprint)))


def _number(text: str, name: str) -> int:
    if not text.isdecimal() or len(text) > 15:
        raise UsageError(f"{name}={text[:40]!r} is no count")
    return int(text)
