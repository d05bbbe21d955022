"""The four numbers of the overview: objectives met, features drifting, GPUs busy, cost of tokens.

Source: our own, after UX.md.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from dashboards import cards, catalogue, figures, fleet, slo, states, words
from dashboards.cards import Badge, Query
from dashboards.palette import palette
from dashboards.reader import Reader
from dashboards.requests import rollup
from dashboards.scope import Scope

TREND = """
select (floor((epoch(window_end) - 1) / $bucket) * $bucket)::DOUBLE as epoch,
  (avg((state <> 'alarm')::INTEGER) filter (detector = 'burn' and state in ('ok', 'alarm')))::DOUBLE as met,
  case when count(*) filter (kind = 'drift' and not ends_with(monitor_id, '/share') and (state = 'alarm' or window_end - window_start >= interval 1 hour)) > 0
    then count(distinct model || '/' || subject) filter (kind = 'drift' and not ends_with(monitor_id, '/share') and not ends_with(monitor_id, '/pair') and state = 'alarm') end::DOUBLE as drifting
from finding where kind in ('slo', 'drift') and window_end > $start::TIMESTAMPTZ and window_end <= $end::TIMESTAMPTZ group by 1 order by 1
"""
DRIFTING = """
with newest as (
  select model, subject, state, window_end, ends_with(monitor_id, '/pair') as pair from finding
  where kind = 'drift' and not ends_with(monitor_id, '/share') and window_end > $now::TIMESTAMPTZ - interval 3 hours
  qualify row_number() over (partition by monitor_id order by window_end desc) = 1
), f as (
  select model, subject, pair, bool_or(state = 'alarm') as alarm, bool_or(state in ('ok', 'alarm')) as judged from newest group by 1, 2, 3
)
select count(*) filter (alarm and not pair) as drifting, count(*) filter (judged and not pair) as judged, count(*) filter (not pair) as features,
  count(*) filter (alarm and pair) as pairs from f
