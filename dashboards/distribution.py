"""One feature against its reference: both distributions on the same bins.

Source: METHODS section 2; bins are the immutable ones of table `binning`, merged for the screen only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from dashboards import cards, figures, moved, words
from dashboards.cards import Query
from dashboards.feature import badge
from dashboards.palette import faint, palette
from dashboards.reader import Reader, Value
from dashboards.scope import Scope

BINS = """
select binning_id, source_table, kind, edges, levels, reference, quantiles, reference_from, reference_to, version
from binning where model = $model and feature = $feature and source_table in ('attempts', 'predictions') order by version desc limit 1
"""
COUNTS = """
with c as (
  select unnest(counts) as c, generate_subscripts(counts, 1) as k from summary
  where measure = $measure and binning_id = $binning and ts >= $from::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and counts is not null
)
select k::BIGINT as k, sum(c)::DOUBLE as n from c group by 1 order by 1
"""
QUALITY = """
select sum(n)::DOUBLE as n, sum(missing)::DOUBLE as missing, (sum(nan) + sum(inf))::DOUBLE as not_finite, min(low) as low, max(high) as high from summary
where measure = $measure and ts >= $from::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ
"""
FEWEST_ROWS = 50  # that a distribution is drawn from
BINS_SHOWN = 36  # of a numeric feature
LEVELS_SHOWN = 10  # of a categorical feature, then "other"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a feature's reference was, and what was counted on the same bins since `since`."""

    bins: Mapping[str, Any]
    current: np.ndarray  # rows by bin
    quality: Mapping[str, Any]  # n, missing, not_finite, low, high
    since: datetime
    queries: tuple[Query, ...]

    @property
    def rows(self) -> float:
        """Rows counted in bins."""
        return float(self.current.sum())

    @property
    def reference(self) -> np.ndarray:
        """Rows of the reference by bin."""
        return np.asarray(self.bins["reference"], dtype=float)

    @property
    def enough(self) -> bool:
        """Whether there are rows enough to say anything of a distribution."""
        return self.rows >= FEWEST_ROWS and float(self.reference.sum()) >= FEWEST_ROWS


def bins_of(read: Reader, view: Scope, model: str, name: str) -> tuple[Mapping[str, Any] | None, Query]:
    """The newest binning of a feature, or of a pair under its measure's name; None before there is one."""
    params: dict[str, Value] = {**view.params, "model": model, "feature": name}
    rows = read(BINS, params).to_dicts()
    return (rows[0] if rows else None), Query(BINS, params)


def seen(read: Reader, view: Scope, model: str, finding: Mapping[str, Any]) -> Seen | None:
    """Both distributions of a finding's feature; the current one starts at the onset when there is one inside the range."""
    feature = str(finding["subject"])
    bins, query = bins_of(read, view, model, feature)
    if bins is None:
        return None
    onset = moved.since(finding)
    since = max(view.start, onset) if onset else view.start
    params: dict[str, Value] = {
        **view.params, "measure": f"{model}/{bins['source_table']}/{feature}", "binning": bins["binning_id"], "from": since,
    }  # fmt: skip
    counts, quality = read(COUNTS, params), read(QUALITY, params).row(0, named=True)
    current = np.zeros(len(bins["reference"]))
    current[counts["k"].to_numpy() - 1] = counts["n"].to_numpy()
    return Seen(bins, current, quality, since, (query, Query(COUNTS, params), Query(QUALITY, params)))


def distribution_card(
    read: Reader, view: Scope, model: str, finding: Mapping[str, Any], span: int = 6, unit: str = ""
) -> Any:
    """Reference and current on the same bins, with what changed in figures."""
    feature = str(finding["subject"])
    title = [feature, " against its reference"]
    found = seen(read, view, model, finding)
    if found is None:
        hint = "Bins are made from the first 24 h and 10,000 rows, or from a reference file."
        query = Query(BINS, {**view.params, "model": model, "feature": feature})
        return cards.card(title, cards.empty("No reference yet", hint, 260), sql=[query], span=span)
    now = words.clock(found.since, view.now)
    period = " – ".join(
        f"{found.bins[k].day} {found.bins[k]:%b}" for k in ("reference_from", "reference_to") if found.bins[k]
    )
    return cards.card(
        title, cards.facts(_facts(finding, found, unit, view)), _body(found, finding, view, now),
        sub=f"reference {period} · now since {now} UTC · watched here: {moved.name(finding, found.bins)}", mark=badge(finding, view),
        sql=found.queries, span=span,
    )  # fmt: skip


