"""What stands before every request to the pages: known paths only, a session, same origin, safe headers.

Dash's FastAPI backend answers 200 to any path; here an unknown one is 404. Pages and callbacks need
a session; a changing request must come from this origin; every answer carries the same policy.

Source: TRUST section 2; OWASP's cheat sheets on CSRF and CSP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from http.cookies import SimpleCookie
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards import bundle_file, doing, login, pages, report_files
from dashboards.reader import CoreClient
from dashboards.shell import COOKIE
from observe.errors import AccessError, ObserveError

OPEN = ("/assets/", "/_dash-component-suites/", "/_favicon.ico")  # files of ours, the same for everybody
CALLBACKS = ("/_dash-layout", "/_dash-dependencies", "/_dash-update-component", "/_reload-hash")
MAX_BODY = 1 << 20  # bytes a browser may send in one request


def policy(hashes: Iterable[str]) -> str:
    """The Content-Security-Policy: everything from here, scripts by their hash."""
    return "; ".join((
        "default-src 'self'", "script-src 'self' " + " ".join(hashes), "style-src 'self' 'unsafe-inline'", "img-src 'self' data: blob:",
        "object-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
    ))  # fmt: skip


class Door:
    """ASGI middleware around the Dash server."""

    def __init__(
        self, app: ASGIApp, core: CoreClient, entries: Sequence[pages.Entry], hashes: Callable[[], Iterable[str]]
    ) -> None:
        self._app, self._core, self._entries = app, core, entries
        self._is_open: bool | None = None
        self._headers = {
            "content-security-policy": policy(hashes()), "x-content-type-options": "nosniff", "x-frame-options": "DENY",
            "referrer-policy": "same-origin", "cross-origin-opener-policy": "same-origin",
            "permissions-policy": "camera=(), microphone=(), geolocation=()",
        }  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the request through to Dash."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":  # no page uses a WebSocket yet
            return await send({"type": "websocket.close", "code": 1008})
        guarded = self._guarded(send, scope["path"])
        answer = await self._answer(scope, receive)
        if answer is None and pages.find(self._entries, scope["path"]) is not None:
            scope = {
                **scope,
                "path": "/",
                "raw_path": b"/",
            }  # one index for every page; Dash sets itself up only on "/"
        return await (answer or self._app)(scope, receive, guarded)

    def _guarded(self, send: Send, path: str) -> Send:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (self._headers | report_files.policy(path)).items():
                    headers[name] = value
                if not path.startswith(OPEN):
                    headers["cache-control"] = "no-store"
            await send(message)

        return with_headers

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        if refusal := refused(scope["method"], headers):
            return refusal
        if path.startswith(OPEN):
            return None
        if not _is_here(headers.get("host", "")) and await self._takes_anybody():
            return PlainTextResponse("without sign-in, only this machine may ask, under its own name", 403)
        if handed := await self._handed(scope, receive):
            return handed
        if path in CALLBACKS:
            return None if cookie(headers) or await self._open_house() else PlainTextResponse("sign in first", 401)
        return await self._page(headers, scope)

    async def _handed(self, scope: Scope, receive: Receive) -> Response | None:
        """What is no page of the application: signing in and out, commands, bundles, files of reports."""
        if scope["path"] in login.PATHS:
            return await login.answer(scope, receive, self._core)
        if scope["path"] == doing.PATH:
            return await doing.answer(scope, receive, self._core, cookie(Headers(scope=scope)))
        if scope["method"] != "GET":
            return None
        session = cookie(Headers(scope=scope))
        handed = await bundle_file.answer(scope["path"], self._core, session)
        return handed or await report_files.answer(scope["path"], self._core, session)

    async def _page(self, headers: Headers, scope: Scope) -> Response | None:
        if scope["method"] == "POST" or pages.find(self._entries, scope["path"]) is None:
            return HTMLResponse(login.page("Nothing here", f"There is no page at {scope['path']}.", back=True), 404)
        try:
            await run_in_threadpool(self._core.pulse, cookie(headers))
        except AccessError as error:
            if error.http_status != 401:
                return None  # known but not allowed: the page says so in its cards
            wanted = scope["path"] + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "")
            return RedirectResponse("/login?next=" + quote(wanted, safe=""), 303)
        except ObserveError:
            return None  # the core is away: the page says so in its cards
        return None

    async def _takes_anybody(self) -> bool:
        """Whether the core asks nobody for a token; known from its first plain answer on, for it starts us with it."""
        if self._is_open is None:
            try:
                await run_in_threadpool(self._core.pulse, "")
                self._is_open = True
            except AccessError:
                self._is_open = False
            except ObserveError:
                return False  # the core is away: nothing can be read through us either
        return self._is_open

    async def _open_house(self) -> bool:
        try:
            await run_in_threadpool(self._core.pulse, "")
        except ObserveError:
            return False
        return True


def _is_here(host: str) -> bool:
    """Whether a Host header names the loopback: a foreign name that resolves to it is a page that rebinds.

    >>> _is_here("127.0.0.1:8501"), _is_here("[::1]:8501"), _is_here("evil.example:8501")
    (True, True, False)
    """
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    return name in ("localhost", "127.0.0.1", "[::1]")


def cookie(headers: Headers) -> str:
    """The session that a request carries, or ""."""
    held = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    return held.value if held else ""


def refused(method: str, headers: Headers) -> Response | None:
    """Why a request is turned away: its method, a change asked from another origin, its size; None when it may pass."""
    if method in ("GET", "HEAD"):
        return None
    if method != "POST":
        return PlainTextResponse("method not allowed", 405)
    origin = headers.get("origin", "")
    if not origin or origin.partition("://")[2] != headers.get("host", ""):
        return PlainTextResponse("a request that changes something must come from this origin", 403)
    length = headers.get("content-length", "")
    if not length.isdigit() or int(length) > MAX_BODY:
        return PlainTextResponse("the body is too large or has no length", 413)
    return None
