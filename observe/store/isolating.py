"""A damaged or vanished file is set aside where reading it fails; the others go on answering.

DuckDB's complaint names the file, or says only that some header is no header; then the files the query
could reach are compared with their checksums. A file is set aside
only when it is gone, differs from its checksum, or cannot be read to its end: too many open files
or too little memory make no file damaged. It stays on disk under another name, its rows are told
as missing, and whoever asked is answered from the rest.

Source: our own; TRUST section 1, fact 3.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final, TypeVar

import duckdb

from observe.clock import Clock
from observe.errors import ObserveError
from observe.store.checksums import checksum
from observe.store.damage import Damage, keep
from observe.store.database import Database
from observe.store.manifest import SUFFIX, Manifest, Sheet
from observe.store.named import tables_named
from observe.store.predictions import all_bulks
from observe.store.views import create_bulk_view, parquet_sql

_AGAIN_S: Final = 60.0  # all files of a table are read to find the one without a name, not more often than this
_T = TypeVar("_T")
_LOG = logging.getLogger("observe.store")


class Isolation:
    """Sets damaged files aside; safe to use from many threads."""

    def __init__(self, database: Database, manifest: Manifest, clock: Clock) -> None:
        self._database, self._manifest, self._clock = database, manifest, clock
        self._searched = -_AGAIN_S  # when files were last searched in vain, monotonic seconds

    def surviving(self, run: Callable[[], _T], about: str = "") -> _T:
        """What `run` returns; when it fails on damaged files these are set aside, and it runs again.

        Args:
            run: reads files.
            about: SQL or the name of a view, whose tables are looked at when DuckDB names no file; all if empty.
        """
        while True:
            try:
                return run()
            except (duckdb.Error, ObserveError) as error:
                cause = error if isinstance(error, duckdb.Error) else error.__cause__
                if not isinstance(cause, duckdb.Error):
                    raise
                if not self.set_aside(str(cause), about, nameless=type(cause) is duckdb.Error):
                    raise

    def set_aside(self, said: str, about: str = "", *, nameless: bool = False) -> int:
        """Take the damaged files that a complaint of DuckDB is about out of their tables; how many.

        Args:
            said: the complaint.
            about: see `surviving`.
            nameless: the complaint may be about a file though it names none; asked at most once a minute in vain.
        """
        searched = nameless and monotonic() - self._searched > _AGAIN_S
        if "lake/" not in said and not searched:
            return 0
        suspects = self._suspects(said, about)
        damaged = {sheet: why for sheet in suspects if (why := self._wrong(sheet))}
        if damaged:
            self._remove(damaged)
        elif searched:
            self._searched = monotonic()
        return len(damaged)

    def _suspects(self, said: str, about: str) -> list[Sheet]:
        """Files that are named, and others of their tables without a footer; else every file the query can reach."""
        reached = tables_named(about) if about else None
        with self._database.snapshot() as cursor:
            bulks = [
                b for b in all_bulks(cursor) if reached is None or reached & {b.view.casefold(), b.name, b.table.name}
            ]
            sheets = [s for b in bulks for s in self._manifest.sheets(cursor, b.key)]
            named = [s for s in sheets if s.path in said]
            if not named:
                return sheets if "lake/" not in said else []
            keys = {s.key for s in named}
            others = [s for s in sheets if s.key in keys and s not in named]
            return [*named, *(s for s in others if self._footless(cursor, s))]

    def _footless(self, cursor: duckdb.DuckDBPyConnection, sheet: Sheet) -> bool:
        path = str(self._manifest.folder / sheet.path)
        try:
            found = cursor.execute("SELECT num_rows FROM parquet_file_metadata($path)", {"path": path}).fetchall()
        except duckdb.Error:
            return True
        return found != [(sheet.rows,)]

    def _wrong(self, sheet: Sheet) -> str:
        """What is wrong with a file, nothing if all is well."""
        path = self._manifest.folder / sheet.path
        try:
            if sheet.checksum is not None:
                return "" if checksum(path) == sheet.checksum else "its bytes changed since it was sealed (sha256)"
            if not path.is_file():
                return "it is gone"
            with self._database.cursor() as cursor:
                cursor.execute(f"SELECT count(COLUMNS(*)) FROM {parquet_sql([path])}").fetchall()
        except FileNotFoundError:
            return "it is gone"
        except OSError as error:
            _LOG.warning("event=file_unreadable path=%s error=%s", sheet.path, error)
            return ""
        except duckdb.Error as error:
            return f"it is no Parquet any more: {str(error)[:200]}"
        return ""

    def _remove(self, damaged: Mapping[Sheet, str]) -> None:
        now = self._clock.now()
        with self._database.change() as cursor:
            keep(cursor, [_told(sheet, why) for sheet, why in damaged.items()], now)
            for sheet in damaged:
                self._manifest.leave(cursor, [sheet.path], now, "damaged")
                cursor.execute("DELETE FROM core.manifest WHERE path = ?", [sheet.path])
            keys = {s.key for s in damaged}
            for bulk in all_bulks(cursor):
                if bulk.key in keys:
                    create_bulk_view(cursor, bulk, self._manifest.files(cursor, bulk.key))
            for sheet in damaged:  # before the commit: a file that no line names is unlinked at the next start
                self._rename(sheet)
        for sheet, why in damaged.items():
            _LOG.error("event=file_damaged path=%s rows=%d reason=%s", sheet.path, sheet.rows, why)

    def _rename(self, sheet: Sheet) -> None:
        path = self._manifest.folder / sheet.path
        if path.is_file():
            path.rename(path.with_name(f"{path.name}{SUFFIX}"))


def _told(sheet: Sheet, why: str) -> Damage:
    return Damage(
        "file", sheet.path, sheet.t_min, sheet.t_max, sheet.rows,
        f"{sheet.path}: {why}; its {sheet.rows} rows are left out of {sheet.key}",
        f"check the disk; import these rows again, or restore a backup; what is left of it is beside its place, with {SUFFIX}",
    )  # fmt: skip
