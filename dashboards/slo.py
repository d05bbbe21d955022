"""Cards about one service-level objective: budget, burn by window, what differs in bad requests, latency over time.

Source: Google SRE Workbook, "Alerting on SLOs"; METHODS section 6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from dash import html

from dashboards import cards, catalogue, changes, figures, words
from dashboards.cards import Badge, Query
from dashboards.palette import faint, palette, sequential
from dashboards.reader import Reader, Value
from dashboards.scope import Scope
from dashboards.states import finding_badge

STATUS = """
select slo_id, model, slo, "at", state, severity, objective, window_s, total, bad, sli, budget_left, burn_5m, burn_30m, burn_1h, burn_2h,
  burn_6h, burn_1d, burn_3d, phi, tier, evidence_nats
from slo_status where $model = '' or model = $model
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
LATENCY = """
select (floor(epoch(ts) / $bucket) * $bucket)::DOUBLE as epoch, floor(log10({column}) * 12)::INTEGER as bin, count(*)::DOUBLE as n
from request
where model_id = $model and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and {column} > 0 and ($cluster = '' or cluster = $cluster)
group by 1, 2
"""
DIFFERS = """
with r as (
  select {bad} as bad, coalesce(team_id, '–') as team, coalesce(model_served, '–') as model_served, coalesce(provider, '–') as provider,
    coalesce(deployment_id, '–') as deployment, coalesce(cluster, '–') as cluster,
    case when tokens_in is null then '–' when tokens_in < 1000 then '< 1k' when tokens_in < 4000 then '1k – 4k'
      when tokens_in < 8000 then '4k – 8k' else '≥ 8k' end as tokens_in
  from request
  where model_id = $model and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and status <> 'cancelled' and {bad} is not null
    and ($cluster = '' or cluster = $cluster)
), t as (
  select count(*) filter (bad)::DOUBLE as all_bad, count(*) filter (not bad)::DOUBLE as all_good from r
), v as (
  select dimension, level, count(*) filter (bad)::DOUBLE as bad, count(*) filter (not bad)::DOUBLE as good
  from (unpivot r on team, model_served, provider, deployment, cluster, tokens_in into name dimension value level) group by 1, 2
), l as (
  select *, (bad / all_bad) / ((good + 0.5) / (all_good + 0.5)) as lift,
    sqrt(greatest(1 / bad - 1 / all_bad + 1 / (good + 0.5) - 1 / (all_good + 0.5), 0)) as spread
  from v, t where bad >= 5
)
select dimension, level, bad, all_bad, all_good, lift, bad / all_bad as share_bad, good / all_good as share_good,
  exp(ln(lift) - 3 * spread) as lift_low
from l where lift * exp(-3 * spread) > 1.2 order by share_bad * ln(lift) desc limit 6
"""
WINDOWS = (("5m", 300), ("30m", 1800), ("1h", 3600), ("2h", 7200), ("6h", 21600), ("1d", 86400), ("3d", 259200))
TICKS_S = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 300)
DIMENSIONS = {"team": "team", "model_served": "served by", "tokens_in": "prompt tokens"}


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

    def badge(self, now: datetime) -> Badge:
        """Its state at `now`."""
        return finding_badge(self.row["state"], self.row["severity"], self.row["at"], now)


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
        return cards.card(title, cards.empty(words_, "A budget is shown once the objective allows at least one bad request.", 96), sub=slo.name, mark=Badge("unknown", "too few"), sql=[query], span=span)
    left = float(frame["budget_left"][-1])
    spent_at, sentence = _projection(row, left, view.end, length)
    figure = _burn_down(frame, view, length, spent_at, left)
    chart = cards.graph(figure, 250, f"Error budget left of {slo.name}: {words.share(left)}")
    head = html.Div([html.Span(words.share(left), className="figure small"), html.Span(sentence, className="sub")], className="lead")
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


def _burn_down(frame: pl.DataFrame, view: Scope, length: timedelta, spent_at: datetime | None, left: float) -> figures.Figure:
    p = palette(view.theme)
    first = datetime.fromtimestamp(float(frame["epoch"][0]), UTC)
    room = min(length * 0.12, max(spent_at - view.end, timedelta(minutes=5)) * 1.2) if spent_at else length * 0.02
    colour = p.page if left < 0.1 else p.series[0]
    data = [
        figures.line([figures.millis(first), figures.millis(first + length)], [1, 0], "even spend", p.dim, dash="dash", width=1, hoverinfo="skip"),
        figures.line(figures.instants(frame["epoch"]), figures.typed(frame["budget_left"]), "budget left", colour, fill="tozeroy", fillcolor=faint(colour, 0.1), hovertemplate="%{x|%d %b %H:%M} · %{y:.1%} left<extra></extra>"),
    ]
    if spent_at:
        data.append(figures.line([figures.millis(view.end), figures.millis(spent_at)], [left, 0], "at the last hour's burn", p.page, dash="dot", hoverinfo="skip"))
    low = min(0.0, float(frame["budget_left"].min() or 0))  # type: ignore[arg-type]
    axis = {**figures.time_axis(first, view.end + room), "fixedrange": True}
    yaxis = {"tickformat": ".0%", "range": [low - 0.02, 1.04], "nticks": 5, "zeroline": True, "zerolinecolor": p.page, "zerolinewidth": 1}
    return figures.figure(data, view.theme, xaxis=axis, yaxis=yaxis, margin={"l": 46, "r": 12, "t": 26, "b": 34})


