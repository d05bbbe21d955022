"""Damaged bytes of the write-ahead log are found at the next start, told, and kept told by verify."""

import logging
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from observe.errors import StoreError
from observe.store import Store

BATCHES = 30
LOGGING_AWAY = Path(__file__).with_name("logging_away.py")


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """What a process left that was killed after 30 acknowledged batches of 10 rows."""
    folder = tmp_path_factory.mktemp("killed") / "data"
    subprocess.run([sys.executable, str(LOGGING_AWAY), str(folder), str(BATCHES)], check=False)
    return folder


def copy(killed: Path, tmp_path: Path) -> tuple[Path, Path]:
    folder = shutil.copytree(killed, tmp_path / "data")
    return folder, folder / "observe.duckdb.wal"


def batches(store: Store) -> int:
    return int(store.read("SELECT count(*) // 10 FROM attempt").item())


def test_a_whole_log_tells_of_no_damage(killed, tmp_path, clock) -> None:
    folder, _ = copy(killed, tmp_path)

    store = Store.open(folder, clock)

    assert batches(store) == BATCHES
    assert (store.damages, store.verify().damages) == ((), [])
    store.close()


def test_a_log_that_lost_its_end_is_told_as_lost_commits(killed, tmp_path, clock, caplog) -> None:
    folder, log = copy(killed, tmp_path)
    log.write_bytes(log.read_bytes()[:-20_000])  # some batches

    with caplog.at_level(logging.ERROR, "observe.store"):
        store = Store.open(folder, clock)

    [told] = store.damages
    missing = BATCHES - batches(store)
    assert 0 < missing < BATCHES
    assert (told.kind, told.rows) == ("commits", missing * 10)
    assert f"{missing * 10} acknowledged rows of {missing} batches are gone" in told.said
    assert "from client" in told.said
    assert "event=damage kind=commits" in caplog.text
    store.close()


def test_what_was_lost_can_be_sent_again_and_stays_told(killed, tmp_path, clock, attempts) -> None:
    folder, log = copy(killed, tmp_path)
    log.unlink()
    store = Store.open(folder, clock)
    assert batches(store) == 0
    seq = store.append(attempts("again")).seq
    store.close()

    for _ in range(2):
        store = Store.open(folder, clock)
        assert store.damages == ()
        assert [d.kind for d in store.verify().damages] == ["commits"]
        assert seq > BATCHES  # numbers of lost commits are not given again
        store.close()


@pytest.mark.slow
def test_no_bit_can_flip_unseen(killed, tmp_path, clock) -> None:
    """Whatever bit of the log flips: all is there, or what is missing is told; the log is kept."""
    whole, chance, kept = (killed / "observe.duckdb.wal").read_bytes(), random.Random(7), 0
    for trial in range(12):
        folder, log = copy(killed, tmp_path / str(trial))
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        log.write_bytes(data)

        store = Store.open(folder, clock)
        lost = sum(d.rows or 0 for d in store.damages)
        assert batches(store) * 10 + lost == BATCHES * 10
        assert {d.kind for d in store.verify().damages} == {d.kind for d in store.damages}
        store.close()
        kept += (folder / "damaged").is_dir()
    assert kept  # DuckDB refused some of them, and they are kept


def test_a_database_file_that_is_no_database_is_refused_and_left(killed, tmp_path, clock) -> None:
    folder, log = copy(killed, tmp_path)
    (folder / "observe.duckdb").write_bytes(b"no database" * 1000)

    with pytest.raises(StoreError, match="DuckDB cannot open this file"):
        Store.open(folder, clock)

    assert (folder / "observe.duckdb").read_bytes().startswith(b"no database")
    assert log.exists()
    assert not (folder / "damaged").exists()
