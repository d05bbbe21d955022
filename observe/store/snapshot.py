"""The store as files of one moment, for a process that must not open the database.

Sealed files are named as they are; hot rows and native tables are exported to Parquet in one read
transaction. The views are the same SQL as the service's own.

Source: our own; ARCHITECTURE section 3, TRUST section 1.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb

from observe.store.database import Database
from observe.store.ddl import Bulk, core_table, literal, native_tables, quoted
from observe.store.manifest import Manifest
from observe.store.views import derived, parquet_sql, predictions_sql
from observe.store.writer import Writer

KEPT: Final = 2  # newest snapshots on disk: one may be in use while the next is made
_PUBLIC_SETTINGS: Final = ("false_alarms",)  # of core.setting; the rest never leaves the service


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a SQL worker needs; all paths are absolute.

    `views` holds SQL by view name, quoted and qualified as DuckDB wants it, each after the ones it
    uses; the schemas in `schemas` must be created before.
    """

    views: Mapping[str, str]
    files: tuple[Path, ...]
    schemas: tuple[str, ...]
    watermark: datetime | None
    seq: int


class Snapshots:
    """Makes snapshots under `folder`; one that is still true is given again."""

    def __init__(self, database: Database, manifest: Manifest, writer: Writer, folder: Path) -> None:
        self._database, self._manifest, self._writer, self._folder = database, manifest, writer, folder
        self._lock = threading.Lock()
        self._last: Snapshot | None = None

    def clear(self) -> None:
        """Remove what an earlier process left."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def take(self, watermark: datetime | None) -> Snapshot:
        """The store as it is now."""
        with self._lock:
            if self._last is None or self._last.seq != self._database.seq:
                self._last = self._make(watermark)
                self._remove_old()
            return self._last

    def _make(self, watermark: datetime | None) -> Snapshot:
        seq = self._database.seq
        folder = self._folder / f"{seq:012d}"
        folder.mkdir(parents=True, exist_ok=True)
        views: dict[str, str] = {}
        with self._database.snapshot() as cursor:
            for name, sql in self._core(cursor, folder):
                views[name] = sql
            models = {}
            for bulk in self._writer.bulks():
                views[bulk.view] = self._bulk(cursor, bulk, folder)
                if bulk.table.name == "prediction":
                    models[bulk.key.partition(":")[2]] = bulk.view
            files = [f for paths in self._manifest.all_files(cursor).values() for f in paths]
        views["prediction"] = predictions_sql(models)
        views |= {quoted(name): sql for name, sql in derived().items()}
        return Snapshot(views, (*files, *sorted(folder.iterdir())), ("core", "predictions"), watermark, seq)

    def _core(self, cursor: duckdb.DuckDBPyConnection, folder: Path) -> Iterator[tuple[str, str]]:
        for table in native_tables():
            yield core_table(table), _export(cursor, f"FROM {core_table(table)}", folder / f"core.{table.name}.parquet")
        public = ", ".join(literal(key) for key in _PUBLIC_SETTINGS)
        settings = f"FROM core.setting WHERE key IN ({public})"
        yield "core.setting", _export(cursor, settings, folder / "core.setting.parquet")

    def _bulk(self, cursor: duckdb.DuckDBPyConnection, bulk: Bulk, folder: Path) -> str:
        hot = folder / f"hot.{bulk.folder.replace('/', '.')}.parquet"
        _export(cursor, f"SELECT * EXCLUDE (seq) FROM {bulk.hot}", hot)
        return f"SELECT * FROM {parquet_sql([hot, *self._manifest.files(cursor, bulk.key)])}"

    def _remove_old(self) -> None:
        for folder in sorted(self._folder.iterdir())[:-KEPT]:
            shutil.rmtree(folder, ignore_errors=True)


def _export(cursor: duckdb.DuckDBPyConnection, query: str, path: Path) -> str:
    cursor.execute(f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)")
    return f"SELECT * FROM {parquet_sql([path])}"
