"""The story of an incident as one figure: lanes on a common time axis, and rows of bars and flags beneath them.

Source: our own, after UX.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from dashboards import figures, words
from dashboards.palette import SIGNS, Palette, faint, palette
from dashboards.story import Event, Lane, Line, Story

LANE_PX: Final = 84
ROW_PX: Final = 22
GAP_PX: Final = 20
TOP_PX, BOTTOM_PX, LEFT_PX = 18, 38, 74
ROWS: Final = ("changes", "alerts", "actions", "people")
BARS: Final = 5  # alerts that have a row of their own; the last row holds the rest
HOVERED: Final = 5  # events that one sign tells of
_GRAVE: Final = ("page", "ticket", "info", "unknown", "ok")
FLAGS: Final = 6  # changes that are drawn through every lane
_FORMATS: Final[Mapping[str, Mapping[str, Any]]] = {
    "share": {"tickformat": ".1~%", "rangemode": "tozero"}, "rate": {"rangemode": "tozero"}, "count": {"rangemode": "tozero"},
    "times": {"rangemode": "tozero", "ticksuffix": "×"},
}  # fmt: skip
_HOVERS: Final[Mapping[str, str]] = {
    "share": "%{y:.1%}",
    "rate": "%{y:.3s}/min",
    "count": "%{y:.3~g}",
    "times": "%{y:.2f}×",
}


def height(story: Story) -> int:
    """Of the figure, px."""
    return TOP_PX + BOTTOM_PX + len(story.lanes) * (LANE_PX + GAP_PX) + ROW_PX * len(places(story)) + 4


def places(story: Story) -> list[str]:
    """The rows beneath the lanes from top to bottom; each alert has its own, up to `BARS`."""
    rows: list[str] = []
    for name in ROWS:
        some = [e for e in story.events if e.row == name]
        rows += (
            [f"{name}{i or ''}" for i in range(min(len(some), BARS))] if name == "alerts" else [name] if some else []
        )
    return rows


def drawn(story: Story, theme: str) -> figures.Figure:
    """The whole figure."""
    p, total = palette(theme), height(story)
    inner = total - TOP_PX - BOTTOM_PX
    layout: dict[str, Any] = {}
    data: list[figures.Trace] = []
    notes: list[figures.Trace] = []
    top = 1.0
    for i, lane in enumerate(story.lanes):
        head, foot = top - GAP_PX / inner, top - (GAP_PX + LANE_PX) / inner
        layout[f"yaxis{i + 2}"] = _axis(lane, theme, max(0.0, foot), head)
        data += _lines(lane, p, f"y{i + 2}")
        notes.append(_heading(lane, head, p))
        top = foot
    rows = places(story)
    layout["yaxis"] = {
        "domain": [0, max(0.001, top - 6 / inner)], "range": [len(rows) - 0.5, -0.5], "tickvals": [i for i, r in enumerate(rows) if not r[-1].isdigit()],
        "ticktext": [r for r in rows if not r[-1].isdigit()], "showgrid": False, "fixedrange": True, "tickfont": {"size": 11, "color": p.dim},
    }  # fmt: skip
    data += _events(story, rows, p)
    xaxis = {
        **figures.time_axis(story.start, story.end),
        "anchor": "free",
        "position": 0,
        "nticks": 6,
        "showgrid": False,
    }
    return figures.figure(
        data, theme, xaxis=xaxis, shapes=[*_span(story, p), *_flags(story, p)], annotations=[*notes, *_onset(story, p)],
        margin=figures.margins(LEFT_PX, 14, TOP_PX, BOTTOM_PX), showlegend=False, hovermode="closest", **layout,
    )  # fmt: skip


def _axis(lane: Lane, theme: str, foot: float, head: float) -> dict[str, Any]:
    look = figures.template(theme)["layout"]["yaxis"]
    return {**look, **_FORMATS[lane.unit], "domain": [foot, head], "nticks": 3, "anchor": "x"}


def _lines(lane: Lane, p: Palette, axis: str) -> list[figures.Trace]:
    made = []
    for i, line in enumerate(lane.lines):
        colour = p.page if line.name == "failed" else p.series[i % len(p.series)]
        hover = f"{figures.plain(line.name)} {_HOVERS[lane.unit]} at %{{x|%H:%M}}<extra></extra>"
        extra = (
            {"fill": "tozeroy", "fillcolor": faint(colour, 0.1)} if i == 0 and lane.unit in ("rate", "share") else {}
        )
        made.append(_trace(line, colour, axis, hover, extra))
    if lane.allowed is not None and lane.lines:
        ends = [lane.lines[0].at[0], max(line.at[-1] for line in lane.lines)]
        flat = Line("allowed", tuple(ends), (lane.allowed, lane.allowed))
        made.append(
            _trace(flat, p.dim, axis, "allowed " + _HOVERS[lane.unit] + "<extra></extra>", {"dash": "dash", "width": 1})
        )
    return made


def _trace(line: Line, colour: str, axis: str, hover: str, extra: Mapping[str, Any]) -> figures.Trace:
    x = figures.typed([t * 1000.0 for t in line.at], "f8")
    given = {"width": 1.7, **extra}
    return figures.line(x, figures.typed(line.values), line.name, colour, yaxis=axis, hovertemplate=hover, **given)


def _heading(lane: Lane, head: float, p: Palette) -> figures.Trace:
    """The lane's title, and its lines by their colours."""
    names = []
    for i, line in enumerate(lane.lines):
        colour = p.page if line.name == "failed" else p.series[i % len(p.series)]
        names.append(f'<span style="color:{colour}">▬</span> {figures.plain(line.name[:28])}')
    dashed = " · dashed: allowed" if lane.allowed is not None else ""
    return {
        "xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": head, "yanchor": "bottom", "showarrow": False, "align": "left",
        "text": f"<b>{lane.title}</b>  {'  '.join(names)}{dashed}", "font": {"size": 11, "color": p.dim},
    }  # fmt: skip


