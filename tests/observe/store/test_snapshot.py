"""The store as files: another process reads the same answers without opening the database."""

from datetime import UTC, datetime, timedelta

import duckdb
import polars as pl
import pytest

from observe.schema import Batch, Label
from observe.store import Snapshot, tables_named

HOUR, NOON = timedelta(hours=1), datetime(2026, 11, 20, 12, tzinfo=UTC)


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


def findings(store, start: int, n: int) -> None:
    ids = [f"f{i:06d}" for i in range(start, start + n)]
    ended = [NOON + timedelta(seconds=i) for i in range(start, start + n)]
    frame = pl.DataFrame({"finding_id": ids, "window_end": ended, "monitor_id": "m", "detector": "burn"})
    with store.change() as change:
        change.insert_frame("finding", frame)


def found(snapshot: Snapshot) -> list[str]:
    with elsewhere(snapshot) as connection:
        return [i for (i,) in connection.execute("SELECT finding_id FROM finding ORDER BY 1").fetchall()]


def parts(snapshot: Snapshot, table: str = "finding") -> set[str]:
    return {f.name for f in snapshot.files if f.parent.name == "parts" and f".{table}." in f.name}


def test_only_what_a_query_can_reach_is_exported(filled) -> None:
    snapshot = filled.snapshot(tables_named("SELECT count(*) FROM request"))

    assert set(snapshot.views) == {
        '"attempt"', 'hot."attempt"', '"request"', "core.setting", "core.model_table", "core.feature_column",
    }  # fmt: skip
    assert not [f for f in snapshot.files if "finding" in f.name or "prediction" in f.name]


@pytest.mark.parametrize(
    "sql",
    ["SELECT * FROM slo_status", 'SELECT * FROM "Predictions" . fraud', "SELECT * FROM alarm_budget",
     "SELECT * FROM core.alert", "SELECT * FROM gpu_5m", "SELECT prediction_id FROM Prediction"],
)  # fmt: skip
def test_every_query_finds_what_it_names(filled, sql) -> None:
    with elsewhere(filled.snapshot(tables_named(sql))) as connection:
        assert connection.sql(sql).pl().equals(filled.read(sql))


def test_a_table_that_was_not_asked_for_is_a_clear_error(filled) -> None:
    with (
        elsewhere(filled.snapshot(["finding"])) as connection,
        pytest.raises(duckdb.CatalogException, match="attempt does not exist"),
    ):
        connection.execute("SELECT * FROM attempt")


def test_a_wider_snapshot_of_the_moment_serves_a_narrower_question(filled) -> None:
    whole = filled.snapshot()

    assert filled.snapshot(tables_named("FROM predictions.fraud")) is whole
    assert filled.snapshot(["finding"], stale_ok=True) is whole


def test_after_a_tick_only_new_rows_are_written(store, folder) -> None:
    findings(store, 0, 1000)
    first = parts(store.snapshot(["finding"]))
    findings(store, 1000, 3)

    second = store.snapshot(["finding"])

    [new] = parts(second) - first
    assert first < parts(second)
    assert pl.read_parquet(folder / "snapshot" / "parts" / new).height == 3
    assert found(second) == [f"f{i:06d}" for i in range(1003)]


def test_files_of_a_growing_table_stay_few(store) -> None:
    for i in range(40):
        findings(store, i * 5, 5)
        snapshot = store.snapshot(["finding"])

    assert len(parts(snapshot)) <= 6
    assert len(found(snapshot)) == 200


def test_rows_that_left_a_growing_table_leave_its_snapshots(store, noon) -> None:
    def run(days: int, n: int) -> None:
        with store.change() as change:
            change.insert_frame("collector_run", pl.DataFrame({"ts": [noon - days * 24 * HOUR] * n}))

    def runs() -> list[tuple[int]]:
        with elsewhere(store.snapshot(["collector_run"])) as connection:
            return connection.execute("SELECT count(*) FROM collector_run").fetchall()

    run(40, 10)
    run(1, 10)
    assert runs() == [(20,)]
    store.retain(noon, {})
    run(0, 10)
    assert runs() == [(20,)]
    with store.change() as change:
        change.execute("DELETE FROM core.collector_run WHERE ts < $t", {"t": noon})
    assert runs() == [(10,)]


@pytest.mark.parametrize("sql", ["SHOW TABLES", "SELECT * FROM duckdb_views()", "FROM query_table('attempt')"])
def test_a_query_that_lists_tables_reaches_all(sql) -> None:
    assert {"attempt", "finding", "slo_status", "prediction"} <= tables_named(sql)


def test_names_beneath_a_view_are_found_and_longer_words_are_not() -> None:
    assert tables_named("SELECT attempts, labels FROM queue_5m") == {
        "queue_5m", "serving_5m", "serving_sample",
    }  # fmt: skip
    assert tables_named('FROM predictions."My.Model"') == {'predictions."my.model"'}
    assert tables_named("FROM predictions /* x */ . fraud") == {"prediction"}
