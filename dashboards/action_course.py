"""The metric of an action around it: today's course over that of the earlier days, with the two windows that were compared.

Source: our own; `detectors.outcome` compares these minutes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from dashboards import cards, figures
from dashboards.cards import Query
from dashboards.palette import Palette, faint, palette
from dashboards.reader import Reader, Value
from dashboards.scope import Scope

COURSE: Final = """
with m as (
  select ts, n, coalesce(events, 0) as bad, floor((epoch($to::TIMESTAMPTZ) - epoch(ts) - 1) / 86400)::BIGINT as day
  from summary where measure = $measure and ts >= $from::TIMESTAMPTZ - interval 14 days and ts < $to::TIMESTAMPTZ
)
select epoch(time_bucket(interval 5 minutes, ts + to_days(day::INTEGER))) as epoch,
  (sum(bad) filter (day = 0) / nullif(sum(n) filter (day = 0), 0) / $budget)::DOUBLE as today,
  (sum(bad) filter (day > 0) / nullif(sum(n) filter (day > 0), 0) / $budget)::DOUBLE as usual
from m where ts + to_days(day::INTEGER) >= $from::TIMESTAMPTZ group by 1 order by 1
"""
SENT: Final = "select min(changed_at) as at from core.action where action_id = $id and state = 'sent'"
_AROUND: Final = timedelta(minutes=30)
HEIGHT: Final = 220


def chart(read: Reader, view: Scope, action_id: str, outcome: Mapping[str, Any]) -> tuple[Any, list[Query]]:
    """The drawing and the queries behind it; nothing where the metric is no SLO's."""
    if not outcome.get("measure") or not outcome.get("window_after"):
        return None, []
    before, after = (tuple(datetime.fromisoformat(t) for t in outcome[w]) for w in ("window_before", "window_after"))
    params: dict[str, Value] = {
        "measure": outcome["measure"], "budget": outcome["budget"], "from": before[0] - _AROUND, "to": after[1] + _AROUND,
    }  # fmt: skip
    rows, asked = read(COURSE, params), {"id": action_id}
    sent = read(SENT, asked)["at"][0]
    if rows.is_empty():
        return None, [Query(COURSE, params)]
    p, x = palette(view.theme), figures.instants(rows["epoch"])
    traces = [
        figures.line(x, figures.typed(rows["usual"]), "these hours of earlier days", p.dim, width=1.5, dash="dot"),
        figures.line(x, figures.typed(rows["today"]), str(outcome["metric"]), p.series[0]),
    ]
    shapes = [_window(before, p.ticket, p), _window(after, p.info, p), figures.vertical(figures.millis(sent), p.ink)]
    notes = [_note(before[0], "before"), _note(after[0], "after"), _note(sent, "sent", -13)]
    drawn = figures.figure(
        traces, view.theme, xaxis=figures.time_axis(before[0] - _AROUND, after[1] + _AROUND), shapes=shapes, annotations=notes,
        yaxis={"title": {"text": "× budget"}, "rangemode": "tozero"}, margin=figures.margins(56, 12, 12, 36), showlegend=True,
        legend={"orientation": "h", "y": 1.18, "x": 0},
    )  # fmt: skip
    told = f"{outcome['metric']} around the action"
    return cards.graph(drawn, HEIGHT, told), [Query(COURSE, params), Query(SENT, asked)]


def _window(span: tuple[datetime, ...], colour: str, p: Palette) -> dict[str, Any]:
    return {
        "type": "rect", "xref": "x", "yref": "paper", "x0": figures.millis(span[0]), "x1": figures.millis(span[1]), "y0": 0, "y1": 1,
        "line": {"width": 0}, "fillcolor": faint(colour, 0.12), "layer": "below",
    }  # fmt: skip


def _note(at: datetime, text: str, lift: float = 0) -> dict[str, Any]:
    return {
        "x": figures.millis(at), "y": 1, "yref": "paper", "xanchor": "left", "yanchor": "top", "xshift": 4, "yshift": lift, "showarrow": False,
        "text": figures.plain(text), "font": {"size": 11},
    }  # fmt: skip


def parsed(text: str | None) -> Mapping[str, Any]:
    """An outcome as it is stored; empty where there is none."""
    return dict(json.loads(text)) if text else {}
