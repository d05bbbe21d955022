"""Every request's latency over time, on a logarithmic scale, so that a second mode is not hidden in a percentile.

Source: Gregg (2010), "Visualizing system latency": heat maps instead of averages.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from dashboards import cards, changes, figures, words
from dashboards.cards import Query
from dashboards.palette import palette, sequential
from dashboards.reader import Reader
from dashboards.scope import Scope
from dashboards.slo import Slo

LATENCY = """
select (floor(epoch(ts) / $bucket) * $bucket)::DOUBLE as epoch, floor(log10({column}) * 12)::INTEGER as bin, count(*)::DOUBLE as n
from request
where model_id = $model and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and {column} > 0 and ($cluster = '' or cluster = $cluster)
group by 1, 2
"""
TICKS_S = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 300)
TITLES = {"ttft_s": "Time to first token", "tpot_s": "Time per output token", "duration_s": "Request duration"}
FEWEST_BINS = 8  # of the axis, above and below, when all requests are alike


def latency_card(read: Reader, view: Scope, slo: Slo, span: int = 5) -> Any:
    """Every request's latency over time, so a second mode is not hidden in a percentile."""
    column = (
        slo.declared.get("column") if slo.declared.get("column") in ("ttft_s", "tpot_s", "duration_s") else "ttft_s"
    )
    params = {**view.params, "model": slo.row["model"]}
    sql = LATENCY.replace("{column}", str(column))
    frame = read(sql, params)
    title = {"ttft_s": "Time to first token", "tpot_s": "Time per output token", "duration_s": "Request duration"}[
        str(column)
    ]
    sub = f"{slo.row['model']} · did everybody slow down, or some?"
    if frame.is_empty():
        return cards.card(
            title,
            cards.empty(
                "No streamed requests in this range", "Time to first token is known only for streamed requests.", 236
            ),
            sub=sub,
            sql=[Query(sql, params)],
            span=span,
        )
    threshold = slo.declared.get("threshold_s") if slo.declared.get("column") == column else None
    figure = _latency(frame, view, threshold, changes.read_changes(read, view, str(slo.row["model"])))
    return cards.card(
        title,
        cards.graph(figure, 276, f"{title} of {slo.row['model']} by time", brush=f"latency-{slo.row['slo_id']}"),
        sub=sub,
        sql=[Query(sql, params)],
        span=span,
    )


def _latency(frame: pl.DataFrame, view: Scope, threshold: float | None, marked: pl.DataFrame) -> figures.Figure:
    p = palette(view.theme)
    low, high = int(frame["bin"].min()), int(frame["bin"].max())  # type: ignore[arg-type]
    low, high = low - max(0, 8 - (high - low)), high + max(0, 8 - (high - low))
    if threshold:
        low, high = (
            min(low, math.floor(math.log10(threshold) * 12) - 2),
            max(high, math.ceil(math.log10(threshold) * 12) + 2),
        )
    step = view.bucket_s
    begin = math.floor(view.start.timestamp() / step) * step
    columns = max(1, math.ceil((view.end.timestamp() - begin) / step))
    cells = np.full((high - low + 1, columns), np.nan, dtype=np.float32)
    at = ((frame["epoch"].to_numpy() - begin) / step).astype(int)
    inside = (at >= 0) & (at < columns)
    cells[frame["bin"].to_numpy()[inside] - low, at[inside]] = np.sqrt(frame["n"].to_numpy()[inside])
    x = figures.typed((begin + (np.arange(columns) + 0.5) * step) * 1000.0, "f8")
    trace = figures.heat(
        x,
        figures.typed((np.arange(low, high + 1) + 0.5) / 12),
        figures.typed(cells),
        sequential(view.theme),
        hoverinfo="skip",
        zmin=0,
    )
    shapes, notes = figures.marks(marked, p, view.start, view.end)
    if threshold:
        shape, note = figures.level(math.log10(threshold), f"objective {words.seconds(threshold)}", p.ink)
        shapes, notes = [*shapes, shape], [*notes, note]
    ticks = [t for t in TICKS_S if low / 12 <= math.log10(t) <= (high + 1) / 12]
    yaxis = {
        "tickvals": [math.log10(t) for t in ticks],
        "ticktext": [words.seconds(t) for t in ticks],
        "range": [low / 12, (high + 1) / 12],
    }
    return figures.figure(
        [trace],
        view.theme,
        xaxis=figures.time_axis(view.start, view.end),
        yaxis=yaxis,
        shapes=shapes,
        annotations=notes,
        margin={"l": 56, "r": 8, "t": 8, "b": 34},
    )
