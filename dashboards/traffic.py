"""Cards about a model's traffic: what it answers, how fast, what it costs, and how each burn window stands.

Source: METHODS sections 6 and 7; Wilson (1927) for the interval of a share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from dashboards import cards, changes, figures, words
from dashboards.cards import Badge, Query
from dashboards.palette import faint, palette
from dashboards.reader import Reader, Value
from dashboards.requests import Requests
from dashboards.scope import Scope
from dashboards.slo import Slo

PREDICTIONS = """
select coalesce(sum(m), 0)::DOUBLE as n, count(*)::DOUBLE as windows from (
  select ts, max(n + missing) as m from summary
  where model = $model and starts_with(measure, $model || '/predictions/') and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ group by 1
)
"""
BURNS = """
with w(label, seconds) as (values ('5m', 300), ('30m', 1800), ('1h', 3600), ('2h', 7200), ('6h', 21600), ('1d', 86400), ('3d', 259200)),
s as (
  select label, seconds, sum(n)::DOUBLE as n, sum(coalesce(events, 0))::DOUBLE as bad
  from w join summary on ts >= $at::TIMESTAMPTZ - to_seconds(seconds) and ts < $at::TIMESTAMPTZ
  where measure = $measure and ts >= $at::TIMESTAMPTZ - interval 3 days group by 1, 2
), e as (
  select *, bad / n as p, greatest(n / $phi, 1) as m from s where n > 0
)
select label, seconds, n, bad, p / (1 - $objective) as burn,
  greatest(0, (p + 1.92 / m - 1.96 * sqrt(p * (1 - p) / m + 0.9604 / (m * m))) / (1 + 3.84 / m)) / (1 - $objective) as low,
  (p + 1.92 / m + 1.96 * sqrt(p * (1 - p) / m + 0.9604 / (m * m))) / (1 + 3.84 / m) / (1 - $objective) as high
