"""One action: what, why, what it costs; how it went step by step; what the target said; and whether it helped.

Source: our own, after UX.md; docs/actions.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from dash import dcc, html

from dashboards import action_course, cards, doing, proposal, words
from dashboards.cards import Badge, Query
from dashboards.palette import SIGNS
from dashboards.reader import Reader, Value
from dashboards.scope import Scope

ONE: Final = """
select action_id, incident_id, model, kind, target, mode, state, reason, parameters::VARCHAR as parameters, expires_at, changed_at, approved_by,
  attempts, error, receipt::VARCHAR as receipt, outcome::VARCHAR as outcome, key,
  (select max(i.since) from incident i where i.incident_id = action.incident_id) as since
from action where action_id = $id
"""
STEPS: Final = """
select changed_at as ts, state, approved_by, attempts, error, receipt::VARCHAR as receipt, outcome::VARCHAR as outcome, null as reason
from core.action where action_id = $id
union all select ts, 'person', actor, null, verb, null, null, reason from command where object = $id
order by ts, state <> 'person'
"""
_BADGES: Final[Mapping[str, Badge]] = {
    "proposed": Badge("ticket", "proposed"), "approved": Badge("info", "approved"), "sent": Badge("info", "sent"),
    "acknowledged": Badge("info", "taken"), "succeeded": Badge("ok", "succeeded"), "failed": Badge("page", "failed"),
    "denied": Badge("unknown", "denied"), "expired": Badge("unknown", "expired"),
}  # fmt: skip
VERDICTS: Final[Mapping[str, str]] = {"helped": "ok", "no change": "ticket", "worse": "page", "unknown": "unknown"}
_MEANT: Final[Mapping[str, str]] = {
    "sent": "the target was asked", "acknowledged": "the target has it", "succeeded": "it is done", "approved": "it may be sent",
    "proposed": "a rule asked for it", "failed": "it was not done", "denied": "it is not done", "expired": "it ended by time",
}  # fmt: skip


def page(read: Reader, view: Scope, chosen: str) -> Any:
    """Everything about one action."""
    params: dict[str, Value] = {"id": chosen}
    rows = read(ONE, params).to_dicts()
    back = dcc.Link("← all actions", href=view.link("/actions"), className="sub span-12")
    if not rows:
        none = cards.empty(f"There is no action {chosen}", "It may belong to another site.", 160)
        return cards.grid([back, cards.card("No such action", none)])
    row = rows[0]
    made = cards.gather(lambda: _outcome(read, view, row, params), lambda: _steps(read, view, params), spans=(12, 12))
    return cards.grid([back, _head(row, view, params), *made])


def badge(state: str) -> Badge:
    """The badge of an action's state."""
    return _BADGES.get(state, Badge("unknown", state))


def pairs(row: Mapping[str, Any], told: Mapping[str, Any], view: Scope) -> list[tuple[str, Any]]:
    """What somebody needs to know who is to decide."""
    incident = view.link("/incidents", id=row["incident_id"])
    left = row["expires_at"] - view.now
    bounds = f"{told['min']} to {told['max']} replicas" if {"min", "max"} <= told.keys() else None
    until = f"{words.clock(row['expires_at'], view.now)} UTC" + (
        f" (in {words.span(left)})" if left.total_seconds() > 0 else ""
    )
    return [
        ("model", dcc.Link(row["model"], href=view.link(f"/model/{quote(row['model'], safe='')}"))),
        ("why", dcc.Link(row["reason"], href=incident)),
        ("since", f"{words.clock(row['since'], view.now)} UTC" if row["since"] else None),
        ("asks", row["target"]), ("costs", proposal.cost(told) or "not known: no price of its accelerator" if "to" in told else None),
        ("envelope", bounds), *proposal.rest(told), ("held", row["error"]),
        ("ends" if row["mode"] == "dry_run" else "may be sent until", until if row["state"] == "proposed" else None),
    ]  # fmt: skip


def form(target: str, back: str) -> Any:
    """Approve or deny, with a reason."""
    return _form(
        target, back, (("approve", "Approve", "It is sent at once"), ("deny", "Deny", "It is never sent; say why"))
    )


def breaker(name: str) -> Any:
    """Close a circuit breaker, with a reason."""
    return _form(
        name, "/actions", (("close_breaker", "Close the breaker", "Actions of this kind may be sent again; say why"),)
    )


def _form(target: str, back: str, acts: Sequence[tuple[str, str, str]]) -> Any:
    field = f"reason-{target}"
    hidden = [dcc.Input(type="hidden", name=n, value=v) for n, v in (("object", target), ("next", back))]
    reason = dcc.Input(
        type="text", name="reason", placeholder="why (needed to deny)" if len(acts) > 1 else "why", maxLength=doing.REASON,
        autoComplete="off", className="act-reason", id=field, required=True,
    )  # fmt: skip
    buttons = [doing.button(act) for act in acts]
    label = html.Label("Reason", htmlFor=field, className="unseen")
    return html.Form(
        [*hidden, label, reason, *buttons], action=doing.PATH, method="post", className="acts", **cards.aria("Decide")
    )


