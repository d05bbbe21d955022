"""A sample is bounded, and cleaned so that nothing in it breaks who reads it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import drifted
import polars as pl

from dashboards.report_facts import gather
from observe.app.sampling import MOST, clean, sample
from observe.schema import Batch, Window


def test_what_is_not_finite_is_null_and_useless_columns_are_named() -> None:
    reference = pl.DataFrame({
        "x": [1.0, 2.0, float("inf")], "nothing": pl.Series([None] * 3, dtype=pl.Float64), "same": [7.0] * 3,
        "flag": [True, False, None], "changed": ["a", "b", "c"], "id": ["1", "2", "3"],
    })  # fmt: skip
    current = reference.with_columns(pl.Series("changed", [1.0, 2.0, 3.0]))

    cleaned = clean(reference, current)

    assert cleaned.reference["x"].to_list() == [1.0, 2.0, None]
    assert cleaned.current["flag"].to_list() == ["true", "false", None]
    assert dict(cleaned.left_out) == {
        "nothing": "no value in the reference", "same": "one and the same value everywhere",
        "changed": "numbers in one, text in the other",
    }  # fmt: skip
    assert cleaned.numeric == ["x"]


def test_a_column_of_names_is_left_out() -> None:
    frame = pl.DataFrame({"id": [str(i) for i in range(600)]})

    assert clean(frame, frame).left_out == (("id", "600 different texts"),)


def test_the_sample_of_a_report_is_of_its_reference_and_its_period(tmp_path: Path) -> None:
    with drifted.drifted(tmp_path / "data") as store:
        facts = gather(store, "fraud", drifted.WEEK, drifted.END)
        chosen = sample(store, "fraud", facts.bins, drifted.WEEK)

    assert not isinstance(chosen, str)
    assert (chosen.reference.height, chosen.current.height) == (3000, 3000)
    assert chosen.current["amount"].mean() - chosen.reference["amount"].mean() > 1  # type: ignore[operator]
    assert not chosen.current["age"].is_nan().any()


def test_many_rows_are_sampled_from_the_whole_of_the_span(tmp_path: Path) -> None:
    n, length = 3 * MOST, timedelta(days=7)
    at = [drifted.WEEK.start + i * length / n for i in range(n)]
    rows = pl.DataFrame(
        {
            "prediction_id": [f"m{i}" for i in range(n)],
            "ts": pl.Series(at, dtype=pl.Datetime("us", "UTC")),
            "amount": [float(i) for i in range(n)],
        }
    )
    with drifted.drifted(tmp_path / "data") as store:
        store.append(Batch("predictions/fraud", "many", {"prediction:fraud": rows}))
        facts = gather(store, "fraud", drifted.WEEK, drifted.END)
        chosen = sample(store, "fraud", facts.bins, drifted.WEEK)

    assert not isinstance(chosen, str)
    assert MOST / 2 < chosen.current.height <= MOST
    assert chosen.current["amount"].max() > 0.95 * n  # type: ignore[operator]


def test_too_few_rows_are_told_and_not_compared(tmp_path: Path) -> None:
    later = Window(drifted.END, drifted.END + timedelta(days=1))
    with drifted.drifted(tmp_path / "data") as store:
        facts = gather(store, "fraud", later, later.end)

        assert (
            sample(store, "fraud", facts.bins, later)
            == "0 rows of the period are stored, 50 are the fewest that are compared"
        )
        assert sample(store, "nobody", {}, later) == "no reference is known yet"