from e order by seconds
"""
THRESHOLDS = {
    "5m": 14.4,
    "1h": 14.4,
    "30m": 6.0,
    "6h": 6.0,
    "2h": 3.0,
    "1d": 3.0,
    "3d": 1.0,
}  # of a 30 d window, SRE Workbook
TICKS = (0.1, 1, 10, 100)
SMALLEST_BURN = 0.05  # left end of the log axis


def totals(read: Reader, view: Scope, model: str, asked: Requests, declared: Mapping[str, Any]) -> list[Any]:
    """Four numbers of a model that answers through a gateway, or one that logs predictions."""
    row, query = asked.total, [asked.query]
    if not row["n"]:
        return _predictions(read, {**view.params, "model": model})
    minutes = (view.end - view.start).total_seconds() / 60
    limit = declared.get("target_cost_per_1k_tokens_usd")
    cost = row["usd"] / row["tokens"] * 1e6 if row["tokens"] else None
    dear = (
        None
        if not limit or cost is None
        else Badge("ok", "in envelope")
        if cost <= limit * 1000
        else Badge("ticket", "over")
    )
    few = Badge("unknown", "too few") if row["n"] < 100 else None
    return [
        cards.stat("Requests", words.count(row["n"]), _pace(row["n"] / minutes), few, "", query),
        cards.stat("Failed", words.share(row["errors"] / row["n"]), f"{_errors(row)}, {words.count(row['cancelled'])} cancelled", few, "", query),
        cards.stat("TTFT p95", words.seconds(row["ttft_p95"]), f"median {words.seconds(row['ttft_p50'])} of {words.count(row['streamed'])} streamed", few, "", query),
        cards.stat("Cost per 1 M tokens", words.dollars(cost), f"envelope {words.dollars(limit * 1000)}" if limit else f"{words.dollars(row['usd'])} in the range", dear, "", query),
    ]  # fmt: skip


def _errors(row: Mapping[str, Any]) -> str:
    """How many failed, and of which neutral kind, where that is known."""
    said = f"{words.count(row['errors'])} errors"
    if not row["kind"]:
        return said
    kind = row["kind"].replace("_", " ")
    return f"{said}: {kind}" if row["same_kind"] else f"{said}, mostly {kind}"


def _pace(per_minute: float) -> str:
    return f"{words.number(per_minute)} a minute" if per_minute >= 1 else f"{words.number(per_minute * 60, 2)} an hour"


def _predictions(read: Reader, params: Mapping[str, Value]) -> list[Any]:
    row = read(PREDICTIONS, params).row(0, named=True)
    if not row["n"]:
        return []
    per_minute = row["n"] / max(row["windows"] * 5, 1)
    return [cards.stat("Predictions", words.count(row["n"]), _pace(per_minute), None, "", [Query(PREDICTIONS, params)])]


def over_time_card(read: Reader, view: Scope, model: str, asked: Requests, span: int = 7) -> Any:
    """Requests and failures above, time to first token below, on one time axis with every change."""
    frame, query = asked.over_time, asked.query
    title, sub = "Traffic and latency", "requests and failures a minute; time to first token"
    if frame.height < 2:
        none = cards.empty("No requests in this range", "Choose a longer range, or check the gateway's exporter.", 260)
        return cards.card(title, none, sub=sub, sql=[query], span=span)
    per_minute = 60.0 / view.bucket_s
    frame = figures.dense(frame, view.start, view.end, view.bucket_s, ("n", "errors")).with_columns(
        pl.col("n") * per_minute, pl.col("errors") * per_minute
    )
    figure = _over_time(frame, view, changes.read_changes(read, view, model))
    return cards.card(
        title,
        cards.graph(figure, 300, f"Traffic and latency of {model} over time", brush="traffic"),
        sub=sub,
        sql=[query],
        span=span,
    )


def _over_time(frame: pl.DataFrame, view: Scope, marked: pl.DataFrame) -> figures.Figure:
    p = palette(view.theme)
    x = figures.instants(frame["epoch"] + view.bucket_s / 2)
    data = [
        figures.line(
            x,
            figures.typed(frame["n"]),
            "requests",
            p.series[0],
            fill="tozeroy",
            fillcolor=faint(p.series[0], 0.12),
            hovertemplate="%{y:.3s}/min",
        ),
        figures.line(x, figures.typed(frame["errors"]), "failed", p.page, hovertemplate="%{y:.3s}/min"),
        figures.line(
            x, figures.typed(frame["ttft_p50"]), "TTFT p50", p.series[2], yaxis="y2", hovertemplate="%{y:.3s}s"
        ),
        figures.line(
            x, figures.typed(frame["ttft_p95"]), "TTFT p95", p.series[1], yaxis="y2", hovertemplate="%{y:.3s}s"
        ),
    ]
    shapes, notes = figures.marks(marked, p, view.start, view.end)
    top = max(1e-9, float(frame["n"].max() or 0)) * 1.35  # type: ignore[arg-type]  # room for the labels of changes
    axis = {**figures.time_axis(view.start, view.end), "anchor": "y2"}
    return figures.figure(
        data, view.theme, xaxis=axis, yaxis={"domain": [0.52, 1], "range": [0, top], "nticks": 4, "ticksuffix": "/min"},
        yaxis2={"domain": [0, 0.46], "rangemode": "tozero", "nticks": 4, "ticksuffix": " s", **figures.template(view.theme)["layout"]["yaxis"]},
        shapes=shapes, annotations=notes, margin={"l": 56, "r": 10, "t": 26, "b": 34}, showlegend=True, hovermode="x unified",
    )  # fmt: skip


def burns_card(read: Reader, view: Scope, slo: Slo, span: int = 5) -> Any:
    """The burn of every window with its interval, against the tier that would page or open a ticket."""
    row = slo.row
    params: dict[str, Value] = {
        "measure": f"{row['model']}/slo/{row['slo']}",
        "at": row["judged_at"],
        "objective": row["objective"],
        "phi": max(1.0, float(row["phi"] or 1.0)),
    }
    frame = read(BURNS, params)
    title, sub, query = (
        "Burn by window",
        "× the even spend, 95 % interval · bar: threshold",
        Query(BURNS, params),
    )
    if frame.is_empty() or row["state"] == "too_few":
        return cards.card(
            title,
            cards.empty(f"{words.count(row['total'])} requests: too few to judge", "", 260),
            sub=sub,
            mark=Badge("unknown", "too few"),
            sql=[query],
            span=span,
        )
    return cards.card(
        title,
        cards.graph(_burns(frame, view), 300, f"Burn by window of {slo.name}"),
        sub=sub,
        mark=slo.badge(view.now),
        sql=[query],
        span=span,
    )


def _burns(frame: pl.DataFrame, view: Scope) -> figures.Figure:
    p = palette(view.theme)
    labels = frame["label"].to_list()
    burn, low, high = (frame[name].clip(SMALLEST_BURN) for name in ("burn", "low", "high"))
    colours = [
        p.page if b >= THRESHOLDS[label] else p.series[0] for b, label in zip(frame["burn"], labels, strict=True)
    ]
    error = {
        "type": "data", "symmetric": False, "array": figures.typed(high - burn), "arrayminus": figures.typed(burn - low), "thickness": 2, "width": 0, "color": p.dim,
    }  # fmt: skip
    tiers = {
        "type": "scatter", "mode": "markers", "x": [THRESHOLDS[label] for label in labels], "y": labels, "hovertemplate": "threshold %{x}×<extra></extra>",
        "marker": {"symbol": "line-ns", "size": 18, "line": {"width": 2, "color": p.ticket}},
    }  # fmt: skip
    dots = {
        "type": "scatter", "mode": "markers+text", "x": figures.typed(burn), "y": labels, "error_x": error, "textposition": "top center", "textfont": {"size": 11},
        "text": [f"{words.number(b, 2)}×" for b in frame["burn"]], "hoverinfo": "skip", "cliponaxis": False, "marker": {"size": 9, "color": colours},
    }  # fmt: skip
    top = math.log10(max(40.0, float(high.max() or 1) * 1.5))  # type: ignore[arg-type]
    xaxis = {
        "type": "log", "range": [math.log10(SMALLEST_BURN), top], "tickvals": TICKS, "ticktext": [f"{t}×" for t in TICKS], "showgrid": True,
    }  # fmt: skip
    yaxis = {
        "type": "category",
        "autorange": "reversed",
        "showgrid": False,
        "categoryarray": labels,
        "categoryorder": "array",
    }
    return figures.figure(
        [tiers, dots], view.theme, xaxis=xaxis, yaxis=yaxis, margin=figures.margins(36, 12, 16, 26), showlegend=False
    )


def cost_card(view: Scope, model: str, asked: Requests, declared: Mapping[str, Any], span: int = 5) -> Any:
    """USD per million tokens over time against the envelope of the ModelSpec."""
    frame = asked.over_time.filter(pl.col("tokens") > 0).with_columns(dollars=pl.col("usd") / pl.col("tokens") * 1e6)
    title, query = "Cost per 1 M tokens", asked.query
    limit = declared.get("target_cost_per_1k_tokens_usd")
    sub = f"envelope {words.dollars(limit * 1000)}" if limit else "no envelope declared in the ModelSpec"
    if frame.height < 2:
        none = cards.empty("No request with a known price", "Prices come from the gateway.", 260)
        return cards.card(title, none, sub=sub, sql=[query], span=span)
    p = palette(view.theme)
    frame = figures.dense(frame, view.start, view.end, view.bucket_s)
    x = figures.instants(frame["epoch"] + view.bucket_s / 2)
    data = [
        figures.line(
            x,
            figures.typed(frame["dollars"]),
            "USD per 1 M tokens",
            p.series[0],
            hovertemplate="$%{y:.2f} at %{x|%H:%M}<extra></extra>",
        )
    ]
    shape_notes = [figures.level(limit * 1000, f"envelope {words.dollars(limit * 1000)}", p.ticket)] if limit else []
    figure = figures.figure(
        data, view.theme, xaxis=figures.time_axis(view.start, view.end), yaxis={"tickprefix": "$", "rangemode": "tozero", "nticks": 5, "tickformat": ".2f"},
        shapes=[s for s, _ in shape_notes], annotations=[n for _, n in shape_notes], margin={"l": 52, "r": 10, "t": 8, "b": 34}, showlegend=False,
    )  # fmt: skip
    return cards.card(
        title, cards.graph(figure, 300, f"Cost of {model} over time", brush="cost"), sub=sub, sql=[query], span=span
    )
