"""One owner, one schema: what a start refuses and what it cleans."""

import os
import subprocess
import sys

import duckdb
import pytest

from observe.errors import StoreError, StoreLocked
from observe.store import Store
from observe.store.ddl import SCHEMA_VERSION


def test_a_second_start_is_refused_with_the_owners_pid(store, folder, clock) -> None:
    with pytest.raises(StoreLocked, match=rf"\(pid {os.getpid()}\)"):
        Store.open(folder, clock)


def test_another_process_is_refused_with_the_owners_pid(store, folder) -> None:
    script = (
        "import sys; from pathlib import Path; from observe.clock import WallClock; from observe.store import Store\n"
        "from observe.errors import StoreLocked\n"
        "try: Store.open(Path(sys.argv[1]), WallClock())\n"
        "except StoreLocked as refused: print(refused)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True)

    assert f"another process owns this data directory (pid {os.getpid()})" in done.stdout


def test_a_directory_is_free_again_after_close(store, folder, clock) -> None:
    store.close()

    again = Store.open(folder, clock)
    assert again.read("select count(*) as n from collector_run").item() == 0
    again.close()


def test_a_newer_schema_is_refused(store, folder, clock) -> None:
    with store.change() as change:
        change.execute("UPDATE core.meta SET value = ? WHERE key = 'schema_version'", [str(SCHEMA_VERSION + 1)])
    store.close()

    with pytest.raises(
        StoreError, match=f"schema version {SCHEMA_VERSION + 1}, this Observe knows up to {SCHEMA_VERSION}"
    ):
        Store.open(folder, clock)


def test_a_refused_start_leaves_the_directory_free(store, folder, clock) -> None:
    test_a_newer_schema_is_refused(store, folder, clock)

    with duckdb.connect(str(folder / "observe.duckdb")) as database:
        database.execute("UPDATE core.meta SET value = ? WHERE key = 'schema_version'", [str(SCHEMA_VERSION)])
    again = Store.open(folder, clock)
    assert again.damages == ()
    again.close()


def test_files_that_belong_to_nobody_are_removed(store, folder, clock) -> None:
    store.close()
    orphan = folder / "lake" / "attempt" / "date=2026-11-20" / "0000.parquet.tmp"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"half")

    Store.open(folder, clock).close()

    assert not orphan.exists()


def test_the_storage_version_is_pinned_and_times_are_utc(store) -> None:
    tags = store.read("SELECT tags['storage_version'] AS v FROM duckdb_databases() WHERE database_name = 'observe'")

    assert tags.item().startswith("v2.0.0")
    assert store.read("SELECT current_setting('TimeZone')").item() == "UTC"


def test_a_table_gains_the_columns_its_noun_gained(store, folder, clock, attempts) -> None:
    with store.change() as change:
        change.execute("ALTER TABLE hot.attempt DROP COLUMN tags")
    store.close()

    again = Store.open(folder, clock)

    assert again.append(attempts("a")).stored == {"attempt": 3}
    assert again.read("SELECT tags FROM attempt")["tags"].null_count() == 3
    again.close()
