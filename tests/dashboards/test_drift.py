"""Which features moved, and when: one question's effect in each cell, in σ."""

from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
import world
from numpy.testing import assert_allclose

from dashboards import drift
from dashboards.scope import scope

ASKED = {"bucket": 3600, "start": "2026-03-02 00:00:00+00", "end": "2026-03-02 04:00:00+00", "model": "", "rows": 10}


def finding(score: str, effect: float, state: str = "ok", unit: str = "σ", hour: int = 1) -> dict[str, Any]:
    return {
        "kind": "drift", "model": "fraud", "subject": "amount", "monitor_id": f"fraud/level/amount/{score}", "state": state,
        "window_end": f"2026-03-02 {hour:02}:00:00+00", "effect": effect, "ci_low": effect - 0.1, "ci_high": effect + 0.1, "unit": unit,
    }  # fmt: skip


def heat(*told: dict[str, Any]) -> pl.DataFrame:
    with duckdb.connect() as db:
        db.register("told", pl.DataFrame(list(told)))
        db.execute("create view finding as select * replace (window_end::timestamptz as window_end) from told")
        return db.sql(drift.HEAT, params=ASKED).pl()


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ([("location", 0.44, "alarm"), ("third", 0.0, "ok"), ("fourth", 0.01, "ok")], 0.44),
        ([("location", 0.44, "alarm"), ("fourth", -0.9, "alarm")], 0.44),
        ([("location", 0.3, "ok"), ("third", 0.5, "ok"), ("fourth", 0.6, "ok")], 0.3),
        ([("location", 0.0, "ok"), ("third", 0.3, "alarm"), ("fourth", -0.6, "alarm")], -0.6),
        ([("location", 0.2, "ok"), ("spread", 1.5, "alarm", "ratio")], 0.2),
        ([("location", 0.0, "ok"), ("location_fast", 2.0, "alarm")], 2.0),
        ([("location_fast", 0.2, "ok"), ("third", 0.6, "ok")], 0.2),
        ([("spread", 1.5, "alarm", "ratio")], None),
        ([("location", 0.9, "learning")], None),
    ],
)
def test_a_cell_shows_the_effect_of_one_question_and_none_in_another_unit(
    told: list[tuple[Any, ...]], shown: float | None
) -> None:
    row = heat(*(finding(*t) for t in told)).row(0, named=True)

    assert row["sigma"] == (None if shown is None else pytest.approx(shown))
    assert row["alarm"] == any(t[2] == "alarm" for t in told)


def test_a_feature_that_alarmed_comes_first_and_every_hour_has_its_own_cell() -> None:
    other = {**finding("location", 0.9), "subject": "age"}
    frame = heat(other, finding("location", 0.1), finding("location", 0.5, "alarm", hour=2))

    assert frame.select("subject", "alarmed").unique().sort("alarmed").rows() == [("age", False), ("amount", True)]
    assert frame.filter(subject="amount")["epoch"].n_unique() == 2


def test_a_cell_that_is_not_judged_in_sigma_has_a_ring_and_no_colour() -> None:
    frame = heat(finding("spread", 1.5, "alarm", "ratio"))
    view = scope({"now": world.NOW.isoformat(), "from": "2026-03-02T00:00:00Z", "to": "2026-03-02T04:00:00Z"})
    _, cells, rings = drift._cells(frame, [("fraud", "amount", "amount")], view)

    assert_allclose(cells, np.full_like(cells, np.nan))
    assert len(rings) == 1
