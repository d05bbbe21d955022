"""The data directory as the stages see it: append batches, change rows, read SQL, seal, snapshot.

One process opens it, all its threads may use it. Layout: `LOCK`, `observe.duckdb`, `lake/`,
`snapshot/`, `tmp/`.

Source: our own; ARCHITECTURE section 3.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from observe.clock import Clock
from observe.errors import Overloaded
from observe.lock import DirectoryLock
from observe.schema import Batch, Json, Receipt, Window
from observe.store.alone import alone
from observe.store.backup import Contents, back_up, remove_stages
from observe.store.batches import Batches
from observe.store.committer import Committer, Entry
from observe.store.damage import Damage, kept
from observe.store.database import Database
from observe.store.ddl import Bulk
from observe.store.folds import ROLLED
from observe.store.isolating import Isolation
from observe.store.journal import Journal
from observe.store.lake import Lake, Sealed, joined
from observe.store.ledger import Ledger
from observe.store.manifest import Manifest
from observe.store.opening import DATABASE, check_directory, compare, newest_commit, prepare, seed
from observe.store.predictions import Features, all_bulks
from observe.store.read import Reader
from observe.store.reportfiles import verify_reports
from observe.store.retention import Passed, Policy, Retention
from observe.store.rows import part
from observe.store.snapshot import Snapshot, Snapshots
from observe.store.transaction import Transaction
from observe.store.trimming import trim
from observe.store.verifying import Report, verify_batches, verify_files, verify_tables
from observe.store.wal import open_database
from observe.store.writer import Writer

QUEUE_BYTES: Final = 64 << 20
MEMORY: Final = "768MB"  # of DuckDB; it keeps every block it has read until then, so this bounds the core
HOT_ROWS: Final = 300_000  # appended one after the other before they are sealed on the way
RETRY_S: Final = 5  # when to come back to a full disk
FREE_BYTES: Final = 256 << 20  # less free disk than this: intake answers 503


class Store:
    """See the module; open one with `Store.open` and close it."""

    def __init__(
        self, path: Path, clock: Clock, lock: DirectoryLock, opened: tuple[Database, list[Damage]], must_exist: bool
    ) -> None:
        database, damaged = opened
        self.path, self._clock, self._lock, self._database = path, clock, lock, database
        self._manifest = Manifest(path)
        self._writer = Writer(Features())
        self._ledger = Ledger()
        self._sealing, self._backing, self._verifying = threading.Lock(), threading.Lock(), threading.Lock()
        self._unsealed = 0  # rows appended since the last seal
        self._isolation = Isolation(database, self._manifest, clock)
        self._isolation.surviving(
            lambda: prepare(database, self._manifest, self._writer.features, must_exist=must_exist)
        )
        self._isolation.surviving(self._recall)
        self._journal = Journal(path)
        self.damages = compare(database, self._journal, damaged, clock.now())
        database.after_commit, database.after_rollback = self._committed, self._writer.undone
        self._reader = Reader(database, self._manifest, self._isolation)
        self._lake = Lake(database, self._manifest)
        self._retention = Retention(database, self._manifest, self._lake)
        self._snapshots = Snapshots(database, self._manifest, path / "snapshot")
        self._snapshots.clear()
        self._warm_up()
        self._committer = Committer(
            Batches(database, self._writer, self._ledger, self._journal, clock).store, QUEUE_BYTES
        )

    @classmethod
    def open(
        cls, path: Path, clock: Clock, *, threads: int = 2, memory: str = MEMORY, must_exist: bool = False
    ) -> Store:
        """Open, or make, the data directory `path`.

        Args:
            path: the directory.
            clock: tells `ingested_at`.
            threads: DuckDB's worker threads.
            memory: DuckDB's memory limit.
            must_exist: make nothing where no store is.

        Raises:
            UsageError: `must_exist`, and it is not a data directory of Observe.
            StoreLocked: another process owns it.
            StoreError: it was written by a newer Observe, cannot be opened, or holds files that no
                database names; then nothing was changed.
        """
        path = path.resolve()
        check_directory(path, must_exist=must_exist)
        (path / "lake").mkdir(parents=True, exist_ok=True)
        lock = DirectoryLock(path)
        try:
            remove_stages(path)
            opened = open_database(path / DATABASE, threads=threads, memory=memory)
            try:
                return cls(path, clock, lock, opened, must_exist)
            except BaseException:
                opened[0].close()
                raise
        except BaseException:
            lock.release()
            raise

    def _recall(self) -> None:
        """Know again what came lately and how far the commits are."""
        with self._database.snapshot() as cursor:
            self._manifest.remove_orphans(cursor)
            seed(cursor, self._writer, self._ledger, self._manifest, self._clock.now())
            self._database.seq, self._watermark = newest_commit(cursor, self._writer)

    def _warm_up(self) -> None:
        """First uses are slow (imports, plans): pay for them before anybody waits."""
        with self.change() as change:
            change.execute("INSERT OR REPLACE INTO core.meta VALUES ('opened_at', ?)", [str(self._clock.now())])
            change.insert_frame("collector_run", pl.DataFrame({"ts": []}, schema={"ts": pl.Datetime("us", "UTC")}))
        self.read("SELECT count(*) FROM collector_run")

    def _committed(self) -> None:
        now = self._clock.now()
        self._writer.committed(now)
        self._watermark = now

    def submit(self, batch: Batch) -> Future[Receipt]:
        """Queue `batch`; the future holds its receipt once it is durable.

        Raises:
            Overloaded: the queue is filling up (429), or full or the disk nearly so (503).
            StoreError: an unknown table or column, or the store is closed.
        """
        if shutil.disk_usage(self.path).free < FREE_BYTES:
            raise Overloaded("the disk is nearly full, nothing was taken", RETRY_S, 503)
        parts = tuple(part(key, frame, batch.source) for key, frame in batch.tables.items())
        size = sum(int(p.frame.estimated_size()) for p in parts) + 1024
        return self._committer.submit(Entry(batch.source, batch.batch_id, parts, batch.rejected, size))

    def append(self, batch: Batch) -> Receipt:
        """Store `batch` and wait until it is durable; not inside a `change`.

        Whoever appends faster than windows are sealed (an import) seals on the way.
        """
        receipt = self.submit(batch).result()
        self._unsealed += sum(receipt.stored.values())
        if self._unsealed > HOT_ROWS:
            self.seal(self._clock.now())
        return receipt

    @contextmanager
    def change(self) -> Iterator[Transaction]:
        """The one writer lock; everything written inside is one transaction.

        Raises:
            StoreError: DuckDB refused it; nothing was written, or after a failed commit it is unknown.
        """
        with self._database.change() as cursor:
            yield Transaction(cursor, self._writer, self._database.seq, self._clock.now())

    def read(self, sql: str, params: Mapping[str, Any] | None = None, window: Window | None = None) -> pl.DataFrame:
        """The answer to one SELECT over the views.

        Args:
            sql: one SELECT, parameters as `$name`.
            params: values of the parameters.
            window: if given, bulk tables hold their rows of this window only, and only the files that
                overlap it are touched; native tables stay whole.

        Returns:
            Rows in the query's order; integer sums are Int64, decimals Float64, times UTC.

        Raises:
            QueryError: not one SELECT, or DuckDB refuses it.
        """
        return self._reader.frame(sql, params, window)

    def read_ipc(self, sql: str, params: Mapping[str, Any] | None = None, window: Window | None = None) -> bytes:
        """The same as `read`, as the bytes of an Arrow IPC stream."""
        return self._reader.stream(sql, params, window)

    def state(self, keys: Sequence[str] | None = None) -> dict[str, Json]:
        """State of detectors and monitors, of all or of those of `keys` that have one."""
        if keys is None:
            rows = self._rows("SELECT key, value FROM core.state")
        else:
            rows = self._rows("SELECT key, value FROM core.state WHERE list_contains($keys, key)", {"keys": list(keys)})
        return {key: json.loads(value) for key, value in rows}

    def judged_until(self) -> dict[str, datetime]:
        """Event time up to which each state has judged, of those that say so."""
        rows = self._rows("SELECT key, judged_until FROM core.state WHERE judged_until IS NOT NULL")
        return dict(rows)

    def settings(self) -> dict[str, Any]:
        """All settings, plain JSON by key."""
        return {key: json.loads(value) for key, value in self._rows("SELECT key, value FROM core.setting")}

    def set_setting(self, key: str, value: Any) -> None:
        """Keep `value` (plain JSON) as the setting `key`."""
        with self.change() as change:
            change.set_setting(key, value)

    def features(self) -> Mapping[str, Mapping[str, str]]:
        """Every prediction model's features with their SQL types, as decided when first seen."""
        return self._writer.features.known()

    def seal(self, now: datetime) -> Sealed:
        """Move the rows of every window closed at `now` to the lake, merge small files, unlink dead ones."""
        with self._sealing:
            self._unsealed = 0
            bulks = self._bulks()
            for bulk in bulks:
                self._isolation.surviving(partial(self._lake.roll, bulk, now), bulk.view)
            done = {bulk.key: self._isolation.surviving(partial(self._lake.seal, bulk, now)) for bulk in bulks}
            for bulk in bulks:
                self._isolation.surviving(partial(self._lake.compact, bulk, now), bulk.view)
            self._lake.sweep(now)
        return joined([sealed for key, sealed in done.items() if key not in ROLLED])

    def retain(
        self,
        now: datetime,
        keep: Mapping[str, timedelta],
        size_bytes: int | None = None,
        reservoir: int = 0,
        passed: Mapping[str, Passed] | None = None,
    ) -> int:
        """Let files leave whose newest row is older than allowed, then the oldest beyond a size.

        Lines of batches older than 24 h and runs of collectors older than 30 days are deleted.

        Args:
            now: the present.
            keep: how long, by table name (`prediction` for all models, `rollup` for all rollups); others are kept.
            size_bytes: the most that sealed files may take together; the oldest files of attempts,
                samples and predictions leave, never summaries or labels.
            reservoir: predictions of a model and day that stay when the others leave, as long as rollups do.
            passed: by table key, how far those have come who still count its rows; later rows do not leave by age.

        Returns:
            How many files left; they are unlinked by a later seal, after a grace.
        """
        policy = Policy(keep, size_bytes, reservoir, passed or {})
        with self._sealing:
            bulks = self._bulks()
            left = sum(self._isolation.surviving(partial(self._retention.by_age, b, now, policy)) for b in bulks)
            if size_bytes is not None:
                left += self._isolation.surviving(partial(self._retention.by_size, bulks, now, policy))
            for table in trim(self._database, now):
                self._snapshots.forget(table)
        return left

    def set_aside(self, said: str) -> int:
        """Take the damaged files that a complaint of DuckDB is about out of their tables; how many there were."""
        return self._isolation.set_aside(said)

    def snapshot(self, needed: Collection[str] | None = None, stale_ok: bool = False) -> Snapshot:
        """The store as files of one moment, for the SQL worker.

        Args:
            needed: names of tables and views as `tables_named` finds them; only these and what is
                beneath them get views. None for all.
            stale_ok: up to ten seconds old is good enough.
        """
        return self._snapshots.take(self._watermark, needed, stale_ok=stale_ok)

    def backup(self, dest: Path) -> Contents:
        """Copy everything committed before this call into the empty or absent folder `dest`; reads and writes go on.

        Raises:
            UsageError: `dest` holds something, or lies within the data directory.
            StoreError: it could not be written, `dest` is empty again; or another backup is running.
        """
        with alone(self._backing, "backup"):
            return back_up(self._database, self._manifest, self._sealing, dest, self._clock.now())

    def verify(self) -> Report:
        """Compare what is stored with what was acknowledged and sealed; reads and writes go on.

        Raises:
            StoreError: another one is running.
        """
        report, now = Report(), self._clock.now()
        with alone(self._verifying, "verify"):
            with self._database.cursor() as cursor:
                report.damages += kept(cursor, now)
            verify_tables(self._database, report)
            verify_files(self._database, self._manifest, report)
            verify_reports(self._database, self.path, report)
            verify_batches(self._database, self._manifest, self._sealing, now, report)
        return report

    def watermark(self) -> datetime | None:
        """When the newest commit was made; None before the first."""
        return self._watermark

    def stats(self) -> Mapping[str, Any]:
        """Sizes for `/metrics`: queue_bytes, seq, hot_rows and files by table, lake_bytes, database_bytes."""
        hot = {b.key: self._rows(f"SELECT count(*) FROM {b.hot}")[0][0] for b in self._bulks()}
        sealed = self._rows(
            "SELECT table_name, count(*), sum(rows)::BIGINT, sum(bytes)::BIGINT FROM core.manifest WHERE dead_at IS NULL GROUP BY 1"
        )
        return {
            "queue_bytes": self._committer.queued,
            "seq": self._database.seq,
            "hot_rows": hot,
            "rows": {key: count + sum(s[2] for s in sealed if s[0] == key) for key, count in hot.items()},
            "files": {key: count for key, count, _, _ in sealed},
            "lake_bytes": sum(size for *_, size in sealed),
            "database_bytes": sum(f.stat().st_size for f in self.path.glob("observe.duckdb*")),
        }

    def _bulks(self) -> tuple[Bulk, ...]:
        with self._database.cursor() as cursor:
            return all_bulks(cursor)

    def _rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with self._database.cursor() as cursor:
            return cursor.execute(sql, params).fetchall()

    def close(self) -> None:
        """Store what waits, close the database, let go of the directory."""
        self._committer.close()
        with self._sealing:
            self._database.close()
        self._journal.close()
        self._lock.release()
