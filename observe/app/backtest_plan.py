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
from numpy.typing import NDArray

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
LEAST: Final = 2 * 24  # windows with rows to fit on
_LONGEST_S: Final = 5 * 366 * DAY_S  # a gap beyond it is no standstill but a wrong instant

Ints = NDArray[np.int64]
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
    filled: int  # judged windows with rows

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
        """Judged days, real ones: the windows with rows, as nothing is found in the others."""
        return self.filled * self.window_s / DAY_S

    @property
    def empty_days(self) -> float:
        """Days of the judged part in windows without rows."""
        return (self.windows - self.filled) * self.window_s / DAY_S

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
            f"there are {table.rows.height} rows with an instant; a backtest takes at least {LEAST} windows to fit on and one to judge"
        )
    at = table.rows["ts"].to_physical().to_numpy()
    step_s = usual_step_s(at)
    window_s = _window_s(options.window_s, step_s)
    stretch = max(1, window_s // HOUR_S)
    first, last = int(at[0]) // 1_000_000 // window_s * window_s, (int(at[-1]) // 1_000_000 // window_s + 1) * window_s
    fit_s = options.fit_s if options.fit_s is not None else float(FIT * DAY_S * stretch)
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
    starts = _with_rows(rows, table.kinds, cadence, window_s // stretch) * stretch
    refuse_sparse(starts, split, (fit_s, window_s, options.fit_s is not None))
    start, middle, end = (datetime.fromtimestamp(s // stretch, UTC) for s in (first, split, last))
    filled = int((starts >= split).sum())
    return Plan(rows, table.kinds, window_s, cadence, Window(start, middle), Window(middle, end), filled)


def usual_step_s(at: np.ndarray) -> float:
    """The usual distance between distinct instants, s; `at` in microseconds, ascending, at least one."""
    steps = np.diff(at)
    steps = steps[steps > 0]
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
    if fit_s // window_s < LEAST:
        need = write_duration(LEAST * window_s)
        raise UsageError(
            f"--fit {told} holds {fit_s // window_s:.0f} windows of {write_duration(window_s)}; a fit takes at least {LEAST}: use --fit {need} or a shorter --window"
        )
    if span_s - fit_s >= window_s:
        return
    stretch = max(1, window_s // HOUR_S)
    better = next((d * stretch for d in _SPANS if d * stretch * DAY_S <= 0.75 * span_s), None)
    hint = f"use --fit {better}d" if better else "more history is needed"
    raise UsageError(
        f"{_named(fit_s, given)} needs {_days(fit_s)} before the first judged window; {what} spans {span}; {hint}"
    )


def refuse_sparse(starts: Ints, split: int, told_of: tuple[float, int, bool]) -> None:
    """Refuse a past with hardly any rows to fit on, or to judge: a stray instant makes either look long.

    Args:
        starts: of the windows with rows, epoch s, ascending.
        split: where judging begins, epoch s.
        told_of: how long is fitted on, s; a window, s; whether people gave the former.

    Raises:
        UsageError: it says how many windows have rows, and where the longest gap is.
    """
    fit_s, window_s, given = told_of
    fitted = int((starts < split).sum())
    if fitted == starts.size:
        raise UsageError(f"no row with a value comes after {_named(fit_s, given)}: there is nothing to judge")
    gaps = np.diff(starts[fitted - 1 :]) if fitted else np.zeros(0)
    if gaps.size and gaps.max() > _LONGEST_S:
        before = starts[fitted - 1 + int(gaps.argmax())]
        raise UsageError(
            f"no rows for {_days(float(gaps.max()))} after {_at(before)}; the last row is of {_at(starts[-1])}: take stray rows out"
        )
    if fitted >= LEAST:
        return
    near = starts[: fitted + 1]
    longest = int(np.diff(near).argmax()) if near.size > 1 else 0
    gap = f", none for {_days(float(near[longest + 1] - near[longest]))} after {_at(near[longest])}" if fitted else ""
    raise UsageError(
        f"rows in {fitted} of the {fit_s // window_s:.0f} windows of {_named(fit_s, given)}, at least {LEAST} are needed;"
        f" the first row is of {_at(starts[0])}{gap}: take stray rows out, or use a longer --fit or --window"
    )


def _named(fit_s: float, given: bool) -> str:
    return f"{'' if given else 'the default '}--fit {write_duration(fit_s)}"


def _at(epoch_s: int) -> str:
    return f"{datetime.fromtimestamp(int(epoch_s), UTC):%Y-%m-%d %H:%M}"


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


def _with_rows(rows: pl.DataFrame, kinds: Mapping[str, str], cadence: Cadence, step_s: int) -> Ints:
    """Starts of the windows with rows, of a series with a value, s on the detectors' clock, ascending."""
    if cadence == "series":
        known = [pl.col(n).is_finite() if kind == "numeric" else pl.col(n).is_not_null() for n, kind in kinds.items()]
        rows = rows.filter(pl.any_horizontal(k.fill_null(value=False) for k in known))
    return np.unique(rows["ts"].to_physical().to_numpy() // 1_000_000 // step_s) * step_s


def with_values(plan: Plan) -> dict[str, int]:
    """In how many of the windows that are fitted on each column has a value."""
    fitted = plan.rows.filter(pl.col("ts") < plan.fit.end)
    window = fitted["ts"].to_physical() // (plan.step_s * 1_000_000)
    known = {
        name: fitted[name].is_finite().fill_null(value=False) if kind == "numeric" else fitted[name].is_not_null()
        for name, kind in plan.kinds.items()
    }
    return {name: window.filter(mask).n_unique() for name, mask in known.items()}


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
