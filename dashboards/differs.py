"""What bad requests share that good ones do not: ratios of shares, with their lower bounds.

Source: relative risk and its log-normal interval, Katz et al. (1978); our choice of dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from dash import html

from dashboards import cards, words
from dashboards.cards import Query
from dashboards.reader import Reader
from dashboards.scope import Scope
from dashboards.slo import Slo

DIFFERS = """
with r as (
  select {bad} as bad, coalesce(team_id, '–') as team, coalesce(model_served, '–') as model_served, coalesce(provider, '–') as provider,
    coalesce(deployment_id, '–') as deployment, coalesce(cluster, '–') as cluster,
    case when tokens_in is null then '–' when tokens_in < 1000 then '< 1k' when tokens_in < 4000 then '1k – 4k'
      when tokens_in < 8000 then '4k – 8k' else '≥ 8k' end as tokens_in
  from request
  where model_id = $model and ts >= $from::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and status <> 'cancelled' and {bad} is not null
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
LONGEST = timedelta(hours=6)  # requests are folded from their tries: of a longer range the newest
DIMENSIONS = {"team": "team", "model_served": "served by", "tokens_in": "prompt tokens"}


def differs_card(read: Reader, view: Scope, slo: Slo, span: int = 7) -> Any:
    """The values that are clearly more common among bad requests, the ones that explain most first.

    While the objective's incident is open, only requests since its onset count: what was bad before has its own causes.
    """
    since = slo.since if slo.since and view.start < slo.since < view.end else None
    begin = max(since or view.start, view.end - LONGEST)
    when = f" · since {words.clock(begin, view.now)} UTC" if begin > view.start else ""
    title, sub = (
        f"What differs in the bad {slo.events}?",
        f"{slo.name} · share among bad against share among good{when}",
    )
    if slo.bad is None:
        return cards.card(title, _nothing_to_compare(slo), sub=slo.name, span=span)
    params = {**view.params, "model": slo.row["model"], "from": begin}
    sql = DIFFERS.replace("{bad}", f"({slo.bad})")
    frame = read(sql, params)
    query = [Query(sql, params)]
    if frame.is_empty():
        none = cards.empty("Nothing stands out", "No value is clearly more common among bad requests: ratio above 1.2 at its lower bound, at least 5 requests.", 180)  # fmt: skip
        return cards.card(title, none, sub=sub, sql=query, span=span)
    bad, good = words.count(frame["all_bad"][0]), words.count(frame["all_good"][0])
    body = html.Div([difference(r) for r in frame.iter_rows(named=True)], className="differs")
    legend: list[Any] = [html.Span(className="key bad"), f"of {bad} bad", html.Span(className="key good"), f"of {good} good requests · lower bounds are 99.7 %"]  # fmt: skip
    return cards.card(title, body, html.P(legend, className="legend"), sub=sub, sql=query, span=span)


def _nothing_to_compare(slo: Slo) -> Any:
    """Why there are no requests of which some are bad."""
    if not slo.declared:
        return cards.empty(
            "This objective's definition is not published", "It is read from the model's Monitoring.", 180
        )
    said = f"It counts {slo.events}: no request of this model is good or bad by it"
    return cards.empty(said, "What may have caused a burn stands in its incident.", 180)


def p_value(p: float) -> str:
    """A p-value as people read it.

    >>> p_value(0.0234), p_value(1e-9)
    ('p 0.023', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p {words.number(p, 2)}"


def _ratio(row: Mapping[str, Any]) -> str:
    if row["share_good"] * row["all_good"] < 5:
        return "only bad"
    return "> 100×" if row["lift"] > 100 else f"{words.number(row['lift'], 2)}×"


def difference(row: Mapping[str, Any]) -> Any:
    """One value with its shares among bad and good, their ratio, its lower bound and, where known, its corrected p."""
    dimension = DIMENSIONS.get(row["dimension"], row["dimension"])
    bars = [
        html.Div(html.Div(className="bar bad", style={"width": f"{row['share_bad'] * 100:.1f}%"}), className="track"),
        html.Div(html.Div(className="bar good", style={"width": f"{row['share_good'] * 100:.1f}%"}), className="track"),
    ]
    label = html.Div(
        [html.Span(dimension, className="dim"), html.Span(row["level"], className="value", title=row["level"])],
        className="what",
    )
    bound = f"≥ {words.number(min(row['lift_low'], 99), 2)}×" if words.known(row["lift_low"]) else ""
    p = row.get("p")
    ratio = html.Div(
        [
            html.Strong(_ratio(row)),
            html.Span(bound, className="dim"),
            *([html.Span(p_value(float(p)), className="dim")] if p is not None and words.known(p) else []),
        ],
        className="ratio",
    )
    shares = html.Div(
        [html.Span(words.share(row["share_bad"], 0)), html.Span(words.share(row["share_good"], 0), className="dim")],
        className="shares",
    )
    return html.Div([label, html.Div(bars, className="bars"), shares, ratio], className="difference")
