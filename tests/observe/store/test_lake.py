"""Closed windows move to Parquet, once; views and reads do not notice."""

import threading
from datetime import timedelta

import polars as pl
import pytest

from observe.errors import ObserveError
from observe.schema import Batch, Window
from observe.store import Store

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def ids(store: Store, table: str = "attempt") -> list[str]:
    return store.read(f"SELECT attempt_id FROM {table} ORDER BY 1")["attempt_id"].to_list()


def test_only_windows_past_their_lateness_are_sealed(store, attempts, noon) -> None:
    store.append(attempts("closed", 1, ago=6 * MINUTE))
    store.append(attempts("open", 1, ago=5 * MINUTE))

    assert store.seal(noon).rows == {"attempt": 1}
    assert store.seal(noon + MINUTE).rows == {"attempt": 1}
    assert ids(store) == ["closed-0", "open-0"]


def test_a_seal_with_nothing_to_do_writes_nothing(store, attempts, noon) -> None:
    store.append(attempts("a", ago=HOUR))
    store.seal(noon)

    assert (store.seal(noon).files, store.seal(noon + HOUR).files) == (0, 0)


def test_sealed_files_are_zstd_parquet_by_date_that_others_can_read(store, attempts, noon, folder) -> None:
    store.append(attempts("a", ago=HOUR))
    store.seal(noon)

    [file] = folder.rglob("*.parquet")

    assert file.parent == folder / "lake" / "attempt" / "date=2026-11-20"
    assert pl.read_parquet(file)["attempt_id"].to_list() == ["a-0", "a-1", "a-2"]
    assert list(folder.rglob("*.tmp")) == []


def test_a_late_row_is_sealed_into_a_file_of_its_own(store, attempts, noon) -> None:
    for name in ("a", "late"):
        store.append(attempts(name, 1, ago=HOUR))
        assert store.seal(noon).files == 1

    assert ids(store) == ["a-0", "late-0"]


def test_a_month_of_history_becomes_about_one_file_a_day(store, noon) -> None:
    ended = pl.datetime_range(noon - 28 * DAY, noon - HOUR, "10m", time_zone="UTC", eager=True)
    rows = pl.DataFrame({"ts": ended, "attempt_id": [str(i) for i in range(len(ended))]})
    store.append(Batch("import", "history", {"attempt": rows}))

    sealed = store.seal(noon)

    assert sealed.rows == {"attempt": len(ended)}
    assert sealed.files <= 32
    assert store.read("SELECT count(DISTINCT attempt_id) FROM attempt").item() == len(ended)


def test_a_row_that_came_again_after_it_was_forgotten_is_sealed_once(store, attempts, noon, clock) -> None:
    store.append(attempts("a", ago=HOUR))
    store.seal(noon)
    clock.set(noon + 3 * HOUR)
    store.append(attempts("meanwhile", 1, ago=-3 * HOUR))
    again = Batch("otlp", "b", attempts("a", 4, ago=HOUR).tables)
    assert store.append(again).stored == {"attempt": 4}

    sealed = store.seal(clock.now())

    assert (sealed.rows, sealed.duplicates) == ({"attempt": 1}, 3)
    assert ids(store) == ["a-0", "a-1", "a-2", "a-3", "meanwhile-0"]


def test_rows_that_came_again_both_hot_are_sealed_once(store, attempts, noon, clock) -> None:
    for name in ("x", "y"):
        store.append(Batch("otlp", name, attempts("a", ago=4 * HOUR).tables))
        clock.set(noon + 3 * HOUR)
        store.append(attempts(f"after {name}", 1, ago=-3 * HOUR))

    assert store.seal(clock.now()).duplicates == 3
    assert ids(store)[:3] == ["a-0", "a-1", "a-2"]


@pytest.mark.slow
def test_a_pruned_read_and_the_view_agree(store, attempts, noon) -> None:
    for hours in range(1, 25, 2):
        store.append(attempts(f"h{hours}", 5, ago=hours * HOUR))
        store.seal(noon)
    window = Window(noon - 20 * HOUR, noon - 3 * HOUR)

    pruned = store.read("SELECT * FROM attempt ORDER BY ts", window=window)
    whole = store.read(
        "SELECT * FROM attempt WHERE ts >= $a AND ts < $b ORDER BY ts", {"a": window.start, "b": window.end}
    )

    assert pruned.equals(whole)
    assert pruned.height == 8 * 5


@pytest.mark.slow
def test_small_files_are_merged_into_one_an_hour_and_later_one_a_day(store, attempts, noon, clock) -> None:
    start = noon - DAY + 30 * MINUTE
    for i in range(24):
        now = start + (i + 1) * 5 * MINUTE
        clock.set(now)
        store.append(attempts(f"b{i}", 1, ago=DAY - 30 * MINUTE - i * 5 * MINUTE))
        store.seal(now + 2 * MINUTE)
    by_hour = store.stats()["files"]["attempt"]
    store.seal(noon + DAY)

    assert by_hour < 20
    assert store.stats()["files"]["attempt"] == 1
    assert len(ids(store)) == 24