def latency_card(read: Reader, view: Scope, slo: Slo, span: int = 5) -> Any:
    """Every request's latency over time, so a second mode is not hidden in a percentile."""
    column = slo.declared.get("column") if slo.declared.get("column") in ("ttft_s", "tpot_s", "duration_s") else "ttft_s"
    params = {**view.params, "model": slo.row["model"]}
    sql = LATENCY.replace("{column}", str(column))
    frame = read(sql, params)
    title = {"ttft_s": "Time to first token", "tpot_s": "Time per output token", "duration_s": "Request duration"}[str(column)]
    sub = f"{slo.row['model']} · did everybody slow down, or some?"
    if frame.is_empty():
        return cards.card(title, cards.empty("No streamed requests in this range", "Time to first token is known only for streamed requests.", 236), sub=sub, sql=[Query(sql, params)], span=span)
    threshold = slo.declared.get("threshold_s") if slo.declared.get("column") == column else None
    figure = _latency(frame, view, threshold, changes.read_changes(read, view, str(slo.row["model"])))
    return cards.card(title, cards.graph(figure, 276, f"{title} of {slo.row['model']} by time", brush=f"latency-{slo.row['slo_id']}"), sub=sub, sql=[Query(sql, params)], span=span)


def _latency(frame: pl.DataFrame, view: Scope, threshold: float | None, marked: pl.DataFrame) -> figures.Figure:
    p = palette(view.theme)
    low, high = int(frame["bin"].min()), int(frame["bin"].max())  # type: ignore[arg-type]
    low, high = low - max(0, 8 - (high - low)), high + max(0, 8 - (high - low))
    if threshold:
        low, high = min(low, math.floor(math.log10(threshold) * 12) - 2), max(high, math.ceil(math.log10(threshold) * 12) + 2)
    step = view.bucket_s
    begin = math.floor(view.start.timestamp() / step) * step
    columns = max(1, math.ceil((view.end.timestamp() - begin) / step))
    cells = np.full((high - low + 1, columns), np.nan, dtype=np.float32)
    at = ((frame["epoch"].to_numpy() - begin) / step).astype(int)
    inside = (at >= 0) & (at < columns)
    cells[frame["bin"].to_numpy()[inside] - low, at[inside]] = np.sqrt(frame["n"].to_numpy()[inside])
    x = figures.typed((begin + (np.arange(columns) + 0.5) * step) * 1000.0, "f8")
    trace = figures.heat(x, figures.typed((np.arange(low, high + 1) + 0.5) / 12), figures.typed(cells), sequential(view.theme), hoverinfo="skip", zmin=0)
    shapes, notes = figures.marks(marked, p, view.start, view.end)
    if threshold:
        shape, note = figures.level(math.log10(threshold), f"objective {words.seconds(threshold)}", p.ink)
        shapes, notes = [*shapes, shape], [*notes, note]
    ticks = [t for t in TICKS_S if low / 12 <= math.log10(t) <= (high + 1) / 12]
    yaxis = {"tickvals": [math.log10(t) for t in ticks], "ticktext": [words.seconds(t) for t in ticks], "range": [low / 12, (high + 1) / 12]}
    return figures.figure([trace], view.theme, xaxis=figures.time_axis(view.start, view.end), yaxis=yaxis, shapes=shapes, annotations=notes, margin={"l": 56, "r": 8, "t": 8, "b": 34})


def differs_card(read: Reader, view: Scope, slo: Slo, span: int = 7) -> Any:
    """What bad requests share that good ones do not, by ratio of shares with its lower bound."""
    title, sub = "What differs in the bad requests?", f"{slo.name} · share among bad against share among good"
    if slo.bad is None:
        return cards.card(title, cards.empty("This objective's definition is not published", "It is read from the model's Monitoring.", 180), sub=sub, span=span)
    params = {**view.params, "model": slo.row["model"]}
    sql = DIFFERS.replace("{bad}", f"({slo.bad})")
    frame = read(sql, params)
    if frame.is_empty():
        return cards.card(title, cards.empty("Nothing stands out", "No value is clearly more common among bad requests (ratio above 1.2 at its lower bound, at least 5 requests).", 180), sub=sub, sql=[Query(sql, params)], span=span)
    total = words.count(frame["all_bad"][0])
    body = html.Div([_difference(r) for r in frame.iter_rows(named=True)], className="differs")
    foot = html.P([html.Span(className="key bad"), f"of {total} bad", html.Span(className="key good"), f"of {words.count(frame['all_good'][0])} good requests · lower bounds are 99.7 %"], className="legend")
    return cards.card(title, body, foot, sub=sub, sql=[Query(sql, params)], span=span)


def _ratio(row: Mapping[str, Any]) -> str:
    if row["share_good"] * row["all_good"] < 5:
        return "only bad"
    return "> 100×" if row["lift"] > 100 else f"{words.number(row['lift'], 2)}×"


def _difference(row: Mapping[str, Any]) -> Any:
    dimension = DIMENSIONS.get(row["dimension"], row["dimension"])
    bars = [
        html.Div(html.Div(className="bar bad", style={"width": f"{row['share_bad'] * 100:.1f}%"}), className="track"),
        html.Div(html.Div(className="bar good", style={"width": f"{row['share_good'] * 100:.1f}%"}), className="track"),
    ]
    label = html.Div([html.Span(dimension, className="dim"), html.Span(row["level"], className="value", title=row["level"])], className="what")
    ratio = html.Div([html.Strong(_ratio(row)), html.Span(f"≥ {words.number(min(row['lift_low'], 99), 2)}×", className="dim")], className="ratio")
    shares = html.Div([html.Span(words.share(row["share_bad"], 0)), html.Span(words.share(row["share_good"], 0), className="dim")], className="shares")
    return html.Div([label, html.Div(bars, className="bars"), shares, ratio], className="difference")
