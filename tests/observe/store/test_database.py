"""An instance that cannot be opened again is tried again by whoever comes next."""

from pathlib import Path

import pytest

from observe.errors import StoreError
from observe.store.database import Database


@pytest.fixture
def database(tmp_path: Path):  # type: ignore[no-untyped-def]
    opened = Database(tmp_path / "a.duckdb", threads=1, memory="256MB")
    with opened.change() as cursor:
        cursor.execute("CREATE TABLE t (i INTEGER)")
    yield opened
    opened.close()


def broken(database: Database, path: Path) -> Path:
    """Make the next opening fail, as on a full disk, and let a reopening try."""
    aside = path.rename(path.with_name("aside"))
    path.mkdir()
    database._reopen()
    return aside


def test_reads_and_writes_come_back_by_themselves(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    aside = broken(database, path)
    with pytest.raises(StoreError, match="cannot open this file"), database.cursor():
        pass
    with pytest.raises(StoreError, match="cannot open this file"), database.change():
        pass
    path.rmdir()
    aside.rename(path)

    with database.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    with database.change() as cursor:
        cursor.execute("INSERT INTO t VALUES (1)")
    assert database.commits == 2


def test_what_a_lost_transaction_taught_is_forgotten_before_the_next(database: Database, tmp_path: Path) -> None:
    told = []
    database.after_rollback = lambda cursor: told.append(cursor.execute("SELECT count(*) FROM t").fetchall())
    path = tmp_path / "a.duckdb"
    aside = broken(database, path)
    assert told == []
    path.rmdir()
    aside.rename(path)

    with database.change() as cursor:
        cursor.execute("INSERT INTO t VALUES (1)")
        assert told == [[(0,)]]


def test_it_can_be_closed_while_it_is_down(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.duckdb", threads=1, memory="256MB")

    broken(database, tmp_path / "a.duckdb")

    database.close()

    assert (tmp_path / "a.duckdb").exists()


def test_row_groups_are_small_so_that_a_checkpoint_holds_nobody_up_for_long(database: Database) -> None:
    with database.change() as cursor:
        cursor.execute("INSERT INTO t SELECT * FROM range(40_000)")
    with database.cursor() as cursor:
        cursor.execute("CHECKPOINT")
        cursor.execute("CALL pragma_storage_info('t')")
        [(groups,)] = cursor.execute("SELECT max(row_group_id) + 1 FROM pragma_storage_info('t')").fetchall()

    assert groups == 3
