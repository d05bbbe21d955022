"""A table with its truth as numbers that a small model can learn from.

A named column becomes one column of 0 and 1 a level, the twenty most frequent ones; the hour and the weekday are added,
as most traffic has both. A truth with two names counts as 0 and 1 in their order.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from observe.app.backtest import backtest
from observe.app.backtest_plan import DAY_S, Options
from observe.app.backtest_retraining import Asked, Policy, Rows, confirmed, policies
from observe.app.backtest_table import Table
from observe.app.ridge import Floats
from observe.errors import UsageError
from observe.spec.nearest import did_you_mean

_LEVELS: Final = 20  # of a named column


@dataclass(frozen=True, slots=True)
class Terms:
    """What a person asked for."""

    label: str
    delay_s: float = DAY_S
    for_s: float = DAY_S
    enough: int = 10_000


@dataclass(frozen=True, slots=True)
class Compared:
    """Every policy, and the drift that ours went by."""

    policies: tuple[Policy, ...]
    alarms: int
    stayed: int
    loss: str  # log-loss | absolute error


def compare(table: Table, terms: Terms, options: Options) -> Compared:
    """Never, monthly and ours on one table.

    Args:
        table: its columns, the truth among them.
        terms: which column is the truth, and when it comes.
        options: how drift is judged; `fit_s` is what every policy learns from first, `accept_s` is ours to set.

    Raises:
        UsageError: there is no such column, or too little of the truth.
    """
    rows = rows_of(table, terms.label)
    watched = _without(table, terms.label)
    accept = Options(
        options.given_budget, options.given_effect, options.fit_s, options.window_s, "rows", terms.for_s + terms.delay_s
    )
    found, _ = backtest(watched, accept)
    start = int(found.plan.real(found.plan.judged.start).timestamp())
    known = rows.y[(rows.ts < start) & ~np.isnan(rows.y)]
    if known.size < 100 or np.unique(known).size < 2:
        raise UsageError(
            f"{known.size} rows of the fitted part have a truth in {terms.label!r}; nothing can be learnt from them"
        )
    stayed = confirmed(found.alarms, terms.for_s)
    made = policies(rows, Asked(start, int(terms.delay_s), terms.enough), stayed)
    return Compared(tuple(made), len(found.alarms), len(stayed), "log-loss" if rows.binary else "absolute error")


def rows_of(table: Table, label: str) -> Rows:
    """The table as numbers in order of time.

    Raises:
        UsageError: there is no column of that name, or it has more than two names.
    """
    if label not in table.kinds:
        raise UsageError(f"--set label={label}: no such column; {did_you_mean(label, table.kinds)}")
    read = {name: kind for name, kind in table.kinds.items() if name != label}
    parts = [part for name, kind in read.items() for part in _numbers(table.rows[name], kind)]
    hour = table.rows["ts"].dt.hour().cast(pl.Float64).to_numpy() / 24 * 2 * np.pi
    week = table.rows["ts"].dt.weekday().cast(pl.Float64).to_numpy() / 7 * 2 * np.pi
    x = np.column_stack([*parts, np.sin(hour), np.cos(hour), np.sin(week), np.cos(week)])
    return Rows(table.rows["ts"].dt.epoch("s").to_numpy().astype(np.int64), x, _truth(table.rows[label], label))


def _truth(column: pl.Series, label: str) -> Floats:
    if column.dtype.is_numeric():
        return np.asarray(column.cast(pl.Float64).to_numpy(), dtype=np.float64)
    names = sorted(column.drop_nulls().unique().to_list())
    if len(names) != 2:
        raise UsageError(f"the truth {label!r} has {len(names)} names; it must be numbers, or two names")
    return np.asarray((column == names[1]).cast(pl.Float64).to_numpy(), dtype=np.float64)


def _numbers(column: pl.Series, kind: str) -> Iterator[Floats]:
    if kind == "numeric":
        yield column.cast(pl.Float64).to_numpy()
        return
    most = column.drop_nulls().value_counts(sort=True).head(_LEVELS)[:, 0].to_list()
    for level in sorted(most)[1:]:
        yield (column == level).fill_null(value=False).cast(pl.Float64).to_numpy()


def _without(table: Table, label: str) -> Table:
    """The table without its truth: it comes later, so nothing may be judged by it."""
    kinds = {name: kind for name, kind in table.kinds.items() if name != label}
    return Table(table.rows.drop(label), kinds, table.rejected, table.left_out)
