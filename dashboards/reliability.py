"""Do scores mean what they say, when do labels come, and in which slice is a model worst?

Source: our own, after UX.md; DeGroot and Fienberg (1983) for the diagram. See `observe.agreement`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from dashboards import cards, figures, tables, words
from dashboards.cards import Query
from dashboards.palette import palette
from dashboards.reader import Reader, Value
from dashboards.scope import Scope
from observe.agreement import Delays, Reliable, auc, delays, reliability, share

COUNTS: Final = """
select feature, k, sum(c)::BIGINT as n from (
  select b.feature, unnest(s.counts) as c, generate_subscripts(s.counts, 1) as k
  from summary s join binning b using (binning_id)
  where b.source_table = 'performance' and b.model = $model and b.feature in ('score', 'score_positive', 'score_negative', 'score_wrong')
    and s.ts >= $since::TIMESTAMPTZ and s.ts < $end::TIMESTAMPTZ)
group by all order by feature, k
"""
EDGES: Final = """
select edges, quantiles from binning where source_table = 'performance' and model = $model and feature = 'score' order by version desc limit 1
"""
DELAYS: Final = """
select epoch(s.ts)::DOUBLE as epoch, s.counts, b.edges, p.predictions::DOUBLE as predictions
from summary s join binning b using (binning_id) join performance p on p.model = s.model and p.ts = s.ts
where b.source_table = 'performance' and b.model = $model and b.feature = 'label_delay' and s.ts >= $since::TIMESTAMPTZ and s.ts < $end::TIMESTAMPTZ
  and p.ts >= $since::TIMESTAMPTZ and p.ts < $end::TIMESTAMPTZ and p.model = $model
order by s.ts
"""
REPEATED: Final = """
select level, sum(c)::BIGINT as n from (
  select unnest(b.levels) as level, unnest(s.counts[1:len(b.levels)]) as c
  from summary s join binning b using (binning_id)
  where b.source_table = 'performance' and b.model = $model and b.feature = 'label_state' and s.ts >= $since::TIMESTAMPTZ and s.ts < $end::TIMESTAMPTZ)
group by level
"""
SLICES: Final = """
select feature, level, sum(c)::BIGINT as n from (
  select b.feature, unnest(b.levels) as level, unnest(s.counts[1:len(b.levels)]) as c
  from summary s join binning b using (binning_id)
  where b.source_table = 'performance' and b.model = $model and starts_with(b.feature, 'slice:') and s.ts >= $since::TIMESTAMPTZ and s.ts < $end::TIMESTAMPTZ)
