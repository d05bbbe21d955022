"""Why an incident happened, drawn: ranked causes with their reasons, what differs, what was alike before.

Source: our own, after UX.md; the numbers are those of view `explanation`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from dash import dcc, html

from dashboards import cards, differs, words
from dashboards.cards import Badge, Query
from dashboards.incident import EXPLAINED, Explained, Row, looked
from dashboards.scope import Scope

VERDICTS: Final = {
    "cause": Badge("info", "likely cause"),
    "no clear cause": Badge("unknown", "no clear cause"),
    "too little": Badge("unknown", "no clear cause: too little evidence"),
}
SEEN: Final = {"no clear cause": "no change, no signal near it", "too little": "no signal near it, few bad requests"}
LOOKED: Final = {
    "no clear cause": "Changes near its onset, and GPUs, queues, providers, traffic and logs, were looked at: nothing began there.",
    "too little": (
        "Changes near its onset, and GPUs, queues, providers, traffic and logs, were looked at: nothing began there. "
        "Fewer than 10 bad requests are known, too few to compare. It is looked at again while it is open."
    ),
}
SHOWN: Final = 6
NOTE: Final = "A score says how well a signal fits in time, place and share, against the others and “none of these”: correlation, no proof."


def verdict(told: Explained | None) -> Badge:
    """The verdict as people see it."""
    return VERDICTS.get(told.verdict, Badge("unknown", told.verdict)) if told else Badge("unknown", "not yet explained")


def said(named: str) -> str:
    """A verdict as it is stored, in words."""
    return VERDICTS[named].word if named in VERDICTS else named


def at(text: object) -> datetime | None:
    """An instant of a JSON list; None where it is not one."""
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def causes_card(told: Explained | None, incident_id: str, view: Scope, span: int = 7) -> Any:
    """The signals that may explain it, the likeliest first."""
    title, query = "Likely causes", [Query(EXPLAINED, {"id": incident_id})]
    if told is None:
        none = cards.empty(
            "Not yet explained", "It is explained within minutes of its opening, once enough rows are summarised.", 160
        )
        return cards.card(title, none, sql=query, span=span)
    if not told.causes:
        none = cards.empty(said(told.verdict).capitalize(), LOOKED.get(told.verdict, ""), 160)
        return cards.card(title, none, mark=Badge("unknown", "no clear cause"), sql=query, span=span)
    items = [_cause(i + 1, c, view) for i, c in enumerate(told.causes[:SHOWN])]
    if words.known(told.unexplained):
        rest: Row = {"kind": "", "note": "none of these", "score": told.unexplained, "why": [], "onset": None}
        items.append(_cause(None, rest, view))
    more = len(told.causes) - SHOWN
    legend = NOTE + (f" {more} more in SQL." if more > 0 else "")
    return cards.card(
        title, html.Ol(items, className="causes"), html.P(legend, className="legend"), mark=verdict(told), sql=query, span=span,
        sub=looked(told.changed_at, view.now),
    )  # fmt: skip


def _cause(rank: int | None, cause: Row, view: Scope) -> Any:
    score = float(cause.get("score") or 0.0)
    onset = at(cause.get("onset"))
    when = f" · {words.clock(onset, view.now)}" if onset else ""
    reasons = [str(w) for w in cause.get("why") or ()]
    bar = html.Div(
        html.Div(className="bar seen", style={"width": f"{min(1.0, max(0.0, score)) * 100:.0f}%"}), className="track"
    )
    said = html.Strong(str(cause.get("note") or cause.get("subject") or ""))
    what = [said, html.Span(f"{cause.get('kind') or ''}{when}".strip(" ·"), className="dim")]
    number = html.Div([bar, html.Span(words.share(score, 0))], className="score")
    why = html.Ul([html.Li(r) for r in reasons], className="why") if reasons else None
    return html.Li([html.Span(str(rank or "–"), className="rank"), html.Div(what, className="what"), number, why])


def differs_card(told: Explained | None, incident_id: str, span: int = 5) -> Any:
    """What bad requests share that good ones do not."""
    title, sub = "What differs in the bad requests?", "share among bad against share among good, since the onset"
    query = [Query(EXPLAINED, {"id": incident_id})]
    if told is None or not told.differs:
        why = "Not yet explained" if told is None else "Nothing stands out"
        hint = (
            "No value is clearly more common among bad requests after correction for all that were looked at; only objectives about requests have any."
            if told
            else ""
        )
        return cards.card(title, cards.empty(why, hint, 160), sub=sub, sql=query, span=span)
    rows = [differs.difference(d) for d in map(difference, told.differs[:SHOWN])]
    first = told.differs[0]
    legend: list[Any] = [
        html.Span(className="key bad"), f"of {words.count(first['bad_total'])} bad", html.Span(className="key good"),
        f"of {words.count(first['good_total'])} good requests · bounds and p corrected for everything compared",
    ]  # fmt: skip
    body = html.Div(rows, className="differs")
    return cards.card(title, body, html.P(legend, className="legend"), sub=sub, sql=query, span=span)


def difference(row: Row) -> dict[str, Any]:
    """An entry of `differs` as the bars show it: shares 0-1."""
    bad, good = (
        float(row["bad"]) / max(float(row["bad_total"]), 1.0),
        float(row["good"]) / max(float(row["good_total"]), 1.0),
    )
    return {
        "dimension": str(row["dimension"]), "level": str(row["value"]), "share_bad": bad, "share_good": good, "all_good": row["good_total"],
        "lift": row["lift"], "lift_low": row["low"], "p": row.get("p_adjusted"),
    }  # fmt: skip


def similar_card(told: Explained | None, incident_id: str, view: Scope, span: int = 5) -> Any:
    """Incidents of the past that were alike, and what ended them; None when there are none."""
    if told is None or not told.similar:
        return None
    lines = []
    for past in told.similar[:SHOWN]:
        name = str(past["incident_id"])
        facts = [
            ("alike", words.share(float(past.get("score") or 0.0), 0)), ("cause then", _text(past.get("cause"))),
            ("over after", words.span(float(past["resolved_after_s"])) if words.known(past.get("resolved_after_s")) else None),
            ("helped", _text(past.get("helped"))),
        ]  # fmt: skip
        link = dcc.Link(str(past.get("summary") or name), href=view.link("/incidents", id=name))
        lines.append(
            html.Li([html.Div([link, html.Span(name, className="dim")], className="lead"), cards.facts(facts)])
        )
    sub = "the most alike first"
    query = [Query(EXPLAINED, {"id": incident_id})]
    return cards.card("Seen before", html.Ul(lines, className="reports"), sub=sub, sql=query, span=span)


def _text(value: object) -> str | None:
    """A cause or a remedy as one line, whether it is told as text or as a signal."""
    if isinstance(value, dict):
        value = value.get("note") or value.get("subject")
    return str(value) if value not in (None, "") else None
