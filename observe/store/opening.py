"""What happens between opening the file and serving: schema, views, orphans, losses, what was seen lately.

Source: our own; ARCHITECTURE section 3.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb

from observe.errors import UsageError
from observe.store import ddl
from observe.store.backup import refuse_backup
from observe.store.damage import Damage, keep, lost_commits
from observe.store.database import Database
from observe.store.journal import Journal
from observe.store.ledger import Ledger, void_foreign_checksums
from observe.store.manifest import Manifest
from observe.store.migrations import migrate, set_version, stored_version
from observe.store.predictions import Features
from observe.store.rows import identity
from observe.store.views import create_bulk_view, create_derived_views, create_predictions_view, parquet_sql
from observe.store.writer import REMEMBERED, Writer

DATABASE: Final = "observe.duckdb"
_LOG = logging.getLogger("observe.store")


def check_directory(path: Path, *, must_exist: bool) -> None:
    """Refuse a directory that holds no store and must, that holds somebody's files, or is a backup; nothing is changed.

    Raises:
        UsageError: `must_exist`, and there is no database; or it is a backup.
        StoreError: there is no database, and its lake holds files.
    """
    refuse_backup(path)
    if (path / DATABASE).is_file():
        return
    if must_exist:
        raise _no_store(path)
    Manifest(path).refuse_strangers()


def _no_store(path: Path) -> UsageError:
    return UsageError(
        f"{path} is not an Observe data directory: it holds no {DATABASE} of Observe; "
        "give the directory that store.path of the site names"
    )


def prepare(database: Database, manifest: Manifest, features: Features, *, must_exist: bool = False) -> None:
    """Refuse what cannot be served, migrate, make tables and views, unlink files that left their tables.

    Raises:
        UsageError: `must_exist`, and the database is not ours.
        StoreError: the directory was written by a newer Observe, or database and lake do not belong together.
    """
    with database.snapshot() as cursor:
        version = stored_version(cursor, manifest.folder)
        if version is not None:
            manifest.refuse_gaps(cursor)
        elif must_exist:
            raise _no_store(manifest.folder)
        else:
            manifest.refuse_strangers()
    migrate(database, version or ddl.SCHEMA_VERSION)
    with database.change() as cursor:
        for statement in ddl.create_statements():
            cursor.execute(statement)
        set_version(cursor, ddl.SCHEMA_VERSION)
        void_foreign_checksums(cursor)
        features.load(cursor)
        _widen(cursor, features)
        manifest.unlink_dead(cursor)
    with database.change() as cursor:  # of its own: a damaged file is told in the tables made above
        create_views(cursor, manifest, features)


def create_views(cursor: duckdb.DuckDBPyConnection, manifest: Manifest, features: Features) -> None:
    """(Re)create every view; paths are absolute, so a directory that was moved needs this once."""
    files = manifest.all_files(cursor)
    for bulk in (*ddl.bulk_tables(), *features.bulks()):
        create_bulk_view(cursor, bulk, files.get(bulk.key, ()))
    create_predictions_view(cursor, features.bulks())
    create_derived_views(cursor)


def _widen(cursor: duckdb.DuckDBPyConnection, features: Features) -> None:
    """Give stored tables the columns that their nouns gained since."""
    stored = [(ddl.core_table(t), t) for t in ddl.native_tables()]
    stored += [(b.hot, b.table) for b in (*ddl.bulk_tables(), *features.bulks())]
    for name, table in stored:
        present = [row[0] for row in cursor.execute(f"DESCRIBE {name}").fetchall()]
        for column, sql in ddl.missing_columns(table, present):
            cursor.execute(f"ALTER TABLE {name} ADD COLUMN {column} {sql}")


def seed(cursor: duckdb.DuckDBPyConnection, writer: Writer, ledger: Ledger, manifest: Manifest, now: datetime) -> None:
    """Recognise again the batches of the last day and the rows that came in the last two hours."""
    ledger.load(cursor, now)
    since = now - REMEMBERED
    for bulk in writer.bulks():
        keys = identity(bulk.table)
        if not keys:
            continue
        columns = ", ".join(ddl.quoted(k) for k in keys)
        sql = f"SELECT {columns} FROM {bulk.hot}"
        lately = cursor.execute(
            "SELECT path FROM core.manifest WHERE table_name = ? AND dead_at IS NULL AND ingested_max >= ?",
            [bulk.key, since],
        ).fetchall()
        if lately:
            files = parquet_sql([manifest.folder / path for (path,) in lately])
            sql += f" UNION ALL SELECT {columns} FROM {files} WHERE ingested_at >= $since"
        writer.seed(bulk.key, cursor.sql(sql, params={"since": since} if lately else None).pl(), now)


def recall(database: Database, manifest: Manifest, writer: Writer, ledger: Ledger, now: datetime) -> datetime | None:
    """Know again what came lately and how far the commits are; when the newest batch was committed."""
    with database.snapshot() as cursor:
        manifest.remove_orphans(cursor)
        seed(cursor, writer, ledger, manifest, now)
        database.seq, newest = newest_commit(cursor, writer)
    return newest


def newest_commit(cursor: duckdb.DuckDBPyConnection, writer: Writer) -> tuple[int, datetime | None]:
    """The highest commit number in the file and when the newest batch was committed."""
    parts = ["SELECT max(seq) AS seq FROM core.batch", "SELECT max(seq) FROM core.manifest"]
    parts += [f"SELECT max(seq) FROM {bulk.hot}" for bulk in writer.bulks()]
    [(seq,)] = cursor.execute(f"SELECT coalesce(max(seq), 0) FROM ({' UNION ALL '.join(parts)})").fetchall()
    [(newest,)] = cursor.execute("SELECT max(committed_at) FROM core.batch").fetchall()
    return seq, newest


def compare(database: Database, journal: Journal, damaged: Sequence[Damage], now: datetime) -> tuple[Damage, ...]:
    """What this opening found damaged: told in the log, kept in the file, and the journal begun anew.

    The numbers of lost commits are not given again.
    """
    with database.cursor() as cursor:
        found = (*damaged, *lost_commits(cursor, journal))
    if found:
        database.seq = max(database.seq, *(c.seq for c in journal.read()), 0)
        with database.change() as cursor:
            keep(cursor, found, now)
        for one in found:
            _LOG.error("event=damage kind=%s subject=%s said=%s", one.kind, one.subject, json.dumps(one.said))
    journal.restart()
    return found
