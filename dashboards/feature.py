"""How far one feature is from its reference over time, with its interval and what counts as material.

Source: METHODS sections 2 to 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from dashboards import cards, changes, course, figures, moved, states, words
from dashboards.cards import Badge, Query
from dashboards.compared import compared
from dashboards.palette import palette
from dashboards.reader import Reader, Value
from dashboards.scope import Scope

NEWEST = """
select monitor_id, subject, detector, state, severity, effect, unit, ci_low, ci_high, onset, onset_low, onset_high, n, note, window_end,
  details::VARCHAR as details, evidence_nats, threshold_nats
from finding
where kind = 'drift' and model = $model and window_end > $end::TIMESTAMPTZ - interval 1 day and window_end <= $end::TIMESTAMPTZ
qualify row_number() over (partition by monitor_id order by if(state = 'unknown', window_end - interval 3 hours, window_end) desc) = 1
order by case when state = 'alarm' then 0 else 1 end, abs(effect) desc nulls last
"""
EFFECT = """
select (floor((epoch(window_end) - 1) / $bucket) * $bucket)::DOUBLE as epoch, avg(effect)::DOUBLE as effect, avg(ci_low)::DOUBLE as low, avg(ci_high)::DOUBLE as high,
  any_value(unit) as unit, bool_or(state = 'alarm') as alarm
from finding
where monitor_id = $monitor and window_end > $start::TIMESTAMPTZ and window_end <= $end::TIMESTAMPTZ
group by 1 order by 1
"""

NEUTRAL = {"ratio": 1.0}  # the value that means "as before"; elsewhere 0


def badge(finding: Mapping[str, Any], view: Scope) -> Badge:
    """The state of a drift finding; what had no rows to judge is not ok."""
    if finding["state"] in ("ok", "unknown") and not finding["n"]:
        return Badge("unknown", "no rows")
    return states.finding_badge(
        finding["state"], finding["severity"], finding["window_end"], view.now, states.STALE_DRIFT
    )


def effect_card(
    read: Reader, view: Scope, model: str, finding: Mapping[str, Any], material: float | None, span: int = 6
) -> Any:
    """How far the feature is from its reference over time, with its interval and what counts as material."""
    params: dict[str, Value] = {**view.params, "monitor": str(finding["monitor_id"])}
    frame = read(EFFECT, params)
    title, query = "Effect over time", Query(EFFECT, params)
    unit = "σ" if finding["unit"] in (None, "sigma") else str(finding["unit"])
    sub = f"{moved.name(finding)}: {_measured(unit)}, band = 95 % interval" + (
        f", dashed = material (±{words.number(material)} {unit})" if material else ""
    )
    if frame.height < 2:
        none = cards.empty(
            "Not judged often enough yet",
            "A point is drawn for every judged window; of a long range for many together: choose a shorter one.",
            260,
        )
        return cards.card(title, none, sub=sub, sql=[query], span=span)
    with_ = compared(read, view, model, str(finding["subject"]))
    figure = _effect(frame, view, material, finding, changes.read_changes(read, view, model, changes.NEAR_DATA))
    figure = with_.drawn(figure, view)
    label = f"Effect of {finding['subject']} over time, {moved.name(finding)}"
    return cards.card(
        title, cards.graph(figure, 326, label, brush="effect"), sub=sub, sql=[query, with_.query], span=span
    )


def _measured(unit: str) -> str:
    if unit == "ratio":
        return "width as a multiple of the usual one"
    return f"change of the share in {unit}" if unit == "pp" else f"mean shift in {unit}"


def _effect(
    frame: pl.DataFrame, view: Scope, material: float | None, finding: Mapping[str, Any], marked: pl.DataFrame
) -> figures.Figure:
    p, neutral = palette(view.theme), NEUTRAL.get(str(finding["unit"]), 0.0)
    shapes, notes = figures.marks(marked, p, view.start, view.end)
    if material:
        shapes += [figures.level(side * material, "", p.dim)[0] for side in (-1, 1)]
    if neutral:
        shapes += [figures.level(neutral, "", p.dim, "solid")[0]]
    zero = {} if neutral else {"zeroline": True, "zerolinecolor": p.dim, "zerolinewidth": 1}
    yaxis = {**zero, "nticks": 6, "tickformat": ".2~f" if neutral else "+.2~f"}
    colour = p.ticket if moved.since(finding) else p.series[0]
    x = figures.instants(frame["epoch"] + view.bucket_s / 2)
    hover = "%{y:.2f} at %{x|%H:%M}<extra></extra>" if neutral else "%{y:+.2f} at %{x|%H:%M}<extra></extra>"
    line = figures.line(x, figures.typed(frame["effect"]), "effect", colour, hovertemplate=hover)
    return figures.figure(
        [*course.band(x, frame, colour), line], view.theme, xaxis=figures.time_axis(view.start, view.end), yaxis=yaxis,
        shapes=[*shapes, *course.onset_shapes(finding, p.ticket)], annotations=[*notes, *course.onset_notes(finding, p.ticket)],
        margin=figures.margins(46, 10, 8, 34), showlegend=False,
    )  # fmt: skip
