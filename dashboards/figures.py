"""Figures as plain dicts: base64 typed arrays and one template dict a theme.

Graph objects cost 30 ms a figure; a dict costs 50 µs, and typed arrays are a fifth of JSON numbers.

Source: Plotly's figure schema (plotly.js 2.35 reads `bdata`); measured in UX.md.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import quote

import numpy as np
import polars as pl

from dashboards.palette import Palette, faint, palette

Figure = dict[str, Any]
Trace = dict[str, Any]
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
MAX_MARKS = 6  # labelled changes on one chart; more than that is a smear
LABEL_SHARE = 0.28  # of a chart's width that a label may need
DOT_PX = 5  # a value without neighbours, of which a line draws nothing
_TYPES = {"f8": np.float64, "f4": np.float32, "i4": np.int32, "u2": np.uint16, "u1": np.uint8}


def typed(values: Any, kind: str = "f4") -> dict[str, str]:
    """Numbers as Plotly's typed array; NULL becomes NaN, which a chart draws as a gap.

    Args:
        values: a sequence, Series or 1- or 2-dimensional array.
        kind: f8, f4, i4, u2 or u1.
    """
    array = np.ascontiguousarray(values.to_numpy() if isinstance(values, pl.Series) else values, dtype=_TYPES[kind])
    held = {"dtype": kind, "bdata": b64encode(array.tobytes()).decode()}
    return held if array.ndim == 1 else {**held, "shape": f"{array.shape[0]}, {array.shape[1]}"}


def instants(seconds: pl.Series) -> dict[str, str]:
    """Seconds since 1970 as the milliseconds of a date axis."""
    return typed(seconds.cast(pl.Float64).to_numpy() * 1000.0, "f8")


def dense(frame: pl.DataFrame, start: datetime, end: datetime, step_s: int, zero: Sequence[str] = ()) -> pl.DataFrame:
    """The frame with a row for every whole bucket of the range, so that silence is drawn as silence.

    Args:
        frame: one row a bucket, `epoch` (s) its start.
        start: start of the range.
        end: end of the range.
        step_s: width of a bucket, s.
        zero: columns that are 0 where there was nothing; the others are NULL, a gap.
    """
    first = -(-start.timestamp() // step_s) * step_s
    every = pl.DataFrame(
        {"epoch": np.arange(first, end.timestamp() - step_s + 1, step_s)}, schema={"epoch": pl.Float64}
    )
    return every.join(frame, on="epoch", how="left").with_columns(pl.col(list(zero)).fill_null(0.0))


def millis(instant: datetime) -> float:
    """An instant as the milliseconds of a date axis."""
    return instant.timestamp() * 1000.0


@cache
def template(theme: str) -> Mapping[str, Any]:
    """The look of every figure in one theme."""
    p = palette(theme)
    axis = {
        "gridcolor": p.line, "linecolor": p.line, "zeroline": False, "automargin": False, "ticks": "", "showline": False,
        "tickfont": {"size": 11, "color": p.dim}, "title": {"font": {"size": 11, "color": p.dim}, "standoff": 6}, "fixedrange": True,
    }  # fmt: skip
    return {"layout": {
        "font": {"family": FONT, "size": 12, "color": p.ink}, "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": list(p.series), "margin": {"l": 52, "r": 12, "t": 8, "b": 30}, "xaxis": {**axis, "showgrid": False}, "yaxis": axis,
        "hoverlabel": {"bgcolor": p.raised, "bordercolor": p.line, "font": {"family": FONT, "size": 12, "color": p.ink}, "align": "left"},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11, "color": p.dim}, "bgcolor": "rgba(0,0,0,0)", "itemwidth": 30},
        "hovermode": "closest", "dragmode": False, "bargap": 0.35,
    }}  # fmt: skip


def figure(data: Sequence[Trace], theme: str, **layout: Any) -> Figure:
    """A figure of one theme; keywords are Plotly's layout."""
    return {"data": list(data), "layout": {"template": dict(template(theme)), **layout}}


def time_axis(start: datetime, end: datetime) -> dict[str, Any]:
    """A UTC time axis over a half-open range, with ticks that do not repeat the date."""
    return {
        "type": "date", "range": [millis(start), millis(end)], "nticks": 6, "fixedrange": False, "tickangle": 0,
        "tickformatstops": [
            {"dtickrange": [None, 60000], "value": "%H:%M:%S"}, {"dtickrange": [60000, 43200000], "value": "%H:%M\n%d %b"},
            {"dtickrange": [43200000, None], "value": "%d %b"},
        ],
    }  # fmt: skip


