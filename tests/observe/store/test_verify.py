"""What verify finds when something was damaged, and that it finds nothing when nothing was."""

import os
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from observe.errors import StoreError
from observe.schema import Batch
from observe.store import Store
from observe.store.reckoning import found_rows

HOUR = timedelta(hours=1)


def kinds(store: Store) -> list[tuple[str, str, int | None]]:
    return [(d.kind, d.subject, d.rows) for d in store.verify().damages]


@pytest.fixture
def filled(store, attempts, noon) -> Store:
    """Sealed and hot rows of two tables."""
    for name, ago in (("old", 3 * HOUR), ("hot", timedelta(0))):
        predictions = attempts(name, ago=ago).tables["attempt"].select("ts", prediction_id="attempt_id", x=pl.lit(1.5))
        store.append(Batch("otlp", f"p {name}", {"prediction:m": predictions}))
        store.append(attempts(name, ago=ago))
    store.seal(noon)
    return store


def test_a_store_is_clean_through_seals_merges_retention_and_repeats(filled, attempts, noon) -> None:
    filled.append(attempts("old", ago=3 * HOUR))
    filled.append(Batch("otlp", "hot again", attempts("hot", 5).tables))  # three of them are known
    filled.append(attempts("late", ago=3 * HOUR))
    filled.seal(noon)
    filled.seal(noon + timedelta(days=1))
    filled.retain(noon + timedelta(days=1), {"attempt": 25 * HOUR})
    filled.retain(noon + timedelta(days=1), {}, size_bytes=0)

    report = filled.verify()

    assert report.damages == []
    assert report.checked["batches"] == 6


def test_rows_dropped_as_duplicates_by_a_seal_are_not_missed(filled, folder, clock, attempts, noon) -> None:
    filled.close()
    clock.set(noon + 3 * HOUR)  # after two hours rows are no more recognised
    again = Store.open(folder, clock)
    again.append(Batch("otlp", "again", attempts("old", 5, ago=3 * HOUR).tables))

    assert again.seal(noon + 4 * HOUR).duplicates == 3
    assert kinds(again) == []
    again.close()


def test_rows_that_vanished_are_told_with_their_batch_and_time(filled) -> None:
    with filled.change() as change:
        change.execute("DELETE FROM hot.attempt WHERE attempt_id = 'hot-1'")

    [damage] = filled.verify().damages

    assert (damage.kind, damage.subject, damage.rows) == ("batch", "attempt", 1)
    assert "1 acknowledged rows are not stored, in 1 commits: batches otlp/" in damage.said
    assert "otlp/hot" in damage.said
    assert damage.start == damage.end


def test_rows_that_were_exchanged_or_doubled_are_told(filled) -> None:
    with filled.change() as change:
        change.execute("UPDATE hot.attempt SET attempt_id = 'other' WHERE attempt_id = 'hot-1'")
        change.execute('INSERT INTO hot."prediction:m" FROM hot."prediction:m" WHERE prediction_id = \'hot-1\'')

    assert [(k, s) for k, s, _ in kinds(filled)] == [("batch", "attempt"), ("batch", "prediction:m")]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(("harm", "said"), [
    (flip, "its bytes changed since it was sealed (sha256)"),
    (Path.unlink, "it cannot be read: No such file or directory"),
    (lambda path: os.truncate(path, 100), "it has 100 bytes"),
])  # fmt: skip
def test_a_damaged_file_is_told_with_its_rows_and_times(filled, folder, harm, said) -> None:
    [file] = (folder / "lake" / "attempt").rglob("*.parquet")
    harm(file)

    told = next(d for d in filled.verify().damages if d.kind == "file")

    assert told.subject == str(file.relative_to(folder))
    assert told.rows == 3
    assert told.said.startswith(said)
    assert told.start.isoformat() == "2026-11-20T09:00:00+00:00"


def test_a_file_of_before_there_were_checksums_is_read_to_its_end(filled, folder) -> None:
    with filled.change() as change:
        change.execute("UPDATE core.manifest SET checksum = NULL")
    assert kinds(filled) == []
    assert "sealed before checksums were kept" in filled.verify().notes[0]

    flip(next((folder / "lake" / "attempt").rglob("*.parquet")))

    assert kinds(filled)[0][0] == "file"


def test_a_checksum_of_another_hash_is_not_compared(filled, folder, clock) -> None:
    with filled.change() as change:
        change.execute("UPDATE core.batch SET checksum = '0123456789abcdef'")
    assert kinds(filled) != []
    with filled.change() as change:
        change.execute("UPDATE core.meta SET value = 'another' WHERE key = 'row_hash'")
    filled.close()

    again = Store.open(folder, clock)

    assert kinds(again) == []
    again.close()


def test_every_sealed_file_has_its_checksum(filled, noon) -> None:
    filled.seal(noon + timedelta(days=2))

    sums = filled.read("SELECT checksum FROM core.manifest WHERE dead_at IS NULL")["checksum"].to_list()

    assert all(len(s) == 64 for s in sums)


def test_one_verify_at_a_time_and_none_waits_for_a_seal(filled) -> None:
    with filled._sealing:
        assert filled.verify().checked["rows"] == 12
    with filled._verifying, pytest.raises(StoreError, match="another verify of this data directory is running"):
        filled.verify()
    assert kinds(filled) == []


def test_a_table_whose_files_left_while_it_was_read_is_compared_once_more(filled, monkeypatch) -> None:
    calls: list[bool] = []

    def leaving(*given):
        calls.append(filled._sealing.locked())
        if len(calls) == 1:
            raise duckdb.IOException("No files found that match the pattern")
        return found_rows(*given)

    monkeypatch.setattr("observe.store.verifying.found_rows", leaving)

    report = filled.verify()

    assert calls == [False, False, True]
    assert (report.damages, report.notes, report.checked["rows"]) == ([], [], 12)
