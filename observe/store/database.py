"""The open DuckDB file: cursors for readers, one lock around every writing transaction, reopening.

With two writers DuckDB reports catalog conflicts; with one lock around appends, swaps, ALTERs and
retention there are none. A failed COMMIT means "unknown" and leaves the instance unusable, so it is
closed and opened again; whoever wrote then asks the ledger. When even that fails, as it may on a full
disk, whoever comes next tries again.

Source: our own; MECHANISMS (c), TRUST section 1.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import duckdb

from observe.errors import StoreError
from observe.store.ddl import literal

STORAGE_VERSION: Final = "v2.0.0"  # of the file; pinned, so that every 2.x can open it
NAME: Final = "observe"  # what the file is called inside DuckDB
# A checkpoint writes the newest row group of each table again, and whoever commits then waits for it. With DuckDB's own
# 122,880 rows and 16 MB, 60 features held everybody up for .2 to 1 s every ten seconds; see `bench.load`.
ROW_GROUP: Final = 16_384  # rows
CHECKPOINT: Final = "64MB"  # of log, after which it is written into the file
_READERS_LEAVE_S: Final = 30.0  # how long a reopen waits for running queries before it interrupts them
_LOG = logging.getLogger("observe.store")


class Database:
    """One DuckDB file, opened by this process only.

    Args:
        path: the file, or None for a database in memory.
        threads: DuckDB's worker threads.
        memory: DuckDB's memory limit, e.g. `2GB`.

    Raises:
        StoreError: the file cannot be opened.
    """

    def __init__(self, path: Path | None, *, threads: int, memory: str) -> None:
        self._path = path
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "threads": str(threads),
            "memory_limit": memory,
            "wal_autocheckpoint": CHECKPOINT,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
        }
        if path is not None:
            self._config["temp_directory"] = str(path.parent / "tmp")
        self._write = threading.Lock()
        self._gate = threading.Condition()
        self._cursors: set[duckdb.DuckDBPyConnection] = set()
        self._reopening = False
        self._down = False  # closed, and could not be opened again yet
        self.seq = 0  # number of the newest writing transaction
        self.commits = 0  # made by this process; unchanged means nothing was written
        self.after_commit: Callable[[], None] = _nothing
        self.after_rollback: Callable[[duckdb.DuckDBPyConnection], None] = _nothing  # given a fresh cursor
        self._connection = self._connect()
        self._writing = self._cursor()  # of whoever holds the lock

    def _connect(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(":memory:", config=self._config)
        try:
            connection.execute("SET GLOBAL TimeZone = 'UTC'")
            if self._path is not None:
                options = f"ROW_GROUP_SIZE {ROW_GROUP}, STORAGE_VERSION '{STORAGE_VERSION}'"
                connection.execute(f"ATTACH {literal(str(self._path))} AS {NAME} ({options})")
        except duckdb.Error as error:
            connection.close()
            raise StoreError(f"{self._path}: DuckDB cannot open this file: {error}") from error
        return connection

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self._connection.cursor()
        if self._path is not None:
            cursor.execute(f"USE {NAME}")
        return cursor

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of one's own, for reading."""
        with self._gate:
            self._gate.wait_for(lambda: not self._reopening)
            self._heal()
            cursor = self._cursor()
            self._cursors.add(cursor)
        try:
            yield cursor
        finally:
            with self._gate:
                self._cursors.discard(cursor)
                cursor.close()
                self._gate.notify_all()

    @contextmanager
    def snapshot(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor inside one read-only transaction: everything read through it is of one moment."""
        with self.cursor() as cursor:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            try:
                yield cursor
            finally:
                with suppress(duckdb.Error):
                    cursor.execute("ROLLBACK")

    @contextmanager
    def change(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The one writing transaction; committed when the block ends, rolled back when it raises.

        Raises:
            StoreError: DuckDB refused; when it refused the COMMIT, whether the rows are stored is unknown.
        """
        with self._write:
            cursor = self._begun()
            self.seq += 1
            try:
                yield cursor
            except BaseException as error:
                self._roll_back(cursor, error)
                raise
            try:
                cursor.execute("COMMIT")
            except duckdb.Error as error:
                self._reopen()
                raise StoreError(f"commit failed, its rows may or may not be stored: {error}") from error
            self.commits += 1
            self.after_commit()

    def _begun(self) -> duckdb.DuckDBPyConnection:
        """The writer's cursor in a new transaction; an instance that an earlier error left unusable is replaced."""
        with self._gate:
            self._heal()
        try:
            self._writing.execute("BEGIN")
        except duckdb.Error as error:
            self._reopen()
            raise StoreError(f"DuckDB was opened again, try once more: {error}") from error
        return self._writing

    def _roll_back(self, cursor: duckdb.DuckDBPyConnection, error: BaseException) -> None:
        broken = isinstance(error, (duckdb.FatalException, duckdb.InternalException, duckdb.IOException))
        try:
            cursor.execute("ROLLBACK")
        except duckdb.Error:
            broken = True
        if broken:
            self._reopen()
        else:
            self._tell_rollback()
        if isinstance(error, duckdb.Error):
            raise StoreError(f"DuckDB refused a write: {error}") from error

    def _tell_rollback(self) -> None:
        cursor = self._cursor()
        self.after_rollback(cursor)
        cursor.close()

    def _reopen(self) -> None:
        _LOG.warning("event=database_reopen path=%s", self._path)
        with self._gate:
            self._reopening = True
            if not self._gate.wait_for(lambda: not self._cursors, _READERS_LEAVE_S):
                for cursor in self._cursors:
                    cursor.interrupt()
                self._gate.wait_for(lambda: not self._cursors, _READERS_LEAVE_S)
            self._down = True
            try:
                with suppress(duckdb.Error):
                    self._writing.close()
                    self._connection.close()
                self._heal()
            except StoreError as error:
                _LOG.error("event=database_down path=%s error=%s", self._path, error)
            finally:
                self._reopening = False
                self._gate.notify_all()

    def _heal(self) -> None:
        """Open the database if an earlier try failed; what was rolled back is then told. The caller holds the gate."""
        if self._down:
            self._connection = self._connect()
            self._writing = self._cursor()
            self._down = False
            self._tell_rollback()

    def close(self) -> None:
        """Wait for the writer, then close; readers that still run are interrupted."""
        with self._write, self._gate:
            for cursor in self._cursors:
                cursor.interrupt()
            self._gate.wait_for(lambda: not self._cursors, _READERS_LEAVE_S)
            if not self._down:
                self._writing.close()
                self._connection.close()


def _nothing(*_: object) -> None:
    """Before a store is built upon the database nobody has to be told."""
