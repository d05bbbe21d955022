"""Whoever waits too long for a commit is told that the rows are safe, and so they are: stored once, whatever comes between."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from observe.clock import EventClock
from observe.errors import StoreError
from observe.schema import Batch
from observe.store import Store
from observe.store.committer import CROWD
from observe.store.entry import Entry
from observe.store.restoring import restore
from observe.store.rows import part
from observe.store.spill import Spill

SOON_S = 30


@contextmanager
def held_up(store: Store):  # type: ignore[no-untyped-def]
    """Nobody can commit meanwhile."""
    with store.change():
        yield


def many(store: Store, attempts, n: int = CROWD) -> list:  # type: ignore[no-untyped-def, type-arg]
    return [store.submit(attempts(f"b{i}")) for i in range(n)]


def stored(store: Store) -> list[tuple[int, int]]:
    return store.read("SELECT count(*) AS n, count(DISTINCT attempt_id) AS d FROM attempt").rows()


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "spill").iterdir())


def test_a_crowd_that_waits_too_long_is_safe_before_it_is_stored(store, attempts, folder) -> None:
    with held_up(store):
        waiting = many(store, attempts)
        safe = [w.safe() for w in waiting]
        assert not wait(safe, SOON_S).not_done
        assert not any(w.done() for w in waiting)
        assert files(folder)

    assert [w.result(SOON_S).stored for w in waiting] == [{"attempt": 3}] * CROWD
    assert stored(store) == [(3 * CROWD, 3 * CROWD)]
    store.append(attempts("last"))  # the file went before the next commit began
    assert files(folder) == []


def test_who_does_not_ask_or_is_no_crowd_gets_the_receipt(store, attempts, folder) -> None:
    with held_up(store):
        unasked = many(store, attempts, CROWD)
        few = [w.safe() for w in unasked[: CROWD - 1]]
        assert len(wait(few, 0.5).not_done) == CROWD - 1
        assert files(folder) == []

    assert all(w.result(SOON_S).stored for w in unasked)


def test_what_was_safe_when_the_process_was_killed_is_stored_once_at_the_next_start(tmp_path, noon) -> None:
    script = Path(__file__).with_name("spilling.py")
    killed = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False)
    assert killed.stdout.split() == ["safe"], killed.stderr

    for _ in range(2):
        store = Store.open(tmp_path, EventClock(noon))
        assert stored(store) == [(3 * (CROWD + 1), 3 * (CROWD + 1))]
        assert store.damages == ()
        store.close()
    assert files(tmp_path) == []


def test_what_a_commit_stored_already_is_not_stored_again_from_the_spill(folder, clock, attempts) -> None:
    with_ledger = Store.open(folder, clock)
    with_ledger.append(attempts("known"))
    with_ledger.close()
    Spill(folder).keep([entry(attempts("known")), entry(attempts("new"))])

    store = Store.open(folder, clock)

    assert stored(store) == [(6, 6)]
    assert files(folder) == []
    store.close()


def test_what_is_safe_and_refused_is_tried_again_until_it_is_stored(store, attempts, monkeypatch) -> None:
    monkeypatch.setattr("observe.store.committer._AGAIN_S", 0.05)
    label = attempts("x", 1).tables["attempt"].select("ts", model_id=pl.lit("m"), prediction_id="attempt_id")
    with store.change() as change:
        change.execute("ALTER TABLE hot.label RENAME TO elsewhere")
    with held_up(store):
        bad = store.submit(Batch("s", "bad", {"label": label}))
        good = many(store, attempts, CROWD - 1)
        assert not wait([w.safe() for w in (bad, *good)], SOON_S).not_done
    assert all(g.result(SOON_S).stored for g in good)

    assert not bad.done()
    with store.change() as change:
        change.execute("ALTER TABLE hot.elsewhere RENAME TO label")
    assert bad.result(SOON_S).stored == {"label": 1}


def test_a_backup_waits_for_what_is_safe_and_not_stored(store, attempts, tmp_path, clock) -> None:
    with ThreadPoolExecutor(1) as another:
        with held_up(store):
            waiting = many(store, attempts)
            assert not wait([w.safe() for w in waiting], SOON_S).not_done
            backup = another.submit(store.backup, tmp_path / "backup")
        backup.result(SOON_S)

    restore(tmp_path / "backup", tmp_path / "restored")
    copy = Store.open(tmp_path / "restored", clock)
    assert stored(copy) == [(3 * CROWD, 3 * CROWD)]
    copy.close()


def test_a_backup_is_refused_while_something_safe_cannot_be_stored(store, attempts, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("observe.store.store.SOON_S", 0.1)
    with store.change() as change:
        change.execute("ALTER TABLE hot.attempt RENAME TO elsewhere")
    with held_up(store):
        waiting = many(store, attempts)
        assert not wait([w.safe() for w in waiting], SOON_S).not_done
    with pytest.raises(StoreError, match=f"{CROWD} batches that were taken could not be stored"):
        store.backup(tmp_path / "backup")


def test_a_store_that_closes_leaves_what_it_cannot_store_to_the_next_one(folder, clock, attempts) -> None:
    store = Store.open(folder, clock)
    with store.change() as change:
        change.execute("ALTER TABLE hot.attempt RENAME TO elsewhere")
    with held_up(store):
        waiting = many(store, attempts)
        assert not wait([w.safe() for w in waiting], SOON_S).not_done
    store.close()
    assert all(isinstance(w.exception(SOON_S), StoreError) for w in waiting)

    opened = Store.open(folder, clock)  # makes the table that is missing

    assert stored(opened) == [(3 * CROWD, 3 * CROWD)]
    opened.close()


def test_a_damaged_file_is_set_aside_and_told_and_the_others_are_stored(folder, clock, attempts) -> None:
    Store.open(folder, clock).close()
    spill = Spill(folder)
    spill.keep([entry(attempts("a"))])
    spill.keep([entry(attempts("b"))])
    hurt = folder / "spill" / files(folder)[0]
    hurt.write_bytes(hurt.read_bytes()[:-3] + b"xyz")

    store = Store.open(folder, clock)

    assert [(d.kind, d.subject) for d in store.damages] == [("spill", f"{hurt.name}.damaged")]
    assert "checksum" in store.damages[0].said
    assert [d.subject for d in store.verify().damages] == [f"{hurt.name}.damaged"]
    assert stored(store) == [(3, 3)]
    assert files(folder) == [f"{hurt.name}.damaged"]
    store.close()


def test_an_unfinished_file_is_nobodys_and_goes(folder, clock) -> None:
    Store.open(folder, clock).close()
    (folder / "spill" / "000000000007.part").write_bytes(b"half")

    Store.open(folder, clock).close()

    assert files(folder) == []


def test_without_room_for_the_spill_everybody_waits_for_the_commit(store, attempts, folder, caplog) -> None:
    (folder / "spill").rmdir()
    (folder / "spill").touch()
    with held_up(store):
        waiting = many(store, attempts)
        safe = [w.safe() for w in waiting]
        assert len(wait(safe, 1).not_done) == CROWD

    assert not wait(safe, SOON_S).not_done
    assert "event=spill_failed" in caplog.text
    (folder / "spill").unlink()


def test_rows_are_spilled_while_the_committer_reads_them(tmp_path) -> None:
    script = Path(__file__).with_name("packing.py")
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=120)  # two locks once met here

    assert len(files(tmp_path)) == 100


def test_every_type_of_column_comes_back_as_it_went(folder, noon) -> None:
    folder.mkdir()
    rows = pl.DataFrame({
        "ts": [noon], "prediction_id": ["p"], "n": [2**62], "x": [float("nan")], "t": ["é\0"], "b": [True],
        "day": [noon.date()], "blob": [b"\xff"], "list": [[1, None]], "none": [None],
    })  # fmt: skip
    sent = entry(Batch("s", "b", {"prediction:m": rows}, {"late": 2}))
    Spill(folder).keep([sent])

    [found] = Spill(folder).found

    assert (found.source, found.batch_id, found.rejected, found.size) == ("s", "b", {"late": 2}, 1)
    [(ours, theirs)] = zip(sent.parts, found.parts, strict=True)
    assert (ours.key, ours.table, ours.missing_key) == (theirs.key, theirs.table, theirs.missing_key)
    assert ours.frame.equals(theirs.frame)
    assert ours.frame.schema == theirs.frame.schema


def entry(batch: Batch) -> Entry:
    parts = tuple(part(key, frame, batch.source) for key, frame in batch.tables.items())
    return Entry(batch.source, batch.batch_id, parts, batch.rejected, 1)
