"""How far one feature is from its reference over time, with its interval and what counts as material.

Source: METHODS sections 2 to 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from dashboards import cards, changes, figures, states, words
from dashboards.cards import Badge, Query
from dashboards.palette import faint, palette
from dashboards.reader import Reader, Value
from dashboards.scope import Scope

NEWEST = """
select monitor_id, subject, detector, state, severity, effect, unit, ci_low, ci_high, onset, onset_low, onset_high, n, note, window_end,
  details::VARCHAR as details, evidence_nats, threshold_nats
from finding
where kind = 'drift' and model = $model and window_end > $end::TIMESTAMPTZ - interval 1 day and window_end <= $end::TIMESTAMPTZ
qualify row_number() over (partition by monitor_id order by window_end desc) = 1
order by case when state = 'alarm' then 0 else 1 end, abs(effect) desc nulls last
"""
EFFECT = """
select (floor((epoch(window_end) - 1) / $bucket) * $bucket)::DOUBLE as epoch, avg(effect)::DOUBLE as effect, avg(ci_low)::DOUBLE as low, avg(ci_high)::DOUBLE as high,
  any_value(unit) as unit, bool_or(state = 'alarm') as alarm
from finding
where monitor_id = $monitor and window_end > $start::TIMESTAMPTZ and window_end <= $end::TIMESTAMPTZ
group by 1 order by 1
"""

CLEAR = "rgba(0,0,0,0)"  # the edges of a band


def badge(finding: Mapping[str, Any], view: Scope) -> Badge:
    """The state of a drift finding."""
    return states.finding_badge(
        finding["state"], finding["severity"], finding["window_end"], view.now, states.STALE_DRIFT
    )


def effect_card(
    read: Reader, view: Scope, model: str, finding: Mapping[str, Any], material: float | None, span: int = 6
) -> Any:
    """How far the feature is from its reference over time, with its interval and what counts as material."""
    feature = str(finding["subject"])
    params: dict[str, Value] = {**view.params, "monitor": str(finding["monitor_id"])}
    frame = read(EFFECT, params)
    title, query = "Effect over time", Query(EFFECT, params)
    unit = "σ" if frame.is_empty() or frame["unit"][0] in (None, "sigma") else str(frame["unit"][0])
    sub = f"mean shift in {unit}, band = 95 % interval" + (
        f", dashed = material (±{words.number(material)} {unit})" if material else ""
    )
    if frame.height < 2:
        return cards.card(
            title,
            cards.empty("Not judged often enough yet", "A point is drawn for every judged window.", 260),
            sub=sub,
            sql=[query],
            span=span,
        )
    figure = _effect(
        frame,
        view,
        material if unit == "σ" else None,
        finding,
        changes.read_changes(read, view, model, changes.NEAR_DATA),
    )
    return cards.card(
        title,
        cards.graph(figure, 326, f"Effect of {feature} over time", brush="effect"),
        sub=sub,
        sql=[query],
        span=span,
    )


def _effect(
    frame: pl.DataFrame, view: Scope, material: float | None, finding: Mapping[str, Any], marked: pl.DataFrame
) -> figures.Figure:
    p = palette(view.theme)
    shapes, notes = figures.marks(marked, p, view.start, view.end)
    alarmed = finding["state"] == "alarm"
    if alarmed and finding["onset"]:
        shapes += _onset(finding, p.ticket)
        notes.append(_onset_label(finding, p.ticket))
    if material:
        shapes += [figures.level(side * material, "", p.dim)[0] for side in (-1, 1)]
    yaxis = {"zeroline": True, "zerolinecolor": p.dim, "zerolinewidth": 1, "nticks": 6, "tickformat": "+.2~f"}
    return figures.figure(
        _band(frame, view.bucket_s, p.ticket if alarmed else p.series[0]), view.theme, xaxis=figures.time_axis(view.start, view.end), yaxis=yaxis,
        shapes=shapes, annotations=notes, margin=figures.margins(46, 10, 8, 34), showlegend=False,
    )  # fmt: skip


def _band(frame: pl.DataFrame, step_s: int, colour: str) -> list[figures.Trace]:
    x = figures.instants(frame["epoch"] + step_s / 2)
    edge = {"hoverinfo": "skip", "width": 0}
    low = figures.line(x, figures.typed(frame["low"]), "low", CLEAR, **edge)
    high = figures.line(
        x, figures.typed(frame["high"]), "high", CLEAR, fill="tonexty", fillcolor=faint(colour, 0.22), **edge
    )
    hover = "%{y:+.2f} at %{x|%H:%M}<extra></extra>"
    return [low, high, figures.line(x, figures.typed(frame["effect"]), "effect", colour, hovertemplate=hover)]


def _onset(finding: Mapping[str, Any], colour: str) -> list[figures.Trace]:
    low, high = (figures.millis(finding[k] or finding["onset"]) for k in ("onset_low", "onset_high"))
    span = {
        "type": "rect", "x0": low, "x1": high, "y0": 0, "y1": 1, "yref": "paper", "fillcolor": faint(colour, 0.18), "line": {"width": 0}, "layer": "below",
    }  # fmt: skip
    return [span, figures.vertical(figures.millis(finding["onset"]), colour)]


def _onset_label(finding: Mapping[str, Any], colour: str) -> figures.Trace:
    return {
        "x": figures.millis(finding["onset"]), "y": 0, "yref": "paper", "yanchor": "bottom", "xanchor": "right", "xshift": -4, "showarrow": False,
        "text": "onset", "font": {"size": 10.5, "color": colour},
    }  # fmt: skip
