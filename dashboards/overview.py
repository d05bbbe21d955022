"""Is anything wrong now, and why? The top incident, four numbers, and the evidence behind them.

Source: our own, after UX.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import polars as pl
from dash import dcc, html

from dashboards import cards, catalogue, differs, drift, figures, latency, pages, slo, states, tables, words
from dashboards.cards import Badge, Query
from dashboards.palette import SIGNS, palette
from dashboards.reader import Reader
from dashboards.scope import Scope, scope

PATH, TITLE, ICON, ORDER = "/", "Overview", "overview", 0
QUESTION = "Is anything wrong now, and why?"
SKELETON = ((12, 150), (3, 138), (3, 138), (3, 138), (3, 138), (7, 360), (5, 360), (7, 300), (5, 300), (12, 240))

INCIDENTS = """
select incident_id, kind, model, severity, since, opened_at, summary, effect, unit, ci_low, ci_high, evidence_nats, cause::VARCHAR as cause, suggestion
from incident where state = 'open'
order by case severity when 'page' then 0 when 'ticket' then 1 else 2 end, opened_at desc limit 20
"""
SLO_TREND = """
select (floor(epoch(window_end) / $bucket) * $bucket)::DOUBLE as epoch, avg((state <> 'alarm')::INTEGER)::DOUBLE as met
from finding where detector = 'burn' and window_end > $start::TIMESTAMPTZ and window_end <= $end::TIMESTAMPTZ and state in ('ok', 'alarm')
group by 1 order by 1
"""
DRIFTING = """
with newest as (
  select model, subject, state, window_end from finding
  where kind = 'drift' and window_end > $now::TIMESTAMPTZ - interval 3 hours
  qualify row_number() over (partition by monitor_id order by window_end desc) = 1
), f as (
  select model, subject, bool_or(state = 'alarm') as alarm, bool_or(state in ('ok', 'alarm')) as judged from newest group by 1, 2
)
select count(*) filter (alarm) as drifting, count(*) filter (judged) as judged, count(*) as features from f
"""
DRIFT_TREND = """
select (floor(epoch(window_end) / $bucket) * $bucket)::DOUBLE as epoch, (count(distinct model || '/' || subject) filter (state = 'alarm'))::DOUBLE as drifting
from finding where kind = 'drift' and window_end > $start::TIMESTAMPTZ and window_end <= $end::TIMESTAMPTZ group by 1 order by 1
"""
ALARMS = "select severity, declared, period_s, notified, false_marked, spent from alarm_budget order by severity"
GPUS = """
select (floor(epoch(ts) / $bucket) * $bucket)::DOUBLE as epoch, sku, (sum(util_mean * devices) / sum(devices))::DOUBLE as busy,
  (sum(idle_devices) / count(distinct ts))::DOUBLE as idle, (sum(devices) / count(distinct ts))::DOUBLE as devices
