"""One service-level objective as judged last, and the card of its error budget.

Source: Google SRE Workbook, "Alerting on SLOs"; METHODS section 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dash import dcc, html

from dashboards import burndown, cards, catalogue, pages, slo_words, words
from dashboards.cards import Badge, Query
from dashboards.reader import Reader
from dashboards.scope import Scope
from dashboards.states import finding_badge

STATUS = """
with onset as (
  select a.model, a.subject as slo, min(i.since) as since, arg_min(coalesce(i.part_of, i.incident_id), i.since) as incident_id from alert a join incident i using (incident_id)
  where a.kind = 'slo' and a.state = 'firing' and i.state = 'open' group by all
)
select slo_id, model, slo, judged_at, state, severity, counted, objective, window_s, window_kind, window_from, window_to, total, bad, sli,
  budget_left, budget_low, budget_high, budget_events, gaps_s, exhausted_at, exhausted_low, exhausted_high, forecast_until, forecast_basis, forecast_from, forecast_path,
  burn_5m, burn_30m, burn_1h, burn_2h, burn_6h, burn_1d, burn_3d, burn_low, burn_high, phi, found_24h, found_1h, note, since, incident_id
from slo_status left join onset using (model, slo) where $model = '' or model = $model
order by case when state = 'alarm' then 0 else 1 end, budget_left nulls last
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
    def events(self) -> str:
        """What it counts, for people: requests, calls, events, minutes, GPU minutes."""
        return str(self.declared.get("events") or self.row.get("counted") or "events")

    @property
    def bad(self) -> str | None:
        """SQL that is true for its bad requests; None where it counts something else."""
        return catalogue.bad_request(self.declared)

    @property
    def since(self) -> datetime | None:
        """The most likely start of its open incident, None without one."""
        return self.row["since"] if self.row["state"] == "alarm" else None

    @property
    def measure(self) -> str:
        """The measure of its summaries."""
        return f"{self.row['model']}/slo/{self.row['slo']}"

    def badge(self, now: datetime) -> Badge:
        """Its state at `now`; nothing is ok whose budget is spent."""
        mark = finding_badge(self.row["state"], self.row["severity"], self.row["judged_at"], now)
        left = self.row["budget_left"]
        return Badge("ticket", "spent") if mark.state == "ok" and words.known(left) and left <= 0 else mark


def budget_card(read: Reader, view: Scope, slo: Slo, span: int = 7) -> Any:
    """How much of the error budget is left, against spending it evenly, and when it ends."""
    row = slo.row
    params = burndown.params(slo.measure, row, view.end)
    frame = read(burndown.BUDGET, params)
    queries = [
        Query(burndown.BUDGET, params),
        Query(burndown.ALARMS, {**params, "model": row["model"], "slo": row["slo"]}),
    ]
    title = "Error budget"
    if frame.height < 2 or row["state"] == "too_few":
        length = timedelta(seconds=float(row["window_s"] or 2592000))
        words_ = f"{words.count(row['total'])} {slo.events} in {words.span(length)}: too few to judge {words.share(row['objective'], None)}"
        return cards.card(
            title,
            cards.empty(words_, "A budget is shown once even an outage could be told from chance.", 96),
            sub=slo.name,
            mark=Badge("unknown", "too few"),
            sql=queries[:1],
            span=span,
        )
    alarms = read(queries[1].sql, queries[1].params)
    figure = burndown.figure(frame, alarms, row, view)
    left = row["budget_left"] if words.known(row["budget_left"]) else float(frame["budget_left"][-1])
    chart = cards.graph(figure, 266, f"Error budget left of {slo.name}: {words.share(left)}")
    said = [html.Span(words.share(left), className="figure small"), html.Span(_left(row, view.now), className="sub")]
    return cards.card(
        title,
        html.Div(said, className="lead"),
        chart,
        sub=_name(slo, view),
        mark=slo.badge(view.now),
        sql=queries,
        span=span,
    )


def _left(row: Mapping[str, Any], now: datetime) -> str:
    sure = f" (95 %: {interval(row)})" if words.known(row["budget_low"]) else ""
    missing = slo_words.gaps(row)
    return f"left of {slo_words.period(row)}{sure}. {slo_words.outlook(row, now)}{f' {missing}.' if missing else ''}"


def interval(row: Mapping[str, Any]) -> str:
    """The interval of what is left, as people write it."""
    return f"{words.share(row['budget_low'])} to {words.share(min(1.0, row['budget_high']))}"


def _name(slo: Slo, view: Scope) -> Any:
    """Its name, leading to its own page where it is read elsewhere."""
    if not pages.installed("slos") or view.query.get("id") == slo.row["slo_id"]:
        return slo.name
    return dcc.Link(slo.name, href=view.link("/slos", id=slo.row["slo_id"]))