def _head(row: Mapping[str, Any], view: Scope, params: Mapping[str, Value]) -> Any:
    mark, told = badge(row["state"]), json.loads(row["parameters"] or "{}")
    dry = [cards.badge(Badge("unknown", "dry run"))] if row["mode"] == "dry_run" else []
    lines: list[tuple[str, Any]] = [
        *pairs(row, told, view),
        ("by", row["approved_by"]),
        ("tries", row["attempts"]),
        ("key", row["key"]),
    ]
    waits = row["state"] == "proposed" and row["mode"] != "dry_run"
    answers = [form(row["action_id"], view.link("/actions", id=row["action_id"]))] if waits else []
    note = [html.P("Dry run: nothing is sent.", className="sub dry-run")] if dry else []
    title = html.H1([html.Span(SIGNS[mark.state], className="sign"), proposal.does(row)])
    tools = html.Div([cards.source([Query(ONE, params)]), *dry, cards.badge(mark)], className="card-tools")
    return html.Section([tools, title, cards.facts(lines), *note, *answers], className=f"verdict {mark.state} span-12")


def _outcome(read: Reader, view: Scope, row: Mapping[str, Any], params: Mapping[str, Value]) -> Any:
    """Did it help? In words first, then the numbers."""
    query = [Query(ONE, params)]
    if row["mode"] == "dry_run" or row["state"] in ("proposed", "approved", "denied"):
        return None
    if not row["outcome"]:
        taken = row["state"] in ("sent", "acknowledged", "succeeded") or (row["state"] == "expired" and row["attempts"])
        why = "Too early: the hour after it is not over" if taken else "It was not done, so it changed nothing"
        return cards.card(
            "Did it help?",
            cards.empty(why, "", 60),
            mark=Badge("unknown", "too early" if taken else "not done"),
            sql=query,
        )
    found = action_course.parsed(row["outcome"])
    drawn, queries = action_course.chart(read, view, str(row["action_id"]), found)
    unit = found.get("unit")
    low, high = found.get("ci_low"), found.get("ci_high")
    numbers = cards.facts([
        ("metric", found.get("metric")), ("before", words.effect(found.get("before"), unit)), ("after", words.effect(found.get("after"), unit)),
        ("effect", words.effect(found.get("effect"), unit)), ("95 % interval", words.interval(low, high)), ("earlier days compared", found.get("days")),
    ])  # fmt: skip
    assumed = "It is assumed that what was wrong would have lasted without it; what ends by itself looks like help."
    return cards.card(
        "Did it help?", html.P(found["text"], className="verdict-line"), numbers, drawn, html.P(assumed, className="sub"),
        mark=Badge(VERDICTS.get(found["verdict"], "unknown"), found["verdict"]), sql=[*query, *queries],
    )  # fmt: skip


def _steps(read: Reader, view: Scope, params: Mapping[str, Value]) -> Any:
    rows = read(STEPS, params).to_dicts()
    items, before = [], None
    for row in rows:
        state = "info" if row["state"] == "person" else badge(row["state"]).state
        name, said = _said(row, before)
        items.append(
            html.Li(
                [
                    html.Span(_when(row["ts"], view), className="dim"),
                    html.Span(SIGNS[state], className=f"sign {state}", **cards.HIDDEN),
                    html.Span(name, className="dim"),
                    html.Span(said, className="text"),
                ]
            )
        )
        before = before if row["state"] == "person" else row
    return cards.card(
        "Step by step",
        html.Ul(items, className="timeline"),
        sub="UTC · every step as it was written down",
        sql=[Query(STEPS, params)],
    )


def _when(at: datetime, view: Scope) -> str:
    """To the second, with its date when that is not today's."""
    return f"{at:%H:%M:%S}" if at.date() == view.now.date() else f"{at.day} {at:%b %H:%M:%S}"


def _said(row: Mapping[str, Any], before: Mapping[str, Any] | None) -> tuple[str, str]:
    """What a step is called, and what it says."""
    if row["state"] == "person":
        return "person", f"{row['error']} by {row['approved_by']}" + (f": {row['reason']}" if row["reason"] else "")
    if row["outcome"] and not (before and before["outcome"]):
        return "outcome", str(json.loads(row["outcome"])["text"])
    receipt = json.loads(row["receipt"]) if row["receipt"] else {}
    by = f"by {row['approved_by']}" if row["state"] == "approved" and row["approved_by"] else ""
    tries = f"try {row['attempts']}" if row["state"] == "sent" and row["attempts"] else ""
    told = row["error"] or (_heard(receipt) if row["state"] in ("acknowledged", "succeeded", "failed") else "")
    parts = [p for p in (by, tries, told) if p]
    return badge(row["state"]).word, " · ".join(parts) or _MEANT.get(row["state"], "")


def _heard(receipt: Mapping[str, Any]) -> str:
    """What the target said, with its own name for the thing."""
    return " · ".join(str(receipt[k]) for k in ("text", "remote_id", "url") if receipt.get(k))
