"""Files of kept reports, handed through from the core to a signed-in browser.

Ours run no script. Evidently's page runs its own, in a sandbox that has no origin: it sees no cookie,
no other page, and nothing is loaded from anywhere.

Source: TRUST section 2; CSP level 3, `sandbox`.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dashboards import login
from dashboards.reader import CoreClient
from observe.errors import AccessError, ObserveError

PATH: Final = re.compile(r"/reports/([A-Za-z0-9][A-Za-z0-9._-]{0,99})/(report\.(?:html|md|json)|evidently\.html)")
SHUT: Final = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
SCRIPTED: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:; connect-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES: Final = {"html": "text/html; charset=utf-8", "md": "text/plain; charset=utf-8", "json": "application/json"}


def policy(path: str) -> dict[str, str]:
    """The Content-Security-Policy of a report's file, in place of the pages'; empty for other paths."""
    found = PATH.fullmatch(path)
    if found is None:
        return {}
    return {"content-security-policy": SCRIPTED if found[2] == "evidently.html" else SHUT}


async def answer(path: str, core: CoreClient, session: str) -> Response | None:
    """The file of a path, or why there is none; None when the path is not of a report's file."""
    found = PATH.fullmatch(path)
    if found is None:
        return None
    try:
        content = await run_in_threadpool(core.fetch, f"/api/v1/reports/{found[1]}/{found[2]}", session)
    except AccessError as error:
        if error.http_status == 401:
            return RedirectResponse("/login?next=" + path, 303)
        return HTMLResponse(login.page("Not allowed", str(error), back=True), 403)
    except ObserveError as error:
        return HTMLResponse(login.page("Nothing here", str(error), back=True), 404)
    return Response(content, media_type=_TYPES[found[2].rpartition(".")[2]])
