"""Drawings of a drift report: both distributions on the same bins, and the effect over time. SVG, no scripts.

Colours are classes of the report's own style, so one drawing serves dark and light.

Source: our own; METHODS sections 2 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from dashboards import words
from dashboards.markup import Markup, tag
from dashboards.report_facts import Facts, Rows, Stream
from observe.schema import Window

WIDTH, HEIGHT = 520.0, 190.0  # of a drawing, in its own units
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 8.0, 24.0
FEWEST: Final = 50  # rows that a distribution is drawn from
BINS: Final = 36  # shown of a numeric feature
LEVELS: Final = 10  # shown of a categorical one, then "other"
POINTS: Final = 160  # of an effect over time

COUNTS: Final = """
with c as (
  select unnest(counts) as c, generate_subscripts(counts, 1) as k from summary
  where measure = $measure and binning_id = $binning and ts >= $start and ts < $end and counts is not null
) select k::BIGINT as k, sum(c)::DOUBLE as n from c group by 1 order by 1
"""
EFFECT: Final = """
select floor(epoch(window_end) / $bucket)::BIGINT as bucket, avg(epoch(window_end))::DOUBLE as at, avg(effect)::DOUBLE as effect,
  avg(ci_low)::DOUBLE as low, avg(ci_high)::DOUBLE as high, bool_or(state = 'alarm') as alarm
from finding where monitor_id = $monitor and window_end > $start and window_end <= $end and isfinite(effect)
group by 1 order by 1
"""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Shares of rows by bin, of the reference and of now, on the same bins."""

    labels: tuple[str, ...] | None  # of levels; None for numbers
    edges: tuple[float, ...] | None  # outer ones too, one more than bins; None for levels
    reference: tuple[float, ...]
    current: tuple[float, ...]
    rows: float  # counted now
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Course:
    """An effect over time, with its interval; instants in epoch seconds."""

    at: tuple[float, ...]
    effect: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def distribution(rows: Rows, facts: Facts, stream: Stream) -> Distribution | None:
    """Both distributions of a feature, now from its onset on; None when there are no bins or too few rows."""
    bins = facts.bins.get(stream.feature)
    if bins is None:
        return None
    since = max(facts.start, stream.onset) if stream.onset and (stream.drifts or stream.ended) else facts.start
    until = stream.ended or facts.end
    asked = {
        "measure": f"{facts.model}/{bins['source_table']}/{stream.feature}", "binning": bins["binning_id"], "start": since, "end": until,
    }  # fmt: skip
    counted = rows.read(COUNTS, asked, Window(since, until)) if since < until else None
    if counted is None or float(counted["n"].sum() or 0) < FEWEST:
        return None
    current = np.zeros(len(bins["reference"]))
    current[counted["k"].to_numpy() - 1] = counted["n"].to_numpy()
    total = float(current.sum())
    reference = np.asarray(bins["reference"], float) / max(1.0, float(np.sum(bins["reference"])))
    both = _levels if bins["kind"] == "categorical" else _numbers
    return both(bins, (reference, current / total), (total, since, until))


def _levels(bins: Mapping[str, Any], shares: Sequence[Any], seen: tuple[float, datetime, datetime]) -> Distribution:
    names = [str(x) for x in bins["levels"] or ()][:LEVELS]
    cut = [(*(float(x) for x in s[: len(names)]), float(s[len(names) :].sum())) for s in shares]
    return Distribution((*names, "other"), None, cut[0], cut[1], *seen)


def _numbers(bins: Mapping[str, Any], shares: Sequence[Any], seen: tuple[float, datetime, datetime]) -> Distribution:
    inner = [float(e) for e in bins["edges"]]
    quantiles = bins["quantiles"] or (inner[0], inner[-1])
    low, high = min(float(quantiles[0]), inner[0]), max(float(quantiles[-1]), inner[-1])
    least = (high - low) / BINS
    kept: list[int] = []
    for i, edge in enumerate(inner):
        if edge - (inner[kept[-1]] if kept else low) >= least * 0.999 and high - edge >= least * 0.5:
            kept.append(i)
    starts = [0, *(i + 1 for i in kept)]
    cut = [tuple(float(x) for x in np.add.reduceat(s, starts)) for s in shares]
    return Distribution(None, (low, *(inner[i] for i in kept), high), cut[0], cut[1], *seen)


def course(rows: Rows, facts: Facts, stream: Stream) -> Course | None:
    """The effect of one question over the period; None before it was judged twice."""
    bucket = max(1.0, (facts.end - facts.start).total_seconds() / POINTS)
    asked = {"monitor": stream.monitor_id, "start": facts.start, "end": facts.end, "bucket": bucket}
    found = rows.read(EFFECT, asked)
    if found.height < 2:
        return None
    filled = found.with_columns(found["low"].fill_null(found["effect"]), found["high"].fill_null(found["effect"]))
    return Course(*(tuple(float(x) for x in filled[c]) for c in ("at", "effect", "low", "high")))


# --- drawing ----------------------------------------------------------------------------------------


def draw_distribution(feature: str, unit: str, told: Distribution) -> Markup:
    """Both on the same axis: outline of the reference, filled now."""
    label = f"Distribution of {feature}: reference, and from {words.clock(told.since)} on"
    return _svg(label, _bars(told) if told.labels is not None else _steps(unit, told))