def _events(story: Story, rows: Sequence[str], p: Palette) -> list[figures.Trace]:
    """Bars of alerts, and signs of everything that has an instant."""
    alerts = [e for e in story.events if e.row == "alerts"]
    made = [_bar(e, rows.index(f"alerts{min(i, BARS - 1) or ''}"), story, p) for i, e in enumerate(alerts)]
    for name in (r for r in ROWS if r != "alerts" and r in rows):
        marks = _together([e for e in story.events if e.row == name])
        made.append({
            "type": "scatter", "mode": "markers+text", "x": [figures.millis(m[0].start) for m in marks], "y": [rows.index(name)] * len(marks),
            "text": [SIGNS[m[0].state] for m in marks], "textfont": {"size": 12, "color": [getattr(p, m[0].state) for m in marks]},
            "marker": {"size": 13, "opacity": 0}, "customdata": ["<br>".join(map(_said, m)) for m in marks], "hovertemplate": "%{customdata}<extra></extra>",
            "cliponaxis": False,
        })  # fmt: skip
    return made


def _together(events: Sequence[Event]) -> list[list[Event]]:
    """Events of one row by the minute, the gravest first: one sign tells all that happened in it."""
    minutes: dict[datetime, list[Event]] = defaultdict(list)
    for event in events:
        minutes[event.start.replace(second=0, microsecond=0)].append(event)
    return [sorted(some, key=lambda e: _GRAVE.index(e.state))[:HOVERED] for _, some in sorted(minutes.items())]


def _bar(event: Event, row: int, story: Story, p: Palette) -> figures.Trace:
    start, end = max(event.start, story.start), min(event.end or story.end, story.end)
    return figures.line(
        [figures.millis(start), figures.millis(max(end, start))], [row, row], event.kind, getattr(p, event.state), width=9,
        customdata=[_said(event)] * 2, hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip


def _said(event: Event) -> str:
    """An event as its hover says it, broken into lines."""
    until = f" to {words.clock(event.end)}" if event.end else ""
    text = figures.plain(f"{event.words[:240]}")
    lines, held = [], ""
    for word in text.split(" "):
        if len(held) + len(word) > 64:
            lines.append(held)
            held = word
        else:
            held = f"{held} {word}".strip()
    return "<br>".join([f"<b>{figures.plain(event.kind)}</b> {words.clock(event.start)}{until} UTC", *lines, held])


def _span(story: Story, p: Palette) -> list[figures.Trace]:
    """The incident's own time, and the span its onset may lie in."""

    def shade(low: Any, high: Any, colour: str, opacity: float) -> figures.Trace:
        return {"type": "rect", "x0": figures.millis(low), "x1": figures.millis(high), "y0": 0, "y1": 1, "yref": "paper",
                "fillcolor": faint(colour, opacity), "line": {"width": 0}, "layer": "below"}  # fmt: skip

    made = [
        shade(story.since, min(story.until, story.end), p.page, 0.07),
        figures.vertical(figures.millis(story.since), p.page),
    ]
    if story.low is not None and story.high is not None and story.high > story.low:
        made.append(shade(story.low, story.high, p.ticket, 0.18))
    return made


def _flags(story: Story, p: Palette) -> list[figures.Trace]:
    """The changes nearest to the onset, through every lane."""
    changes = sorted(
        (e for e in story.events if e.row == "changes" and e.kind != "signal"), key=lambda e: abs(e.start - story.since)
    )
    return [figures.vertical(figures.millis(e.start), getattr(p, e.state), 1) for e in changes[:FLAGS]]


def _onset(story: Story, p: Palette) -> list[figures.Trace]:
    return [{
        "x": figures.millis(story.since), "y": 1, "yref": "paper", "yanchor": "bottom", "xanchor": "left", "xshift": 2, "showarrow": False,
        "text": f"onset {words.clock(story.since)}", "font": {"size": 10.5, "color": p.page},
    }]  # fmt: skip
