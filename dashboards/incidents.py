"""What happened, what is known, what was done? Every incident, and one of them with its timeline and evidence.

Source: our own, after UX.md. `?id=inc-...` opens one; alerts link to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from dash import dcc, html

from dashboards import cards, catalogue, feature, hand, ranking, states, tables, words
from dashboards.cards import Badge, Query
from dashboards.palette import SIGNS
from dashboards.reader import Reader, Value
from dashboards.scope import Scope, scope

PATH, TITLE, ICON, ORDER = "/incidents", "Incidents", "incident", 5
QUESTION = "What happened, what is known, what was done?"
SKELETON = ((12, 120), (12, 320))

LIST = """
select incident_id, kind, model, severity, state, since, opened_at, resolved_at, summary, effect, unit, cause::VARCHAR as cause, len(alerts) as alerts,
  (select arg_max(actor, ts) from command where verb = 'acknowledge' and object = incident_id and ts >= opened_at) as taken_by,
  (select max(m.until) from mute m where m.until > $now::TIMESTAMPTZ
    and (m.object in (incident_id, model, '*') or list_contains(incident.alerts, m.object))) as muted_until
from incident where (state = 'open' or opened_at >= $start::TIMESTAMPTZ) and ($model = '' or model = $model)
order by state <> 'open', case severity when 'page' then 0 when 'ticket' then 1 else 2 end, opened_at desc limit 500
"""
ONE = """
select incident_id, kind, model, severity, state, since, opened_at, resolved_at, summary, effect, unit, ci_low, ci_high, evidence_nats,
  cause::VARCHAR as cause, suggestion, alerts
