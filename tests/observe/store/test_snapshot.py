"""The store as files: another process reads the same answers without opening the database."""

from datetime import timedelta

import duckdb
import polars as pl
import pytest

from observe.schema import Batch, Label
from observe.store import Snapshot

HOUR = timedelta(hours=1)


def elsewhere(snapshot: Snapshot) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for schema in snapshot.schemas:
        connection.execute(f"CREATE SCHEMA {schema}")
    for name, sql in snapshot.views.items():
        connection.execute(f"CREATE VIEW {name} AS {sql}")
    return connection


@pytest.fixture
def filled(store, attempts, noon):
    store.append(attempts("sealed", ago=HOUR))
    store.append(
        Batch(
            "kserve",
            "p",
            {"prediction:fraud": pl.DataFrame({"ts": [noon - HOUR, noon], "prediction_id": ["a", "b"], "x": [1, 2]})},
        )
    )
    store.seal(noon)
    store.append(attempts("hot"))
    store.set_setting("secret", "sha256")
    return store


def test_its_views_answer_as_the_store_does(filled) -> None:
    with elsewhere(filled.snapshot()) as connection:
        for view in (
            "attempt",
            "request",
            "predictions.fraud",
            "prediction",
            "gpu_5m",
            "alarm_budget",
            "alert",
            "finding",
        ):
            sql = f"SELECT * FROM {view} ORDER BY ALL"
            assert connection.sql(sql).pl().equals(filled.read(sql)), view


def test_it_holds_still_while_the_store_goes_on(filled, attempts, noon) -> None:
    with elsewhere(filled.snapshot()) as connection:
        filled.append(attempts("later"))
        filled.seal(noon + HOUR)

        assert connection.execute("SELECT count(*) FROM attempt").fetchall() == [(6,)]


def test_it_is_made_again_only_after_a_commit(filled, attempts) -> None:
    first = filled.snapshot()
    assert filled.snapshot() is first

    filled.append(attempts("later"))

    assert filled.snapshot(stale_ok=True) is first
    assert filled.snapshot() is not first


def test_it_names_its_files_and_its_watermark(filled, noon) -> None:
    snapshot = filled.snapshot()

    assert snapshot.watermark == noon
    assert all(file.is_file() for file in snapshot.files)
    assert {f.parent.name for f in snapshot.files if "lake" in f.parts} == {"date=2026-11-20"}


def test_settings_that_are_not_public_stay_inside(filled) -> None:
    with elsewhere(filled.snapshot()) as connection:
        assert connection.execute("SELECT key FROM core.setting").fetchall() == []


def test_nothing_is_left_of_it_after_a_restart(filled, folder, clock) -> None:
    from observe.store import Store

    filled.snapshot()
    filled.close()

    Store.open(folder, clock).close()

    assert not (folder / "snapshot").exists()


def test_every_noun_has_a_view(store) -> None:
    assert Label.table_name in {name.strip('"') for name in store.snapshot().views}