"""
ALARMS = "select severity, declared, period_s, notified, false_marked, spent from alarm_budget order by severity"
GPUS = """
select (floor(epoch(ts) / $bucket) * $bucket)::DOUBLE as epoch, (sum(util_mean * devices) / sum(devices))::DOUBLE as busy
from gpu_5m where ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and ($cluster = '' or cluster = $cluster)
group by 1 order by 1
"""
COST = """
select (floor(epoch(ts) / $bucket) * $bucket)::DOUBLE as epoch, sum(cost_usd)::DOUBLE as usd, sum(tokens_priced)::DOUBLE as tokens
from {source}
where ts >= date_trunc('minute', $start::TIMESTAMPTZ) and ts < $end::TIMESTAMPTZ and tokens_priced > 0 and ($cluster = '' or cluster = $cluster) and ($model = '' or model_id = $model)
group by 1 order by 1
"""


def slos_met(read: Reader, view: Scope, slos: list[slo.Slo]) -> Any:
    """How many objectives hold, of those that can be judged."""
    p = palette(view.theme)
    marks = [s.badge(view.now) for s in slos]
    judged = [m for m in marks if m.state != "unknown"]
    trend = read(TREND, view.params)
    counts = {w: sum(m.word == w for m in marks) for w in ("page", "ticket", "spent", "too few", "stale")}
    sub = " · ".join(f"{n} {w}" for w, n in counts.items() if n) or (
        "every objective holds" if slos else "none declared"
    )
    mark = states.worst(judged) if judged else Badge("unknown", "too few")
    line = figures.sparkline(
        trend["met"].drop_nulls().to_list(), p.page if mark.state == "page" else p.series[0], 0.0, 1.0
    )
    return cards.stat(
        "SLOs met",
        f"{sum(m.state == 'ok' for m in judged)} / {len(judged)}",
        sub,
        mark,
        line,
        [Query(slo.STATUS, view.params), Query(TREND, view.params)],
    )


def drifting(read: Reader, view: Scope) -> Any:
    """How many features drift, and how much of the ticket budget is spent."""
    p = palette(view.theme)
    row = read(DRIFTING, view.params).row(0, named=True)
    trend = read(TREND, view.params)
    budget = {r["severity"]: r for r in read(ALARMS).iter_rows(named=True)}.get("ticket")
    sub = f"{row['features'] - row['judged']} still learning" if row["features"] > row["judged"] else "all judged"
    if budget and budget["declared"]:
        sub = f"{words.count(budget['notified'])} of {words.count(budget['declared'])} tickets per {words.span(float(budget['period_s']))} used"
    if row["pairs"]:
        sub = f"and {row['pairs']} pair{'s' if row['pairs'] > 1 else ''} · {sub}"
    moved = row["drifting"] or row["pairs"]
    mark = Badge("ticket", "ticket") if moved else Badge("ok", "ok") if row["judged"] else Badge("unknown", "no data")
    history = trend["drifting"].drop_nulls().to_list()
    line = figures.sparkline(history, p.ticket if moved else p.series[0], 0.0, max([1.0, *history]))
    return cards.stat(
        "Features drifting",
        f"{row['drifting']} / {row['judged']}",
        sub,
        mark,
        line,
        [Query(DRIFTING, view.params), Query(ALARMS), Query(TREND, view.params)],
    )


def gpus(read: Reader, view: Scope, known: catalogue.Catalogue) -> Any:
    """How busy the fleet is, what idles, and what that costs a day: the fleet page's "now", whatever the range."""
    p = palette(view.theme)
    devices, trend = read(fleet.DEVICES, view.params), read(GPUS, view.params)
    queries = [Query(fleet.DEVICES, view.params), Query(GPUS, view.params)]
    seen = devices.filter(pl.col("util").is_not_null())
    line = figures.sparkline(trend["busy"].to_list(), p.series[0], 0.0, 1.0)
    if seen.is_empty():
        said = f"{devices.height} devices are silent" if devices.height else "no GPU samples in this range"
        mark = Badge("unknown", "silent" if devices.height else "no data")
        return cards.stat("GPU busy", words.UNKNOWN, said, mark, line, queries)
    idle, wasted = int(seen["idle"].sum()), fleet.idle_cost(devices, known)
    money = f" · ≈ {words.dollars(wasted)} a day" if wasted else ""
    mark = Badge("ticket", "idle") if idle > 0.15 * seen.height else Badge("ok", "ok")
    busy = words.share(seen["util"].mean())  # type: ignore[arg-type]
    return cards.stat("GPU busy", busy, f"{idle} idle of {seen.height}{money}", mark, line, queries)


def cost(read: Reader, view: Scope, known: catalogue.Catalogue) -> Any:
    """What a million tokens costs, against the envelope when one model is chosen."""
    p = palette(view.theme)
    source, edge = rollup(view)
    sql, params = COST.replace("{source}", source), {**view.params, **edge}
    frame = read(sql, params)
    queries = [Query(sql, params)]
    tokens = float(frame["tokens"].sum() or 0)
    if not tokens:
        return cards.stat(
            "Cost per 1 M tokens",
            words.UNKNOWN,
            "no request with a known price",
            Badge("unknown", "no data"),
            "",
            queries,
        )
    value = float(frame["usd"].sum()) / tokens * 1e6
    limit = (known.models.get(view.model) or {}).get("target_cost_per_1k_tokens_usd") if view.model else None
    mark = None if not limit else Badge("ok", "in envelope") if value <= limit * 1000 else Badge("ticket", "over")
    sub = (
        f"envelope {words.dollars(limit * 1000)}, mean of the range"
        if limit
        else f"{words.count(tokens)} tokens, {words.dollars(float(frame['usd'].sum()))} in the range"
    )
    line = (frame["usd"] / frame["tokens"] * 1e6).to_list()
    return cards.stat(
        "Cost per 1 M tokens", words.dollars(value), sub, mark, figures.sparkline(line, p.series[0], 0.0), queries
    )
