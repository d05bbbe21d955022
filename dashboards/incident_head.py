"""The head of an incident's page: what, since when, how much, why, what to do, who has it, and its bundle.

Source: our own, after UX.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from dash import dcc, html

from dashboards import accepted, cards, explained, incident, pages, states, words
from dashboards.accepted import Accepted
from dashboards.cards import Badge, Query
from dashboards.incident import EXPLAINED, IMPACT, ONE, Explained, Row
from dashboards.palette import SIGNS
from dashboards.reader import Reader
from dashboards.scope import Scope

NARRATED: Final = """
select made_at, model, "text", refused from narration where incident_id = $id
"""


def evidence_span(row: Row, view: Scope) -> dict[str, str | None]:
    """From an hour before the onset until it ended, as the URL has it."""
    until = (row["resolved_at"] or view.now) + timedelta(minutes=10)
    return {"from": (row["since"] - timedelta(hours=1)).isoformat(), "to": until.isoformat(), "range": None}


def head(read: Reader, row: Row, told: Explained | None, view: Scope) -> Any:
    """The whole head."""
    is_open = row["state"] == "open"
    mark = states.severity_badge(row["severity"]) if is_open else Badge("unknown", "resolved")
    asked = incident.during(row, view.now)
    paid = read(IMPACT, asked).to_dicts()
    queries = [
        Query(ONE, {"id": row["incident_id"]}),
        Query(EXPLAINED, {"id": row["incident_id"]}),
        Query(IMPACT, asked),
    ]
    title = html.H1([html.Span(SIGNS[mark.state], className="sign", **cards.HIDDEN), row["summary"]])
    tools = html.Div([cards.source(queries), cards.badge(mark)], className="card-tools")
    body = [
        html.Div([_facts(row, paid, view, accepted.accepted(read, row["incident_id"])), _links(row, paid, view)], className="verdict-body"), _why(row, told, view),
        *_narrated(read, row, view),
    ]  # fmt: skip
    return html.Section([tools, title, *body], className=f"verdict {mark.state} span-12")


def _facts(row: Row, paid: Sequence[Row], view: Scope, normal: Accepted) -> Any:
    nats = f"{words.number(row['evidence_nats'])} nats" if words.known(row["evidence_nats"]) else None
    ended = f"{words.clock(row['resolved_at'], view.now)} UTC" if row["resolved_at"] else None
    untaken = normal.in_words(view.now) or ("nobody has taken it" if row["state"] == "open" else None)
    return cards.facts([
        ("model", incident.whose(row)), ("about", incident.about(row) or None), ("since", incident.since(row, view.now)), ("lasted", incident.lasted(row, view.now)), ("over since", ended),
        ("opened", f"{words.clock(row['opened_at'], view.now)} UTC"), ("how much", _strength(row, view)), ("evidence", nats),
        ("in hand", f"{row['taken_by']} has it" if row["taken_by"] else untaken), ("impact", _impact(row, paid, view)), ("what to do", normal.advice(row["suggestion"])),
    ])  # fmt: skip


def _strength(row: Row, view: Scope) -> Any:
    """Its effect, and when that was found: the title says the same, what follows may have looked later."""
    if not words.known(row["effect"]):
        return None
    return [incident.strength(row), " ", html.Span(incident.looked(row["said_at"], view.now), className="dim")]


def _impact(row: Row, paid: Sequence[Row], view: Scope) -> Any:
    """What it cost each objective, which leads to the objective's page; None where it is about none."""
    named = len(row["models"] or ()) > 1
    lines = [html.Div(_to_slo(incident.impact(r, named=named), r, view)) for r in paid]
    return lines or None


def _to_slo(said: str, paid: Row, view: Scope, look: str | None = None) -> Any:
    """Words that lead to an objective's page, where there is one."""
    if not pages.installed("slos"):
        return said
    return dcc.Link(said, href=view.link("/slos", id=f"{paid['model']}.{paid['slo']}"), className=look)


def _links(row: Row, paid: Sequence[Row], view: Scope) -> Any:
    path = "/gpu" if row["model"] == "site" else f"/model/{quote(row['model'], safe='')}"
    see = dcc.Link(
        "See the model" if row["model"] != "site" else "See the fleet",
        href=view.link(path, **evidence_span(row, view)),
        className="button",
    )
    bundle = html.A(
        "Bundle (.zip)", href=f"/incidents/{quote(row['incident_id'], safe='')}/bundle", className="button quiet",
        title="JSON, Parquet, a page and a text for a ticket; nothing that users wrote", download="",
    )  # fmt: skip
    mine = [r for r in paid if r["model"] == row["model"]][:1] if row["kind"] == "slo" else []
    objective = [_to_slo("See the objective", r, view, "button quiet") for r in mine if pages.installed("slos")]
    return html.Div([see, *objective, bundle], className="buttons")


def _why(row: Row, told: Explained | None, view: Scope) -> Any:
    """The words of its explanation; before there is one, the nearest signal."""
    lead = [html.Strong("Why"), cards.badge(explained.verdict(told))]
    whole = _whole(row, view)
    if told is None:
        near = incident.cause_of(row)
        said = f"Nearest signal: {near['note']}." if near else "No signal began within 30 min of the onset."
        return html.Div([html.Div(lead, className="lead"), html.P(said), *whole], className="why-text")
    lead.append(html.Span(incident.looked(told.changed_at, view.now), className="dim"))
    parts: list[Any] = [html.P(told.text), *whole]
    return html.Div([html.Div(lead, className="lead"), *parts], className="why-text")


def _whole(row: Row, view: Scope) -> list[Any]:
    """Where a part is told."""
    if not row["part_of"]:
        return []
    link = dcc.Link(row["part_of"], href=view.link("/incidents", id=row["part_of"]))
    return [html.P([f"Part of one incident with others ({incident.about(row) or 'one cause'}), told in ", link, "."])]


def _narrated(read: Reader, row: Row, view: Scope) -> list[Any]:
    """The words of a model, marked as such; nothing when none were asked for."""
    rows = read(NARRATED, {"id": row["incident_id"]}).to_dicts()
    return [_narration(rows[0], view)] if rows else []


def _narration(row: Mapping[str, Any], view: Scope) -> Any:
    at = html.Span(incident.looked(row["made_at"], view.now), className="dim")
    by = html.Span(f"written by {row['model']}", className="badge info")
    said = html.P(f"Not shown: {row['refused']}.", className="sub") if row["refused"] else html.P(row["text"])
    return html.Div([html.Div([html.Strong("In other words"), by, at], className="lead"), said], className="why-text")
