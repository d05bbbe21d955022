"""Is everything there that was acknowledged? Sealed files, the batches of the last day, every stored block.

A sealed file must be there with the size, the rows and the sha256 it was sealed with. The rows that
a commit left in a table, hot and sealed, must be those its ledger lines say: as many, and with the
same sum of hashes. Rows that left as they should (retention, a duplicate) were noted when they left.

Source: our own; TRUST section 1, fact 3.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Final

import duckdb

from observe.store.checksums import checksum
from observe.store.damage import Damage, Report, kept
from observe.store.database import Database
from observe.store.ddl import core_table, native_tables, quoted
from observe.store.ledger import REMEMBERED
from observe.store.manifest import Manifest, Sheet
from observe.store.predictions import all_bulks
from observe.store.reckoning import Due, found_rows, hashed, reckon
from observe.store.reportfiles import verify_reports
from observe.store.restoring import changed, contents_of
from observe.store.views import parquet_sql

_RESTORE: Final = "restore this file from a backup, or send this time again from its source"
_ANOTHER: Final = "use another backup; observe restore refuses this one"


def verify(database: Database, manifest: Manifest, sealing: Lock, now: datetime) -> Report:
    """Look at everything; reads and writes go on.

    Args:
        database: the open database.
        manifest: its sealed files.
        sealing: held by whoever seals.
        now: the present.
    """
    report = Report()
    with database.cursor() as cursor:
        report.damages += kept(cursor, now)
    verify_tables(database, report)
    verify_files(database, manifest, report)
    verify_reports(database, manifest.folder, report)
    verify_batches(database, manifest, sealing, now, report)
    return report


def verify_backup(source: Path) -> Report:
    """Compare every file of a backup with the list in it.

    Raises:
        UsageError: the list cannot be used.
    """
    report, contents = Report(), contents_of(source)
    report.checked["files of the backup"] = len(contents.files)
    for name, said in sorted(changed(source, contents).items()):
        report.damages.append(Damage("backup", name, None, None, None, said, _ANOTHER))
    return report


def verify_files(database: Database, manifest: Manifest, report: Report) -> None:
    """Look at every sealed file; one that left its table meanwhile is passed over."""
    with database.snapshot() as cursor:
        sheets = [s for bulk in all_bulks(cursor) for s in manifest.sheets(cursor, bulk.key)]
    unsummed = 0
    for sheet in sheets:
        with database.cursor() as cursor:
            said = _wrong(cursor, manifest.folder / sheet.path, sheet)
        report.checked["files"] += 1
        report.checked["bytes"] += sheet.size
        unsummed += sheet.checksum is None
        if said and _live(database, sheet):
            report.damages.append(Damage("file", sheet.path, sheet.t_min, sheet.t_max, sheet.rows, said, _RESTORE))
    if unsummed:
        report.notes.append(f"{unsummed} files were sealed before checksums were kept: size, rows and pages were read")


def _wrong(cursor: duckdb.DuckDBPyConnection, path: Path, sheet: Sheet) -> str:
    """What is wrong with a file, nothing if all is well."""
    try:
        size = path.stat().st_size
        if size != sheet.size:
            return f"it has {size} bytes, {sheet.size} were sealed"
        if sheet.checksum is not None and checksum(path) != sheet.checksum:
            return "its bytes changed since it was sealed (sha256)"
        rows = _rows(cursor, path, whole=sheet.checksum is None)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    except duckdb.Error as error:
        return f"it is no Parquet any more: {str(error)[:200]}"
    return "" if rows == sheet.rows else f"it has {rows} rows, {sheet.rows} were sealed"


def _rows(cursor: duckdb.DuckDBPyConnection, path: Path, *, whole: bool) -> int:
    """Rows by the footer; with `whole` every page is read as well."""
    if whole:
        cursor.execute(f"SELECT count(COLUMNS(*)) FROM {parquet_sql([path])}").fetchall()
    [(rows,)] = cursor.execute("SELECT num_rows FROM parquet_file_metadata($path)", {"path": str(path)}).fetchall()
    return int(rows)


def _live(database: Database, sheet: Sheet) -> bool:
    with database.cursor() as cursor:
        sql = "SELECT count(*) FROM core.manifest WHERE path = ? AND dead_at IS NULL"
        return cursor.execute(sql, [sheet.path]).fetchall() != [(0,)]


def verify_batches(database: Database, manifest: Manifest, sealing: Lock, now: datetime, report: Report) -> None:
    """Compare the ledger of the last 24 h with the rows that are stored.

    Seals go on: a snapshot is of one moment, and a file that leaves meanwhile stays for a grace. A table
    whose files were gone sooner than they were read is compared once more while no seal may run.
    """
    since = now.astimezone(UTC) - REMEMBERED
    with database.snapshot() as cursor:
        due, batches = _due(cursor, since)
        report.checked["batches"] += batches
        failed = _compare(cursor, manifest, due, since, report)
    if not failed:
        return
    with sealing, database.snapshot() as cursor:
        due, _ = _due(cursor, since)
        failed = _compare(cursor, manifest, {key: due[key] for key in failed if key in due}, since, report)
    report.notes += [f"batches of {key} could not be compared: {said[:200]}" for key, said in failed.items()]


def _compare(
    cursor: duckdb.DuckDBPyConnection,
    manifest: Manifest,
    due: Mapping[str, Mapping[datetime, Due]],
    since: datetime,
    report: Report,
) -> Mapping[str, str]:
    """Reckon up every table of `due`; what DuckDB said of those that it could not read."""
    failed = {}
    for key, columns, sources in _places(cursor, manifest, due, since):
        try:
            stored = found_rows(cursor, sources, columns, since)
        except duckdb.Error as error:
            failed[key] = str(error)
            continue
        report.checked["rows"] += sum(d.rows for d in due[key].values())
        gone = cursor.execute("SELECT ingested_to, rows FROM core.departure WHERE table_name = ?", [key]).fetchall()
        report.damages += reckon(key, due[key], stored, gone)
    return failed


def _due(cursor: duckdb.DuckDBPyConnection, since: datetime) -> tuple[Mapping[str, dict[datetime, Due]], int]:
    """What each commit left in each table, by table and time of the commit; and how many batches there were."""
    lines = cursor.execute(
        "SELECT table_name, committed_at, rows, checksum, source, batch_id FROM core.batch "
        "WHERE committed_at >= ? AND table_name <> ''", [since],
    ).fetchall()  # fmt: skip
    due: dict[str, dict[datetime, Due]] = defaultdict(lambda: defaultdict(Due))
    for key, at, rows, summed, source, batch in lines:
        due[key][at].add(rows, summed, f"{source}/{batch}")
    return due, len({line[4:] for line in lines})


def _places(
    cursor: duckdb.DuckDBPyConnection, manifest: Manifest, due: Mapping[str, object], since: datetime
) -> Iterator[tuple[str, tuple[str, ...], list[str]]]:
    """Every table whose rows can be told apart by commit: key, columns that are hashed, relations that hold it."""
    for bulk in all_bulks(cursor):
        if bulk.key in due:
            files = [
                manifest.folder / s.path
                for s in manifest.sheets(cursor, bulk.key)
                if s.ingested_max >= since and not s.reservoir
            ]
            yield bulk.key, hashed(bulk.table), [bulk.hot, *(parquet_sql([f]) for f in files)]
    for table in native_tables():
        if table.name in due and any(c.name == "ingested_at" for c in table.columns):
            yield table.name, hashed(table), [core_table(table)]


def verify_tables(database: Database, report: Report) -> None:
    """Read every block of every table; DuckDB checks its checksum."""
    with database.cursor() as cursor:
        sql = "SELECT schema_name, table_name FROM duckdb_tables() WHERE schema_name IN ('core', 'hot') ORDER BY ALL"
        tables = cursor.execute(sql).fetchall()
    for schema, name in tables:
        report.checked["tables"] += 1
        try:
            with database.cursor() as cursor:
                cursor.execute(f"SELECT count(COLUMNS(*)) FROM {schema}.{quoted(name)}").fetchall()
        except duckdb.Error as error:
            said, todo = f"DuckDB cannot read it: {str(error)[:200]}", "stop the service and restore a backup"
            report.damages.append(Damage("database", f"{schema}.{name}", None, None, None, said, todo))
