"""The routes by which an admin copies and verifies the data of a running service.

Source: our own; TRUST section 1, fact 4: only the process that owns the database may read its file.
"""

from __future__ import annotations

import json

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from observe.app.keeping import back_up, told, verified
from observe.errors import UsageError
from observe.server.routing import Call


async def backup(call: Call) -> Response:
    """`POST /api/v1/backup`: {"dest": an absolute path on this machine}; answers when it is complete."""
    assert call.who is not None
    try:
        body = json.loads(await call.body() or b"{}")
        dest = body.get("dest")
    except (ValueError, RecursionError, AttributeError) as error:
        raise UsageError('the body must be {"dest": "/an/absolute/path"}') from error
    core = call.core
    made = await run_in_threadpool(back_up, core.store, core.clock, call.who, dest if isinstance(dest, str) else None)
    return JSONResponse(made, 201)


async def verify(call: Call) -> Response:
    """`GET /api/v1/verify`."""
    report = await run_in_threadpool(verified, call.core.store)
    return JSONResponse(told(report))
