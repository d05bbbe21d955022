"""What happened, what is known, what was done? Every incident, and one of them with its timeline and evidence.

Source: our own, after UX.md. `?id=inc-...` opens one; alerts link to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from dash import dcc, html

from dashboards import (
    aftermath,
    cards,
    catalogue,
    explained,
    feature,
    hand,
    incident,
    incident_head,
    incident_members,
    proof,
    ranking,
    states,
    story,
    story_figure,
    tables,
    words,
)
from dashboards.cards import Query
from dashboards.incident import Explained, Row
from dashboards.palette import SIGNS
from dashboards.reader import Reader, Value
from dashboards.scope import Scope, everywhere, scope

PATH, TITLE, ICON, ORDER = "/incidents", "Incidents", "incident", 5
QUESTION = "What happened, what is known, what was done?"
SKELETON = ((12, 120), (12, 320))
MOST: Final = 500  # incidents of one list

LIST: Final = f"""
select incident_id, kind, model, severity, state, since, opened_at, resolved_at, summary, effect, unit, cause::VARCHAR as cause, alerts, models,
  incident.about::VARCHAR as about,
  (select arg_max(actor, ts) from command where verb = 'acknowledge' and object = incident_id and ts >= opened_at) as taken_by,
  verdict, e.causes->0->>'note' as likely, (e.causes->0->>'score')::DOUBLE as score, e."text" as told
from incident left join explanation e using (incident_id) where part_of is null and (state = 'open' or opened_at >= $start::TIMESTAMPTZ)
  and ($model = '' or model = $model or list_contains(models, $model))