def _bars(told: Distribution) -> list[Markup]:
    assert told.labels is not None
    top = max(*told.reference, *told.current, 1e-9)
    step = (WIDTH - LEFT - RIGHT) / len(told.labels)
    parts = _percents(top)
    for i, (name, ref, now) in enumerate(zip(told.labels, told.reference, told.current, strict=True)):
        x = LEFT + i * step
        parts += [
            _box(x + step * 0.12, ref / top, step * 0.36, "ref", f"{name}: {words.share(ref)} in the reference"),
            _box(x + step * 0.5, now / top, step * 0.36, "cur", f"{name}: {words.share(now)} now"),
            _text(x + step / 2, HEIGHT - 8, name if len(name) <= 9 else name[:8] + "…", "middle"),
        ]
    return parts


def _box(x: float, height: float, width: float, cls: str, said: str) -> Markup:
    tall = height * (HEIGHT - TOP - BOTTOM)
    return tag(
        "rect", tag("title", said), x=_n(x), y=_n(HEIGHT - BOTTOM - tall), width=_n(width), height=_n(tall), cls=cls
    )


def _steps(unit: str, told: Distribution) -> list[Markup]:
    assert told.edges is not None
    widths = np.maximum(np.diff(told.edges), 1e-12)
    ref, now = np.asarray(told.reference) / widths, np.asarray(told.current) / widths
    top = float(max(ref.max(), now.max(), 1e-12))
    low, high = told.edges[0], told.edges[-1]
    x = [LEFT + (e - low) / ((high - low) or 1.0) * (WIDTH - LEFT - RIGHT) for e in told.edges]
    parts = [_text(12, TOP + 10, "density", "start")]
    for value in _ticks(low, high, 5):
        at = LEFT + (value - low) / ((high - low) or 1.0) * (WIDTH - LEFT - RIGHT)
        parts.append(_text(at, HEIGHT - 8, f"{words.number(value)}{' ' + unit if unit else ''}", "middle"))
    parts += [_outline(x, now / top, "cur"), _outline(x, ref / top, "ref"), _base()]
    return parts


def _outline(x: Sequence[float], heights: Any, cls: str) -> Markup:
    floor, tall = HEIGHT - BOTTOM, HEIGHT - TOP - BOTTOM
    points = [f"M{_n(x[0])} {_n(floor)}"]
    for i, height in enumerate(heights):
        y = floor - float(height) * tall
        points.append(f"L{_n(x[i])} {_n(y)}L{_n(x[i + 1])} {_n(y)}")
    return tag("path", d=f"{''.join(points)}L{_n(x[-1])} {_n(floor)}Z", cls=cls)


def draw_course(stream: Stream, told: Course, period: tuple[datetime, datetime]) -> Markup:
    """The effect with its 95 % interval; a line where it most likely began."""
    start, end = (t.timestamp() for t in period)
    low, high = min(0.0, *told.low), max(0.0, *told.high)
    pad = ((high - low) or 1.0) * 0.06
    low, high = low - pad, high + pad

    def x(at: float) -> float:
        return LEFT + (at - start) / (end - start) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    band = [*zip(told.at, told.high, strict=True), *reversed(list(zip(told.at, told.low, strict=True)))]
    parts = [_text(LEFT - 6, y(v) + 4, words.size(v), "end") for v in _ticks(low, high, 4)]
    parts += [tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=_n(y(0.0)), y2=_n(y(0.0)), cls="zero")]
    if stream.onset and start <= stream.onset.timestamp() <= end:
        at = x(stream.onset.timestamp())
        parts += [
            tag("line", x1=_n(at), x2=_n(at), y1=TOP, y2=HEIGHT - BOTTOM, cls="onset"),
            _text(at - 4, TOP + 10, "onset", "end"),
        ]
    parts += [tag("path", d="M" + "L".join(f"{_n(x(a))} {_n(y(v))}" for a, v in band) + "Z", cls="band")]
    line = "L".join(f"{_n(x(a))} {_n(y(v))}" for a, v in zip(told.at, told.effect, strict=True))
    parts += [tag("path", d="M" + line, cls="line"), *_instants(*period, x)]
    unit = "σ" if stream.unit == "sigma" else stream.unit or ""
    return _svg(f"Effect on {stream.feature} over time, {unit}", parts)


def _instants(start: datetime, end: datetime, x: Any) -> list[Markup]:
    ticks = [start + (end - start) * (i + 0.5) / 4 for i in range(4)]
    day = end - start <= timedelta(days=2)
    return [
        _text(x(t.timestamp()), HEIGHT - 8, f"{t.day} {t:%b %H:%M}" if day else f"{t.day} {t:%b}", "middle")
        for t in ticks
    ]


def _svg(label: str, parts: Sequence[Markup]) -> Markup:
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", role="img", aria_label=label, cls="chart")


def _percents(top: float) -> list[Markup]:
    ticks = [t for t in _ticks(0.0, top, 4) if t <= top]
    floor, tall = HEIGHT - BOTTOM, HEIGHT - TOP - BOTTOM
    return [_text(LEFT - 6, floor - t / top * tall + 4, words.share(t), "end") for t in ticks] + [_base()]


def _base() -> Markup:
    return tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM, cls="base")


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round values within a range, at most about `most`."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    raw = span / most
    size = 10.0 ** math.floor(math.log10(raw))
    step = next((m * size for m in (1, 2, 5, 10) if m * size >= raw), 10 * size)
    first = math.ceil(low / step) * step
    return [round(first + i * step, 12) for i in range(int((high - first) / step + 1e-9) + 1)]


def _text(x: float, y: float, said: str, anchor: str) -> Markup:
    return tag("text", said, x=_n(x), y=_n(y), text_anchor=anchor)


def _n(value: float) -> str:
    return f"{value:.1f}"
