"""The detectors themselves: how far each has judged, what it says, and false alarms seen against declared.

Source: our own, after UX.md and METHODS section 1.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from dash import html

from dashboards import cards, tables, words
from dashboards.cards import Badge, Query
from dashboards.reader import Reader
from dashboards.scope import Scope

DETECTORS = """
with newest as (
  select detector, monitor_id, state, window_end from finding
  where window_end > $now::TIMESTAMPTZ - interval 2 days
  qualify row_number() over (partition by monitor_id order by window_end desc) = 1
), judged as (
  select split_part(key, '/', 2) as detector, max(judged_until) as until from core.state where judged_until is not null group by 1
)
select detector, count(*) as monitors, coalesce(any_value(judged.until), max(window_end)) as until, count(*) filter (state = 'ok') as quiet,
  count(*) filter (state in ('alarm', 'inform_only')) as alarms, count(*) filter (state not in ('ok', 'alarm', 'inform_only')) as unsure
from newest left join judged using (detector) group by 1 order by 1
"""
BUDGET = "select severity, declared, period_s, notified, false_marked, spent from alarm_budget order by severity"
LATE: Final[Mapping[str, timedelta]] = {"level": timedelta(hours=3)}  # others judge every few minutes
_LATE: Final = timedelta(minutes=20)


def detectors(read: Reader, view: Scope) -> Any:
    """How far each detector has judged, and what it said last."""
    frame = read(DETECTORS, view.params)
    title, query = "Detectors", [Query(DETECTORS, view.params)]
    if frame.is_empty():
        none = cards.empty(
            "Nothing has been judged yet",
            "Declare `slos:` or `drift:` in a model's file; sources are judged by themselves.",
            160,
        )
        return cards.card(title, none, sql=query, span=8)
    rows = [_row(r, view) for r in frame.iter_rows(named=True)]
    columns = [
        tables.Column("state", "State", "state", 90), tables.Column("detector", "Detector", "", 110), tables.Column("age", "Judged up to", "span", 110, "ago"),
        tables.Column("monitors", "Questions", "count", 95), tables.Column("quiet", "Quiet", "count", 80), tables.Column("alarms", "Alarms", "count", 80),
        tables.Column("unsure", "Cannot say", "count", 100, "too few rows, still learning, or not identifiable"),
    ]  # fmt: skip
    grid = tables.grid("detectors", rows, columns)
    return cards.card(title, grid, sub="the newest finding of each question of the last two days", sql=query, span=8)


def _row(row: Mapping[str, Any], view: Scope) -> Mapping[str, Any]:
    late = view.now - row["until"] > LATE.get(row["detector"], _LATE)
    return {
        **row,
        "until": None,
        "age": max(0.0, (view.now - row["until"]).total_seconds()),
        "state": "stale" if late else "ok",
    }


def budget(read: Reader, fresh: bool) -> Any:
    """How many alarms were sent and how many were false, against what the site declares; `fresh` while that is kept up."""
    frame = read(BUDGET)
    title, query = "False alarms", [Query(BUDGET)]
    if frame.is_empty():
        return cards.card(
            title,
            cards.empty("No budget is declared", "Write `falseAlarms:` in the site's configuration.", 160),
            sql=query,
            span=4,
        )
    rows = [_severity(r, fresh) for r in frame.iter_rows(named=True)]
    note = html.P(
        "A person marks an incident as a false alarm; the rest may be right or not looked at.", className="sub"
    )
    return cards.card(
        title,
        html.Div(rows, className="stack"),
        note,
        sub="seen against declared, in the last period",
        sql=query,
        span=4,
    )


def _severity(row: Mapping[str, Any], fresh: bool) -> Any:
    over = row["false_marked"] > row["declared"]
    mark = Badge(row["severity"], "over") if over else Badge("ok", "within") if fresh else Badge("unknown", "stale")
    marked, spent = words.count(row["false_marked"]), words.count(row["notified"])
    share = min(1.0, row["false_marked"] / row["declared"]) if row["declared"] else 0.0
    bar = html.Div(
        html.Div(className="bar bad" if over else "bar seen", style={"width": f"{share:.0%}"}), className="track"
    )
    return html.Div(
        [
            html.Div([html.Strong(row["severity"]), cards.badge(mark)], className="lead"),
            html.P(
                f"{marked} marked false of {words.count(row['declared'])} declared per {words.span(row['period_s'])}"
            ),
            bar,
            html.P(f"{spent} {'incident' if row['notified'] == 1 else 'incidents'} notified", className="sub"),
        ],
        className="budget-row",
    )