order by state <> 'open', case severity when 'page' then 0 when 'ticket' then 1 else 2 end, opened_at desc, incident_id limit {MOST}
"""
_STATE: Final = {"onset": "info", "resolved": "ok", "alert ends": "ok", "xid": "ticket", "signal": "ticket"}


def page(read: Reader, params: Mapping[str, str]) -> Any:
    """The list, or the incident that `id` names."""
    view = scope(params)
    chosen = params.get("id", "")
    return _one(read, view, chosen) if chosen else _list(read, view)


def _list(read: Reader, view: Scope) -> Any:
    rows = read(LIST, view.params).to_dicts()
    query = [Query(LIST, view.params)]
    letters = hand.undelivered(read)
    if not rows:
        none = cards.empty(
            "No incident in this range",
            "An incident opens when a finding spends some of the declared false-alarm budget.",
            240,
        )
        return cards.grid([cards.card("Incidents", none, sub=everywhere(view) or None, sql=query), *letters])
    shown, columns = listed(rows, hand.muted_until(read, rows, view), view)
    opened = sum(r["state"] == "open" for r in rows)
    sub = " · ".join(filter(None, [f"{opened} open", f"{len(rows) - opened} resolved in the range", everywhere(view)]))
    if len(rows) == MOST:
        sub += f" · the first {MOST} only: choose a shorter range or a model"
    height = min(680, 44 + tables.TALL_PX * len(shown))
    table = tables.two_lines(tables.grid("incidents", shown, columns, height=height))
    tools = [tables.csv_button("incidents")]
    return cards.grid([cards.card("Incidents", table, sub=sub, tools=tools, sql=query), *letters])


def listed(
    rows: Sequence[Row], muted: Mapping[str, datetime], view: Scope
) -> tuple[list[dict[str, Any]], list[tables.Column]]:
    """The rows of the list and its columns; who has one in hand is a column only where somebody has."""
    shown = [
        {"state": r["severity"] if r["state"] == "open" else "resolved", "id": r["incident_id"], "model": incident.whose(r), "summary": _what(r),
         "since": r["since"].isoformat(), "lasted": ((r["resolved_at"] or view.now) - r["since"]).total_seconds(),
         **dict(zip(("cause", "cause_more", "told"), _why(r), strict=True)),
         "handled": hand.in_words({**r, "muted_until": muted.get(r["incident_id"])}, view)}
        for r in rows
    ]  # fmt: skip
    handled = [tables.Column("handled", "In hand", "", 112)] if any(s["handled"] for s in shown) else []
    columns = [  # the link stands where a narrow window still shows it
        tables.Column("state", "State", "state", 112), tables.Column("summary", "What", "happened", 240),
        tables.Column("model", "Model", "model", 135), tables.Column("since", "Since (UTC)", "clock", 142), tables.Column("lasted", "Lasted", "span", 104),
        *handled, tables.Column("cause", "Why", "said", 210, tip="told"), tables.Column("id", "ID", "incident", 104),
    ]  # fmt: skip
    return shown, columns


def _what(row: Row) -> str:
    """What happened, and to what where several models share it."""
    shared = incident.about(row) if len(row["models"] or ()) > 1 else ""
    return f"{row['summary']} ({shared})" if shared else str(row["summary"])


def _why(row: Row) -> tuple[str, str, str]:
    """Why, as far as is known: in a few words, what that rests on, and the sentences of its explanation."""
    near, told = incident.cause_of(row), row["told"]
    if not row["verdict"]:
        first = "not yet explained" if row["state"] == "open" else words.UNKNOWN
        return (str(near["note"]), f"nearest signal, {first}", str(near["note"])) if near else (first, "", first)
    sure = words.share(row["score"], 0) if words.known(row["score"]) else ""
    if row["verdict"] == "cause" and row["likely"]:
        return str(row["likely"]), f"likely cause, {sure}", told
    nearest = f"nearest, {sure}: {row['likely']}" if row["likely"] else explained.SEEN[row["verdict"]]
    return explained.said(row["verdict"]), nearest, told


def _one(read: Reader, view: Scope, chosen: str) -> Any:
    row = incident.found(read, chosen)
    back = dcc.Link("← all incidents", href=view.link("/incidents"), className="sub span-12")
    if row is None:
        none = cards.empty(f"There is no incident {chosen}", "It may belong to another site.", 160)
        return cards.grid([back, cards.card("No such incident", none)])
    told = incident.explained(read, chosen)
    return cards.grid([back, *_known(read, view, row, told), *_handled(read, view, chosen, told)])


def _known(read: Reader, view: Scope, row: Row, told: Explained | None) -> list[Any]:
    """What is known: head, timeline, causes, differences, evidence."""
    chosen = row["incident_id"]
    return cards.gather(
        lambda: incident_head.head(read, row, told, view),
        lambda: incident_members.card(read, row, view),
        lambda: hand.of_one(read, view, chosen),
        lambda: _timeline(read, view, row),
        lambda: explained.causes_card(told, chosen, view),
        lambda: explained.differs_card(told, chosen),
        lambda: _drifting(read, view, row),
        lambda: proof.card(read, row, view),
        spans=(12, 12, 12, 12, 7, 5, 12, 12),
    )


def _handled(read: Reader, view: Scope, chosen: str, told: Explained | None) -> list[Any]:
    """What was done: by people, by loops, in the past; and step by step."""
    wide = told is None or not told.similar
    return cards.gather(
        lambda: aftermath.said_card(read, view, chosen),
        lambda: aftermath.told_card(read, view, chosen),
        lambda: aftermath.done_card(read, view, chosen, 12 if wide else 7),
        lambda: explained.similar_card(told, chosen, view),
        lambda: _steps(read, view, {"id": chosen}),
        spans=(7, 5, 7, 5, 12),
    )


def _timeline(read: Reader, view: Scope, row: Row) -> Any:
    held = story.told(read, row, view.now)
    title, sub = "Timeline", "UTC, one axis for all · shaded: the incident; amber: where its onset may lie"
    if not held.lanes and not held.events:
        none = cards.empty("Nothing is kept of that time any more", "Raw rows leave after `store.retain`.", 160)
        return cards.card(title, none, sub=sub, sql=held.queries)
    figure = story_figure.drawn(held, view.theme)
    label = f"Timeline of {row['incident_id']}: {', '.join(lane.title for lane in held.lanes)}, and {len(held.events)} events"
    return cards.card(title, cards.graph(figure, story_figure.height(held), label), sub=sub, sql=held.queries)


def _drifting(read: Reader, view: Scope, row: Row) -> Any:
    """Which features are behind it, for an incident of a model; None where no drift is."""
    end = row["resolved_at"] or view.now
    around: dict[str, Value] = {"id": row["incident_id"], "opened": row["opened_at"], "end": end, "model": row["model"]}
    members = read(ranking.INCIDENT, around).to_dicts()
    if not members:
        return None
    mine = {m["monitor_id"] for m in members}
    others = [d for d in read(feature.NEWEST, around).to_dicts() if d["monitor_id"] not in mine]
    declared = catalogue.catalogue(read).models.get(row["model"], {}).get("drift")
    queries = [Query(ranking.INCIDENT, around), Query(feature.NEWEST, around)]
    quiet = [{**d, "state": "ok"} if d["state"] == "alarm" else d for d in others]
    path, span = f"/model/{quote(row['model'], safe='')}", incident_head.evidence_span(row, view)

    def link(subject: str, watch: str) -> str:
        return view.link(path, **span, feature=subject, watch=watch)

    return ranking.card(view, [*members, *quiet], declared, queries, link, " in this incident")


def _sign(row: Row) -> str:
    """The state whose sign a line of the steps carries; an alert's is its severity."""
    if row["kind"] in ("opened", "alert"):
        return states.severity_badge(str(row["words"]).split(" ", 1)[0].rstrip(":")).state
    return _STATE.get(row["kind"], "info")


def _steps(read: Reader, view: Scope, params: Mapping[str, Value]) -> Any:
    rows = read(incident.STEPS, params).to_dicts()
    items = [
        html.Li(
            [
                html.Span(words.clock(row["ts"], view.now), className="dim"),
                html.Span(SIGNS[_sign(row)], className=f"sign {_sign(row)}", **cards.HIDDEN),
                html.Span(row["kind"], className="dim"),
                html.Span(row["words"], className="text"),
            ]
        )
        for row in rows
    ]
    sub = "UTC · from 30 min before the onset: alerts, changes, signals, actions, people"
    return cards.card(
        "Step by step", html.Ul(items, className="timeline"), sub=sub, sql=[Query(incident.STEPS, params)]
    )
