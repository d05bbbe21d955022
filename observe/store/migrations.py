"""Numbered migrations: what has to be rewritten in a data directory of an older schema version.

A new table or column of a noun needs none, it is made at every opening. Everything else is one
function here, run in one transaction together with the version it leads to: killed at any moment,
the next start finds the old version or the new one.

Source: our own; versions of releases: 0.1.0 wrote 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import duckdb

from observe.errors import StoreError
from observe.store import ddl
from observe.store.database import Database

_Cursor = duckdb.DuckDBPyConnection


def stored_version(cursor: _Cursor, folder: Path) -> int | None:
    """The schema version of the open database; None when there is none of ours.

    Raises:
        StoreError: it is newer than this program.
    """
    known = cursor.execute(
        "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'core' AND table_name = 'meta'"
    ).fetchall()
    if not known:
        return None
    found = cursor.execute("SELECT value FROM core.meta WHERE key = 'schema_version'").fetchall()
    version = max((int(value) for (value,) in found), default=0)
    if version > ddl.SCHEMA_VERSION:
        raise StoreError(
            f"{folder}: this data directory has schema version {version}, this Observe knows up to "
            f"{ddl.SCHEMA_VERSION}; run the newer Observe, or choose another directory with store.path"
        )
    return version or None


def migrate(database: Database, version: int) -> None:
    """Bring a database of schema `version` to today's, one transaction a step."""
    for target in range(version + 1, ddl.SCHEMA_VERSION + 1):
        with database.change() as cursor:
            MIGRATIONS[target](cursor)
            set_version(cursor, target)


def set_version(cursor: _Cursor, version: int) -> None:
    """Write the schema version."""
    cursor.execute("INSERT OR REPLACE INTO core.meta VALUES ('schema_version', ?)", [str(version)])


def _checksums(cursor: _Cursor) -> None:
    """2: sealed files have a checksum; those of batches are over the rows stored, no longer over those offered."""
    for column in ("checksum VARCHAR", "reservoir BOOLEAN", "rolled BOOLEAN"):
        cursor.execute(f"ALTER TABLE core.manifest ADD COLUMN {column}")
    cursor.execute("UPDATE core.batch SET checksum = ''")


MIGRATIONS: Final[Mapping[int, Callable[[_Cursor], None]]] = {2: _checksums}
