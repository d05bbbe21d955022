"""The burn-down of an error budget: what is left over its period, against spending it evenly, and the cone ahead.

Spans without data are hatched, alarms shaded; the cone is the forecast's 95 %.

Source: Google SRE Workbook, chapter 2, "Error budget burn-down"; our own for the cone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from dashboards import figures
from dashboards.palette import Palette, faint, palette
from dashboards.reader import Value
from dashboards.scope import Scope

BUDGET = """
with s as (
  select epoch(ts) as t, window_s, n, coalesce(events, 0) as bad from summary
  where measure = $measure and ts >= $opened::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ
  union all select epoch(least($judged::TIMESTAMPTZ, $end::TIMESTAMPTZ)), 0, 0, 0
), allowed as (
  select coalesce($allowed, sum(n) * (1 - $objective)) as budget, sum(bad) filter (t < epoch($judged::TIMESTAMPTZ)) as seen from s
), usual as (
  select floor(t / 3600) % 24 as hour, sum(n) / count(distinct floor(t / 3600)) / 60 as a_minute from s group by 1
), silent as (
  select *, lag(t + window_s) over (order by t) as lost_from from s
), told as (
  select silent.*, case when (t - lost_from) / 60 * a_minute >= 20 then t - lost_from else 0 end as lost
  from silent join usual on usual.hour = floor(t / 3600) % 24
), step as (
  select (floor(t / $step) * $step)::DOUBLE as epoch, sum(n)::DOUBLE as n, sum(bad)::DOUBLE as bad,
    max(lost)::DOUBLE as lost, arg_max(lost_from, lost)::DOUBLE as lost_from from told group by 1
)
select epoch, n, bad, coalesce($left + (seen - sum(bad) over (order by epoch)) / nullif(budget, 0),
  1 - sum(bad) over (order by epoch) / nullif(budget, 0))::DOUBLE as budget_left, lost, lost_from
