"""The data directory as the stages see it: append batches, change rows, read SQL, seal, snapshot.

One process opens it, all its threads may use it. Layout: `LOCK`, `observe.duckdb`, `lake/`,
`spill/`, `snapshot/`, `tmp/`.

Source: our own; ARCHITECTURE section 3.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
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
from observe.store.committer import Committer
from observe.store.damage import Damage, Report
from observe.store.database import Database
from observe.store.entry import Entry, Pending
from observe.store.isolating import Isolation
from observe.store.journal import Journal
from observe.store.lake import Sealed
from observe.store.ledger import Ledger
from observe.store.manifest import Manifest
from observe.store.opening import DATABASE, check_directory, compare, prepare, recall
from observe.store.predictions import Features
from observe.store.read import Reader
from observe.store.retention import Passed, Policy
from observe.store.rows import part
from observe.store.settings import judged_until, settings, state
from observe.store.sizes import sizes
from observe.store.snapshot import Snapshot, Snapshots
from observe.store.spill import Spill
from observe.store.transaction import Transaction
from observe.store.upkeep import Upkeep
from observe.store.verifying import verify
from observe.store.wal import open_database
from observe.store.writer import Writer

QUEUE_BYTES: Final = 64 << 20
MEMORY: Final = "768MB"  # of DuckDB; it keeps every block it has read until then, so this bounds the core
HOT_ROWS: Final = 300_000  # appended one after the other before they are sealed on the way
RETRY_S: Final = 5  # when to come back to a full disk
SOON_S: Final = 30.0  # in which everything is stored that waits
FREE_BYTES: Final = 256 << 20  # less free disk than this: intake answers 503


class Store:
    """See the module; open one with `Store.open` and close it."""

    def __init__(
        self, path: Path, clock: Clock, lock: DirectoryLock, opened: tuple[Database, list[Damage]], must_exist: bool
    ) -> None:
        database, damaged = opened
        self.path, self._clock, self._lock, self._database = path, clock, lock, database
        self._manifest = manifest = Manifest(path)
        self._writer = writer = Writer(Features())
        ledger = Ledger()
        self._sealing, self._backing, self._verifying = threading.Lock(), threading.Lock(), threading.Lock()
        self._unsealed = 0  # rows appended since the last seal
        self._isolation = Isolation(database, manifest, clock)
        self._isolation.surviving(lambda: prepare(database, manifest, writer.features, must_exist=must_exist))
        self._watermark = self._isolation.surviving(lambda: recall(database, manifest, writer, ledger, clock.now()))
        self._journal, spill = Journal(path), Spill(path)
        self.damages = compare(database, self._journal, (*damaged, *spill.damages), clock.now())
        database.after_commit, database.after_rollback = self._committed, self._writer.undone
        self._reader = Reader(database, manifest, self._isolation)
        self._snapshots = Snapshots(database, manifest, path / "snapshot")
        self._snapshots.clear()
        self._upkeep = Upkeep(database, manifest, self._isolation, self._snapshots, self._sealing)
        self._warm_up()
        batches = Batches(database, writer, ledger, self._journal, clock)
        self._committer = Committer(batches.store, QUEUE_BYTES, spill)

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

    def submit(self, batch: Batch) -> Pending:
        """Queue `batch`; the future holds its receipt once its rows are stored and can be read.

        Its `safe()` is done then, or sooner: once the rows are durable, where a slow commit holds many up.

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
        return state(self._database, keys)

    def judged_until(self) -> dict[str, datetime]:
        """Event time up to which each state has judged, of those that say so."""
        return judged_until(self._database)

    def settings(self) -> dict[str, Any]:
        """All settings, plain JSON by key."""
        return settings(self._database)

    def set_setting(self, key: str, value: Any) -> None:
        """Keep `value` (plain JSON) as the setting `key`."""
        with self.change() as change:
            change.set_setting(key, value)

    def declare(self, numbers: Mapping[str, Collection[str]]) -> None:
        """Go by what is declared: the features that are numbers, by model, whatever comes first."""
        self._writer.features.declare(numbers)

    def features(self) -> Mapping[str, Mapping[str, str]]:
        """Every prediction model's features with their SQL types, as decided when first seen."""
        return self._writer.features.known()

    def seal(self, now: datetime) -> Sealed:
        """Move the rows of every window closed at `now` to the lake, merge small files, unlink dead ones."""
        self._unsealed = 0
        return self._upkeep.seal(now)

    def retain(
        self,
        now: datetime,
        keep: Mapping[str, timedelta],
        size_bytes: int | None = None,
        reservoir: int = 0,
        passed: Mapping[str, Passed] | None = None,
    ) -> int:
        """Let files leave whose newest row is older than allowed, then the oldest beyond a size.

        Lines of batches older than 24 h, runs of collectors older than 30 days, and what was found and done
        longer ago than allowed are deleted.

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
        return self._upkeep.retain(now, Policy(keep, size_bytes, reservoir, passed or {}))

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
        """Copy everything acknowledged before this call into the empty or absent folder `dest`; reads and writes go on.

        Raises:
            UsageError: `dest` holds something, or lies within the data directory.
            StoreError: it could not be written, `dest` is empty again; another backup is running; or something
                that was acknowledged could not be stored yet.
        """
        with alone(self._backing, "backup"):
            self._committer.wait(SOON_S)
            return back_up(self._database, self._manifest, self._sealing, dest, self._clock.now())

    def verify(self) -> Report:
        """Compare what is stored with what was acknowledged and sealed; reads and writes go on.

        Raises:
            StoreError: another one is running.
        """
        with alone(self._verifying, "verify"):
            return verify(self._database, self._manifest, self._sealing, self._clock.now())

    def watermark(self) -> datetime | None:
        """When the newest commit was made; None before the first."""
        return self._watermark

    def stats(self) -> Mapping[str, Any]:
        """Sizes for `/metrics`: queue_bytes, seq, hot_rows and files by table, lake_bytes, database_bytes."""
        return {"queue_bytes": self._committer.queued, **sizes(self._database, self.path)}

    def close(self) -> None:
        """Store what waits, close the database, let go of the directory."""
        self._committer.close()
        with self._sealing:
            self._database.close()
        self._journal.close()
        self._lock.release()
