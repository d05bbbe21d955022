"""Columns that `performance:` names and no prediction has had: told, left out, and counted from when they come."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from labelled import T0, N, answers, config, found, opened

from observe import summaries
from observe.app.declaring import declared
from observe.app.retaining import passed
from observe.schema import Batch
from observe.spec import Config
from observe.store import Store

LATER = N // 2  # rows of the first 15 hours


def closed(store: Store, config: Config, clock: object) -> summaries.Closed:
    return summaries.close(store, config, clock.now())  # type: ignore[attr-defined]


def measured(store: Store) -> set[str]:
    return set(store.read("select distinct measure from summary")["measure"].to_list())


@pytest.mark.parametrize(
    ("asked", "gone", "stays"),
    [
        ({"answer": "verdict"}, "accuracy", "log_loss"),
        ({"score": "probability"}, "log_loss", "accuracy"),
        ({"slices": ["regoin"]}, "slice:regoin", "accuracy"),
        ({"task": "regression", "positive": None, "score": "minutes"}, "mae", "label_delay"),
    ],
)
def test_a_column_that_is_not_there_stops_nothing_else(
    tmp_path: Path, asked: dict[str, object], gone: str, stays: str
) -> None:
    rows, labels = answers()
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": labels}))
        done = closed(store, config(**asked), clock)

        assert not done.failures
        assert f"m/performance/{gone}" not in measured(store)
        assert f"m/performance/{stays}" in measured(store)
        assert passed(store, config(**asked))["prediction:m"].until >= T0 + timedelta(hours=30)


def test_the_telemetry_doctor_names_the_column_once_and_what_was_meant(tmp_path: Path) -> None:
    rows, labels = answers()
    with opened(tmp_path) as (store, _):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": labels}))
        store.set_setting("models", declared(config(answer="verdict", slices=["regoin", "Region"]))["models"])

        told = store.read("select source, what, todo from telemetry_doubt where what like 'performance%' order by what")
        assert told["what"].to_list() == [
            "performance.answer names 'verdict', which no prediction has had",
            "performance.slices names 'regoin', which no prediction has had",
        ]
        assert told["todo"][1].startswith("did you mean 'region'?")


def test_what_hangs_on_a_column_begins_when_it_comes(tmp_path: Path) -> None:
    rows, labels = answers()
    rows = rows.rename({"prediction": "verdict", "region": "land"})
    asked = config(answer="verdict", slices=["land"])
    with opened(tmp_path) as (store, clock):
        clock.set(T0 + timedelta(hours=29))
        store.append(Batch("t", "1", {"prediction:m": rows[:LATER].drop("verdict", "land"), "label": labels}))
        closed(store, asked, clock)
        assert "m/performance/accuracy" not in measured(store)

        more = rows.with_columns(ts=pl.col("ts") + timedelta(hours=30), prediction_id="n" + pl.col("prediction_id"))
        truth = labels.with_columns(ts=pl.col("ts") + timedelta(hours=30), prediction_id="n" + pl.col("prediction_id"))
        clock.set(T0 + timedelta(hours=65))
        store.append(Batch("t", "2", {"prediction:m": more, "label": truth}))
        closed(store, asked, clock)

        known = store.read(
            "select sum(labelled)::BIGINT, sum(accuracy * labelled) / sum(labelled) from performance where accuracy is not null"
        ).row(0)
        levels = store.read("select levels from binning where feature = 'slice:land'").item().to_list()
        assert known == (N, pytest.approx(float((rows["verdict"] == labels["value"]).mean() or 0.0)))
        assert sorted(levels) == ["right:eu", "right:us", "wrong:eu", "wrong:us"]


def test_performance_is_unknown_without_its_column_never_fine(tmp_path: Path) -> None:
    rows, labels = answers()
    with opened(tmp_path) as (store, clock):
        store.append(Batch("t", "1", {"prediction:m": rows, "label": labels}))
        said = {f.subject: f.state for f in found(store, clock, config(answer="verdict"), "performance")}

        assert said.get("accuracy", "unknown") in ("unknown", "learning")
