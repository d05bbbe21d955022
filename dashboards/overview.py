"""Is anything wrong now, and why? The top incident, four numbers, and the evidence behind them.

Source: our own, after UX.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from dash import dcc, html

from dashboards import (
    accepted,
    cards,
    catalogue,
    differs,
    drift,
    latency,
    pages,
    proposal,
    slo,
    states,
    tables,
    vitals,
    words,
)
from dashboards.cards import Query
from dashboards.palette import SIGNS
from dashboards.reader import Reader
from dashboards.scope import Scope, everywhere, scope

PATH, TITLE, ICON, ORDER = "/", "Overview", "overview", 0
QUESTION = "Is anything wrong now, and why?"
SKELETON = ((12, 150), (3, 138), (3, 138), (3, 138), (3, 138), (7, 360), (5, 360), (7, 300), (5, 300), (12, 240))

INCIDENTS = """
select incident_id, kind, model, severity, since, opened_at, summary, effect, unit, ci_low, ci_high, evidence_nats, cause::VARCHAR as cause, suggestion, models
from incident where state = 'open' and part_of is null
order by case severity when 'page' then 0 when 'ticket' then 1 else 2 end, opened_at desc limit 20
"""


def page(read: Reader, params: Mapping[str, str]) -> Any:
    """The overview of one view."""
    view = scope(params)
    known, status = cards.together(lambda: catalogue.catalogue(read), lambda: read(slo.STATUS, view.params))
    slos = [slo.Slo(r, known.slo(r["model"], r["slo"])) for r in status.iter_rows(named=True)]
    evidence = _evidence(read, view, slos)  # asked first: the fold of requests takes longest
    made = cards.gather(
        *evidence, lambda: verdict(read, view, slos), lambda: vitals.slos_met(read, view, slos), lambda: vitals.drifting(read, view),
        lambda: vitals.gpus(read, view, known), lambda: vitals.cost(read, view, known), lambda: drift.heat_card(read, view, view.model),
        spans=(*(7, 5, 7)[: len(evidence)], 12, 3, 3, 3, 3, 5),
    )  # fmt: skip
    shown, top, heat = made[: len(evidence)], made[len(evidence) : -1], made[-1]
    return cards.grid([*top, *shown, heat, slo_table(view, slos)])


def _evidence(read: Reader, view: Scope, slos: list[slo.Slo]) -> list[Callable[[], Any]]:
    if not slos:
        return [_undeclared]
    focus = slos[0]
    return [
        lambda: slo.budget_card(read, view, focus), lambda: latency.latency_card(read, view, focus), lambda: differs.differs_card(read, view, focus),
    ]  # fmt: skip


def _undeclared() -> Any:
    hint = "Write `slos:` in a model's Monitoring; `observe check` says what each can detect."
    return cards.card("Service-level objectives", cards.empty("No objectives are declared yet", hint, 200), span=7)


def verdict(read: Reader, view: Scope, slos: list[slo.Slo]) -> Any:
    """The one sentence that matters: the top open incident, or an all-clear that says what it rests on."""
    found, actions = cards.together(lambda: read(INCIDENTS), lambda: read(proposal.PENDING, view.params))
    rows = found.to_dicts()
    if not rows:
        return _clear(view, slos)
    first = rows[0]
    proposed = [proposal.sentence(a) for a in actions.iter_rows(named=True) if a["incident_id"] == first["incident_id"]]
    mark = states.severity_badge(first["severity"])
    links: list[Any] = []
    for name in first["models"] or (first["model"],):
        links += [", "] if links else []
        links.append(dcc.Link(name, href=view.link(_model(name))))
    title = html.H1([html.Span(SIGNS[mark.state], className="sign"), *links, f" {first['summary']}"])
    cause = json.loads(first["cause"]) if first["cause"] else None
    lines = cards.facts([
        ("since", f"{words.clock(first['since'], view.now)} UTC · {words.span(view.now - first['since'])}"),
        ("effect", _effect(first)),
        ("nearest signal", cause["note"] if cause else "none that explains it clearly"),
        ("suggested", accepted.suggestions(read, [first])[first["incident_id"]]), ("action", "; ".join(proposed[:2])),
    ])  # fmt: skip
    if pages.installed("incidents"):
        href = view.link("/incidents", id=first["incident_id"])
        lines = html.Div([lines, dcc.Link("Open incident", href=href, className="button")], className="verdict-body")
    others = [_other(r, view) for r in rows[1:4]]
    more = [html.P(f"and {len(rows) - 4} more open incidents", className="sub")] if len(rows) > 4 else []
    whose = [html.P(f"Incidents are {said}.", className="sub")] if (said := everywhere(view)) else []
    return html.Section(
        [
            html.Div(
                [cards.source([Query(INCIDENTS), Query(proposal.PENDING, view.params)]), cards.badge(mark)],
                className="card-tools",
            ),
            title,
            lines,
            *([html.Ul([*others, *more])] if others else []),
            *whose,
        ],
        className=f"verdict {mark.state} span-12",
        role="status",
    )


def _effect(row: Mapping[str, Any]) -> str:
    text = words.effect(row["effect"], row["unit"])
    return f"{text} (95 %: {words.interval(row['ci_low'], row['ci_high'])})" if words.known(row["ci_low"]) else text


def _other(row: Mapping[str, Any], view: Scope) -> Any:
    mark = states.severity_badge(row["severity"])
    link = dcc.Link(row["model"], href=view.link(_model(row["model"])))
    what = row["summary"]
    if pages.installed("incidents"):
        what = dcc.Link(what, href=view.link("/incidents", id=row["incident_id"]))
    return html.Li(
        [
            cards.badge(mark),
            html.Span([link, " ", what]),
            html.Span(f"since {words.clock(row['since'], view.now)}", className="dim"),
        ]
    )


def _clear(view: Scope, slos: list[slo.Slo]) -> Any:
    marks = [s.badge(view.now) for s in slos]
    unsure = sum(m.state == "unknown" for m in marks)
    if not slos or unsure == len(slos):
        text = "Nothing is judged right now" if slos else "Nothing is watched yet"
        why = (
            "Every objective is stale or has too few events."
            if slos
            else "No objective or drift monitor has been judged. The Health page and `observe doctor` say what is heard."
        )
        return html.Section(
            [html.H1([html.Span(SIGNS["unknown"], className="sign"), text]), html.P(why, className="sub")],
            className="verdict unknown span-12",
        )
    newest = max(s.row["judged_at"] for s in slos)
    rest = f", {unsure} cannot be judged" if unsure else ""
    why = f"{len(slos) - unsure} of {len(slos)} objectives are met{rest}. Last judged {words.span(view.now - newest)} ago."
    return html.Section(
        [html.H1([html.Span(SIGNS["ok"], className="sign"), "No open incident"]), html.P(why, className="sub")],
        className="verdict ok span-12",
    )


def _model(name: str) -> str:
    return "/gpu" if name == "site" else f"/model/{quote(name, safe='')}"


def slo_table(view: Scope, slos: list[slo.Slo]) -> Any:
    """Every objective, the least budget left first."""
    rows = [
        {"model": s.row["model"], "slo": s.title, "objective": s.row["objective"], "sli": s.row["sli"] if s.row["state"] != "too_few" else None,
         "budget": s.row["budget_left"], "burn": s.row["burn_1h"] if s.row["state"] != "too_few" else None, "total": s.row["total"], "state": s.badge(view.now).word}
        for s in slos
    ]  # fmt: skip
    columns = [
        tables.Column("state", "State", "state", 100), tables.Column("model", "Model", "model", 170), tables.Column("slo", "Objective", "", 150),
        tables.Column("objective", "Target", "share", 90), tables.Column("sli", "Measured", "share", 100, "share of good requests, minutes, calls, ... in the window"),
        tables.Column("budget", "Budget left", "budget", 150), tables.Column("burn", "Burn 1 h", "times", 90, "1× spends the budget exactly in its window"),
        tables.Column("total", "Requests", "count", 100),
    ]  # fmt: skip
    body = tables.grid("slos", rows, columns) if rows else cards.empty("No objectives yet")
    tools = [tables.csv_button("slos")] if rows else []
    return cards.card(
        "Service-level objectives",
        body,
        sub="Least budget left first",
        tools=tools,
        sql=[Query(slo.STATUS, view.params)],
    )