from gpu_5m where ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and ($cluster = '' or cluster = $cluster)
group by 1, 2 order by 1
"""
COST = """
select (floor(epoch(ts) / $bucket) * $bucket)::DOUBLE as epoch, sum(cost_usd)::DOUBLE as usd, sum(coalesce(tokens_in, 0) + coalesce(tokens_out, 0))::DOUBLE as tokens
from request
where ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and cost_known and ($cluster = '' or cluster = $cluster) and ($model = '' or model_id = $model)
group by 1 order by 1
"""


def page(read: Reader, params: Mapping[str, str]) -> Any:
    """The overview of one view."""
    view = scope(params)
    known = catalogue.catalogue(read)
    slos = [slo.Slo(r, known.slo(r["model"], r["slo"])) for r in read(slo.STATUS, view.params).iter_rows(named=True)]
    top = cards.gather(
        lambda: verdict(read, view, slos), lambda: _slos_met(read, view, slos), lambda: _drifting(read, view),
        lambda: _gpus(read, view, known), lambda: _cost(read, view, known), spans=(12, 3, 3, 3, 3),
    )  # fmt: skip
    return cards.grid([*top, *_evidence(read, view, slos), slo_table(view, slos)])


def _evidence(read: Reader, view: Scope, slos: list[slo.Slo]) -> list[Any]:
    if not slos:
        none = cards.empty(
            "No objectives are declared yet",
            "Write `slos:` in a model's Monitoring; `observe check` says what each can detect.",
            200,
        )
        return [cards.card("Service-level objectives", none, span=7), drift.heat_card(read, view, view.model)]
    focus = slos[0]
    return cards.gather(
        lambda: slo.budget_card(read, view, focus), lambda: latency.latency_card(read, view, focus),
        lambda: differs.differs_card(read, view, focus), lambda: drift.heat_card(read, view, view.model), spans=(7, 5, 7, 5),
    )  # fmt: skip


def verdict(read: Reader, view: Scope, slos: list[slo.Slo]) -> Any:
    """The one sentence that matters: the top open incident, or an all-clear that says what it rests on."""
    rows = read(INCIDENTS).to_dicts()
    if not rows:
        return _clear(view, slos)
    first = rows[0]
    mark = states.severity_badge(first["severity"])
    title = html.H1(
        [
            html.Span(SIGNS[mark.state], className="sign"),
            dcc.Link(first["model"], href=view.link(_model(first["model"]))),
            f" {first['summary']}",
        ]
    )
    cause = json.loads(first["cause"]) if first["cause"] else None
    lines = cards.facts([
        ("since", f"{words.clock(first['since'], view.now)} UTC · {words.span(view.now - first['since'])}"),
        ("effect", _effect(first)),
        ("nearest signal", cause["note"] if cause else "none within 30 min of the onset"),
        ("suggested", first["suggestion"]),
    ])  # fmt: skip
    if pages.installed("incidents"):
        lines = html.Div(
            [
                lines,
                dcc.Link("Open incident", href=view.link("/incidents", id=first["incident_id"]), className="button"),
            ],
            className="verdict-body",
        )
    others = [_other(r, view) for r in rows[1:4]]
    more = [html.P(f"and {len(rows) - 4} more open incidents", className="sub")] if len(rows) > 4 else []
    return html.Section(
        [
            html.Div([cards.source([Query(INCIDENTS)]), cards.badge(mark)], className="card-tools"),
            title,
            lines,
            *([html.Ul([*others, *more])] if others else []),
        ],
        className=f"verdict {mark.state} span-12",
        role="status",
    )


def _effect(row: Mapping[str, Any]) -> str:
    text = words.effect(row["effect"], row["unit"])
    return f"{text} (95 %: {words.interval(row['ci_low'], row['ci_high'])})" if words.known(row["ci_low"]) else text


def _other(row: Mapping[str, Any], view: Scope) -> Any:
    mark = states.severity_badge(row["severity"])
    link = dcc.Link(row["model"], href=view.link(_model(row["model"])))
    return html.Li(
        [
            cards.badge(mark),
            html.Span([link, f" {row['summary']}"]),
            html.Span(f"since {words.clock(row['since'], view.now)}", className="dim"),
        ]
    )


def _clear(view: Scope, slos: list[slo.Slo]) -> Any:
    marks = [s.badge(view.now) for s in slos]
    unsure = sum(m.state == "unknown" for m in marks)
    if not slos or unsure == len(slos):
        text = "Nothing is judged right now" if slos else "Nothing is watched yet"
        why = (
            "Every objective is stale or has too few requests."
            if slos
            else "No objective or drift monitor has been judged. See Health in `observe status`."
        )
        return html.Section(
            [html.H1([html.Span(SIGNS["unknown"], className="sign"), text]), html.P(why, className="sub")],
            className="verdict unknown span-12",
        )
    newest = max(s.row["at"] for s in slos)
    rest = f", {unsure} cannot be judged" if unsure else ""
    why = f"{len(slos) - unsure} of {len(slos)} objectives are met{rest}. Last judged {words.span(view.now - newest)} ago."
    return html.Section(
        [html.H1([html.Span(SIGNS["ok"], className="sign"), "No open incident"]), html.P(why, className="sub")],
        className="verdict ok span-12",
    )


def _model(name: str) -> str:
    return "/gpu" if name == "site" else f"/model/{quote(name, safe='')}"


def _slos_met(read: Reader, view: Scope, slos: list[slo.Slo]) -> Any:
    p = palette(view.theme)
    marks = [s.badge(view.now) for s in slos]
    judged = [m for m in marks if m.state != "unknown"]
    trend = read(SLO_TREND, view.params)
    counts = {w: sum(m.word == w for m in marks) for w in ("page", "ticket", "too few", "stale")}
    sub = " · ".join(f"{n} {w}" for w, n in counts.items() if n) or (
        "every objective holds" if slos else "none declared"
    )
    mark = states.worst(judged) if judged else Badge("unknown", "too few")
    line = figures.sparkline(trend["met"].to_list(), p.page if mark.state == "page" else p.series[0], 0.0, 1.0)
    return cards.stat(
        "SLOs met",
        f"{sum(m.state == 'ok' for m in judged)} / {len(judged)}",
        sub,
        mark,
        line,
        [Query(slo.STATUS, view.params), Query(SLO_TREND, view.params)],
    )


def _drifting(read: Reader, view: Scope) -> Any:
    p = palette(view.theme)
    row = read(DRIFTING, view.params).row(0, named=True)
    trend = read(DRIFT_TREND, view.params)
    budget = {r["severity"]: r for r in read(ALARMS).iter_rows(named=True)}.get("ticket")
    sub = f"{row['features'] - row['judged']} still learning" if row["features"] > row["judged"] else "all judged"
    if budget and budget["declared"]:
        sub = f"{words.count(budget['notified'])} of {words.count(budget['declared'])} tickets per {words.span(float(budget['period_s']))} used"
    mark = (
        Badge("ticket", "ticket")
        if row["drifting"]
        else Badge("ok", "ok")
        if row["judged"]
        else Badge("unknown", "no data")
    )
    line = figures.sparkline(
        trend["drifting"].to_list(),
        p.ticket if row["drifting"] else p.series[0],
        0.0,
        max(1.0, float(trend["drifting"].max() or 0)),
    )  # type: ignore[arg-type]
    return cards.stat(
        "Features drifting",
        f"{row['drifting']} / {row['judged']}",
        sub,
        mark,
        line,
        [Query(DRIFTING, view.params), Query(ALARMS), Query(DRIFT_TREND, view.params)],
    )


def _gpus(read: Reader, view: Scope, known: catalogue.Catalogue) -> Any:
    p = palette(view.theme)
    frame = read(GPUS, view.params)
    queries = [Query(GPUS, view.params)]
    if frame.is_empty():
        return cards.stat(
            "GPU busy", words.UNKNOWN, "no GPU samples in this range", Badge("unknown", "no data"), "", queries
        )
    by_time = (
        frame.group_by("epoch").agg((pl.col("busy") * pl.col("devices")).sum() / pl.col("devices").sum()).sort("epoch")
    )
    last = frame.filter(pl.col("epoch") == frame["epoch"].max())
    idle, devices = float(last["idle"].sum()), float(last["devices"].sum())
    costs = [(known.price(s), i) for s, i in zip(last["sku"], last["idle"], strict=True)]
    wasted = sum(price * i * 24 for price, i in costs if price is not None)
    money = f" · ≈ {words.dollars(wasted)} a day" if wasted else ""
    mark = Badge("ticket", "idle") if idle > 0.15 * devices else Badge("ok", "ok")
    sub = f"{idle:.0f} idle of {devices:.0f}{money}"
    return cards.stat(
        "GPU busy",
        words.share(float(by_time["busy"][-1])),
        sub,
        mark,
        figures.sparkline(by_time["busy"].to_list(), p.series[0], 0.0, 1.0),
        queries,
    )


def _cost(read: Reader, view: Scope, known: catalogue.Catalogue) -> Any:
    p = palette(view.theme)
    frame = read(COST, view.params)
    queries = [Query(COST, view.params)]
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
        f"envelope {words.dollars(limit * 1000)}"
        if limit
        else f"{words.count(tokens)} tokens, {words.dollars(float(frame['usd'].sum()))}"
    )
    line = (frame["usd"] / frame["tokens"] * 1e6).to_list()
    return cards.stat(
        "Cost per 1 M tokens", words.dollars(value), sub, mark, figures.sparkline(line, p.series[0], 0.0), queries
    )


def slo_table(view: Scope, slos: list[slo.Slo]) -> Any:
    """Every objective, the least budget left first."""
    rows = [
        {"model": s.row["model"], "slo": s.title, "objective": s.row["objective"], "sli": s.row["sli"] if s.row["state"] != "too_few" else None,
         "budget": s.row["budget_left"], "burn": s.row["burn_1h"] if s.row["state"] != "too_few" else None, "total": s.row["total"], "state": s.badge(view.now).word}
        for s in slos
    ]  # fmt: skip
    columns = [
        tables.Column("state", "State", "state", 100), tables.Column("model", "Model", "model", 170), tables.Column("slo", "Objective", "", 150),
        tables.Column("objective", "Target", "share", 90), tables.Column("sli", "Measured", "share", 100, "share of good requests in the window"),
        tables.Column("budget", "Budget left", "budget", 150), tables.Column("burn", "Burn 1 h", "times", 90, "1× spends the budget exactly in its window"),
        tables.Column("total", "Requests", "count", 100),
    ]  # fmt: skip
    body = tables.grid("slos", rows, columns) if rows else cards.empty("No objectives yet")
    tools = [tables.csv_button("slos")] if rows else []
    return cards.card(
        "Service-level objectives",
        body,
        sub="Least budget left first",
        tools=tools,
        sql=[Query(slo.STATUS, view.params)],
    )
