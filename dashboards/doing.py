"""What people do on a page: a plain form becomes a command of the core, then the page is shown again.

No script is needed. The door has seen to it that the form came from this origin; the core sees to who may do it
and writes it down before it acts.

Source: our own; TRUST section 2 (CSRF), RFC 9110 section 15.4.4 (303).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs

from dash import dcc, html
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope

from dashboards import cards, login
from dashboards.reader import CoreClient
from observe.errors import AccessError, ObserveError

PATH: Final = "/do"
MAX_FORM: Final = 16_384  # bytes
REASON: Final = 500  # characters
COMMENT: Final = 2000  # characters; as much as a command keeps
NEED_REASON: Final = frozenset({"mute", "false_alarm", "deny", "close_breaker"})  # verbs that say why
Act = tuple[str, str, str]  # what a button does, its words, what it means


def form(target: str, back: str, acts: Sequence[Act]) -> Any:
    """A form with a reason and one button for each act.

    Args:
        target: what the command is about.
        back: the page that is shown afterwards.
        acts: what a button does (`mute 8h`: verb, then how long), its words, and what it means.
    """
    hidden = [dcc.Input(type="hidden", name=n, value=v) for n, v in (("object", target), ("next", back))]
    reason = dcc.Input(
        type="text", name="reason", placeholder="why (to mute, or for a false alarm)", maxLength=REASON,
        autoComplete="off", className="act-reason", id="act-reason", required=True,
    )  # fmt: skip
    buttons = [button(act) for act in acts]
    label = html.Label("Reason", htmlFor="act-reason", className="unseen")
    return html.Form(
        [*hidden, label, reason, *buttons], action=PATH, method="post", className="acts", **cards.aria("What was done")
    )


def button(act: Act) -> Any:
    """A button of a form; the browser asks for the reason where this one needs it."""
    what, said, meaning = act
    free = what.partition(" ")[0] not in NEED_REASON
    return html.Button(
        said, type="submit", name="act", value=what, className="act", title=meaning, formNoValidate=free or None
    )


def comment(target: str, back: str) -> Any:
    """A form that leaves a comment about `target` and shows `back` afterwards."""
    hidden = [dcc.Input(type="hidden", name=n, value=v) for n, v in (("object", target), ("next", back))]
    text = dcc.Textarea(
        name="reason", placeholder="what you saw, what you did", maxLength=COMMENT, rows=2, required=True,
        className="act-comment", id="act-comment",
    )  # fmt: skip
    button = html.Button("Comment", type="submit", name="act", value="note", className="act")
    label = html.Label("Comment", htmlFor="act-comment", className="unseen")
    return html.Form(
        [*hidden, label, text, button], action=PATH, method="post", className="acts comment", **cards.aria("Comment")
    )


async def answer(scope: Scope, receive: Receive, core: CoreClient, session: str) -> Response:
    """What `/do` answers: the page again, or why not."""
    request = Request(scope, receive)
    if request.method != "POST":
        return PlainTextResponse("method not allowed", 405)
    asked = parse_qs((await request.body())[:MAX_FORM].decode("utf-8", "replace"))
    said = {name: asked.get(name, [""])[0].strip() for name in ("act", "object", "reason", "next")}
    verb, _, length = said["act"].partition(" ")
    body = {"verb": verb, "object": said["object"], "reason": said["reason"][:COMMENT] or None}
    back = login.inside(said["next"])
    try:
        await run_in_threadpool(core.command, {**body, "parameters": {"for": length} if length else {}}, session)
    except AccessError as error:
        if error.http_status == 401:
            return RedirectResponse("/login", 303)
        return HTMLResponse(login.page("Not allowed", str(error), back=True, to=back), 403)
    except ObserveError as error:
        return HTMLResponse(login.page("Not done", str(error), back=True, to=back), 400)
    return RedirectResponse(back, 303)
