"""How a correlation or a share went over time, beside what was expected of it, with the onset of a change.

Source: METHODS sections 3 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from dashboards import cards, changes, figures, moved
from dashboards.cards import Query
from dashboards.compared import compared
from dashboards.palette import faint, palette
from dashboards.reader import Reader, Value
from dashboards.scope import Scope

CORRELATION = """
with f as (
  select window_end, (details->>'score')::DOUBLE as value, ci_low, ci_high,
    coalesce((details->>'correlation_from')::DOUBLE, (details->>'score')::DOUBLE - (details->>'delta_sigma')::DOUBLE) as expected
  from finding where monitor_id = $monitor and window_end > $start::TIMESTAMPTZ and window_end <= $end::TIMESTAMPTZ
)
select (floor((epoch(window_end) - 1) / $bucket) * $bucket)::DOUBLE as epoch, avg(value)::DOUBLE as value, avg(expected)::DOUBLE as expected,
  avg(expected + ci_low)::DOUBLE as low, avg(expected + ci_high)::DOUBLE as high
from f group by 1 order by 1
"""
SHARE = """
select (floor((epoch(window_end) - 1) / $bucket) * $bucket)::DOUBLE as epoch, (sum((details->>'events')::DOUBLE) / nullif(sum(n), 0))::DOUBLE as value,
  avg(coalesce((details->>'share_expected')::DOUBLE, (details->>'share_from')::DOUBLE))::DOUBLE as expected, null::DOUBLE as low, null::DOUBLE as high
from finding where monitor_id = $monitor and window_end > $start::TIMESTAMPTZ and window_end <= $end::TIMESTAMPTZ
group by 1 order by 1
"""
CLEAR = "rgba(0,0,0,0)"  # the edges of a band


def course_card(read: Reader, view: Scope, model: str, finding: Mapping[str, Any], span: int = 6) -> Any:
    """The course of a pair's correlation, or of a share that is counted as a rate."""
    share = finding["detector"] == "rate"
    sql = SHARE if share else CORRELATION
    params: dict[str, Value] = {**view.params, "monitor": str(finding["monitor_id"])}
    frame, query = read(sql, params), Query(sql, params)
    what = "share of rows" if share else "correlation of normal scores"
    title = "Share over time" if share else "Correlation over time"
    sub = f"{what}, dashed = expected" + ("" if share else ", band = 95 % interval")
    drawn = frame.filter(pl.col("value").is_finite())
    if drawn.height < 2:
        none = cards.empty(
            "Not judged often enough yet",
            "A point is drawn for every judged window; of a long range for many together: choose a shorter one.",
            260,
        )
        return cards.card(title, none, sub=sub, sql=[query], span=span)
    marked = changes.read_changes(read, view, model, changes.NEAR_DATA)
    with_ = compared(read, view, model, str(finding["subject"]).replace(" × ", "*"))
    figure = with_.drawn(course_figure(drawn, view, finding, marked), view)
    label = f"{title}: {finding['subject']}, {moved.name(finding)}"
    return cards.card(
        title, cards.graph(figure, 326, label, brush="effect"), sub=sub, sql=[query, with_.query], span=span
    )


def course_figure(frame: pl.DataFrame, view: Scope, finding: Mapping[str, Any], marked: pl.DataFrame) -> figures.Figure:
    """Line, band where one is known, what was expected, and when the change began."""
    p, share = palette(view.theme), finding["detector"] == "rate"
    shapes, notes = figures.marks(marked, p, view.start, view.end)
    colour = p.ticket if moved.since(finding) else p.series[0]
    x = figures.instants(frame["epoch"] + view.bucket_s / 2)
    hover = ("%{y:.2%}" if share else "%{y:.2f}") + " at %{x|%H:%M}<extra></extra>"
    data = [
        *(band(x, frame, colour) if frame["low"].is_not_null().any() else []),
        figures.line(x, figures.typed(frame["expected"]), "expected", p.dim, dash="dash", width=1.5, hoverinfo="skip"),
        figures.line(x, figures.typed(frame["value"]), "seen", colour, hovertemplate=hover),
    ]
    yaxis = {"nticks": 6, "tickformat": ".2~%" if share else ".2~f", **({"rangemode": "tozero"} if share else {})}
    return figures.figure(
        data, view.theme, xaxis=figures.time_axis(view.start, view.end), yaxis=yaxis,
        shapes=[*shapes, *onset_shapes(finding, p.ticket)], annotations=[*notes, *onset_notes(finding, p.ticket)],
        margin=figures.margins(46, 10, 8, 34), showlegend=False,
    )  # fmt: skip


def band(x: Any, frame: pl.DataFrame, colour: str) -> list[figures.Trace]:
    """The area between columns `low` and `high`."""
    edge = {"hoverinfo": "skip", "width": 0}
    low = figures.line(x, figures.typed(frame["low"]), "low", CLEAR, **edge)
    filled = {"fill": "tonexty", "fillcolor": faint(colour, 0.22)}
    return [low, figures.line(x, figures.typed(frame["high"]), "high", CLEAR, **filled, **edge)]


def onset_shapes(finding: Mapping[str, Any], colour: str) -> list[figures.Trace]:
    """When a change most likely began, as a line in the span it may have begun in; nothing where none is told."""
    if moved.since(finding) is None:
        return []
    low, high = (figures.millis(finding[k] or finding["onset"]) for k in ("onset_low", "onset_high"))
    span = {
        "type": "rect", "x0": low, "x1": high, "y0": 0, "y1": 1, "yref": "paper", "fillcolor": faint(colour, 0.18), "line": {"width": 0}, "layer": "below",
    }  # fmt: skip
    return [span, figures.vertical(figures.millis(finding["onset"]), colour)]


def onset_notes(finding: Mapping[str, Any], colour: str) -> list[figures.Trace]:
    """The word beside that line."""
    if moved.since(finding) is None:
        return []
    return [{
        "x": figures.millis(finding["onset"]), "y": 0, "yref": "paper", "yanchor": "bottom", "xanchor": "right", "xshift": -4, "showarrow": False,
        "text": "onset", "font": {"size": 10.5, "color": colour},
    }]  # fmt: skip
