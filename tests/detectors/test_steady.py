"""A feature that never varied and does now: what is known is told, and no more."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st
from streams import HISTORY_H, START, binning, evidence, level_monitors, levels, raised

from detectors import level
from detectors.steady import bounds
from observe.schema import Detected, Evidence, Window

HOUR, ROWS = 3600, 100
BEGUN = HISTORY_H + 10
CONSTANT = replace(binning("m/predictions/f0"), edges=(), reference=(10_000,), quantiles=(5.0,) * 101)


def given_rows(now: np.ndarray, hours: int = HISTORY_H + 24) -> Evidence:
    """Hours of 100 rows that are 5, and from `BEGUN` on `now`."""
    rows = levels(np.zeros((hours, 1)), ROWS, seed=1)
    late = np.arange(rows.height) >= BEGUN
    known = {"low": now.min(), "high": now.max(), "value_sum": now.sum()}
    before = {"low": 5.0, "high": 5.0, "value_sum": 5.0 * ROWS}
    told = [pl.Series(name, np.where(late, known[name], before[name])) for name in known]
    rows = rows.with_columns(*told, counts=pl.Series([[ROWS]] * rows.height))
    given = evidence(level_monitors(1), rows, HISTORY_H * HOUR, hours * HOUR)
    return replace(given, binnings={CONSTANT.binning_id: CONSTANT})


def judged(*now: float) -> Detected:
    return level.detect(given_rows(np.array([*now, *[5.0] * (ROWS - len(now))])))


def test_rows_that_all_became_another_value_are_told_as_all_of_them() -> None:
    found = judged(*[6.0] * ROWS)

    last = found.findings[-1]
    assert len(raised(found)) == 1
    assert (last.effect, last.ci_low, last.ci_high, last.unit) == (100.0, 100.0, 100.0, "pp")
    assert last.note == "f0 off its constant 5: all rows of 14 windows are 6"
    assert last.details["value_mean"] == 6.0
    assert "unit_effect" not in last.details


def test_some_rows_are_told_as_at_least_so_many_of_so_many_windows() -> None:
    last = judged(*[6.0] * 10).findings[-1]

    assert last.note == (
        "f0 off its constant 5: rows of 14 of 14 windows differ, at least 10 % of their rows; values from 5 to 6"
    )
    assert (last.effect, last.ci_low, last.ci_high) == (10.0, 10.0, 99.0)  # nobody counted them: bounds, no interval


def test_rows_around_the_constant_are_bounded_by_what_two_of_them_show() -> None:
    last = judged(4.0, 6.0, *np.linspace(4.5, 5.5, ROWS - 2)).findings[-1]

    assert (last.ci_low, last.ci_high) == (2.0, 100.0)
    assert "at least 2 % of their rows; values from 4 to 6" in last.note


def test_a_quiet_window_of_a_constant_says_at_least_only_where_a_row_differs() -> None:
    found = judged(6.0).findings

    assert found[9].note == "f0 off its constant 5: 0.00% of events, 0.00% is normal"
    assert found[10].note.startswith("f0 off its constant 5: at least 1.00% of events")


def test_windows_judged_one_at_a_time_tell_the_same_of_a_constant() -> None:
    whole = given_rows(np.array([6.0] * 10 + [5.0] * (ROWS - 10)))
    state, found = {}, []
    for hour in range(24):
        window = Window(*(START + timedelta(hours=HISTORY_H + hour + i) for i in (0, 1)))
        since = level.since(whole.monitors[0], state.get(whole.monitors[0].monitor_id, {}), window)
        some = whole.summaries.filter((pl.col("ts") >= since) & (pl.col("ts") < window.end))
        step = level.detect(replace(whole, window=window, summaries=some, state=state))
        state = json.loads(json.dumps(step.state, allow_nan=False))
        found += step.findings

    assert found == list(level.detect(whole).findings)


VALUES = st.sampled_from([0.0, 4.0, 4.999, 5.0, 5.0, 5.0, 5.001, 6.0, 1e6]) | st.floats(-1e9, 1e9)


@given(st.lists(VALUES, min_size=1, max_size=60), st.sampled_from([5.0, 0.0, -0.1, 1e6]))
@example([5.0] * 90 + [6.0] * 10, 5.0)
def test_as_many_rows_differ_as_the_bounds_say(values: list[float], constant: float) -> None:
    x = np.array(values)
    seen = (np.array([x.size]), np.array([x.min()]), np.array([x.max()]), np.array([x.sum()]))
    least, most = bounds(seen, np.array([(x == 0).sum()]), constant)

    assert least[0] <= (x != constant).sum() <= most[0]
    assert (least[0] > 0) == (x != constant).any()


def test_parts_of_an_hour_are_told_together() -> None:
    whole = given_rows(np.array([6.0] * 10 + [5.0] * (ROWS - 10)))
    later = whole.summaries.with_columns(pl.col("ts") + timedelta(minutes=35))
    calm = whole.summaries.with_columns(n=pl.lit(50), low=pl.lit(5.0), high=pl.lit(5.0), value_sum=pl.lit(250.0))
    parts = pl.concat([later, calm.cast(dict(whole.summaries.schema))])
    last = level.detect(replace(whole, summaries=parts)).findings[-1]

    assert (last.effect, last.ci_high) == (6.66667, 66.0)  # 10 and 99 of 150 rows
    assert "rows of 14 of 14 windows differ, at least 6.66 % of their rows" in last.note


def test_a_window_without_a_sum_of_values_has_bounds_all_the_same() -> None:
    unknown = tuple(np.array([v]) for v in (100.0, 5.0, 6.0, np.nan))

    assert [float(v[0]) for v in bounds(unknown, np.array([0.0]), 5.0)] == [1.0, 99.0]


def test_rows_that_are_no_longer_zero_are_counted_exactly() -> None:
    seen = tuple(np.array([v]) for v in (100.0, 0.0, 1.0, 3.5))

    assert [float(v[0]) for v in bounds(seen, np.array([93.0]), 0.0)] == [7.0, 7.0]
