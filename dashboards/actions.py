"""What did we tell the scaler and the trainer, and did it help? What waits for somebody's word comes first.

Source: our own, after UX.md; docs/actions.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dash import dcc, html

from dashboards import action, action_others, cards, proposal, words
from dashboards.cards import Badge, Query
from dashboards.palette import SIGNS
from dashboards.reader import Reader
from dashboards.scope import Scope, scope

PATH, TITLE, ICON, ORDER = "/actions", "Actions", "action", 75
QUESTION = "What did we tell the scaler and the trainer, did it help?"
SKELETON = ((12, 160), (12, 400))

WAITING: Final = """
select action_id, incident_id, model, kind, target, mode, state, reason, parameters::VARCHAR as parameters, expires_at, changed_at, error,
  (select max(i.since) from incident i where i.incident_id = action.incident_id) as since
from action where state = 'proposed' and expires_at > $now::TIMESTAMPTZ and ($model = '' or model = $model)
order by mode = 'dry_run', changed_at desc limit 20
"""
LIST: Final = """
select action_id, model, kind, target, mode, state, parameters::VARCHAR as parameters, changed_at, approved_by, error, outcome::VARCHAR as outcome
from action where ($model = '' or model = $model) and (changed_at >= $start::TIMESTAMPTZ or state in ('approved', 'sent', 'acknowledged'))
order by changed_at desc limit 200
"""
BREAKERS: Final = """
select model, subject as kind, note, window_end from finding where detector = 'breaker'
qualify row_number() over (partition by monitor_id order by window_end desc) = 1
"""


def page(read: Reader, params: Mapping[str, str]) -> Any:
    """The list, or the action that `id` names."""
    view = scope(params)
    chosen = params.get("id", "")
    if chosen:
        return action.page(read, view, chosen)
    waiting, done, others, broken = cards.gather(
        lambda: _waiting(read, view),
        lambda: _list(read, view),
        lambda: action_others.card(read, view),
        lambda: _breakers(read),
        spans=(12, 12, 12, 12),
    )
    return cards.grid([broken, waiting, done, others])


def _waiting(read: Reader, view: Scope) -> Any:
    """A box for each proposal; dry runs last, and one box says how they become real."""
    rows = read(WAITING, view.params).to_dicts()
    query = [Query(WAITING, view.params)]
    if not rows:
        none = cards.empty(
            "Nothing waits for you",
            "An action is proposed when a rule under `actions:` of a model matches what fires.",
            90,
        )
        return cards.card("Waiting", none, sub="proposals that somebody has to decide", sql=query)
    boxes = [box(row, view, query) for row in rows]
    return html.Div(boxes, className="span-12 stack")


def box(row: Mapping[str, Any], view: Scope, query: Sequence[Query]) -> Any:
    """One proposal: what, why, what it costs, between which bounds, and the two answers."""
    dry, told = row["mode"] == "dry_run", json.loads(row["parameters"] or "{}")
    mark = (
        Badge("unknown", "dry run")
        if dry
        else Badge("info", "by itself")
        if row["mode"] == "auto"
        else Badge("ticket", "waits for you")
    )
    title = html.H1([html.Span(SIGNS[mark.state], className="sign"), proposal.does(row)])
    lines = cards.facts(action.pairs(row, told, view))
    answers = (
        html.P(dry_run(row), className="sub dry-run") if dry else action.form(row["action_id"], view.link("/actions"))
    )
    more = dcc.Link("All about it", href=view.link("/actions", id=row["action_id"]), className="button")
    return html.Section(
        [
            html.Div([cards.source(query), cards.badge(mark)], className="card-tools"),
            title,
            html.Div([lines, more], className="verdict-body"),
            answers,
        ],
        className=f"verdict {mark.state}",
    )


def dry_run(row: Mapping[str, Any]) -> str:
    """That nothing happens, and what would change that."""
    who = row["target"].partition(":")[0]
    return f"Dry run: nothing is sent. It becomes real when observe.yaml declares a target {who!r} and says actions: {{mode: live}}."


def _list(read: Reader, view: Scope) -> Any:
    """Everything of the range, the newest first, with what became of it."""
    rows = read(LIST, view.params).to_dicts()
    query = [Query(LIST, view.params)]
    if not rows:
        none = cards.empty(
            "No action in this range", "Choose a longer range, or declare actions: in a model's file.", 160
        )
        return cards.card("Actions", none, sub=QUESTION, sql=query)
    table = html.Table([html.Thead(html.Tr([html.Th(h) for h in _HEADS])), html.Tbody([_line(r, view) for r in rows])])
    judged = [json.loads(r["outcome"])["verdict"] for r in rows if r["outcome"]]
    sent = sum(r["mode"] != "dry_run" and r["state"] in ("sent", "acknowledged", "succeeded") for r in rows)
    sub = f"{len(rows)} in the range, {sent} sent · helped {judged.count('helped')} of {len(judged)} that were judged"
    return cards.card("Actions", html.Div(table, className="report-table", tabIndex=0), sub=sub, sql=query)


_HEADS: Final = ("State", "What", "Model", "How", "When (UTC)", "By", "Did it help?")


def _line(row: Mapping[str, Any], view: Scope) -> Any:
    outcome = json.loads(row["outcome"]) if row["outcome"] else {}
    name = dcc.Link(proposal.does(row), href=view.link("/actions", id=row["action_id"]))
    said = outcome.get("text") or row["error"] or words.UNKNOWN
    cells = (
        cards.badge(action.badge(row["state"])), html.Div(name, className="report-said"), row["model"], proposal.mode(row["mode"]),
        words.clock(row["changed_at"], view.now), row["approved_by"] or words.UNKNOWN, said,
    )  # fmt: skip
    return html.Tr([html.Td(cell) for cell in cells])


def _breakers(read: Reader) -> Any:
    """Circuit breakers that are open: nothing of this kind is sent until a person closes them."""
    rows = [r for r in read(BREAKERS).to_dicts() if not r["note"].startswith("closed")]
    if not rows:
        return None
    boxes = [
        html.Section(
            [
                html.Div(
                    [cards.source([Query(BREAKERS)]), cards.badge(Badge("ticket", "stopped"))], className="card-tools"
                ),
                html.H1([html.Span(SIGNS["ticket"], className="sign"), f"{r['kind']} of {r['model']} is stopped"]),
                html.P(r["note"], className="sub"),
                action.breaker(f"{r['model']}/{r['kind']}"),
            ],
            className="verdict ticket",
        )
        for r in rows
    ]
    return html.Div(boxes, className="span-12 stack")