from incident where incident_id = $id
"""
TIMELINE = """
with i as (select * from incident where incident_id = $id), near as (
  select since - interval 30 minutes as low, coalesce(resolved_at, since + interval 1 day) as high, model from i
), t as (
  select since as ts, 'onset' as kind, 'most likely start of the change' as words from i
  union all select opened_at, 'opened', severity || ': ' || summary from i
  union all select resolved_at, 'resolved', summary from i where resolved_at is not null
  union all select starts_at, 'alert', severity || ' on ' || subject || ': ' || summary from alert where incident_id = $id
  union all select ends_at, 'alert ends', subject from alert where incident_id = $id and ends_at is not null
  union all select c.ts, c.kind, coalesce(c.message, c.object_name, c.after, '') from change_event c, near n
    where c.ts between n.low and n.high and (c.model_id is null or c.model_id = n.model)
  union all select any_value(f.onset), 'signal', any_value(f.note) from finding f, near n
    where f.kind in ('gpu', 'queue') and f.onset between n.low and n.low + interval 40 minutes group by f.monitor_id, f.subject, f.onset
  union all select changed_at, 'action', kind || ' ' || target || coalesce(' ' || (parameters->>'from') || ' → ' || (parameters->>'to'), '') || ' (' || state || ', ' || replace(mode, '_', ' ') || ')' from action where incident_id = $id
  union all select tried_at, 'told', url || ': ' || coalesce(notice, '') || ' ' || state || coalesce(' (' || error || ')', '') from delivery where incident_id = $id
  union all select ts, 'person', verb || ' by ' || actor || coalesce(': ' || reason, '') from command where object = $id
)
select ts, kind, words from t order by ts, kind limit 200
"""
_STATE = {
    "onset": "info",
    "resolved": "ok",
    "alert ends": "ok",
    "xid": "ticket",
    "signal": "ticket",
}


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
        return cards.grid([cards.card("Incidents", none, sql=query), *letters])
    shown = [
        {"state": r["severity"] if r["state"] == "open" else "resolved", "id": r["incident_id"], "model": r["model"], "summary": r["summary"], "since": r["since"].isoformat(),
         "lasted": words.span((r["resolved_at"] or view.now) - r["since"]), "cause": json.loads(r["cause"])["note"] if r["cause"] else words.UNKNOWN, "alerts": r["alerts"],
         "handled": hand.in_words(r, view)}
        for r in rows
    ]  # fmt: skip
    columns = [
        tables.Column("state", "State", "state", 100), tables.Column("id", "Incident", "incident", 110), tables.Column("model", "Model", "model", 150), tables.Column("summary", "What", "", 300),
        tables.Column("handled", "In hand", "", 160), tables.Column("since", "Since (UTC)", "clock", 140), tables.Column("lasted", "Lasted", "", 90), tables.Column("cause", "Nearest signal", "", 200),
        tables.Column("alerts", "Alerts", "count", 70),
    ]  # fmt: skip
    opened = sum(r["state"] == "open" for r in rows)
    sub = f"{opened} open · {len(rows) - opened} resolved in the range"
    return cards.grid(
        [
            cards.card(
                "Incidents",
                tables.grid("incidents", shown, columns, height=min(640, 44 + tables.ROW_PX * len(shown))),
                sub=sub,
                tools=[tables.csv_button("incidents")],
                sql=query,
            ),
            *letters,
        ]
    )


def _one(read: Reader, view: Scope, chosen: str) -> Any:
    params: dict[str, Value] = {"id": chosen}
    rows = read(ONE, params).to_dicts()
    back = dcc.Link("← all incidents", href=view.link("/incidents"), className="sub span-12")
    if not rows:
        return cards.grid(
            [
                back,
                cards.card(
                    "No such incident",
                    cards.empty(f"There is no incident {chosen}", "It may belong to another site.", 160),
                ),
            ]
        )
    row = rows[0]
    return cards.grid(
        [
            back,
            _head(row, view),
            *cards.gather(
                lambda: hand.of_one(read, view, chosen),
                lambda: _drifting(read, view, row),
                lambda: _timeline(read, view, params),
            ),
        ]
    )


def _drifting(read: Reader, view: Scope, row: Mapping[str, Any]) -> Any:
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
    path, span = f"/model/{quote(row['model'], safe='')}", _span(row, view)

    def link(subject: str, watch: str) -> str:
        return view.link(path, **span, feature=subject, watch=watch)

    return ranking.card(view, [*members, *quiet], declared, queries, link, " in this incident")


def _span(row: Mapping[str, Any], view: Scope) -> dict[str, str | None]:
    """From an hour before the onset until it ended, as the URL has it."""
    until = (row["resolved_at"] or view.now) + timedelta(minutes=10)
    return {"from": (row["since"] - timedelta(hours=1)).isoformat(), "to": until.isoformat(), "range": None}


def _head(row: Mapping[str, Any], view: Scope) -> Any:
    mark = states.severity_badge(row["severity"]) if row["state"] == "open" else Badge("unknown", "resolved")
    cause = json.loads(row["cause"]) if row["cause"] else None
    until = row["resolved_at"] or view.now
    path = "/gpu" if row["model"] == "site" else f"/model/{quote(row['model'], safe='')}"
    strength = (
        f"{words.effect(row['effect'], row['unit'])} (95 %: {words.interval(row['ci_low'], row['ci_high'])})"
        if words.known(row["ci_low"])
        else words.effect(row["effect"], row["unit"])
    )
    lines = cards.facts([
        ("model", row["model"]), ("since", f"{words.clock(row['since'], view.now)} UTC"), ("lasted", words.span(until - row["since"])), ("opened", f"{words.clock(row['opened_at'], view.now)} UTC"),
        ("effect", strength), ("evidence", f"{words.number(row['evidence_nats'])} nats" if words.known(row["evidence_nats"]) else None),
        ("nearest signal", cause["note"] if cause else "none within 30 min of the onset"), ("suggested", row["suggestion"]),
    ])  # fmt: skip
    evidence = dcc.Link("See the evidence", href=view.link(path, **_span(row, view)), className="button")
    title = html.H1([html.Span(SIGNS[mark.state], className="sign"), row["summary"]])
    return html.Section(
        [
            html.Div(
                [cards.source([Query(ONE, {"id": row["incident_id"]})]), cards.badge(mark)], className="card-tools"
            ),
            title,
            html.Div([lines, evidence], className="verdict-body"),
        ],
        className=f"verdict {mark.state} span-12",
    )


def _sign(row: Mapping[str, Any]) -> str:
    """The state whose sign a line of the timeline carries; an alert's is its severity."""
    if row["kind"] in ("opened", "alert"):
        return states.severity_badge(str(row["words"]).split(" ", 1)[0].rstrip(":")).state
    return _STATE.get(row["kind"], "info")


def _timeline(read: Reader, view: Scope, params: Mapping[str, Value]) -> Any:
    rows = read(TIMELINE, params).to_dicts()
    items = []
    for row in rows:
        state = _sign(row)
        sign = html.Span(SIGNS[state], className=f"sign {state}", **cards.HIDDEN)
        items.append(
            html.Li(
                [
                    html.Span(words.clock(row["ts"], view.now), className="dim"),
                    sign,
                    html.Span(row["kind"], className="dim"),
                    html.Span(row["words"], className="text"),
                ]
            )
        )
    sub = "UTC · from 30 min before the onset: alerts, changes, signals, actions, people"
    return cards.card("Timeline", html.Ul(items, className="timeline"), sub=sub, sql=[Query(TIMELINE, params)])
