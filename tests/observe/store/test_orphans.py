"""Opening removes only what a store itself left, and nothing when it is not sure."""

from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from observe.errors import StoreError, UsageError
from observe.store import Store

HOUR = timedelta(hours=1)
DAY = "lake/attempt/date=2026-11-20"


def listing(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def placed(folder: Path, path: str) -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"mine")
    return file


@pytest.fixture
def sealed(store, attempts, noon, folder):
    store.append(attempts("a", ago=HOUR))
    store.seal(noon)
    store.close()
    return folder


def test_a_directory_of_somebody_else_is_refused_and_left_as_it_was(folder, clock) -> None:
    placed(folder, "lake/x/mine.csv")
    placed(folder, "snapshot/mine.csv")
    before = listing(folder)

    with pytest.raises(StoreError, match=r"lake/ holds 1 file \(x/mine.csv\).*no observe.duckdb.*another directory"):
        Store.open(folder, clock)

    assert listing(folder) == before


def test_a_store_whose_database_is_gone_keeps_its_files(sealed, clock) -> None:
    (sealed / "observe.duckdb").rename(sealed / "kept")
    before = listing(sealed)

    with pytest.raises(StoreError, match=r"restore observe\.duckdb"):
        Store.open(sealed, clock)

    assert listing(sealed) == before
    (sealed / "kept").rename(sealed / "observe.duckdb")
    with_rows = Store.open(sealed, clock)
    assert with_rows.read("SELECT count(*) FROM attempt").item() == 3
    with_rows.close()


def test_an_empty_database_beside_a_lake_is_refused_too(sealed, clock) -> None:
    (sealed / "observe.duckdb").unlink()
    duckdb.connect(str(sealed / "observe.duckdb")).close()

    for _ in range(2):
        with pytest.raises(StoreError, match=r"restore observe\.duckdb"):
            Store.open(sealed, clock)

    assert len(list(sealed.rglob("lake/**/*.parquet"))) == 1


def test_only_names_of_our_own_making_are_orphans(sealed, clock) -> None:
    ours = [f"{DAY}/1100-0123456789ab.parquet", f"{DAY}/1100-0123456789ab.parquet.tmp"]
    ours.append("lake/prediction/my.model/date=2026-11-20/0000-0123456789ab.parquet")
    theirs = [f"{DAY}/mine.parquet", f"{DAY}/notes.csv", "lake/mine.parquet.tmp", "lake/x/1100-0123456789ab.parquet"]
    for path in (*ours, *theirs):
        placed(sealed, path)

    Store.open(sealed, clock).close()

    assert [p for p in (*ours, *theirs) if (sealed / p).exists()] == theirs


def test_a_lake_that_lacks_named_files_is_refused_and_left_as_it_was(sealed, clock) -> None:
    [named] = sealed.rglob("lake/**/*.parquet")
    unnamed = named.rename(named.with_name("1100-0123456789ab.parquet"))

    with pytest.raises(StoreError, match=rf"1 of 1 sealed files .* are missing \({DAY}/{named.name}\)"):
        Store.open(sealed, clock)

    assert unnamed.exists()
    unnamed.rename(named)
    Store.open(sealed, clock).close()


def test_somebody_elses_files_under_snapshot_stay(sealed, clock) -> None:
    mine = placed(sealed, "snapshot/mine/a.parquet")

    Store.open(sealed, clock).close()

    assert mine.exists()


@pytest.mark.parametrize("made", [True, False])
def test_a_store_that_must_exist_is_not_made(tmp_path, clock, made) -> None:
    folder = tmp_path / "typo"
    if made:
        folder.mkdir()

    with pytest.raises(UsageError, match="typo is not an Observe data directory"):
        Store.open(folder, clock, must_exist=True)

    assert listing(tmp_path) == (["typo"] if made else [])


def test_a_foreign_database_is_not_taken_for_a_store(folder, clock) -> None:
    folder.mkdir()
    duckdb.connect(str(folder / "observe.duckdb")).close()

    with pytest.raises(UsageError, match="is not an Observe data directory"):
        Store.open(folder, clock, must_exist=True)


def test_a_store_that_exists_is_opened(sealed, clock) -> None:
    store = Store.open(sealed, clock, must_exist=True)

    assert store.stats()["files"]
    store.close()
