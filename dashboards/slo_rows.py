"""The alarms of one objective, with their incidents, and the newest requests that broke it.

Source: our own; a row of `request` is a request with all its tries.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from dash import dcc, html

from dashboards import burndown, cards, slo, slo_words, states, tables, words
from dashboards.cards import Badge, Query
from dashboards.palette import SIGNS
from dashboards.reader import Reader
from dashboards.scope import Scope

BAD: Final = """
select ts, request_id, status, error_kind, http_status, ttft_s, duration_s, tokens_in, tokens_out, attempts, team_id, deployment_id, cluster
from request
where model_id = $model and ts >= $from::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and status <> 'cancelled' and {bad} and ($cluster = '' or cluster = $cluster)
order by ts desc limit 50
"""
LONGEST: Final = timedelta(hours=6)  # requests are folded from their tries: of a longer range the newest


def alarms_card(read: Reader, view: Scope, one: slo.Slo, span: int = 5) -> Any:
    """Every alarm of the objective's period, the newest first, each leading to its incident."""
    asked = {**burndown.params(one.measure, one.row, view.end), "model": one.row["model"], "slo": one.row["slo"]}
    rows = read(burndown.ALARMS, asked).to_dicts()
    sql = [Query(burndown.ALARMS, asked)]
    title, sub = "Alarms of this period", f"in {slo_words.period(one.row)}"
    if not rows:
        none = cards.empty("No alarm in this period", "What its alarms can see stands beside.", 120)
        return cards.card(title, none, sub=sub, sql=sql, span=span)
    return cards.card(
        title, html.Ul([_alarm(r, view) for r in rows[:8]], className="alarms"), sub=sub, sql=sql, span=span
    )


def _alarm(row: dict[str, Any], view: Scope) -> Any:
    mark = states.severity_badge(row["severity"]) if row["state"] == "firing" else Badge("unknown", "resolved")
    lasted = words.span(max(0.0, row["ended"] - row["started"]))
    link = dcc.Link(row["summary"], href=view.link("/incidents", id=row["incident_id"]))
    when = burndown.moment(row["started"])
    return html.Li(
        [
            html.Span(SIGNS[mark.state], className=f"sign {mark.state}", title=mark.word),
            html.Span(
                [link, html.Span(f" {words.clock(when, view.now)} UTC · {lasted}", className="dim")], className="text"
            ),
        ]
    )


def requests_card(read: Reader, view: Scope, one: slo.Slo, span: int = 12) -> Any:
    """The newest requests that broke the objective; prompts are never shown."""
    title = "Newest bad requests"
    if one.bad is None:
        return None
    asked = {**view.params, "model": one.row["model"], "from": max(view.start, view.end - LONGEST)}
    sql = BAD.replace("{bad}", f"({one.bad})")
    rows = read(sql, asked).to_dicts()
    query = [Query(sql, asked)]
    if not rows:
        none = cards.empty("No bad request in the range", "The newest six hours of the range are looked at.", 120)
        return cards.card(title, none, sub=one.name, sql=query, span=span)
    shown = [{**r, "ts": r["ts"].isoformat()} for r in rows]
    columns = [
        tables.Column("ts", "Ended (UTC)", "clock", 140), tables.Column("status", "Status", "", 90), tables.Column("error_kind", "Error", "", 120),
        tables.Column("ttft_s", "TTFT", "seconds", 90), tables.Column("duration_s", "Took", "seconds", 90), tables.Column("tokens_in", "In (tok)", "count", 90),
        tables.Column("tokens_out", "Out (tok)", "count", 90), tables.Column("attempts", "Tries", "count", 80), tables.Column("team_id", "Team", "", 100),
        tables.Column("deployment_id", "Deployment", "", 140), tables.Column("request_id", "Request", "", 180),
    ]  # fmt: skip
    kept = [c for c in columns if any(r[c.name] is not None for r in shown)]
    body = tables.grid("bad-requests", shown, kept, height=min(420, 44 + tables.ROW_PX * len(shown)))
    sub = f"{one.name} · the newest {len(rows)} of the last {words.span(asked['end'] - asked['from'])}"
    return cards.card(title, body, sub=sub, tools=[tables.csv_button("bad-requests")], sql=query, span=span)
