"""Cards about a model's traffic: what it answers, how fast, and what it costs.

Source: METHODS section 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from dashboards import cards, changes, figures, words
from dashboards.cards import Badge, Query
from dashboards.palette import faint, palette
from dashboards.reader import Reader, Value
from dashboards.requests import Requests
from dashboards.scope import Scope

PREDICTIONS = """
select coalesce(sum(m), 0)::DOUBLE as n, count(*)::DOUBLE as windows from (
  select ts, max(n + missing) as m from summary
  where model = $model and starts_with(measure, $model || '/predictions/') and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ group by 1
)
"""


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
    if frame.is_empty():
        none = cards.empty("No requests in this range", "Choose a longer range, or check the gateway's exporter.", 260)
        return cards.card(title, none, sub=sub, sql=[query], span=span)
    per_minute = 60.0 / view.bucket_s
    frame = figures.dense(frame, view.start, view.end, view.bucket_s, ("n", "errors")).with_columns(
        pl.col("n") * per_minute, pl.col("errors") * per_minute
    )
    if not frame["n"].sum():
        return cards.card(title, _short("requests", view), sub=sub, sql=[query], span=span)
    figure = _over_time(frame, view, changes.read_changes(read, view, model))
    return cards.card(
        title,
        cards.graph(figure, 300, f"Traffic and latency of {model} over time", brush="traffic"),
        sub=sub,
        sql=[query],
        span=span,
    )


def _short(what: str, view: Scope) -> Any:
    """What is said where rows are there, none of them in a point that is over."""
    step = words.span(view.bucket_s)
    return cards.empty(f"The {what} of this range fill no whole {step} yet", f"A point is {step}: choose a shorter range.", 260)  # fmt: skip


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


def cost_card(view: Scope, model: str, asked: Requests, declared: Mapping[str, Any], span: int = 5) -> Any:
    """USD per million tokens over time against the envelope of the ModelSpec."""
    frame = asked.over_time.filter(pl.col("tokens") > 0).with_columns(dollars=pl.col("usd") / pl.col("tokens") * 1e6)
    title, query = "Cost per 1 M tokens", asked.query
    limit = declared.get("target_cost_per_1k_tokens_usd")
    sub = f"envelope {words.dollars(limit * 1000)}" if limit else "no envelope declared in the ModelSpec"
    if frame.is_empty():
        none = cards.empty("No request with a known price", "Prices come from the gateway.", 260)
        return cards.card(title, none, sub=sub, sql=[query], span=span)
    p = palette(view.theme)
    frame = figures.dense(frame, view.start, view.end, view.bucket_s)
    if not frame["dollars"].is_not_null().any():
        return cards.card(title, _short("priced requests", view), sub=sub, sql=[query], span=span)
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
