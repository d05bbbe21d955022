"""The store as files of one moment, for a process that must not open the database.

Sealed files are named as they are; hot rows and native tables that the asker can reach are exported
to Parquet in one read transaction, those that only grow by their new rows. The views are the same SQL as the service's own.

Source: our own; ARCHITECTURE section 3, TRUST section 1.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Final

import duckdb

from observe.errors import StoreError
from observe.store.database import Database
from observe.store.ddl import core_table, literal, native_tables, quoted
from observe.store.folds import FOLDED
from observe.store.manifest import Manifest
from observe.store.named import PREDICTIONS, reached
from observe.store.parts import GROWING, Parts
from observe.store.predictions import all_bulks, model_of
from observe.store.views import derived, parquet_sql, predictions_sql

GRACE_S: Final = 30.0  # how long a snapshot stays after a newer one was made; longer than any query of the worker
STALE_S: Final = 10.0  # the oldest snapshot that is given to those who do not need the newest rows
_KEPT: Final = 8  # at most so many snapshots of one moment, of different tables
_PARTS: Final = "parts"  # the folder of growing tables
_OURS: Final = re.compile(rf"\d{{12}}|{_PARTS}")  # folders that we make
_PREDICTION: Final = "prediction"
# of core.setting; the rest never leaves the service
_PUBLIC_SETTINGS: Final = ("false_alarms", "prices", "models", "collectors", "store", "reject_examples")
_BOOKS: Final = ("core.model_table", "core.feature_column")  # which models and features there are


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a SQL worker needs; all paths are absolute.

    `views` holds SQL by view name, quoted and qualified as DuckDB wants it, each after the ones it
    uses, and only of the tables it was asked for; the schemas in `schemas` must be created before.
    """

    views: Mapping[str, str]
    files: tuple[Path, ...]
    schemas: tuple[str, ...]
    watermark: datetime | None
    commit: int  # of this process, counted from its start


@dataclass(frozen=True, slots=True)
class _Made:
    snapshot: Snapshot
    names: frozenset[str]  # tables it holds
    folder: Path
    moment: float  # monotonic seconds


class Snapshots:
    """Makes snapshots under `folder`; one that is still true and holds enough is given again."""

    def __init__(self, database: Database, manifest: Manifest, folder: Path) -> None:
        self._database, self._manifest, self._folder = database, manifest, folder
        self._lock = threading.Lock()
        self._parts = Parts(folder / _PARTS)
        self._number = 0
        self._made: list[_Made] = []  # that may be given again, oldest first
        self._left: dict[Path, float] = {}  # folder -> when it was last given at the latest, monotonic seconds

    def clear(self) -> None:
        """Remove what an earlier process left; files that are not ours stay."""
        for entry in self._folder.glob("*"):
            if entry.is_dir() and not entry.is_symlink() and _OURS.fullmatch(entry.name):
                shutil.rmtree(entry, ignore_errors=True)
        with suppress(OSError):  # absent, or not empty
            self._folder.rmdir()

    def forget(self, table: str) -> None:
        """Rows of the native table `table` were deleted: export all of it the next time."""
        with self._lock:
            self._parts.forget(table)

    def take(
        self, watermark: datetime | None, needed: Collection[str] | None = None, *, stale_ok: bool = False
    ) -> Snapshot:
        """The tables `needed` as they are now, or with `stale_ok` as they were at most ten seconds ago.

        Raises:
            StoreError: there is no room on the disk for what has to be exported.
        """
        names = reached(needed)
        with self._lock:
            moment = monotonic()
            self._remove_old(moment)
            for made in reversed(self._made):
                current = made.snapshot.commit == self._database.commits
                recent = stale_ok and moment - made.moment < STALE_S
                if (current or recent) and _covers(made.names, names):
                    return made.snapshot
            try:
                made = self._make(watermark, names, moment)
            except (duckdb.IOException, OSError) as error:
                raise StoreError(f"SQL needs room on the disk for a copy of the newest rows: {error}") from error
            self._made.append(made)
            return made.snapshot

    def _make(self, watermark: datetime | None, names: frozenset[str], moment: float) -> _Made:
        commit = self._database.commits
        self._number += 1
        folder = self._folder / f"{self._number:012d}"
        folder.mkdir(parents=True, exist_ok=True)
        files: list[Path] = []
        views: dict[str, str] = {}
        with self._database.snapshot() as cursor:
            for view, paths in self._sources(cursor, names, folder, moment):
                views[view] = f"SELECT * FROM {parquet_sql(paths)}"
                files += paths
            models = {model_of(b): b.view for b in all_bulks(cursor) if b.view in views and b.table.name == _PREDICTION}
        if _PREDICTION in names:
            views[_PREDICTION] = predictions_sql(models)
        views |= {quoted(name): sql for name, sql in derived().items() if name in names}
        done = Snapshot(views, tuple(dict.fromkeys(files)), ("core", "hot", "predictions"), watermark, commit)
        return _Made(done, names, folder, moment)

    def _sources(
        self, cursor: duckdb.DuckDBPyConnection, names: frozenset[str], folder: Path, moment: float
    ) -> Iterator[tuple[str, list[Path]]]:
        """Quoted names of the tables among `names`, and the files that hold their rows."""
        for table in (t for t in native_tables() if t.name in names):
            if table.name in GROWING:
                yield core_table(table), self._parts.files(cursor, table.name, moment)
            else:
                yield core_table(table), [_export(cursor, f"FROM {core_table(table)}", folder / f"core.{table.name}")]
        public = ", ".join(literal(key) for key in _PUBLIC_SETTINGS)
        settings = f"FROM core.setting WHERE key IN ({public})"
        yield "core.setting", [_export(cursor, settings, folder / "core.setting")]
        for book in _BOOKS:
            yield book, [_export(cursor, f"FROM {book}", folder / book)]
        for bulk in all_bulks(cursor):
            if bulk.view in names or bulk.table.name in names:
                hot = folder / f"hot.{bulk.folder.replace('/', '.')}"
                rows = _export(cursor, f"SELECT * EXCLUDE (seq) FROM {bulk.hot}", hot)
                yield bulk.view, [rows, *self._manifest.files(cursor, bulk.key)]
                if bulk.key in FOLDED:  # views of rollups fold what is still hot
                    yield bulk.hot, [rows]

    def _remove_old(self, moment: float) -> None:
        true = [m for m in self._made if m.snapshot.commit == self._database.commits or moment - m.moment < STALE_S]
        kept = true[-_KEPT:]
        self._left |= {m.folder: moment for m in self._made if m not in kept}
        self._made = kept
        for folder in [f for f, at in self._left.items() if moment - at > GRACE_S]:
            shutil.rmtree(folder, ignore_errors=True)
            del self._left[folder]
        self._parts.remove_old(moment - GRACE_S - STALE_S)


def _covers(held: frozenset[str], wanted: frozenset[str]) -> bool:
    """Whether `held` has all of `wanted`; `prediction` has every model."""
    return all(n in held or (n.startswith(PREDICTIONS) and _PREDICTION in held) for n in wanted)


def _export(cursor: duckdb.DuckDBPyConnection, query: str, stem: Path) -> Path:
    path = stem.with_name(f"{stem.name}.parquet")
    cursor.execute(f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)")
    return path
