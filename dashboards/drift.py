"""Cards about drift: which features moved and when, and one feature against its reference on the same bins.

Source: METHODS sections 2 to 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from dashboards import cards, figures, words
from dashboards.cards import Query
from dashboards.palette import palette
from dashboards.reader import Reader
from dashboards.scope import BUCKETS_S, Scope

HEAT = """
with f as (
  select model, subject, monitor_id, state, unit in ('σ', 'sigma') as in_sigma, floor((epoch(window_end) - 1) / $bucket) * $bucket as epoch,
    case when in_sigma and state not in ('learning', 'too_few', 'unknown', 'not_identifiable', 'expected')
      then case when ci_low <= 0 and ci_high >= 0 then 0 else effect end end as sigma
  from finding
  where kind = 'drift' and window_end > $start::TIMESTAMPTZ and window_end <= $end::TIMESTAMPTZ and ($model = '' or model = $model)
), m as (
  select model, subject, epoch, avg(sigma) as sigma, bool_or(state = 'alarm') as alarm, bool_or(in_sigma) as in_sigma,
    case when ends_with(monitor_id, '/location') then 0 when bool_or(state = 'alarm') or ends_with(monitor_id, '/location_fast') then 1 else 2 end as place
  from f group by model, subject, epoch, monitor_id
), c as (
  select model, subject, epoch, first(sigma order by alarm desc, place, abs(sigma) desc) filter (sigma is not null) as sigma,
    bool_or(alarm) as alarm, bool_or(in_sigma) as in_sigma
  from m group by 1, 2, 3
), ranked as (
  select model, subject, bool_or(alarm) as alarmed, max(abs(sigma)) as largest from c group by 1, 2
  having bool_or(in_sigma) or alarmed order by alarmed desc, largest desc nulls last, model, subject limit $rows
)
select model, subject, epoch::DOUBLE as epoch, sigma::DOUBLE as sigma, alarm, alarmed, largest::DOUBLE as largest
from c join ranked using (model, subject) order by epoch, model, subject
"""
CELLS = 32  # columns of the heatmap
QUIET_SIGMA = 0.5  # the colour scale's top when nothing moved more, in reference standard deviations


def heat_card(read: Reader, view: Scope, model: str, span: int = 5, rows: int = 10, selected: str = "") -> Any:
    """Features by time: colour is the effect of one question, a location's before others; a ring marks an alarm."""
    params = {**view.params, "model": model, "rows": rows, "bucket": cell_s(view)}
    frame = read(HEAT, params)
    title, sub = (
        "Which features moved, and when?",
        "effect in σ, where its 95 % interval leaves out 0; blank where none is judged in σ · ○ alarmed",
    )
    query = Query(HEAT, params)
    if frame.is_empty():
        return cards.card(
            title,
            cards.empty(
                "Drift is not judged in this range",
                "Declare `drift:` in a model's Monitoring, or choose a longer range.",
                200,
            ),
            sub=sub,
            sql=[query],
            span=span,
        )
    names = _rows(frame, not model)
    figure = heat_figure(frame, names, view)
    height = 58 + 24 * len(names)
    return cards.card(
        title, cards.graph(figure, max(height, 150), "Drift by feature and time"), sub=sub, sql=[query], span=span
    )


def cell_s(view: Scope) -> int:
    """Width of one cell, s: at most `CELLS` across the view."""
    seconds = (view.end - view.start).total_seconds()
    return next((b for b in BUCKETS_S if seconds / b <= CELLS), BUCKETS_S[-1])


def _rows(frame: pl.DataFrame, many: bool) -> list[tuple[str, str, str]]:
    order = frame.unique(["model", "subject"]).sort(["alarmed", "largest"], nulls_last=False)
    label = (lambda m, s: f"{m} · {s}") if many and order["model"].n_unique() > 1 else (lambda _m, s: s)
    return [(m, s, label(m, s)) for m, s in zip(order["model"], order["subject"], strict=True)]


def heat_figure(frame: pl.DataFrame, names: Sequence[tuple[str, str, str]], view: Scope) -> figures.Figure:
    """The heatmap of `HEAT`'s rows; `names` are (model, subject, label) from bottom to top."""
    p = palette(view.theme)
    x, cells, rings = _cells(frame, names, view)
    top = max(QUIET_SIGMA, float(np.nanmax(cells)) if np.isfinite(cells).any() else 0.0)
    scale = [(0.0, p.quiet), (0.2, p.quiet), (0.6, p.ticket), (1.0, p.page)]
    bar = {
        "thickness": 8, "len": 1, "outlinewidth": 0, "tickfont": {"size": 10, "color": p.dim}, "nticks": 4, "ticksuffix": " σ", "x": 1.01, "xpad": 4,
    }  # fmt: skip
    data = [
        figures.heat(x, list(range(len(names))), figures.typed(cells), scale, zmin=0, zmax=top, xgap=1.5, ygap=2, showscale=True, colorbar=bar, hovertemplate="%{x|%H:%M} · %{z:.2f} σ<extra></extra>"),
        {"type": "scatter", "mode": "markers", "x": [r[0] for r in _thin(rings)], "y": [r[1] for r in _thin(rings)], "hoverinfo": "skip", "showlegend": False,
         "marker": {"symbol": "circle-open", "size": 6, "color": p.ink, "line": {"width": 1.2}}},
    ]  # fmt: skip
    labels = [figures.plain(label if len(label) <= 18 else label[:17] + "…") for _, _, label in names]
    yaxis = {
        "tickvals": list(range(len(names))),
        "ticktext": labels,
        "range": [-0.5, len(names) - 0.5],
        "showgrid": False,
    }
    left = min(132.0, 26 + 6.4 * max((len(label) for _, _, label in names), default=5))
    axis = figures.time_axis(view.start, view.end)
    return figures.figure(data, view.theme, xaxis=axis, yaxis=yaxis, margin=figures.margins(left, 52, 6, 34))


def _cells(
    frame: pl.DataFrame, names: Sequence[tuple[str, str, str]], view: Scope
) -> tuple[dict[str, str], np.ndarray, list[tuple[float, int]]]:
    """Times, effects by line and column, and where an alarm is marked."""
    step = cell_s(view)
    begin = math.floor(view.start.timestamp() / step) * step
    columns = max(1, math.ceil((view.end.timestamp() - begin) / step))
    place = {(m, s): i for i, (m, s, _) in enumerate(names)}
    middles = (begin + (np.arange(columns) + 0.5) * step) * 1000.0
    cells = np.full((len(names), columns), np.nan, dtype=np.float32)
    rings: list[tuple[float, int]] = []
    for row in frame.iter_rows(named=True):
        at, line = int((row["epoch"] - begin) / step), place[(row["model"], row["subject"])]
        if not 0 <= at < columns:
            continue
        cells[line, at] = abs(row["sigma"]) if words.known(row["sigma"]) else np.nan
        if row["alarm"]:
            rings.append((float(middles[at]), line))
    return figures.typed(middles, "f8"), cells, rings


def _thin(rings: Sequence[tuple[float, int]], most: int = 120) -> Sequence[tuple[float, int]]:
    return rings[:: max(1, math.ceil(len(rings) / most))]