def _body(found: Seen, finding: Mapping[str, Any], view: Scope, since: str) -> cards.Component:
    if not found.enough:
        few = f"{words.count(found.rows)} rows since {since}: too few to draw"
        return cards.empty(few, f"A distribution is drawn from {FEWEST_ROWS} rows on.", 220)
    draw = _levels if found.bins["kind"] == "categorical" else _numbers
    label = f"Distribution of {finding['subject']}: reference and since {since}"
    return cards.graph(draw(found.bins, found.current, finding, view), 240, label)


def _facts(finding: Mapping[str, Any], found: Seen, unit: str, view: Scope) -> list[tuple[str, Any]]:
    quality = found.quality
    rows = (quality["n"] or 0) + (quality["missing"] or 0) + (quality["not_finite"] or 0)
    return [
        *moved.facts(finding, found.bins, unit, view),
        ("rows", words.count(quality["n"])),
        ("missing", words.share((quality["missing"] or 0) / rows) if rows else None),
        ("NaN or infinite", words.share(quality["not_finite"] / rows) if rows and quality["not_finite"] else None),
        ("detectable in 24 h", moved.smallest(finding)),
    ]


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
    cuts, groups, log = _cuts(bins)
    width = np.maximum(np.diff(np.log(cuts) if log else cuts), 1e-12)
    colour = p.ticket if moved.since(finding) else p.series[0]
    data = []
    for name, counts, ink in (("reference", bins["reference"], p.dim), ("now", current, colour)):
        density = np.add.reduceat(np.asarray(counts, dtype=float), groups) / max(1.0, float(np.sum(counts))) / width
        y = figures.typed(np.append(density, density[-1]))
        trace = figures.line(figures.typed(cuts), y, name, ink, fill="tozeroy", fillcolor=faint(ink, 0.16))
        trace["line"]["shape"] = "hv"
        data.append({**trace, "hoverinfo": "skip"})
    details = moved.details(finding)
    medians = ((details.get("median_from"), p.dim), (details.get("median_to"), colour))
    name = figures.plain(str(finding["subject"]))
    return figures.figure(
        data, view.theme, xaxis={"type": "log" if log else "linear", "title": {"text": name}, "showgrid": False, "nticks": 8},
        yaxis={"showticklabels": False, "title": {"text": "density"}, "rangemode": "tozero", "nticks": 4},
        shapes=[figures.vertical(x, ink) for x, ink in medians if x is not None], margin=figures.margins(26, 8, 24, 40), showlegend=True,
    )  # fmt: skip


def _cuts(bins: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, bool]:
    """Edges of the bins shown, the first stored bin of each, and whether the axis is logarithmic."""
    edges = np.asarray(bins["edges"], dtype=float)
    quantiles = bins["quantiles"] or [edges[0], edges[-1]]
    low, high = min(float(quantiles[0]), edges[0]), max(float(quantiles[-1]), edges[-1])
    log = low > 0 and high / low > 100
    keep = merged(edges, low, high, log)
    groups = np.concatenate([[0], np.asarray(keep) + 1]).astype(int)
    return np.concatenate([[low], edges[keep], [high]]), groups, log


def _levels(bins: Mapping[str, Any], current: np.ndarray, finding: Mapping[str, Any], view: Scope) -> figures.Figure:
    p = palette(view.theme)
    names = [*(str(x) for x in bins["levels"] or ()), "other"]
    shown = min(LEVELS_SHOWN, len(names) - 1)
    labels = [figures.plain(n if len(n) < 16 else n[:15] + "…") for n in [*names[:shown], "other"]]
    colour = p.ticket if moved.since(finding) else p.series[0]
    data = []
    for name, counts, ink in (("reference", bins["reference"], faint(p.dim, 0.6)), ("now", current, colour)):
        shares = np.asarray(counts, dtype=float) / max(1.0, float(np.sum(counts)))
        y = figures.typed(np.append(shares[:shown], shares[shown:].sum()))
        data.append(
            {"type": "bar", "x": labels, "y": y, "name": name, "marker": {"color": ink}, "hovertemplate": "%{y:.1%}"}
        )
    return figures.figure(
        data, view.theme, xaxis={"type": "category", "showgrid": False}, yaxis={"tickformat": ".0%", "nticks": 5},
        margin=figures.margins(44, 8, 24, 40), showlegend=True,
    )  # fmt: skip
