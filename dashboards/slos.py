"""How much budget, and when does it end? Every objective, the least budget left first, and one of them in full.

Source: our own, after UX.md. `?id=<model>.<slo>` opens one; `?state=` and `?model=` filter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import dash_mantine_components as dmc
from dash import dcc, html

from dashboards import cards, catalogue, differs, slo, slo_burn, slo_rows, slo_words, states, tables, words
from dashboards.cards import Badge, Query
from dashboards.palette import SIGNS
from dashboards.reader import Reader
from dashboards.scope import Scope, scope

PATH, TITLE, ICON, ORDER = "/slos", "SLOs", "slo", 18
QUESTION = "How much budget is left, and when does it end?"
SKELETON = ((12, 90), (12, 420))
MOST_SHOWN = 14
STATES: Final = (
    "page",
    "ticket",
    "spent",
    "ok",
    "unknown",
)  # what a filter can ask for; unknown is all that is not judged


def page(read: Reader, params: Mapping[str, str]) -> Any:
    """The list, or the objective that `id` names."""
    view = scope(params)
    known, status = cards.together(
        lambda: catalogue.catalogue(read), lambda: read(slo.STATUS, {**view.params, "model": ""})
    )
    judged = [slo.Slo(r, known.slo(r["model"], r["slo"])) for r in status.iter_rows(named=True)]
    every = [*judged, *_unjudged(known, judged, status.columns)]
    chosen = params.get("id", "")
    return _one(read, view, every, chosen) if chosen else _list(view, every)


def _unjudged(known: catalogue.Catalogue, judged: Sequence[slo.Slo], columns: Sequence[str]) -> list[slo.Slo]:
    """Objectives that are declared and were never judged: unknown, not fine."""
    there = {(s.row["model"], s.row["slo"]) for s in judged}
    return [
        slo.Slo(_blank(model, declared, columns), declared)
        for model, facts in known.models.items()
        for declared in facts.get("slos") or ()
        if (model, declared["name"]) not in there
    ]


def _blank(model: str, declared: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    name = declared["name"]
    return dict.fromkeys(columns) | {
        "slo_id": f"{model}.{name}", "model": model, "slo": name, "state": "none", "severity": "inform",
        "objective": declared.get("objective"), "window_s": declared.get("window_s"),
    }  # fmt: skip


def mark(one: slo.Slo, view: Scope) -> Badge:
    """Its state; one that was never judged is unknown."""
    return Badge("unknown", "not judged") if one.row["judged_at"] is None else one.badge(view.now)


def _group(badge: Badge) -> str:
    return badge.word if badge.word in STATES else badge.state if badge.state in STATES else "unknown"


def _list(view: Scope, every: Sequence[slo.Slo]) -> Any:
    query = [Query(slo.STATUS, {**view.params, "model": ""})]
    if not every:
        hint = "Write `slos:` in a model's Monitoring; `observe check` says what each can detect, docs/slos.md how."
        return cards.grid([cards.card(TITLE, cards.empty("No objectives are declared yet", hint, 240), sql=query)])
    of_model = [s for s in every if not view.model or s.row["model"] == view.model]
    asked = view.query.get("state", "")
    shown = [s for s in of_model if not asked or _group(mark(s, view)) == asked]
    shown.sort(key=lambda s: _rank(s, view))
    table = (
        _table([_cells(s, view) for s in shown])
        if shown
        else cards.empty("No objective in this state", "The links above choose another.", 160)
    )
    card = cards.card(
        "Objectives", _filters(view, every, of_model, asked), table, sub="Least budget left first; what is unknown stands below, never among the fine",
        tools=[tables.csv_button("objectives")], sql=query,
    )  # fmt: skip
    return cards.grid([_verdict(view, of_model), card])


def _rank(one: slo.Slo, view: Scope) -> tuple[bool, float, str]:
    """Least budget first; what cannot be judged last."""
    left, unsure = one.row["budget_left"], mark(one, view).state == "unknown"
    return unsure or not words.known(left), left if words.known(left) else 0.0, one.row["slo_id"]


def _verdict(view: Scope, shown: Sequence[slo.Slo]) -> Any:
    """The one sentence: how many hold, and which budget ends first."""
    marks = [mark(s, view) for s in shown]
    unknown = sum(m.state == "unknown" for m in marks)
    met = sum(m.state == "ok" for m in marks)
    worst = (
        states.worst([m for m in marks if m.state != "unknown"])
        if unknown < len(shown)
        else Badge("unknown", "unknown")
    )
    text = (
        f"{met} of {len(shown) - unknown} objectives hold"
        if unknown < len(shown)
        else "No objective can be judged right now"
    )
    first = _soonest([s for s, m in zip(shown, marks, strict=True) if m.state != "unknown"])
    rest = f" {unknown} cannot be judged: too few events, too old, or not judged yet." if unknown else ""
    said: list[Any] = []
    if first is not None:
        said = [
            dcc.Link(first.name, href=view.link("/slos", id=first.row["slo_id"])),
            ": ",
            slo_words.outlook(first.row, view.now),
        ]
    elif unknown < len(shown):
        said = ["No budget ends while it is looked ahead."]
    return html.Section(
        [
            html.H1([html.Span(SIGNS[worst.state], className="sign", **cards.HIDDEN), text]),
            html.P([*said, html.Span(rest, className="dim")], className="verdict-line"),
        ],
        className=f"verdict {worst.state} span-12",
        role="status",
    )  # fmt: skip


def _soonest(shown: Sequence[slo.Slo]) -> slo.Slo | None:
    """The objective whose budget is spent, or ends first."""
    spent = [s for s in shown if words.known(s.row["budget_left"]) and s.row["budget_left"] <= 0]
    ends = [s for s in shown if s.row["exhausted_at"] is not None]
    if spent:
        return min(spent, key=lambda s: float(s.row["budget_left"]))
    return min(ends, key=lambda s: s.row["exhausted_at"]) if ends else None


def _filters(view: Scope, every: Sequence[slo.Slo], of_model: Sequence[slo.Slo], asked: str) -> Any:
    """Links by state, each with how many, and the models as a menu."""
    groups = [_group(mark(s, view)) for s in of_model]
    signs = {"spent": "ticket"}
    links = [_choice(view, "", f"all {len(groups)}", not asked, None)]
    links += [
        _choice(view, g, f"{g} {groups.count(g)}", asked == g, signs.get(g, g))
        for g in STATES
        if g in groups or g == asked
    ]
    models = sorted({s.row["model"] for s in every})
    button = html.Button([view.model or "all models", cards.icon("down")], className="pick", **cards.aria("Model"))
    items = [
        dmc.MenuItem(m or "all models", href=view.link("/slos", state=asked or None, model=m or None))
        for m in ["", *models]
    ]
    menu = dmc.Menu(
        [dmc.MenuTarget(button, boxWrapperProps={"className": "inline"}), dmc.MenuDropdown(items, mah=360, style={"overflowY": "auto"})],
        position="bottom-start", width=240,
    )  # fmt: skip
    return html.Div([*links, menu], className="slo-filters", role="group", **cards.aria("Filter by state and model"))


def _choice(view: Scope, state: str, label: str, on: bool, sign: str | None) -> Any:
    parts = [html.Span(SIGNS[sign], className=f"sign {sign}", **cards.HIDDEN)] if sign else []
    href = view.link("/slos", state=state or None, model=view.model or None)
    return dcc.Link([*parts, html.Span(label)], href=href, className="choice on" if on else "choice")


def _cells(one: slo.Slo, view: Scope) -> dict[str, Any]:
    row, badge = one.row, mark(one, view)
    sure = badge.state != "unknown"
    return {
        "state": badge.word, "id": row["slo_id"], "slo": one.title, "model": row["model"], "objective": row["objective"],
        "sli": row["sli"] if sure else None, "left": row["budget_left"] if sure else None,
        "low": row["budget_low"] if sure else None, "high": row["budget_high"] if sure else None,
        "burn": row["burn_1h"] if sure else None, "burn_6h": row["burn_6h"] if sure else None, "burn_3d": row["burn_3d"] if sure else None,
        "gone": slo_words.gone(row, view.now) if sure else words.UNKNOWN, "found": row["found_24h"], "total": row["total"],
    }  # fmt: skip


def _table(rows: Sequence[tables.Row]) -> Any:
    """Two lines a row: the objective and its model."""
    return tables.two_lines(tables.grid("objectives", rows, _columns(), height=720 if len(rows) > MOST_SHOWN else 0))


def _columns() -> list[tables.Column]:
    return [
        tables.Column("state", "State", "state", 96), tables.Column("id", "Objective", "slo", 170),
        tables.Column("left", "Budget left", "left", 152, "share of the error budget; the thin line is its 95 % interval"),
        tables.Column("sli", "Now of target", "promise", 152, "share of good requests, minutes, calls, ... in the period, of the share that is promised"),
        tables.Column("burn", "Burn 1h · 6h · 3d", "burns", 150, "times as fast as allowed: 1× spends the budget exactly in its period"),
        tables.Column("gone", "Gone", "said", 208, "when the budget is gone if things go on, with the 95 % interval"),
        tables.Column("found", "Finds", "times", 80, "smallest burn found within a day in nine of ten cases, at the present traffic"),
    ]  # fmt: skip


def _one(read: Reader, view: Scope, every: Sequence[slo.Slo], chosen: str) -> Any:
    back = dcc.Link("← all objectives", href=view.link("/slos"), className="sub span-12")
    one = next((s for s in every if s.row["slo_id"] == chosen), None)
    if one is None:
        none = cards.empty(
            f"There is no objective {chosen}", "It may have been renamed, or belong to another site.", 160
        )
        return cards.grid([back, cards.card("No such objective", none)])
    if one.row["judged_at"] is None:
        none = cards.empty(
            "It was not judged yet",
            f"It is judged every minute once its first {one.events} are summarised; Health tells what is heard.",
            200,
        )
        return cards.grid([back, _hero(one, view), cards.card("Error budget", none, mark=mark(one, view))])
    made = cards.gather(
        lambda: slo.budget_card(read, view, one, span=7), lambda: slo_burn.burn_card(view, one, span=5), lambda: _sees(view, one),
        lambda: slo_rows.alarms_card(read, view, one, span=7), lambda: differs.differs_card(read, view, one, span=12),
        lambda: slo_rows.requests_card(read, view, one), spans=(7, 5, 5, 7, 12, 12),
    )  # fmt: skip
    return cards.grid([back, _hero(one, view), *made])


def _hero(one: slo.Slo, view: Scope) -> Any:
    row = one.row
    promised = (
        f"{words.share(row['objective'])} of {one.events} over {slo_words.period(row)}"
        if words.known(row["objective"])
        else None
    )
    pairs = [
        ("promised", promised), ("measured", slo_words.measured(row)),
        (one.events, f"{words.count(row['total'])}, {words.count(row['bad'])} bad" if words.known(row["total"]) else None),
        ("good is", one.declared.get("says")), ("no data", slo_words.gaps(row)), ("bursts", f"{words.number(row['phi'], 2)} bad {one.events} at a time" if words.known(row["phi"]) else None),
        ("judged", f"{words.clock(row['judged_at'], view.now)} UTC" if row["judged_at"] else None),
    ]  # fmt: skip
    links: list[Any] = [
        dcc.Link(
            row["model"], href=view.link(f"/model/{quote(row['model'], safe='')}", slo=row["slo"]), className="choice"
        )
    ]
    if row["incident_id"] and row["since"]:
        said = f"open incident since {words.clock(row['since'], view.now)}"
        links.append(dcc.Link(said, href=view.link("/incidents", id=row["incident_id"]), className="choice"))
    title = html.H1([html.Span(one.title), cards.badge(mark(one, view)), *links])
    return html.Div([title, cards.facts([(k, v) for k, v in pairs if v])], className="hero span-12")


def _sees(view: Scope, one: slo.Slo) -> Any:
    """What its alarms can and cannot see, in words."""
    said = slo_words.blind(one.row, one.events)
    body = html.Div(
        [html.P(s) for s in said] + [html.P(slo_words.raised(one.events), className="sub")], className="sees"
    )
    return cards.card(
        "What its alarms can see", body, sub="at the traffic of the last day and hour, its bursts, and the declared false alarms",
        sql=[Query(slo.STATUS, {"model": one.row["model"]})], span=5,
    )  # fmt: skip
