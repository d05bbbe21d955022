"""One feature against its reference: both distributions on the same bins.

Source: METHODS section 2; bins are the immutable ones of table `binning`, merged for the screen only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dashboards import cards, figures, words
from dashboards.cards import Query
from dashboards.feature import badge
from dashboards.palette import faint, palette
from dashboards.reader import Reader, Value
from dashboards.scope import Scope

BINS = """
select binning_id, source_table, kind, edges, levels, reference, quantiles, reference_from, reference_to, version
from binning where model = $model and feature = $feature order by version desc limit 1
"""
COUNTS = """
with c as (
  select unnest(counts) as c, generate_subscripts(counts, 1) as k from summary
  where measure = $measure and binning_id = $binning and ts >= $from::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and counts is not null
)
select k::BIGINT as k, sum(c)::DOUBLE as n from c group by 1 order by 1
"""
QUALITY = """
select sum(n)::DOUBLE as n, sum(missing)::DOUBLE as missing from summary
where measure = $measure and ts >= $from::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ
"""
BINS_SHOWN = 36  # of a numeric feature
LEVELS_SHOWN = 10  # of a categorical feature, then "other"


def distribution_card(read: Reader, view: Scope, model: str, finding: Mapping[str, Any], span: int = 6) -> Any:
    """Reference and current on the same bins; current starts at the onset when there is one inside the range."""
    feature = str(finding["subject"])
    params: dict[str, Value] = {**view.params, "model": model, "feature": feature}
    rows = read(BINS, params).to_dicts()
    title = [feature, " against its reference"]
    if not rows:
        return cards.card(
            title,
            cards.empty(
                "No reference yet", "Bins are made from the first 24 h and 10,000 rows, or from a reference file.", 260
            ),
            sql=[Query(BINS, params)],
            span=span,
        )
    bins = rows[0]
    onset = finding["onset"] if finding["state"] == "alarm" else None
    since = max(view.start, onset) if onset else view.start
    params |= {"measure": f"{model}/{bins['source_table']}/{feature}", "binning": bins["binning_id"], "from": since}
    counts, quality = read(COUNTS, params), read(QUALITY, params).row(0, named=True)
    queries = [Query(BINS, params), Query(COUNTS, params), Query(QUALITY, params)]
    facts = cards.facts(_facts(finding, bins, quality, view))
    total = float(counts["n"].sum() or 0)
    if total < 50:
        body = cards.empty(
            f"{words.count(total)} rows since {words.clock(since, view.now)}: too few to draw",
            "A distribution is drawn from 50 rows on.",
            220,
        )
    else:
        current = np.zeros(len(bins["reference"]))
        current[counts["k"].to_numpy() - 1] = counts["n"].to_numpy()
        draw = _levels if bins["kind"] == "categorical" else _numbers
        body = cards.graph(
            draw(bins, current, finding, view),
            240,
            f"Distribution of {feature}: reference and since {words.clock(since, view.now)}",
        )
    sub = f"reference {words.clock(bins['reference_from'])} to {words.clock(bins['reference_to'])} · now since {words.clock(since, view.now)} UTC"
    return cards.card(title, facts, body, sub=sub, mark=badge(finding, view), sql=queries, span=span)


def _facts(
    finding: Mapping[str, Any], bins: Mapping[str, Any], quality: Mapping[str, Any], view: Scope
) -> list[tuple[str, Any]]:
    details = json.loads(finding["details"] or "{}")
    moved = (
        details.get("median_from") is not None
        and details.get("median_to") is not None
        and bins["kind"] != "categorical"
    )
    rows = (quality["n"] or 0) + (quality["missing"] or 0)
    onset = (
        f"{words.clock(finding['onset'], view.now)} ({words.clock(finding['onset_low'], view.now)}–{words.clock(finding['onset_high'], view.now)})"
        if finding["onset"]
        else None
    )
    return [
        ("effect", words.effect(finding["effect"], finding["unit"])),
        ("95 % interval", words.interval(finding["ci_low"], finding["ci_high"]) if words.known(finding["ci_low"]) else None),
        ("median", f"{words.number(details['median_from'])} → {words.number(details['median_to'])}" if moved else None),
        ("since", onset),
        ("rows", words.count(quality["n"])),
        ("missing", words.share((quality["missing"] or 0) / rows) if rows else None),
        ("PSI", words.number(details.get("psi"), 2) if details.get("psi") is not None else None),
        ("detectable in 24 h", f"{words.number(details['min_detectable_24h'], 2)} σ" if details.get("min_detectable_24h") else None),
    ]  # fmt: skip


def merged(edges: np.ndarray, low: float, high: float, log: bool) -> list[int]:
    """Where to cut the inner edges so that bins are about even on the screen.

    Args:
        edges: inner edges, ascending.
        low: left end of the axis.
        high: right end of the axis.
        log: whether the axis is logarithmic.

    Returns:
        Indices of the edges kept, ascending.
    """
    place = np.log(np.maximum(edges, 1e-300)) if log else edges
    left, right = (math.log(low), math.log(high)) if log else (low, high)
    least, kept, last = (right - left) / BINS_SHOWN, [], left
    for i, at in enumerate(place):
        if at - last >= least * 0.999 and at < right:
            kept.append(i)
            last = at
    return kept


def _numbers(bins: Mapping[str, Any], current: np.ndarray, finding: Mapping[str, Any], view: Scope) -> figures.Figure:
    p = palette(view.theme)
    edges = np.asarray(bins["edges"], dtype=float)
    quantiles = bins["quantiles"] or [edges[0], edges[-1]]
    low, high = float(quantiles[0]), float(quantiles[-1])
    log = low > 0 and edges[0] > 0 and high / max(low, 1e-300) > 100
    low, high = min(low, edges[0]), max(high, edges[-1])
    keep = merged(edges, low, high, log)
    cuts = np.concatenate([[low], edges[keep], [high]])
    width = np.maximum(np.diff(np.log(cuts) if log else cuts), 1e-12)
    groups = np.concatenate([[0], np.asarray(keep) + 1]).astype(int)
    curves = [
        np.add.reduceat(np.asarray(c, dtype=float), groups) / max(1.0, float(np.sum(c)))
        for c in (bins["reference"], current)
    ]
    steps = [figures.typed(np.append(c / width, (c / width)[-1])) for c in curves]
    colour = p.ticket if finding["state"] == "alarm" else p.series[0]
    data = [
        figures.line(
            figures.typed(cuts),
            steps[0],
            "reference",
            p.dim,
            fill="tozeroy",
            fillcolor=faint(p.dim, 0.18),
            hoverinfo="skip",
            width=1.5,
        ),
        figures.line(
            figures.typed(cuts),
            steps[1],
            "now",
            colour,
            fill="tozeroy",
            fillcolor=faint(colour, 0.14),
            hoverinfo="skip",
        ),
    ]
    for trace in data:
        trace["line"]["shape"] = "hv"
    shapes = _medians(finding, p.dim, colour)
    axis = {
        "type": "log" if log else "linear",
        "title": {"text": figures.plain(str(finding["subject"]))},
        "showgrid": False,
        "nticks": 8,
    }
    return figures.figure(
        data,
        view.theme,
        xaxis=axis,
        yaxis={"showticklabels": False, "title": {"text": "density"}, "rangemode": "tozero", "nticks": 4},
        shapes=shapes,
        margin={"l": 26, "r": 8, "t": 24, "b": 40},
        showlegend=True,
    )


def _medians(finding: Mapping[str, Any], before: str, after: str) -> list[figures.Trace]:
    details = json.loads(finding["details"] or "{}")
    pairs = ((details.get("median_from"), before), (details.get("median_to"), after))
    return [
        {
            "type": "line",
            "x0": x,
            "x1": x,
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "line": {"color": c, "width": 1.2, "dash": "dot"},
        }
        for x, c in pairs
        if x is not None
    ]


def _levels(bins: Mapping[str, Any], current: np.ndarray, finding: Mapping[str, Any], view: Scope) -> figures.Figure:
    p = palette(view.theme)
    names = [*(str(x) for x in bins["levels"] or ()), "other"]
    shares = [np.asarray(c, dtype=float) / max(1.0, float(np.sum(c))) for c in (bins["reference"], current)]
    shown = min(LEVELS_SHOWN, len(names) - 1)
    folded = [np.append(s[:shown], s[shown:].sum()) for s in shares]
    labels = [figures.plain(n if len(n) < 16 else n[:15] + "…") for n in [*names[:shown], "other"]]
    colour = p.ticket if finding["state"] == "alarm" else p.series[0]
    data = [
        {
            "type": "bar",
            "x": labels,
            "y": figures.typed(folded[0]),
            "name": "reference",
            "marker": {"color": faint(p.dim, 0.6)},
            "hovertemplate": "%{y:.1%}",
        },
        {
            "type": "bar",
            "x": labels,
            "y": figures.typed(folded[1]),
            "name": "now",
            "marker": {"color": colour},
            "hovertemplate": "%{y:.1%}",
        },
    ]
    return figures.figure(
        data,
        view.theme,
        xaxis={"type": "category", "showgrid": False},
        yaxis={"tickformat": ".0%", "nticks": 5},
        margin={"l": 44, "r": 8, "t": 24, "b": 40},
        showlegend=True,
    )
