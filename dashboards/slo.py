"""One service-level objective as judged last, and the card of its error budget.

Source: Google SRE Workbook, "Alerting on SLOs"; METHODS section 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from dash import html

from dashboards import cards, catalogue, figures, words
from dashboards.cards import Badge, Query
from dashboards.palette import faint, palette
from dashboards.reader import Reader, Value
from dashboards.scope import Scope
from dashboards.states import finding_badge

STATUS = """
with onset as (
  select a.model, a.subject as slo, min(i.since) as since from alert a join incident i using (incident_id)
  where a.kind = 'slo' and a.state = 'firing' and i.state = 'open' group by all
)
select slo_id, model, slo, judged_at, state, severity, objective, window_s, total, bad, sli, budget_left, burn_1h, phi, since
from slo_status left join onset using (model, slo) where $model = '' or model = $model
order by case when state = 'alarm' then 0 else 1 end, budget_left nulls last
"""
BUDGET = """
with s as (
  select epoch(ts) as t, n, coalesce(events, 0) as bad from summary
  where measure = $measure and ts >= $opened::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ
), allowed as (
  select sum(n) * (1 - $objective) as budget from s
), step as (
  select (floor(t / $step) * $step)::DOUBLE as epoch, sum(n)::DOUBLE as n, sum(bad)::DOUBLE as bad from s group by 1
)
select epoch, n, bad, (1 - sum(bad) over (order by epoch) / nullif(budget, 0))::DOUBLE as budget_left from step, allowed order by epoch
"""


@dataclass(frozen=True, slots=True)
class Slo:
    """One objective as judged last (a row of `slo_status`) and as declared."""

    row: Mapping[str, Any]
    declared: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Model and objective, as people say it."""
        return f"{self.row['model']} · {self.title}"

    @property
    def title(self) -> str:
        """The objective alone, e.g. "ttft < 800 ms"."""
        return catalogue.title(self.row["slo"], self.declared)

    @property
    def bad(self) -> str | None:
        """SQL that is true for its bad requests."""
        return catalogue.bad_request(self.declared)

    @property
    def since(self) -> datetime | None:
        """The most likely start of its open incident, None without one."""
        return self.row["since"] if self.row["state"] == "alarm" else None

    def badge(self, now: datetime) -> Badge:
        """Its state at `now`."""
        return finding_badge(self.row["state"], self.row["severity"], self.row["judged_at"], now)


def budget_card(read: Reader, view: Scope, slo: Slo, span: int = 7) -> Any:
    """How much of the error budget is left, against spending it evenly, and when it ends at the present burn."""
    row = slo.row
    length = timedelta(seconds=float(row["window_s"] or 2592000))
    params: dict[str, Value] = {
        "measure": f"{row['model']}/slo/{row['slo']}", "opened": view.end - length, "end": view.end,
        "objective": row["objective"], "step": max(60, int(length.total_seconds() // 240)),
    }  # fmt: skip
    frame = read(BUDGET, params)
    query = Query(BUDGET, params)
    title = "Error budget"
    if frame.height < 2 or row["state"] == "too_few":
        words_ = f"{words.count(row['total'])} requests in {words.span(length)}: too few to judge {words.share(row['objective'], None)}"
        return cards.card(
            title,
            cards.empty(words_, "A budget is shown once the objective allows at least one bad request.", 96),
            sub=slo.name,
            mark=Badge("unknown", "too few"),
            sql=[query],
            span=span,
        )
    left = float(frame["budget_left"][-1])
    spent_at, sentence = _projection(row, left, view.end, length)
    figure = _burn_down(frame, view, length, spent_at, left)
    chart = cards.graph(figure, 266, f"Error budget left of {slo.name}: {words.share(left)}")
    head = html.Div(
        [html.Span(words.share(left), className="figure small"), html.Span(sentence, className="sub")], className="lead"
    )
    return cards.card(title, head, chart, sub=slo.name, mark=slo.badge(view.now), sql=[query], span=span)


def _projection(row: Mapping[str, Any], left: float, end: datetime, length: timedelta) -> tuple[datetime | None, str]:
    burn = row["burn_1h"]
    period = words.span(length)
    if left <= 0:
        return None, f"of the {period} budget: it is spent"
    if not burn or burn <= 1:
        return None, f"left of {period}; the last hour burns {words.number(burn)}×, within budget"
    lasts = length * (left / burn)
    return end + lasts, f"left of {period}; at the last hour's {words.number(burn)}× it is spent in {words.span(lasts)}"


def _burn_down(
    frame: pl.DataFrame, view: Scope, length: timedelta, spent_at: datetime | None, left: float
) -> figures.Figure:
    p = palette(view.theme)
    first = datetime.fromtimestamp(float(frame["epoch"][0]), UTC)
    room = min(length * 0.12, max(spent_at - view.end, timedelta(minutes=5)) * 1.2) if spent_at else length * 0.02
    colour = p.page if left < 0.1 else p.series[0]
    even = [figures.millis(first), figures.millis(first + length)]
    hover = "%{x|%d %b %H:%M} · %{y:.1%} left<extra></extra>"
    data = [
        figures.line(even, [1, 0], "even spend", p.dim, dash="dash", width=1, hoverinfo="skip"),
        figures.line(
            figures.instants(frame["epoch"]), figures.typed(frame["budget_left"]), "budget left", colour, fill="tozeroy", fillcolor=faint(colour, 0.1), hovertemplate=hover,
        ),
    ]  # fmt: skip
    if spent_at:
        ahead = [figures.millis(view.end), figures.millis(spent_at)]
        data.append(figures.line(ahead, [left, 0], "at the last hour's burn", p.page, dash="dot", hoverinfo="skip"))
    low = min(0.0, float(frame["budget_left"].min() or 0))  # type: ignore[arg-type]
    axis = {**figures.time_axis(first, view.end + room), "fixedrange": True}
    yaxis = {
        "tickformat": ".0%", "range": [low - 0.02, 1.04], "nticks": 5, "zeroline": True, "zerolinecolor": p.page, "zerolinewidth": 1,
    }  # fmt: skip
    return figures.figure(data, view.theme, xaxis=axis, yaxis=yaxis, margin=figures.margins(46, 12, 26, 34))
