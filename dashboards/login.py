"""Signing in and out: a token or a one-time link becomes a session of the core, held in a cookie.

The cookie is HttpOnly and SameSite=Strict, so a link from elsewhere (an alert in a chat) arrives
without it; the login page then asks from this origin whether there is a session and goes on.

Source: TRUST section 2; RFC 6265bis.
"""

from __future__ import annotations

from html import escape
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope

from dashboards.reader import CoreClient
from dashboards.shell import COOKIE
from observe.errors import AccessError, ObserveError

PATHS = ("/login", "/login/check", "/logout")
MAX_FORM = 4096  # bytes of a login form

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} · Observe</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="dark light">
<link rel="icon" href="/assets/favicon.svg"><link rel="stylesheet" href="/assets/page.css"><link rel="stylesheet" href="/assets/login.css">
<script src="/assets/login.js" defer></script></head>
<body class="door"><main class="door-card"><p class="brand"><span class="mark"></span><span>observe</span></p><h1>{title}</h1>{body}</main></body></html>"""
_FORM = """<p class="sub">Use an access token. The first start wrote one to a file and printed where it is.</p>{error}
<form method="post" action="/login" data-check="{check}"><input type="hidden" name="next" value="{next}">
<label for="token">Token</label><input id="token" name="token" type="password" autocomplete="current-password" required autofocus spellcheck="false">
<button class="button" type="submit">Sign in</button></form>"""


def page(title: str, text: str, back: bool = False, to: str = "/") -> str:
    """A page outside the application that says one thing.

    Args:
        title: its heading.
        text: what it says.
        back: with a way on.
        to: where that leads, a path of this site.
    """
    words = "Back" if to.split("?", maxsplit=1)[0].strip("/") else "Overview"
    link = f'<p><a class="button" href="{escape(to, quote=True)}">{words}</a></p>' if back else ""
    return _PAGE.format(title=escape(title), body=f'<p class="sub">{escape(text)}</p>{link}')


async def answer(scope: Scope, receive: Receive, core: CoreClient) -> Response:
    """What `/login`, `/login/check` and `/logout` answer."""
    request = Request(scope, receive)
    if request.url.path == "/logout":
        return await _signed_out(request, core)
    if request.url.path == "/login/check":
        return await _check(request, core)
    if request.method == "POST":
        form = parse_qs((await request.body())[:MAX_FORM].decode("utf-8", "replace"))
        return await _sign_in(request, core, {"token": form.get("token", [""])[0].strip()}, form.get("next", [""])[0])
    once = request.query_params.get("once", "")
    if once:
        return await _sign_in(request, core, {"once": once}, request.query_params.get("next", ""))
    return _form(request.query_params.get("next", ""), "", 200)


def inside(target: str) -> str:
    """`target` when it is a path of this site, else "/".

    >>> inside("/gpu?range=6h"), inside("//evil.example"), inside("https://evil.example")
    ('/gpu?range=6h', '/', '/')
    """
    bad = not target.startswith("/") or target.startswith(("//", "/\\")) or any(ord(c) < 32 for c in target)
    return "/" if bad else target


async def _sign_in(request: Request, core: CoreClient, credentials: dict[str, str], target: str) -> Response:
    try:
        session = await run_in_threadpool(core.session, credentials)
    except AccessError:
        what = "This link was used before or has expired." if "once" in credentials else "This token is not known."
        return _form(target, what, 401)
    except ObserveError as error:
        return _form(target, str(error), 502)
    response = RedirectResponse(inside(target), 303)
    response.set_cookie(
        COOKIE, session, httponly=True, samesite="strict", secure=request.url.scheme == "https", path="/"
    )
    return response


async def _check(request: Request, core: CoreClient) -> Response:
    try:
        await run_in_threadpool(core.pulse, request.cookies.get(COOKIE, ""))
    except ObserveError:
        return Response(status_code=200, content=b"no")
    return Response(status_code=200, content=b"yes")


async def _signed_out(request: Request, core: CoreClient) -> Response:
    if request.method != "POST":
        return RedirectResponse("/", 303)
    if session := request.cookies.get(COOKIE, ""):
        await run_in_threadpool(core.end, session)
    response = RedirectResponse("/login?out=1", 303)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


def _form(target: str, error: str, status: int) -> Response:
    note = f'<p class="error" role="alert">{escape(error)}</p>' if error else ""
    check = "" if error else "1"
    body = _FORM.format(next=escape(inside(target), quote=True), error=note, check=check)
    return HTMLResponse(_PAGE.format(title="Sign in", body=body), status)
