"""Every request's latency over time, on a logarithmic scale, so that a second mode is not hidden in a percentile.

Source: Gregg (2010), "Visualizing system latency": heat maps instead of averages.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from dashboards import cards, changes, figures, words
from dashboards.palette import faint, palette, sequential
from dashboards.reader import Reader
from dashboards.requests import PER_DECADE, column_of, requests
from dashboards.scope import Scope
from dashboards.slo import Slo

TICKS_S = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 300)
TITLES = {"ttft_s": "Time to first token", "tpot_s": "Time per output token", "duration_s": "Request duration"}
FEWEST_BINS = 8  # of the axis, above and below, when all requests are alike


def latency_card(read: Reader, view: Scope, slo: Slo, span: int = 5) -> Any:
    """The heat map of the latency that the objective is about, time to first token when it is about none."""
    column, model = column_of(slo), str(slo.row["model"])
    asked, marked = cards.together(
        lambda: requests(read, view, model, column), lambda: changes.read_changes(read, view, model)
    )
    frame, query = asked.by_latency, [asked.query]
    title, sub = TITLES[column], f"{model} · did everybody slow down, or some?"
    if frame.is_empty():
        hint = "Time to first token is known only for streamed requests."
        return cards.card(
            title, cards.empty("No streamed requests in this range", hint, 236), sub=sub, sql=query, span=span
        )
    threshold = slo.declared.get("threshold_s") if slo.declared.get("column") == column else None
    figure = _heat(frame, view, threshold, marked)
    chart = cards.graph(figure, 276, f"{title} of {model} by time", brush=f"latency-{slo.row['slo_id']}")
    return cards.card(title, chart, sub=sub, sql=query, span=span)


def _heat(frame: pl.DataFrame, view: Scope, threshold: float | None, marked: pl.DataFrame) -> figures.Figure:
    p = palette(view.theme)
    low, high = _axis(frame, threshold)
    step = view.bucket_s
    begin = math.floor(view.start.timestamp() / step) * step
    columns = max(1, math.ceil((view.end.timestamp() - begin) / step))
    cells = np.full((high - low + 1, columns), np.nan, dtype=np.float32)
    at = ((frame["epoch"].to_numpy() - begin) / step).astype(int)
    inside = (at >= 0) & (at < columns)
    cells[frame["bin"].to_numpy()[inside] - low, at[inside]] = np.sqrt(frame["n"].to_numpy()[inside])
    x = figures.typed((begin + (np.arange(columns) + 0.5) * step) * 1000.0, "f8")
    y = figures.typed((np.arange(low, high + 1) + 0.5) / PER_DECADE)
    trace = figures.heat(x, y, figures.typed(cells), sequential(view.theme), hoverinfo="skip", zmin=0)
    shapes, notes = figures.marks(marked, p, view.start, view.end)
    if threshold:
        shape, note = figures.level(math.log10(threshold), f"objective {words.seconds(threshold)}", p.ink)
        shapes, notes = [*shapes, shape], [*notes, {**note, "bgcolor": faint(p.ground, 0.75), "borderpad": 1}]
    bottom, top = low / PER_DECADE, (high + 1) / PER_DECADE
    ticks = [t for t in TICKS_S if bottom <= math.log10(t) <= top]
    yaxis = {
        "tickvals": [math.log10(t) for t in ticks],
        "ticktext": [words.seconds(t) for t in ticks],
        "range": [bottom, top],
    }
    return figures.figure(
        [trace], view.theme, xaxis=figures.time_axis(view.start, view.end), yaxis=yaxis, shapes=shapes, annotations=notes, margin=figures.margins(56, 8, 8, 34),
    )  # fmt: skip


def _axis(frame: pl.DataFrame, threshold: float | None) -> tuple[int, int]:
    low, high = int(frame["bin"].min()), int(frame["bin"].max())  # type: ignore[arg-type]
    more = max(0, FEWEST_BINS - (high - low))
    low, high = low - more, high + more
    if threshold is None:
        return low, high
    middle = math.log10(threshold) * PER_DECADE
    return min(low, math.floor(middle) - 2), max(high, math.ceil(middle) + 2)
