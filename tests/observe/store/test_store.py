"""Appending: durable once, whatever is sent twice."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from observe.clock import EventClock
from observe.errors import StoreError
from observe.schema import Batch, Receipt
from observe.store import Store


def count(store: Store, table: str = "attempt") -> int:
    return int(store.read(f"SELECT count(*) FROM {table}").item())


def test_rows_can_be_read_as_soon_as_they_are_acknowledged(store, attempts, noon) -> None:
    receipt = store.append(attempts("a"))

    assert (receipt.stored, receipt.rejected) == ({"attempt": 3}, {})
    assert store.read("SELECT DISTINCT source, ingested_at FROM attempt").rows() == [("otlp", noon)]


def test_a_batch_id_seen_before_is_acknowledged_and_not_stored_again(store, attempts) -> None:
    first, again = store.append(attempts("a")), store.append(attempts("a", 5))

    assert again == Receipt("a", first.seq, {}, {"duplicate": 5}, duplicate=True)
    assert count(store) == 3


def test_a_batch_id_is_remembered_after_a_restart(store, attempts, folder, clock) -> None:
    store.append(attempts("a"))
    store.close()

    with_history = Store.open(folder, clock)

    assert with_history.append(attempts("a")).duplicate
    assert count(with_history) == 3
    with_history.close()


def test_the_same_batch_id_of_another_source_is_another_batch(store, attempts) -> None:
    store.append(attempts("a"))

    assert not store.append(attempts("a", source="litellm")).duplicate
    assert count(store) == 6


def test_a_row_in_another_batch_is_stored_once(store, attempts) -> None:
    store.append(attempts("a", 2))

    receipt = store.append(Batch("otlp", "b", attempts("a", 3).tables))

    assert (receipt.stored, receipt.rejected, receipt.duplicate) == ({"attempt": 1}, {"duplicate": 2}, False)


def test_a_row_twice_in_one_batch_is_stored_once(store, attempts) -> None:
    rows = attempts("a", 2).tables["attempt"]

    receipt = store.append(Batch("otlp", "a", {"attempt": pl.concat([rows, rows])}))

    assert (receipt.stored, receipt.rejected) == ({"attempt": 2}, {"duplicate": 2})


@pytest.mark.parametrize("sealed", [False, True])
def test_a_row_is_recognised_after_a_restart(store, attempts, folder, clock, noon, sealed) -> None:
    store.append(attempts("a", ago=timedelta(hours=1)))
    if sealed:
        store.seal(noon)
    store.close()

    later = Store.open(folder, clock)

    assert later.append(Batch("otlp", "b", attempts("a", ago=timedelta(hours=1)).tables)).rejected == {"duplicate": 3}
    later.close()


def test_rows_without_a_time_or_an_id_are_counted_and_left_out(store, attempts) -> None:
    rows = attempts("a").tables["attempt"]
    holed = rows.with_columns(pl.Series("attempt_id", ["a", None, "c"]), pl.Series("ts", [None, *rows["ts"][1:]]))

    receipt = store.append(Batch("otlp", "a", {"attempt": holed}))

    assert (receipt.stored, receipt.rejected) == ({"attempt": 1}, {"missing_key": 2})


def test_what_may_not_be_null_is_zero_or_false(store, attempts) -> None:
    store.append(attempts("a", 1, cost_known=None))

    assert store.read("SELECT quality, cost_known, tokens_in FROM attempt").rows() == [(0, False, None)]


def test_an_unknown_column_is_refused_with_the_known_ones(store, attempts) -> None:
    with pytest.raises(StoreError, match="attempt has no column 'tokens'; there are: ts, ts_start"):
        store.append(attempts("a", tokens=3))


def test_an_unknown_table_is_refused_with_the_known_ones(store) -> None:
    with pytest.raises(StoreError, match="no table named 'atempt'; there are: action,"):
        store.append(Batch("x", "x", {"atempt": pl.DataFrame({"ts": []})}))


def test_native_rows_come_through_append_once(store, noon) -> None:
    event = pl.DataFrame({"ts": [noon], "event_id": ["e"], "kind": ["deploy"]})

    receipts = [store.append(Batch("argo", name, {"change_event": event})) for name in "ab"]

    assert [(r.stored, r.rejected) for r in receipts] == [({"change_event": 1}, {}), ({}, {"duplicate": 1})]


def test_a_device_keeps_its_first_sight_and_its_newest_description(store, noon) -> None:
    def seen(name: str, at: object, **said: object) -> None:
        store.append(Batch("dcgm", name, {"gpu_device": pl.DataFrame({"device_id": ["g"], "last_seen": [at], **said})}))

    seen("a", noon, driver="580", node="n1")
    seen("b", noon + timedelta(hours=1), driver="590")
    seen("c", noon - timedelta(hours=1), driver="570")

    [row] = store.read("SELECT driver, node, first_seen, last_seen FROM gpu_device").rows()
    assert row == ("590", "n1", noon - timedelta(hours=1), noon + timedelta(hours=1))


def test_what_waits_in_the_queue_is_stored_when_the_store_is_closed(folder: Path, clock: EventClock, attempts) -> None:
    store = Store.open(folder, clock)
    waiting = [store.submit(attempts(f"b{i}", 1)) for i in range(50)]
    store.close()

    assert all(f.result(timeout=0).stored == {"attempt": 1} for f in waiting)
    again = Store.open(folder, clock)
    assert count(again) == 50
    again.close()


def test_a_closed_store_takes_nothing(folder: Path, clock: EventClock, attempts) -> None:
    store = Store.open(folder, clock)
    store.close()

    with pytest.raises(StoreError, match="closed"):
        store.append(attempts("a"))


def test_the_watermark_is_the_time_of_the_newest_commit(store, attempts, clock, noon) -> None:
    clock.set(noon + timedelta(minutes=3))
    store.append(attempts("a"))

    assert store.watermark() == noon + timedelta(minutes=3)


def test_stats_count_rows_hot_and_sealed(store, attempts, noon) -> None:
    store.append(attempts("old", 4, ago=timedelta(hours=1)))
    store.seal(noon)
    store.append(attempts("new", 2))

    stats = store.stats()

    assert (stats["rows"]["attempt"], stats["hot_rows"]["attempt"], stats["files"]) == (6, 2, {"attempt": 1})
    assert stats["queue_bytes"] == 0
