"""The route by which an incident is handed on as one file.

Source: our own; docs/incidents-bundle.md.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from observe.errors import UsageError
from observe.server.routing import Call

ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


async def bundle(call: Call) -> Response:
    """`GET /api/v1/incidents/{incident_id}/bundle`; rows of requests are in it for who may ask SQL."""
    assert call.who is not None
    incident_id = call.request.path_params["incident_id"]
    try:
        if not ID.fullmatch(incident_id):
            raise UsageError(f"there is no incident {incident_id[:100]!r}")
        content = await run_in_threadpool(call.core.bundling, incident_id, with_requests=call.who.may("sql"))
    except UsageError as error:
        return JSONResponse({"error": str(error), "kind": "UsageError"}, 404)
    headers = {"Content-Disposition": f'attachment; filename="{incident_id}.zip"', "X-Content-Type-Options": "nosniff"}
    return Response(content, headers=headers, media_type="application/zip")