def line(x: Any, y: Any, name: str, colour: str, **extra: Any) -> Trace:
    """A line, with a dot where a value has no neighbour; keywords are Plotly's trace attributes, `dash` its style."""
    style = {"color": colour, "width": extra.pop("width", 2), "dash": extra.pop("dash", "solid")}
    made = {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": style, **extra}
    alone = _alone(y)
    if not alone.any():
        return made
    return {**made, "mode": "lines+markers", "marker": {"color": colour, "size": (alone * DOT_PX).tolist()}}


def _alone(y: Any) -> np.ndarray:
    """Which values have no neighbour: a line needs two."""
    if isinstance(y, dict):
        values = np.frombuffer(b64decode(y["bdata"]), dtype=_TYPES[y["dtype"]])
    else:
        values = np.array(y, dtype=np.float64)
    seen = np.concatenate([[False], np.isfinite(values), [False]])
    return np.asarray(seen[1:-1] & ~seen[:-2] & ~seen[2:])


def heat(x: Any, y: Any, z: Any, scale: Sequence[Sequence[Any]], **extra: Any) -> Trace:
    """Cells with no colour bar unless `showscale` is given."""
    return {
        "type": "heatmap",
        "x": x,
        "y": y,
        "z": z,
        "colorscale": [list(s) for s in scale],
        "showscale": False,
        **extra,
    }


def marks(changes: pl.DataFrame, p: Palette, start: datetime, end: datetime) -> tuple[list[Trace], list[Trace]]:
    """Dotted lines and labels for changes: a frame with `epoch` (s), `label` and `kind`; the newest six, labels in steps."""
    shapes, notes = [], []
    width, taken = max((end - start).total_seconds(), 1.0), [-1.0, -1.0, -1.0]
    for row in changes.tail(MAX_MARKS).iter_rows(named=True):
        at, place = row["epoch"] * 1000.0, (row["epoch"] - start.timestamp()) / width
        colour = p.page if row["kind"] in ("xid", "incident") else p.info
        shapes.append(vertical(at, colour, 1))
        right = place < 0.3
        left_end = place if right else place - LABEL_SHARE
        step = next((i for i, until in enumerate(taken) if until <= left_end), None)
        if step is None:
            continue
        taken[step] = left_end + LABEL_SHARE
        notes.append({
            "x": at, "y": 1, "yref": "paper", "yanchor": "top", "xanchor": "left" if right else "right", "xshift": 4 if right else -4, "yshift": -13 * step,
            "showarrow": False, "text": plain(row["label"]), "font": {"size": 10.5, "color": colour}, "bgcolor": faint(p.ground, 0.75), "borderpad": 1,
        })  # fmt: skip
    return shapes, notes


def vertical(at: float, colour: str, width: float = 1.2) -> Trace:
    """A dotted line across a chart's height at x = `at`."""
    style = {"color": colour, "width": width, "dash": "dot"}
    return {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": style}


def margins(left: float, right: float, top: float, bottom: float) -> dict[str, float]:
    """Room around a chart, px."""
    return {"l": left, "r": right, "t": top, "b": bottom}


def level(y: float, label: str, colour: str, dash: str = "dash") -> tuple[Trace, Trace]:
    """A horizontal line across a chart and its label, at its left end."""
    shape = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": y,
        "y1": y,
        "line": {"color": colour, "width": 1.5, "dash": dash},
    }
    note = {
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "y": y,
        "yanchor": "bottom",
        "xshift": 4,
        "showarrow": False,
        "text": plain(label),
        "font": {"size": 11, "color": colour},
    }
    return shape, note


def plain(text: str) -> str:
    """Text as Plotly shows it literally: its little markup language is switched off for data.

    >>> plain("<b>x</b>")
    '&lt;b&gt;x&lt;/b&gt;'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def sparkline(values: Sequence[float | None], colour: str, low: float | None = None, high: float | None = None) -> str:
    """A tiny line with a faint area under it, as an SVG data URI: 300 bytes, no script.

    Args:
        values: in time order; None is a gap of the line.
        colour: `#rrggbb`.
        low: bottom of the scale; the smallest value when None.
        high: top of the scale; the largest value when None.
    """
    seen = [v for v in values if v is not None]
    if len(seen) < 2:
        return ""
    bottom, top = min(seen) if low is None else low, max(seen) if high is None else high
    if top - bottom < 1e-12:
        bottom, top = bottom - 1, top + 1
    step = 200 / (len(values) - 1)
    points = [(i * step, 37 - 34 * (v - bottom) / (top - bottom)) for i, v in enumerate(values) if v is not None]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    area = f"M{points[0][0]:.1f} 40L{path}L{points[-1][0]:.1f} 40Z"
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 200 40' preserveAspectRatio='none'><path d='{area}' fill='{colour}' fill-opacity='.13'/>"
        f"<path d='M{path}' fill='none' stroke='{colour}' stroke-width='1.5' vector-effect='non-scaling-stroke' stroke-linejoin='round'/></svg>"
    )
    return "data:image/svg+xml," + quote(svg, safe="")