@pytest.mark.slow
def test_rows_of_one_commit_outlive_their_merges(store, noon, folder) -> None:
    ended = [noon - DAY + i * 20 * MINUTE for i in range(9)]
    store.append(Batch("s", "a", {"attempt": pl.DataFrame({"ts": ended, "attempt_id": [f"a{i}" for i in range(9)]})}))

    for i in range(1, 40):
        store.seal(noon - DAY + i * 10 * MINUTE)
        store.seal(noon - DAY + i * 10 * MINUTE + 2 * MINUTE)
    for i in range(4):
        store.seal(noon + DAY + i * 2 * MINUTE)

    assert len(ids(store)) == 9
    assert len(list(folder.rglob("lake/attempt/**/*.parquet"))) == store.stats()["files"]["attempt"] == 1


def test_merged_and_retained_files_are_unlinked_after_a_grace(store, attempts, noon, folder) -> None:
    store.append(attempts("a", ago=DAY))
    store.seal(noon)

    assert store.retain(noon, {"attempt": HOUR}) == 1
    assert ids(store) == []
    store.seal(noon + timedelta(seconds=30))
    assert len(list(folder.rglob("lake/attempt/**/*.parquet"))) == 1
    store.seal(noon + 2 * MINUTE)
    assert list(folder.rglob("lake/attempt/**/*.parquet")) == []


def test_tables_without_a_policy_are_kept(store, attempts, noon) -> None:
    store.append(attempts("a", ago=30 * DAY))
    store.seal(noon)

    assert store.retain(noon, {"gpu_sample": HOUR}) == 0
    assert len(ids(store)) == 3


def test_a_directory_that_was_moved_is_read_where_it_is(store, attempts, noon, folder, clock) -> None:
    store.append(attempts("a", ago=HOUR))
    store.seal(noon)
    store.close()
    moved = folder.rename(folder.with_name("elsewhere"))

    again = Store.open(moved, clock)

    assert len(ids(again)) == 3
    again.close()


@pytest.mark.slow
def test_readers_see_every_row_once_while_rows_are_appended_sealed_and_merged(store, attempts, noon) -> None:
    done, answers = threading.Event(), []

    def watch(window: Window | None) -> None:
        sql = "SELECT count(*) AS n, count(DISTINCT attempt_id) AS ids, coalesce(max(tokens_in) + 1, 0) AS newest FROM attempt"
        while not done.is_set():
            answers.append(store.read(sql, window=window).row(0))

    readers = [threading.Thread(target=watch, args=[w]) for w in (None, Window(noon - 10 * DAY, noon + DAY))]
    for reader in readers:
        reader.start()
    for i in range(40):
        store.append(attempts(f"b{i}", 1, ago=5 * HOUR - i * MINUTE, tokens_in=i))
        if i % 4 == 3:
            store.seal(noon)
    done.set()
    for reader in readers:
        reader.join()

    assert [a for a in answers if len(set(a)) != 1] == []
    assert len(answers) > 10


def test_appending_and_sealing_and_new_features_at_once_raise_nothing(store, noon) -> None:
    failed: list[ObserveError] = []

    def run(work, times: int) -> None:  # type: ignore[no-untyped-def]
        try:
            for i in range(times):
                work(i)
        except ObserveError as error:
            failed.append(error)

    def predict(i: int) -> None:
        rows = pl.DataFrame({"ts": [noon - HOUR], "prediction_id": [f"p{i}"], f"f{i % 10}": [1.0]})
        store.append(Batch("kserve", f"p{i}", {"prediction:fraud": rows}))

    def change(i: int) -> None:
        with store.change() as tx:
            tx.set_state("s", {"i": i})

    works = (
        (predict, 40),
        (lambda _: store.seal(noon), 15),
        (change, 40),
        (lambda _: store.read("SELECT * FROM prediction"), 20),
    )
    threads = [threading.Thread(target=run, args=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert store.read("SELECT count(*) FROM predictions.fraud").item() == 40


@pytest.mark.parametrize("table", ["gpu_sample", "serving_sample", "metric_sample", "label", "summary"])
def test_every_bulk_table_can_be_sealed(store, noon, table) -> None:
    keys = {
        "gpu_sample": {"device_id": "g"}, "serving_sample": {"target": "t", "model_id": "m", "engine": ""},
        "metric_sample": {"metric": "up", "labels": "{}", "value": 1.0}, "label": {"model_id": "m", "prediction_id": "p"},
        "summary": {"measure": "m/x/y", "counts": [1, 2], "value_sum": 0.5},
    }[table]  # fmt: skip
    store.append(Batch("s", "a", {table: pl.DataFrame([{"ts": noon - HOUR, **keys}])}))
    before = store.read(f"SELECT * FROM {table}")

    assert store.seal(noon).rows == {table: 1}
    assert store.read(f"SELECT * FROM {table}").equals(before)
