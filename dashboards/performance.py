"""How well does this model do? By its labels, and before they come: the performance section of a model's page.

Labels are late, so the section looks back two weeks at least, whatever range the page has.

Source: our own, after UX.md; METHODS section 9.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
from dash import html

from dashboards import cards, figures, reliability, sections, states, words
from dashboards.cards import Badge, Query
from dashboards.compared import compared
from dashboards.course import band
from dashboards.palette import palette
from dashboards.reader import Reader, Value
from dashboards.scope import Scope
from observe.agreement import Measured, mean, share
from observe.errors import ObserveError

HOURS: Final = """
select (floor(epoch(ts) / $step) * $step)::DOUBLE as epoch, sum(predictions)::DOUBLE as predictions, sum(labelled)::DOUBLE as labelled,
  sum(labelled) filter (accuracy is not null)::DOUBLE as answered, sum(accuracy * labelled)::DOUBLE as hits,
  sum(mae * labelled)::DOUBLE as errors, sum(rmse * rmse * labelled)::DOUBLE as squares, sum(late)::DOUBLE as late
from performance where model = $model and ts >= $since::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ group by 1 order by 1
"""
ESTIMATES: Final = """
select epoch(window_end)::DOUBLE as epoch, effect as value, ci_low as low, ci_high as high, unit, window_end, details::VARCHAR as details
from finding where detector = 'estimate' and subject <> 'auc' and model = $model and effect is not null and window_end > $since::TIMESTAMPTZ and window_end <= $end::TIMESTAMPTZ
order by window_end
"""
JUDGED: Final = """
select monitor_id, subject, state, severity, note, window_end from finding
where (detector = 'performance' or (detector = 'estimate' and subject = 'auc')) and model = $model and window_end > $since::TIMESTAMPTZ and window_end <= $end::TIMESTAMPTZ
qualify row_number() over (partition by monitor_id order by window_end desc) = 1 order by subject
"""
_BACK: Final = timedelta(days=14)
_STEPS: Final = (3_600, 21_600, 86_400)  # s
_MOST: Final = 120  # points of a chart


@dataclass(frozen=True, slots=True)
class Shown:
    """What the section is made of: hours with labels, estimates, the newest verdicts, and how they were asked."""

    params: Mapping[str, Value]
    hours: pl.DataFrame
    estimates: pl.DataFrame
    judged: pl.DataFrame
    since: datetime
    step_s: int

    @property
    def regression(self) -> bool:
        """Whether answers are numbers."""
        return bool(self.hours["errors"].is_not_null().any())

    @property
    def metric(self) -> str:
        """What people mean first."""
        return "mean absolute error" if self.regression else "accuracy"


def section(read: Reader, view: Scope, name: str, facts: Mapping[str, Any]) -> list[Any]:
    """Title and cards; nothing where performance is neither declared nor known."""
    declared = facts.get("performance")
    try:
        shown = _asked(read, view, name)
    except ObserveError as error:
        return [cards.failed(error)]
    if shown.hours.is_empty():
        return [sections.section("Performance", "performance"), _waiting(shown, declared)] if declared else []
    made = cards.gather(
        lambda: _course_card(read, view, name, shown), lambda: _verdicts_card(view, shown),
        lambda: reliability.score_card(read, view, shown.params, regression=shown.regression),
        lambda: reliability.delay_card(read, view, shown.params), lambda: reliability.slices_card(read, view, shown.params, regression=shown.regression),
        spans=(8, 4, 6, 6, 12),
    )  # fmt: skip
    return [sections.section("Performance", "performance"), *made]


def _waiting(shown: Shown, declared: Mapping[str, Any]) -> Any:
    """What is still missing before anything can be told."""
    hint = (
        f"It begins with 1,000 labels of a day or more, {words.span(declared['delay_s'])} after their predictions;"
        " the view label_unmatched tells labels whose prediction is not known."
    )
    none = cards.empty("No performance is known yet in the last two weeks", hint, 160)
    return cards.card(
        "Performance by labels", none, mark=Badge("unknown", "not known"), sql=[Query(HOURS, shown.params)]
    )


def _asked(read: Reader, view: Scope, name: str) -> Shown:
    since = min(view.start, view.end - _BACK)
    length = (view.end - since).total_seconds()
    step = next((s for s in _STEPS if length / s <= _MOST), _STEPS[-1])
    params: dict[str, Value] = {**view.params, "model": name, "since": since, "step": step}
    hours, estimates, judged = cards.together(
        lambda: read(HOURS, params), lambda: read(ESTIMATES, params), lambda: read(JUDGED, params)
    )
    return Shown(params, hours, estimates, judged, since, step)


def measured(row: Mapping[str, Any], *, regression: bool) -> Measured | None:
    """Accuracy or mean absolute error of a row of `HOURS`, with the interval of independent rows."""
    if not row["labelled"]:
        return None
    if regression:
        return mean(row["errors"], row["squares"], row["labelled"])
    return share(row["hits"], row["answered"]) if row["answered"] else None


def sentence(view: Scope, shown: Shown) -> str:
    """All in one line: by labels of when, how many have come, and the estimate of today."""
    whole = shown.hours.sum().row(0, named=True)
    seen = shown.hours.filter(pl.col("labelled") > 0)
    known = measured(whole, regression=shown.regression) if seen.height else None
    said = []
    if known is not None:
        first, last = (datetime.fromtimestamp(seen["epoch"][i], view.now.tzinfo) for i in (0, -1))
        until = last + timedelta(seconds=shown.step_s)
        arrived = float(seen["labelled"].sum()) / max(float(seen["predictions"].sum()), 1.0)
        said.append(
            f"{shown.metric} {_shown(shown, known)} on the labels of {words.clock(first)} – {words.clock(min(until, view.end))}"
            f" ({words.share(min(arrived, 1.0))} of these predictions have one)"
        )
    if shown.estimates.height:
        row = shown.estimates.row(-1, named=True)
        now = Measured(row["value"], row["low"], row["high"])
        said.append(
            f"estimated for the 24 h before {words.clock(row['window_end'], view.now)} without labels {_shown(shown, now)}"
        )
    return "; ".join(said) or "No label has come yet, and nothing can be estimated without any"


def _shown(shown: Shown, found: Measured) -> str:
    value, low, high = (
        words.number(v) if shown.regression else f"{v:.3f}" for v in (found.value, found.low, found.high)
    )
    return f"{value} ({low} – {high})"


def _course_card(read: Reader, view: Scope, name: str, shown: Shown) -> Any:
    title, whole = shown.metric.capitalize(), replace(view, start=shown.since)
    with_ = compared(read, whole, name, "mae" if shown.regression else "accuracy", ("performance",))
    asked = [Query(HOURS, shown.params), Query(ESTIMATES, shown.params), with_.query]
    drawn = _points(shown)
    if drawn.height + shown.estimates.height < 2:
        none = cards.empty(
            "Not enough hours yet", "An hour is judged when its labels have had the declared delay to come.", 260
        )
        return cards.card(title, none, sub=sentence(view, shown), sql=asked, span=8)
    label = f"{title} over time by labels, with the estimate before labels, and how many labels have come"
    graph = cards.graph(with_.drawn(_course(view, shown, drawn), whole), 360, label)
    return cards.card(title, graph, sub=sentence(view, shown), sql=asked, span=8)


def _points(shown: Shown) -> pl.DataFrame:
    """Value and interval of every step that has labels."""
    every = [(r["epoch"], measured(r, regression=shown.regression)) for r in shown.hours.iter_rows(named=True)]
    rows = [(at, found) for at, found in every if found is not None]
    columns = {"epoch": [at for at, _ in rows]} | {
        k: [getattr(f, k) for _, f in rows] for k in ("value", "low", "high")
    }
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64))


def _course(view: Scope, shown: Shown, drawn: pl.DataFrame) -> figures.Figure:
    """The metric with its band, estimates dashed, and beneath how many of the predictions have a label."""
    p = palette(view.theme)
    form = ".3~f" if shown.regression else ".1~%"
    when = " at %{x|%d %b %H:%M}<extra></extra>"
    x = figures.instants(drawn["epoch"] + shown.step_s / 2)
    data = [
        *band(x, drawn, p.series[0]),
        figures.line(x, figures.typed(drawn["value"]), "by labels", p.series[0], hovertemplate="%{y:" + form + "} by labels" + when),
    ]  # fmt: skip
    guessed = shown.estimates
    if guessed.height:
        at = figures.instants(guessed["epoch"] - 43_200)  # the middle of the day that it is about
        hover = "%{y:" + form + "} estimated" + when
        data += [
            *band(at, guessed, p.series[1]),
            figures.line(at, figures.typed(guessed["value"]), "estimated without labels", p.series[1], dash="dash", hovertemplate=hover),
        ]  # fmt: skip
    covered = np.clip(
        (shown.hours["labelled"] / shown.hours["predictions"]).fill_null(0.0).fill_nan(0.0).to_numpy(), 0.0, 1.0
    )
    every = figures.instants(shown.hours["epoch"] + shown.step_s / 2)
    hover = "%{y:.0%} have a label" + when
    data.append({
        "type": "bar", "x": every, "y": figures.typed(covered), "yaxis": "y2", "name": "labels that have come", "marker": {"color": p.dim},
        "width": shown.step_s * 900.0, "hovertemplate": hover,
    })  # fmt: skip
    for trace in data:
        trace["showlegend"] = trace["name"] not in ("low", "high")
    return figures.figure(
        data, view.theme, xaxis=figures.time_axis(shown.since, view.end),
        yaxis={"domain": [0.3, 1.0], "nticks": 6, "tickformat": form}, yaxis2={"domain": [0.0, 0.18], "range": [0, 1], "tickformat": ".0%", "nticks": 3},
        margin=figures.margins(52, 10, 24, 34),
    )  # fmt: skip


def _verdicts_card(view: Scope, shown: Shown) -> Any:
    """What is judged by labels, newest; and the mean of the newest day whose labels are due."""
    rows = shown.judged.to_dicts()
    late = max((r["window_end"] for r in rows if r["subject"] != "auc"), default=None)
    limit = states.STALE_DRIFT + (view.now - late if late is not None else timedelta(0))  # labels are late by nature
    marks = [states.finding_badge(r["state"], r["severity"], r["window_end"], view.now, limit) for r in rows]
    items = [html.Li([cards.badge(mark), " ", r["note"]]) for mark, r in zip(marks, rows, strict=True)]
    said = _powered(shown)
    sub = f"Judged by labels until {words.clock(late, view.now)} UTC" if late else "Nothing is judged yet"
    return cards.card(
        "Verdicts by labels", html.Ul(items, className="plain-list") if items else cards.empty("No verdict yet", "", 80),
        *([html.P(said)] if said else []), sub=sub, mark=states.worst(marks) if marks else Badge("unknown", "not judged"),
        sql=[Query(JUDGED, shown.params)], span=4,
    )  # fmt: skip


def _powered(shown: Shown) -> str:
    """The newest mean of labels and estimate together."""
    for row in reversed(shown.estimates.to_dicts()):
        both = json.loads(row["details"]).get("with_labels")
        if both:
            value = _shown(shown, Measured(both["value"], both["low"], both["high"]))
            return f"{shown.metric.capitalize()} of the 24 h before {words.clock(datetime.fromisoformat(both['until']))} UTC, by {words.count(both['labels'])} labels and the scores of all rows: {value}."
    return ""
