"""The bundle of an incident, handed through from the core to a signed-in browser.

Source: our own; docs/incidents-bundle.md.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dashboards import login
from dashboards.reader import CoreClient
from observe.errors import AccessError, ObserveError, Overloaded

PATH: Final = re.compile(r"/incidents/([A-Za-z0-9][A-Za-z0-9._-]{0,99})/bundle")
PATIENCE_S: Final = 150.0  # longer than the core waits for it


async def answer(path: str, core: CoreClient, session: str) -> Response | None:
    """The file, or why there is none; None when the path is not of a bundle."""
    found = PATH.fullmatch(path)
    if found is None:
        return None
    try:
        content = await run_in_threadpool(core.fetch, f"/api/v1{path}", session, PATIENCE_S)
    except AccessError as error:
        if error.http_status == 401:
            return RedirectResponse("/login?next=" + path, 303)
        return HTMLResponse(login.page("Not allowed", str(error), back=True), 403)
    except Overloaded as error:
        again = {"Retry-After": str(error.retry_after_s)}
        return HTMLResponse(login.page("Not just now", str(error), back=True), 429, again)
    except ObserveError as error:
        return HTMLResponse(login.page("No bundle", str(error), back=True), 404)
    name = {"content-disposition": f'attachment; filename="{found[1]}.zip"'}
    return Response(content, headers=name, media_type="application/zip")
