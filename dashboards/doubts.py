"""The telemetry doctor: what is wrong, missing or contradictory in what sources send, and what to do about it.

Source: our own, after SOURCES sections 1.3 and 6; view `telemetry_doubt`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
from dash import html

from dashboards import cards, words
from dashboards.cards import Badge, Query
from dashboards.scope import Scope

DOUBTS = """
select level, source, what, n, "of", since, why, todo from telemetry_doubt order by level, n desc nulls last, source, what limit 100
"""
_MOST: Final = 30  # shown; the rest is a query away


def card(found: pl.DataFrame, view: Scope) -> Any:
    """Everything that is doubtful, doubts before hints."""
    title, sub = "Telemetry doctor", "contradictions and gaps in the rows of the last hour"
    if found.is_empty():
        none = cards.empty(
            "Nothing doubtful in the rows of the last hour",
            "No stuck counters, blanks, double tellings, unknown costs or clocks ahead.",
            140,
        )
        return cards.card(title, none, sub=sub, sql=[Query(DOUBTS)])
    rows = [_row(r, view) for r in found.head(_MOST).iter_rows(named=True)]
    more = [html.P(f"and {found.height - _MOST} more: see SQL", className="sub")] if found.height > _MOST else []
    n = found.filter(pl.col("level") == "doubt").height
    mark = Badge("ticket", f"{n} {'doubt' if n == 1 else 'doubts'}") if n else Badge("info", "hints")
    return cards.card(title, html.Ul(rows, className="doubts"), *more, sub=sub, mark=mark, sql=[Query(DOUBTS)])


def _row(row: Mapping[str, Any], view: Scope) -> Any:
    mark = Badge("ticket", "doubt") if row["level"] == "doubt" else Badge("info", "hint")
    since = f"since {words.clock(row['since'], view.now)}" if row["since"] else ""
    seen = " · ".join(t for t in (_many(row), since) if t)
    what = [html.Strong(row["source"]), html.Span(f" {row['what']}"), html.Span(f" {seen}", className="dim")]
    return html.Li(
        [
            cards.badge(mark),
            html.Div([html.P(what, className="what"), html.P(row["why"], className="sub")]),
            html.P([html.Span("do ", className="dim"), row["todo"]], className="todo"),
        ]
    )


def _many(row: Mapping[str, Any]) -> str:
    if row["n"] is None:
        return ""
    return f"{words.count(row['n'])} of {words.count(row['of'])}" if row["of"] else words.count(row["n"])
