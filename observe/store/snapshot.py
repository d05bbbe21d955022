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
from time import monotonic
from typing import Final

import duckdb

from observe.store.database import Database
from observe.store.ddl import Bulk, core_table, literal, native_tables, quoted
from observe.store.manifest import Manifest
from observe.store.predictions import all_bulks, model_of
from observe.store.views import derived, parquet_sql, predictions_sql

GRACE_S: Final = 30.0  # how long a snapshot stays after a newer one was made; longer than any query of the worker
STALE_S: Final = 10.0  # the oldest snapshot that is given to those who do not need the newest rows
_PUBLIC_SETTINGS: Final = ("false_alarms", "prices", "models")  # of core.setting; the rest never leaves the service


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
    commit: int  # of this process, counted from its start


class Snapshots:
    """Makes snapshots under `folder`; one that is still true is given again."""

    def __init__(self, database: Database, manifest: Manifest, folder: Path) -> None:
        self._database, self._manifest, self._folder = database, manifest, folder
        self._lock = threading.Lock()
        self._last: Snapshot | None = None
        self._made: dict[Path, float] = {}  # folder -> monotonic seconds

    def clear(self) -> None:
        """Remove what an earlier process left."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def take(self, watermark: datetime | None, *, stale_ok: bool = False) -> Snapshot:
        """The store as it is now, or with `stale_ok` as it was at most ten seconds ago."""
        with self._lock:
            last, moment = self._last, monotonic()
            current = last is not None and last.commit == self._database.commits
            recent = stale_ok and bool(self._made) and moment - max(self._made.values()) < STALE_S
            if last is None or not (current or recent):
                last = self._last = self._make(watermark, moment)
                self._remove_old(moment)
            return last

    def _make(self, watermark: datetime | None, moment: float) -> Snapshot:
        commit = self._database.commits
        folder = self._folder / f"{commit:012d}"
        folder.mkdir(parents=True, exist_ok=True)
        self._made[folder] = moment
        views: dict[str, str] = {}
        with self._database.snapshot() as cursor:
            for name, sql in self._core(cursor, folder):
                views[name] = sql
            models = {}
            for bulk in all_bulks(cursor):
                views[bulk.view] = self._bulk(cursor, bulk, folder)
                if bulk.table.name == "prediction":
                    models[model_of(bulk)] = bulk.view
            files = [f for paths in self._manifest.all_files(cursor).values() for f in paths]
        views["prediction"] = predictions_sql(models)
        views |= {quoted(name): sql for name, sql in derived().items()}
        return Snapshot(views, (*files, *sorted(folder.iterdir())), ("core", "predictions"), watermark, commit)

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

    def _remove_old(self, moment: float) -> None:
        newest = max(self._made, key=lambda f: self._made[f])
        for folder in [f for f, made in self._made.items() if f != newest and moment - made > GRACE_S]:
            shutil.rmtree(folder, ignore_errors=True)
            del self._made[folder]


def _export(cursor: duckdb.DuckDBPyConnection, query: str, path: Path) -> str:
    cursor.execute(f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)")
    return f"SELECT * FROM {parquet_sql([path])}"