group by feature, level
"""
_FEW: Final = 30  # labels of a slice below which it is not compared
Params = Mapping[str, Value]


def score_card(read: Reader, view: Scope, params: Params, *, regression: bool) -> Any:
    """The reliability diagram with its error and AUC; nothing of a regression."""
    if regression:
        return None
    counts, edges = cards.together(lambda: read(COUNTS, params), lambda: read(EDGES, params))
    sql = [Query(COUNTS, params), Query(EDGES, params)]
    parts = {feature: frame["n"].to_numpy() for (feature,), frame in counts.group_by("feature", maintain_order=True)}
    rows, scores = parts.get("score"), _typical(edges)
    if rows is None or scores is None or not rows.sum():
        none = cards.empty(
            "No label of a prediction with a score between 0 and 1", "Send the probability as `score`.", 260
        )
        return cards.card("Do scores mean what they say?", none, sql=sql, span=6)
    happened = parts.get("score_positive")
    if happened is None:  # the score is the confidence in the answer
        happened = rows - parts.get("score_wrong", np.zeros_like(rows))
    found = reliability(rows, happened, scores)
    assert found is not None
    ranked = (
        auc(parts["score_positive"], parts["score_negative"])
        if {"score_positive", "score_negative"} <= parts.keys()
        else None
    )
    graph = cards.graph(
        _diagram(view, found), 300, "Share of the class by score, with 95 % intervals, beside the diagonal"
    )
    return cards.card("Do scores mean what they say?", graph, sub=_said(found, ranked), sql=sql, span=6)


def _typical(edges: pl.DataFrame) -> Any:
    """A typical score of each bin, (K,): the middle between its edges, 0 and 1 outside."""
    if edges.is_empty() or edges["edges"][0] is None:
        return None
    inner = np.asarray(edges["edges"][0].to_list(), dtype=np.float64)
    whole = np.concatenate([[0.0], inner, [1.0]])
    return np.clip((whole[1:] + whole[:-1]) / 2, 0.0, 1.0)


def _said(found: Reliable, ranked: Any) -> str:
    apart = f"scores and shares are {words.number(100 * found.error)} pp apart on average (ECE; {words.number(100 * found.chance)} pp by chance alone)"
    if ranked is None:
        return apart
    value, error = ranked
    return f"{apart}; AUC {value.value:.3f} ({value.low:.3f} – {value.high:.3f}), of which bins may hide {error:.1g}. AUC informs: no alarm comes from it"


def _diagram(view: Scope, found: Reliable) -> figures.Figure:
    p = palette(view.theme)
    up, down = found.high - found.happened, found.happened - found.low
    bars = {
        "type": "data",
        "symmetric": False,
        "array": up.tolist(),
        "arrayminus": down.tolist(),
        "color": p.series[0],
        "thickness": 1.2,
        "width": 3,
    }
    dots = {
        "type": "scatter", "mode": "markers", "x": figures.typed(found.predicted), "y": figures.typed(found.happened), "error_y": bars,
        "marker": {"color": p.series[0], "size": 8}, "name": "seen", "hovertemplate": "score %{x:.2f}: happened %{y:.1%}<extra></extra>",
    }  # fmt: skip
    even = figures.line([0, 1], [0, 1], "calibrated", p.dim, dash="dash", hoverinfo="skip")
    axis = {"range": [-0.02, 1.02], "tickformat": ".0%", "nticks": 6}
    return figures.figure(
        [even, dots], view.theme, xaxis={**axis, "title": {"text": "score"}}, yaxis={**axis, "title": {"text": "happened"}},
        margin=figures.margins(56, 12, 8, 44), showlegend=False,
    )  # fmt: skip


def delay_card(read: Reader, view: Scope, params: Params) -> Any:
    """When labels come, counting with those that still may; and labels that were sent more than once."""
    rows, repeated = cards.together(lambda: read(DELAYS, params), lambda: read(REPEATED, params))
    sql = [Query(DELAYS, params), Query(REPEATED, params)]
    asked = _delays(rows, view.now.timestamp())
    if asked is None:
        return cards.card("When do labels come?", cards.empty("No label has come yet", "", 260), sql=sql, span=6)
    found, came, edges = asked
    states = dict(repeated.iter_rows())
    facts = cards.facts([
        ("half come within", words.span(found.median_s)), ("nine in ten within", words.span(found.p90_s)), ("get one in the end", words.share(found.arriving)),
        ("sent again alike", words.count(states.get("repeated", 0))), ("revised", words.count(states.get("revised", 0))),
        ("conflicting", words.count(states.get("conflicting", 0))),
    ])  # fmt: skip
    p = palette(view.theme)
    bars = {
        "type": "bar", "x": [words.span(e) for e in edges], "y": figures.typed(came), "marker": {"color": p.series[0]}, "name": "labels",
        "hovertemplate": "up to %{x}: %{y:.1%} of labels<extra></extra>",
    }  # fmt: skip
    chart = figures.figure(
        [bars],
        view.theme,
        yaxis={"tickformat": ".0%"},
        xaxis={"nticks": 8, "tickangle": 0},
        margin=figures.margins(46, 10, 8, 56),
        showlegend=False,
    )
    graph = cards.graph(chart, 220, "Share of labels by delay")
    return cards.card("When do labels come?", facts, graph, sub="Delay from the prediction to its first label; quantiles count with labels still to come", sql=sql, span=6)  # fmt: skip


def _delays(rows: pl.DataFrame, now: float) -> tuple[Delays, Any, Sequence[float]] | None:
    """Quantiles, and the share of labels by delay as far as there are any."""
    if rows.is_empty():
        return None
    edges = [float(e) for e in rows["edges"][0].to_list()]
    starts = rows["epoch"].unique().sort().to_numpy()
    at = np.searchsorted(starts, rows["epoch"].to_numpy())
    labels = np.zeros((starts.size, len(edges) + 1))
    np.add.at(labels, at, np.array(rows["counts"].to_list(), dtype=np.float64))
    asked = np.zeros(starts.size)
    asked[at] = rows["predictions"].fill_null(0.0).to_numpy()
    asked = np.maximum(asked, labels.sum(axis=1))
    found = delays(labels, asked, now - starts - 3_600.0, edges)
    if found is None:
        return None
    shares = labels.sum(axis=0) / labels.sum()
    kept = np.flatnonzero(shares > 0)
    use = slice(int(kept[0]), int(kept[-1]) + 1)
    return found, shares[use], [*edges, edges[-1]][use]


def _whole(counted: Mapping[tuple[str, str], Sequence[int]]) -> Mapping[str, float]:
    """Accuracy of all rows, by the column that slices them."""
    sums: dict[str, list[int]] = {}
    for (column, _), (wrong, right) in counted.items():
        held = sums.setdefault(column, [0, 0])
        held[0], held[1] = held[0] + wrong, held[1] + right
    return {column: right / max(wrong + right, 1) for column, (wrong, right) in sums.items()}


def slices_card(read: Reader, view: Scope, params: Params, *, regression: bool) -> Any:
    """Share of right answers by slice, worst first, with intervals for all slices at once; None without slices."""
    rows = read(SLICES, params)
    if rows.is_empty():
        return None
    counted: dict[tuple[str, str], list[int]] = {}
    for feature, level, n in rows.iter_rows():
        verdict, _, name = str(level).partition(":")
        counted.setdefault((str(feature).removeprefix("slice:"), name), [0, 0])[verdict == "right"] += int(n)
    compared = {key: found for key, found in counted.items() if sum(found) >= _FEW}
    made: list[dict[str, Any]] = []
    whole = _whole(counted)
    for (column, name), (wrong, right) in compared.items():
        found = share(right, wrong + right, at_once=len(compared))
        assert found is not None
        made.append(
            {
                "slice": f"{column} = {name}",
                "n": wrong + right,
                "accuracy": found.value,
                "low": found.low,
                "high": found.high,
                "beside": "worse"
                if found.high < whole[column]
                else "better"
                if found.low > whole[column]
                else "not told apart",
            }
        )
    made.sort(key=lambda row: row["high"])
    columns = [
        tables.Column("slice", "Slice", "", 260), tables.Column("n", "Labels", "count", 100), tables.Column("accuracy", "Within tolerance" if regression else "Accuracy", "share", 140 if regression else 100),
        tables.Column("low", "At least", "share", 100, hint="lower end of an interval that holds for all slices at once with 95 %"),
        tables.Column("high", "At most", "share", 100, hint="upper end of that interval"),
        tables.Column("beside", "Beside all", "", 120, hint="worse or better where the interval leaves out the share of all rows"),
    ]  # fmt: skip
    left = len(counted) - len(compared)
    few = f"; {left} with fewer than {_FEW} labels are left out" if left else ""
    sub = f"Worst first; intervals hold for all {len(compared)} slices at once{few}. Slices inform: no alarm comes from them"
    height = 380 if len(made) > 9 else 0
    return cards.card("Where is it worst?", tables.grid("slices", made, columns, height=height), sub=sub, tools=[tables.csv_button("slices")], sql=[Query(SLICES, params)])  # fmt: skip