from step, allowed order by epoch
"""
ALARMS = """
select epoch(starts_at)::DOUBLE as started, epoch(coalesce(ends_at, $end::TIMESTAMPTZ))::DOUBLE as ended, severity, summary, incident_id, state
from alert where kind = 'slo' and model = $model and subject = $slo and coalesce(ends_at, $end::TIMESTAMPTZ) >= $opened::TIMESTAMPTZ
order by starts_at desc limit 50
"""
LOWEST = -1.0  # a chart goes no further down: twice the budget is spent
_BELOW = -0.3  # what is only foreseen stretches the chart no further down
POINTS = 240
_PRESENT = timedelta(minutes=10)  # a range that ends so close to the newest judgement is of the present


def params(measure: str, row: Mapping[str, Any], end: datetime) -> dict[str, Value]:
    """What both queries ask about: the objective's period up to `end`; of the present, ending at what was judged."""
    opened = end - timedelta(seconds=float(row["window_s"] or 2592000))
    judged = row.get("judged_at") or end
    present = end >= judged - _PRESENT
    if row.get("window_kind") == "calendar" and row["window_from"] and row["window_from"] < end:
        opened = row["window_from"]
    step = max(60, int((end - opened).total_seconds() // POINTS // 60 * 60))
    return {
        "measure": measure, "opened": opened, "end": end, "judged": judged, "objective": row["objective"], "step": step,
        "allowed": row.get("budget_events") if present else None, "left": row.get("budget_left") if present else None,
    }  # fmt: skip


def moment(epoch: float) -> datetime:
    """Seconds since 1970 as an instant."""
    return datetime.fromtimestamp(epoch, UTC)


def figure(frame: pl.DataFrame, alarms: pl.DataFrame, row: Mapping[str, Any], view: Scope) -> figures.Figure:
    """The chart: even line, gaps, alarms, what is left, and the cone."""
    p = palette(view.theme)
    opened = params("", row, view.end)["opened"]
    assert isinstance(opened, datetime)
    ends = row["window_to"] if row.get("window_kind") == "calendar" else view.end
    ahead = _ahead(row)
    left = float(frame["budget_left"][-1] or 0.0)
    colour = p.page if left < 0.1 else p.series[0]
    hover = "%{x|%d %b %H:%M} · %{y:.1%} left<extra></extra>"
    even = figures.line([figures.millis(opened), figures.millis(ends)], [1, 0], "even spend", p.dim, dash="dash", width=1, hoverinfo="skip")  # fmt: skip
    line = figures.line(
        figures.instants(frame["epoch"]), figures.typed(frame["budget_left"].clip(LOWEST * 2)), "budget left", colour,
        fill="tozeroy", fillcolor=faint(colour, 0.1), hovertemplate=hover,
    )  # fmt: skip
    spent = min(left, float(frame["budget_left"].min() or 0.0))  # type: ignore[arg-type]
    lowest = min(0.0, spent, *(max(_BELOW, x[2]) for x in ahead))
    low = max(LOWEST, lowest) - 0.02
    data = [*_lost(frame, low, p), even, line, *_cone(ahead, row["forecast_from"], p)]
    last = max([view.end, *(row["forecast_from"] + timedelta(hours=x[0]) for x in ahead[-1:])])
    room = timedelta(0) if ahead else (view.end - opened) * 0.02
    axis = {**figures.time_axis(opened, max(last, ends or last) + room), "fixedrange": True}
    yaxis = {
        "tickformat": ".0%", "range": [low, 1.04], "nticks": 5, "zeroline": True, "zerolinecolor": p.page, "zerolinewidth": 1,
    }  # fmt: skip
    shapes = _alarms(alarms, p)
    if ahead:
        shapes.append(figures.vertical(figures.millis(view.end), p.dim, 1))
    return figures.figure(
        data, view.theme, xaxis=axis, yaxis=yaxis, shapes=shapes, margin=figures.margins(46, 12, 26, 34), bargap=0
    )


def _ahead(row: Mapping[str, Any]) -> list[list[float]]:
    """The forecast's points: hours after it was made, left as expected, at worst, at best."""
    told = row.get("forecast_path") if row.get("forecast_from") else None
    return json.loads(told) if told and row["state"] not in ("too_few", "unknown") else []


def _cone(ahead: list[list[float]], judged: datetime, p: Palette) -> list[figures.Trace]:
    """Between the worst and the best of 95 %, and what is expected between them."""
    if len(ahead) < 2:
        return []
    at = [figures.millis(judged) + x[0] * 3_600_000 for x in ahead]
    worst, best, mid = ([max(2 * LOWEST, x[i]) for x in ahead] for i in (2, 3, 1))
    hover = "%{x|%d %b %H:%M} · %{y:.1%} left if this goes on<extra></extra>"
    area = figures.line(
        [*at, *at[::-1]], [*worst, *best[::-1]], "forecast, 95 %", p.info, width=0, fill="toself", fillcolor=faint(p.info, 0.18), hoverinfo="skip",
    )  # fmt: skip
    return [area, figures.line(at, mid, "if this goes on", p.info, dash="dot", width=1.5, hovertemplate=hover)]


def _lost(frame: pl.DataFrame, low: float, p: Palette) -> list[figures.Trace]:
    """Hatched bars over spans of which nothing is known."""
    gaps = frame.filter(pl.col("lost") > 0)
    if gaps.is_empty():
        return []
    width = (gaps["lost"] * 1000).to_list()
    at = [(start * 1000) + w / 2 for start, w in zip(gaps["lost_from"], width, strict=True)]
    pattern = {"shape": "/", "fgcolor": p.dim, "bgcolor": faint(p.dim, 0.12), "size": 5, "solidity": 0.25}
    return [{
        "type": "bar", "x": at, "width": width, "y": [1.04 - low] * len(at), "base": low, "name": "no data", "marker": {"color": faint(p.dim, 0.2), "pattern": pattern},
        "hovertemplate": "no data: neither good nor bad<extra></extra>",
    }]  # fmt: skip


def _alarms(alarms: pl.DataFrame, p: Palette) -> list[figures.Trace]:
    """Shaded spans in which an alarm was on."""
    return [
        {"type": "rect", "x0": a["started"] * 1000, "x1": a["ended"] * 1000, "y0": 0, "y1": 1, "yref": "paper", "layer": "below",
         "fillcolor": faint(p.page if a["severity"] == "page" else p.ticket, 0.16), "line": {"color": p.page if a["severity"] == "page" else p.ticket, "width": 1}}
        for a in alarms.iter_rows(named=True)
    ]  # fmt: skip
