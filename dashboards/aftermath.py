"""What was done about an incident: comments of people, commands, actions; and who was told when.

Source: our own, after UX.md; docs/delivery.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from dash import html

from dashboards import cards, doing, proposal, words
from dashboards.cards import Badge, Query
from dashboards.incident import FAMILY, Row
from dashboards.reader import Reader, Value
from dashboards.scope import Scope

SAID: Final = """
select ts, actor, role, verb, reason, parameters->>'until' as until from command where object = $id order by ts desc, command_id limit 200
"""
DONE: Final = f"""
select action_id, kind, target, mode, state, reason, parameters::VARCHAR as parameters, changed_at, approved_by, error, outcome::VARCHAR as outcome from action where incident_id in {FAMILY}
order by changed_at desc, action_id limit 50
"""
TOLD: Final = f"""
select message_id, url, notice, arg_max(state, tried_at) as state, max(tries) as tries, arg_max(error, tried_at) as error, min(first_at) as first_at, max(tried_at) as tried_at
from delivery where incident_id in {FAMILY} group by 1, 2, 3 order by tried_at desc, message_id limit 200
"""
_WORDS: Final = {
    "acknowledge": "took it",
    "mute": "muted it",
    "unmute": "unmuted it",
    "false_alarm": "marked it as a false alarm",
    "accept_normal": "accepted it as the new normal",
    "note": "",
}
_MARKS: Final = {
    "sent": Badge("ok", "taken"), "partial": Badge("ticket", "in part"), "waiting": Badge("ticket", "waiting"), "refused": Badge("page", "refused"),
    "dead": Badge("page", "given up"), "muted": Badge("unknown", "muted"),
}  # fmt: skip


def said_card(read: Reader, view: Scope, chosen: str, span: int = 7) -> Any:
    """What people said and did, the newest first, and a place to say more."""
    params: dict[str, Value] = {"id": chosen}
    rows = read(SAID, params).to_dicts()
    form = doing.comment(chosen, view.link("/incidents", id=chosen))
    lines = [_said(r, view) for r in rows]
    body: Any = html.Ul(lines, className="said") if lines else html.P("Nobody has said anything yet.", className="sub")
    notes = sum(r["verb"] == "note" for r in rows)
    sub = (
        f"{words.count(notes)} {'comment' if notes == 1 else 'comments'}, {words.count(len(rows) - notes)} other commands"
        if rows
        else None
    )
    return cards.card("Comments and commands", form, body, sub=sub, sql=[Query(SAID, params)], span=span)


def _said(row: Row, view: Scope) -> Any:
    what = _WORDS.get(row["verb"], str(row["verb"]).replace("_", " "))
    until = f" until {str(row['until'])[:16].replace('T', ' ')} UTC" if row["until"] else ""
    head = [
        html.Strong(row["actor"]),
        html.Span(f"{what}{until}", className="dim"),
        html.Span(f"{words.clock(row['ts'], view.now)} UTC", className="dim"),
    ]
    text = html.P(row["reason"], className="text") if row["reason"] else None
    return html.Li([html.Div(head, className="lead"), text])


def done_card(read: Reader, view: Scope, chosen: str, span: int = 7) -> Any:
    """The actions it led to; None when there are none."""
    params: dict[str, Value] = {"id": chosen}
    rows = read(DONE, params).to_dicts()
    if not rows:
        return None
    lines = [
        html.Li([html.Div([html.Strong(proposal.sentence(r)), html.Span(f"{words.clock(r['changed_at'], view.now)} UTC", className="dim")], className="lead"),
                 html.P([r["reason"], _more(r)], className="sub")])
        for r in rows
    ]  # fmt: skip
    return cards.card(
        "Actions",
        html.Ul(lines, className="said"),
        sub="the state of each as it is now",
        sql=[Query(DONE, params)],
        span=span,
    )


def _more(row: Row) -> str:
    """The parameters of an action, and what became of it."""
    return "".join(f" · {said}" for said in (proposal.change(row["parameters"]), became(row)) if said)


def outcome(row: Row) -> Row:
    """What became of an action's metric, as it was written down; empty where nothing was yet."""
    held: Row = json.loads(row["outcome"]) if row["outcome"] else {}
    return held


def became(row: Row) -> str:
    """The same in words: the measured outcome, or why it was not done."""
    told = outcome(row)
    if told:
        return f"{told.get('verdict', 'unknown')}: {told.get('text', '')}".rstrip(": ")
    return str(row["error"] or "")


def told_card(read: Reader, view: Scope, chosen: str, span: int = 5) -> Any:
    """Who was told of it, when, and whether they took it."""
    params: dict[str, Value] = {"id": chosen}
    rows = read(TOLD, params).to_dicts()
    query = [Query(TOLD, params)]
    if not rows:
        none = cards.empty(
            "No receiver was told",
            "Write `alerts.receivers:` in the site's configuration; Alertmanager is told of alerts, not of incidents.",
            100,
        )
        return cards.card("Who was told", none, sql=query, span=span)
    heads = html.Thead(html.Tr([html.Th(h) for h in ("Receiver", "Notice", "State", "Tried")]))
    table = html.Table([heads, html.Tbody([_told(r, view) for r in rows])])
    return cards.card(
        "Who was told",
        html.Div(table, className="report-table", tabIndex=0),
        sub="UTC; messages to receivers of the site",
        sql=query,
        span=span,
    )


def _told(row: Row, view: Scope) -> Any:
    state = [cards.badge(_MARKS.get(row["state"], Badge("unknown", row["state"])))]
    tries = [html.Span(f" {row['tries']} tries", className="dim")] if row["tries"] > 1 else []
    why = [html.Div(row["error"], className="sub")] if row["error"] else []
    cells: Sequence[Any] = (
        row["url"], row["notice"] or "", html.Div([*state, *tries, *why]),
        words.clock(row["first_at"], view.now) + (f" – {words.clock(row['tried_at'], view.now)}" if row["tries"] > 1 else ""),
    )  # fmt: skip
    return html.Tr([html.Td(c) for c in cells])
