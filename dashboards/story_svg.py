"""The story of an incident as SVG for a page that stands alone: no script, colours are classes of the page's style.

Source: our own; the same `Story` as the page's figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from dashboards import words
from dashboards.markup import Markup, tag
from dashboards.palette import SIGNS
from dashboards.story import Event, Lane, Line, Story
from dashboards.story_figure import BARS, places

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 1040.0, 76.0, 12.0, 16.0, 26.0
LANE, GAP, ROW = 64.0, 22.0, 20.0
TICKS: Final = 8
_STEPS_S: Final = (60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
STYLE: Final = """
.story text{fill:var(--dim);font-size:11px;font-family:inherit}.story .name{font-weight:600}.story .grid{stroke:var(--edge);stroke-width:1}
.story .l0{fill:none;stroke:var(--cur);stroke-width:1.6}.story .l1{fill:none;stroke:var(--bad);stroke-width:1.6}
.story .l2{fill:none;stroke:var(--dim);stroke-width:1.6}.story .l3{fill:none;stroke:var(--ok);stroke-width:1.6}
.story .allowed{stroke:var(--dim);stroke-width:1;stroke-dasharray:5 4}.story .span{fill:var(--bad);fill-opacity:.08}
.story .maybe{fill:var(--ticket);fill-opacity:.22}.story .onset{stroke:var(--bad);stroke-width:1.2;stroke-dasharray:2 3}
.story .page{fill:var(--bad)}.story .ticket{fill:var(--ticket)}.story .info{fill:var(--info)}.story .unknown,.story .ok{fill:var(--dim)}
"""


def drawn(story: Story) -> Markup:
    """The whole drawing."""
    rows = places(story)
    floor = TOP + len(story.lanes) * (LANE + GAP) + len(rows) * ROW
    parts = [*_spans(story, floor), *_ticks(story, floor)]
    top = TOP
    for lane in story.lanes:
        parts += _lane(story, lane, top + GAP)
        top += LANE + GAP
    parts += _rows(story, rows, top)
    box = f"0 0 {WIDTH:g} {floor + BOTTOM:g}"
    return tag(
        "svg",
        parts,
        cls="story",
        viewBox=box,
        role="img",
        aria_label="Timeline of the incident",
        style="width:100%;height:auto;display:block",
    )


def _x(story: Story, at: float) -> float:
    start, end = story.start.timestamp(), story.end.timestamp()
    share = (at - start) / max(end - start, 1.0)
    return round(LEFT + min(1.0, max(0.0, share)) * (WIDTH - LEFT - RIGHT), 1)


def _spans(story: Story, floor: float) -> Iterator[Markup]:
    since, until = _x(story, story.since.timestamp()), _x(story, story.until.timestamp())
    yield tag("rect", x=since, y=TOP, width=round(max(1.0, until - since), 1), height=floor - TOP, cls="span")
    if story.low is not None and story.high is not None:
        low, high = _x(story, story.low.timestamp()), _x(story, story.high.timestamp())
        yield tag("rect", x=low, y=TOP, width=round(max(1.0, high - low), 1), height=floor - TOP, cls="maybe")
    yield tag("line", x1=since, x2=since, y1=TOP, y2=floor, cls="onset")
    yield tag("text", f"onset {words.clock(story.since)}", x=since + 3, y=TOP - 4)


def _ticks(story: Story, floor: float) -> Iterator[Markup]:
    length = (story.end - story.start).total_seconds()
    step = next((s for s in _STEPS_S if length / s <= TICKS), _STEPS_S[-1])
    at = -(-story.start.timestamp() // step) * step
    while at <= story.end.timestamp():
        x = _x(story, at)
        instant = story.start + timedelta(seconds=at - story.start.timestamp())
        yield tag("line", x1=x, x2=x, y1=TOP, y2=floor, cls="grid")
        yield tag(
            "text", f"{instant:%H:%M}" if step < 86400 else f"{instant:%d %b}", x=x, y=floor + 14, text_anchor="middle"
        )
        at += step
    yield tag("text", f"{story.start:%Y-%m-%d} UTC", x=2, y=floor + 14)


def _lane(story: Story, lane: Lane, top: float) -> Iterator[Markup]:
    most = max([v for line in lane.lines for v in line.values] + ([lane.allowed] if lane.allowed is not None else []))
    most = most * 1.05 or 1.0
    names = " · ".join(f"{line.name}" for line in lane.lines)
    yield tag("text", tag("tspan", lane.title, cls="name"), f"  {names}", x=LEFT, y=top - 5)
    yield tag("text", _figure(most / 1.05, lane.unit), x=LEFT - 6, y=top + 9, text_anchor="end")
    yield tag("text", "0", x=LEFT - 6, y=top + LANE, text_anchor="end")
    yield tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=top + LANE, y2=top + LANE, cls="grid")
    for i, line in enumerate(lane.lines):
        yield tag("path", d=_path(story, line, top, most), cls="l1" if line.name == "failed" else f"l{i % 4}")
    if lane.allowed is not None:
        y = round(top + LANE * (1 - lane.allowed / most), 1)
        yield tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, cls="allowed")


def _path(story: Story, line: Line, top: float, most: float) -> str:
    points = [
        f"{_x(story, at)} {top + LANE * (1 - max(0.0, v) / most):.1f}"
        for at, v in zip(line.at, line.values, strict=True)
    ]
    return "M" + "L".join(points) + ("h3" if len(points) == 1 else "")  # of one point a path draws nothing


def _figure(value: float, unit: str) -> str:
    if unit == "share":
        return words.share(value)
    return f"{words.number(value, 2)}×" if unit == "times" else words.number(value, 2)


def _rows(story: Story, rows: list[str], top: float) -> Iterator[Markup]:
    for i, name in enumerate(rows):
        if not name[-1].isdigit():
            yield tag("text", name, x=LEFT - 8, y=top + i * ROW + 14, text_anchor="end")
    seen = 0
    for event in story.events:
        if event.row == "alerts":
            yield _bar(story, event, top + rows.index(f"alerts{min(seen, BARS - 1) or ''}") * ROW)
            seen += 1
        else:
            y = top + rows.index(event.row) * ROW + 14
            x = _x(story, event.start.timestamp())
            yield tag(
                "text", SIGNS[event.state], tag("title", _said(event)), x=x, y=y, text_anchor="middle", cls=event.state
            )


def _bar(story: Story, event: Event, top: float) -> Markup:
    start, end = _x(story, event.start.timestamp()), _x(story, (event.end or story.end).timestamp())
    return tag(
        "rect",
        tag("title", _said(event)),
        x=start,
        y=top + 6,
        width=round(max(3.0, end - start), 1),
        height=8,
        rx=3,
        cls=event.state,
    )


def _said(event: Event) -> str:
    return f"{_clock(event.start)} {event.kind}: {event.words}"


def _clock(at: datetime) -> str:
    return words.clock(at)
