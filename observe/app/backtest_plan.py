"""How a table is judged: its windows, what is fitted and what is judged, raw rows or a metric series.

Raw rows are counted, many to a window. A metric series has one value per window: the mean of what came
in it, judged with n = 1, so that no sampling noise is made up for values that depend on each other; the
noise model then finds from the series alone how much is wander and how much scatter. A slow table, with
windows longer than an hour, is judged on a clock of its own on which one window takes an hour: then
what the detectors call a day are 24 windows.

Source: our own; METHODS section 4 for what 28 d and an hour mean.
Assumes: hours are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import numpy as np
import polars as pl

from observe.app.backtest_table import Table
from observe.errors import UsageError
from observe.schema import Window
from observe.spec.quantity import Effect, Rate, write_duration

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
FIT: Final = 28  # days, of 24 windows where a window is longer than an hour
_SLOW: Final = 6 * HOUR_S  # a table with a longer usual step gets windows of that step
_REGULAR: Final = 0.8  # share of steps that must be near the usual one for a series with several values a window
_NEAR: Final = 0.2
_SPANS: Final = (28, 21, 14, 10, 7, 5, 3, 2)  # days proposed for --fit
_LEAST: Final = 2 * 24  # windows to fit on

Cadence = Literal["rows", "series"]


@dataclass(frozen=True, slots=True)
class Options:
    """What a person asked for; None where the table decides."""

    given_budget: Rate | None = None
    given_effect: Effect | None = None
    fit_s: float | None = None
    window_s: float | None = None
    cadence: Cadence | None = None
    accept_s: float | None = None  # a person takes an alarm's level as the new normal so long after it

    @property
    def budget(self) -> Rate:
        """False alarms allowed."""
        return self.given_budget or Rate(1, 30.0 * DAY_S)

    @property
    def min_effect(self) -> Effect:
        """The smallest change that would matter."""
        return self.given_effect or Effect(0.1, "sigma")


@dataclass(frozen=True, slots=True)
class Plan:
    """A table's windows. Instants here are on the detectors' clock; `real` gives the table's own."""

    rows: pl.DataFrame  # `ts` on the detectors' clock
    kinds: Mapping[str, str]
    window_s: int  # real seconds
    cadence: Cadence
    fit: Window
    judged: Window

    @property
    def stretch(self) -> int:
        """Real seconds in one second of the detectors' clock."""
        return max(1, self.window_s // HOUR_S)

    @property
    def step_s(self) -> int:
        """A window on the detectors' clock, s."""
        return self.window_s // self.stretch

    @property
    def windows(self) -> int:
        """Judged windows."""
        return int(self.judged.length.total_seconds()) // self.step_s

    @property
    def days(self) -> float:
        """Judged days, real ones."""
        return self.windows * self.window_s / DAY_S

    def real(self, at: datetime) -> datetime:
        """An instant of the table."""
        return datetime.fromtimestamp(at.timestamp() * self.stretch, UTC)


def plan(table: Table, options: Options) -> Plan:
    """What is fitted and what is judged.

    Raises:
        UsageError: the table is too short for it, or the window is none that can be judged.
    """
    if table.rows.height < 2:
        raise UsageError(
            f"there are {table.rows.height} rows with an instant; a backtest takes at least {_LEAST} windows to fit on and one to judge"
        )
    at = table.rows["ts"].to_physical().to_numpy()
    step_s = usual_step_s(at)
    window_s = _window_s(options.window_s, step_s)
    stretch = max(1, window_s // HOUR_S)
    first, last = int(at[0]) // 1_000_000 // window_s * window_s, (int(at[-1]) // 1_000_000 // window_s + 1) * window_s
    fit_s = options.fit_s or float(FIT * DAY_S * stretch)
    split = first + int(fit_s) // window_s * window_s
    refuse_short(fit_s, window_s, last - first, ("the file", options.fit_s is not None))
    cadence = options.cadence or _cadence(at, window_s, step_s)
    rows = (
        table.rows
        if stretch == 1
        else table.rows.with_columns((pl.col("ts").to_physical() // stretch).cast(pl.Datetime("us", "UTC")))
    )
    if cadence == "series":
        rows = _one_a_window(rows, table.kinds, window_s // stretch)
    start, middle, end = (datetime.fromtimestamp(s // stretch, UTC) for s in (first, split, last))
    return Plan(rows, table.kinds, window_s, cadence, Window(start, middle), Window(middle, end))


def usual_step_s(at: np.ndarray) -> float:
    """The usual distance between distinct instants, s; `at` in microseconds, ascending, at least one."""
    steps = np.diff(np.unique(at))
    return float(np.median(steps)) / 1e6 if steps.size else 0.0


def _window_s(asked: float | None, step_s: float) -> int:
    if asked is None:
        return HOUR_S if step_s < _SLOW else int(np.ceil(step_s / HOUR_S)) * HOUR_S
    window_s = int(asked)
    if window_s != asked or window_s < 60 or (HOUR_S % window_s if window_s <= HOUR_S else window_s % HOUR_S):
        raise UsageError(
            f"--window {write_duration(asked)} cannot be judged; write a part of an hour (5m, 15m, 1h) or whole hours (6h, 1d)"
        )
    return window_s


def refuse_short(fit_s: float, window_s: int, span_s: int, told_of: tuple[str, bool]) -> None:
    """Refuse a past that leaves nothing to be judged.

    Args:
        fit_s: how long is fitted on, s.
        window_s: a window, s.
        span_s: how long the past is, s.
        told_of: what the past is, for people, and whether they gave `fit_s`.

    Raises:
        UsageError: it says what would do.
    """
    told, span, (what, given) = write_duration(fit_s), _days(span_s), told_of
    if fit_s // window_s < _LEAST:
        need = write_duration(_LEAST * window_s)
        raise UsageError(
            f"--fit {told} holds {fit_s // window_s:.0f} windows of {write_duration(window_s)}; a fit takes at least {_LEAST}: use --fit {need} or a shorter --window"
        )
    if span_s - fit_s >= window_s:
        return
    stretch = max(1, window_s // HOUR_S)
    better = next((d * stretch for d in _SPANS if d * stretch * DAY_S <= 0.75 * span_s), None)
    hint = f"use --fit {better}d" if better else "more history is needed"
    named = f"--fit {told}" if given else f"the default --fit {told}"
    raise UsageError(f"{named} needs {_days(fit_s)} before the first judged window; {what} spans {span}; {hint}")


def _days(seconds: float) -> str:
    return f"{seconds / DAY_S:.3g} d" if seconds < 1000 * DAY_S else f"{seconds / DAY_S:,.0f} d"


def _cadence(at: np.ndarray, window_s: int, step_s: float) -> Cadence:
    """A series has one value a window, or comes at a regular step with no two values at the same instant."""
    per_window = np.unique(at // (window_s * 1_000_000), return_counts=True)[1]
    if np.median(per_window) <= 1:
        return "series"
    steps = np.diff(at) / 1e6
    regular = np.abs(steps - step_s) <= _NEAR * step_s
    return "series" if step_s >= 1 and regular.mean() >= _REGULAR else "rows"


def _one_a_window(rows: pl.DataFrame, kinds: Mapping[str, str], step_s: int) -> pl.DataFrame:
    """One row a window: the mean of its numbers, the most frequent of its levels; the order of rows is no matter."""
    aggregates = []
    for name, kind in kinds.items():
        value = pl.col(name)
        if kind == "numeric":
            finite = value.filter(value.is_finite()).sort().mean()
            aggregates.append(pl.coalesce(finite, value.drop_nulls().sort().first()).alias(name))
        else:
            aggregates.append(value.drop_nulls().mode().sort().first().alias(name))
    window = (pl.col("ts").to_physical() // (step_s * 1_000_000) * (step_s * 1_000_000)).cast(pl.Datetime("us", "UTC"))
    return rows.group_by(window.alias("ts")).agg(aggregates).sort("ts")
