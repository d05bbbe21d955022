"""What is asked about a table: the questions a model's drift is watched with, and one budget for all of them.

Questions come from where the service takes them (`observe.spec.streams`), bins from where it makes them,
out of the rows that are fitted on. The whole budget is this table's, so shares and thresholds are set
anew: `h = ln(W/(B*share))`.

Source: our own; METHODS sections 1.4 and 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import exp
from typing import Final

import polars as pl

from observe.app.backtest_plan import HOUR_S, LEAST, Plan, with_values
from observe.app.backtest_walk import Past
from observe.schema import Binning, Monitor, Window
from observe.spec.budget import threshold_nats
from observe.spec.config import Model
from observe.spec.drift import Drift, Feature
from observe.spec.quantity import Effect, Rate
from observe.spec.streams import Levels, of_feature
from observe.summaries import Grid, count
from observe.summaries.features import Column, binned
from observe.summaries.rows import Source

MODEL: Final = "table"
SOURCE: Final = "predictions"
# one value a window has no distribution inside it, and a window without one is a gap, not a missing value
_OF_A_SERIES: Final = ("location", "unseen")


def binnings(plan: Plan) -> dict[str, Binning]:
    """Bins of every column that has values in enough of the windows that are fitted on, by column."""
    source = Source(Model(MODEL), SOURCE)
    fitted = plan.rows.filter(pl.col("ts") < plan.fit.end)
    found, known = {}, with_values(plan)
    for name, kind in ((n, k) for n, k in plan.kinds.items() if known[n] >= LEAST):
        binning = binned(fitted[name].alias("x"), source, Column(name, name, kind), plan.fit, plan.fit.end)
        if binning is not None:
            found[name] = binning
    return found


def lacking(plan: Plan, made: Mapping[str, Binning]) -> dict[str, str]:
    """Why each column without bins is not watched."""
    known = with_values(plan) if len(made) < len(plan.kinds) else {}
    windows = int(plan.fit.length.total_seconds()) // plan.step_s
    few = "values in {} of the {:,} windows that are fitted on, fewer than {}"
    return {
        name: few.format(n, windows, LEAST) if n else "no value in the rows that are fitted on"
        for name, n in known.items()
        if name not in made
    }


def monitors(plan: Plan, made: Mapping[str, Binning], budget: Rate, min_effect: Effect) -> tuple[Monitor, ...]:
    """The questions about a table, at its own cadence, with the whole budget among them."""
    drift = Drift(source=SOURCE)
    asked = []
    for name, binning in made.items():
        of = {"minEffect": str(min_effect)} if (min_effect.unit == "pp") == (binning.kind == "categorical") else {}
        feature = Feature.model_validate({"name": name, "kind": binning.kind, **of})
        asked += [
            (replace(m, share=weight), sides) for m, sides, weight in of_feature(MODEL, drift, feature, binning.kind, _levels(binning, plan))
            if not m.params.get("fast") and (plan.cadence == "rows" or m.score in _OF_A_SERIES)
        ]  # fmt: skip
    total = sum(m.share for m, _ in asked)
    windows = budget.period_s / plan.window_s
    return tuple(
        replace(
            m,
            window_s=plan.step_s,
            share=m.share / total,
            threshold_nats=threshold_nats(windows, budget.count, m.share / total / sides),
        )
        for m, sides in asked
    )


def _levels(binning: Binning, plan: Plan) -> Levels | None:
    if not binning.levels:
        return None
    hours = max(plan.fit.length.total_seconds() / HOUR_S, 1.0)
    return Levels(binning.levels, binning.reference, sum(binning.reference) / hours)


def sides(monitor: Monitor) -> int:
    """One-sided streams that a monitor consists of."""
    return int(monitor.params.get("sides", 1)) if monitor.detector == "level" else 1


def alarms_allowed(monitors: Sequence[Monitor], period_s: float) -> float:
    """False alarms in a period that the thresholds of these monitors were made for."""
    return float(sum(sides(m) * period_s / m.window_s * exp(-m.threshold_nats) for m in monitors))


def past(plan: Plan, monitors: Sequence[Monitor], made: Mapping[str, Binning]) -> Past:
    """The table as something that can be judged."""

    def values(feature: str, span: Window) -> pl.Series:
        return _during(plan.rows, span)[feature]

    read = reader(plan.rows, made, plan.step_s)
    return Past(tuple(monitors), {b.binning_id: b for b in made.values()}, read, values=values)


def reader(
    rows: pl.DataFrame, made: Mapping[str, Binning], step_s: int
) -> Callable[[Sequence[str], Window], pl.DataFrame]:
    """Counts rows into summaries as they are wanted."""
    by_measure = {f"{b.model}/{b.source_table}/{b.feature}": b for b in made.values()}

    def read(measures: Sequence[str], span: Window) -> pl.DataFrame:
        wanted = [by_measure[m] for m in measures]
        part = _during(rows, span).select("ts", *(b.feature for b in wanted))
        grid = Grid(span.start, step_s, -(-int(span.length.total_seconds()) // step_s))
        return count(part, grid, wanted)

    return read


def _during(rows: pl.DataFrame, span: Window) -> pl.DataFrame:
    low, high = (int(rows["ts"].search_sorted(at, side="left")) for at in (span.start, span.end))
    return rows[low:high]
