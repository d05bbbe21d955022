"""Hot rows of closed windows become Parquet files under `lake/<table>/date=…/`, once each.

COPY runs in a read snapshot bounded by the batch sequence while intake goes on; then fsync, rename,
fsync of the folder; then one transaction names the files, deletes the hot rows and recreates the
view, so that other cursors see the old or the new. A file without a line is an orphan and removed
at the next start. Rows that share an identity are sealed once.

Source: our own; MECHANISMS (c).
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

import duckdb

from observe.schema import Window
from observe.store.database import Database
from observe.store.ddl import Bulk, literal, quoted
from observe.store.manifest import Manifest, Sheet
from observe.store.rows import identity
from observe.store.views import create_bulk_view, parquet_sql

WINDOW: Final = timedelta(minutes=5)  # windows of event time are sealed whole
GRACE: Final = timedelta(seconds=60)  # between leaving the manifest and unlinking; longer than any query
_BY_HOUR: Final = timedelta(hours=3)  # rows younger than this go to one file an hour, older ones to one a day
_MERGES: Final = 4  # at most this many merges of a table a seal, so that a seal stays short
_MERGED_BYTES: Final = 256 << 20  # files are not merged beyond this size
RAW: Final = frozenset({"attempt", "gpu_sample", "serving_sample", "metric_sample", "prediction"})  # leave for size
_LOG = logging.getLogger("observe.store")
_TICK: Final = timedelta(microseconds=1)  # the resolution of event time


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one seal did: rows by table, files written, rows dropped because they were there already."""

    rows: Mapping[str, int] = field(default_factory=dict)
    files: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class _Slice:
    """Hot rows to be sealed into one file: a span of event time, up to one commit."""

    start: datetime
    end: datetime
    rows: int
    seq: int
    low: datetime  # oldest row
    high: datetime  # newest row

    def where(self, time: str) -> str:
        """The condition that selects these rows from the hot table."""
        return f"{time} >= {_instant(self.start)} AND {time} < {_instant(self.end)} AND seq <= {self.seq}"


class Lake:
    """Seals and retains; one seal at a time."""

    def __init__(self, database: Database, manifest: Manifest) -> None:
        self._database, self._manifest = database, manifest

    def seal(self, bulk: Bulk, now: datetime) -> Sealed:
        """Seal every window of `bulk` whose end and lateness have passed at `now`."""
        bound = _floor(now - bulk.lateness)
        with self._database.snapshot() as cursor:
            slices = _slices(cursor, bulk, bound)
            sheets = [self._copy(cursor, bulk, piece) for piece in slices]
        if not slices:
            return Sealed()
        written = [s for s in sheets if s.rows]
        for sheet in written:
            self._publish(sheet)
        with self._database.change() as cursor:
            self._swap(cursor, bulk, slices, written, now)
        rows = sum(s.rows for s in written)
        return Sealed({bulk.key: rows}, len(written), sum(s.rows for s in slices) - rows)

    def _copy(self, cursor: duckdb.DuckDBPyConnection, bulk: Bulk, piece: _Slice) -> Sheet:
        path = _path(bulk, piece.start)
        return self._write(cursor, bulk, path, self._rows_sql(cursor, bulk, piece), piece.seq)

    def _write(self, cursor: duckdb.DuckDBPyConnection, bulk: Bulk, path: str, rows: str, seq: int) -> Sheet:
        """A draft of the file at `path`, and what it holds; no draft is left when there are no rows."""
        draft = self._manifest.folder / f"{path}.tmp"
        draft.parent.mkdir(parents=True, exist_ok=True)
        cursor.execute(f"COPY ({rows}) TO {literal(str(draft))} (FORMAT parquet, COMPRESSION zstd)")
        time = quoted(bulk.table.time)
        [(count, low, high, newest)] = cursor.execute(
            f"SELECT count(*), min({time}), max({time}), max(ingested_at) FROM {parquet_sql([draft])}"
        ).fetchall()
        if not count:
            draft.unlink()
        size = draft.stat().st_size if count else 0
        return Sheet(bulk.key, path, low, high, count, size, seq, newest)

    def _rows_sql(self, cursor: duckdb.DuckDBPyConnection, bulk: Bulk, piece: _Slice) -> str:
        """The rows of a slice, in order of time: the first of each identity that no file holds yet."""
        time, keys = quoted(bulk.table.time), [quoted(k) for k in identity(bulk.table)]
        sql = f"SELECT * EXCLUDE (seq) FROM {bulk.hot} AS h WHERE {piece.where(time)}"
        if keys:
            files = self._manifest.files(cursor, bulk.key, Window(piece.low, piece.high + _TICK))
            if files:
                same = " AND ".join(f"s.{k} = h.{k}" for k in keys)
                span = f"s.{time} BETWEEN {_instant(piece.low)} AND {_instant(piece.high)}"
                sql += f" AND NOT EXISTS (FROM {parquet_sql(files)} AS s WHERE {same} AND {span})"
            sql += f" QUALIFY row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY seq) = 1"
        return f"{sql} ORDER BY {time}"

    def _publish(self, sheet: Sheet) -> None:
        """Make a draft durable under its own name."""
        path = self._manifest.folder / sheet.path
        draft = path.with_name(f"{path.name}.tmp")
        _sync(draft)
        os.rename(draft, path)
        for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
            _sync(folder)

    def _swap(
        self,
        cursor: duckdb.DuckDBPyConnection,
        bulk: Bulk,
        slices: Sequence[_Slice],
        sheets: Sequence[Sheet],
        now: datetime,
    ) -> None:
        for piece in slices:
            cursor.execute(f"DELETE FROM {bulk.hot} WHERE {piece.where(quoted(bulk.table.time))}")
        for sheet in sheets:
            self._manifest.add(cursor, sheet, now)
        create_bulk_view(cursor, bulk, self._manifest.files(cursor, bulk.key))

    def compact(self, bulk: Bulk, now: datetime) -> int:
        """Merge the small files of one hour, later of one day, into one; at most a few merges a call.

        Returns:
            How many merges were made.
        """
        with self._database.snapshot() as cursor:
            merges = _merges(self._manifest.sheets(cursor, bulk.key), now)[:_MERGES]
            sheets = [self._merged(cursor, bulk, group) for group in merges]
        for group, sheet in zip(merges, sheets, strict=True):
            self._publish(sheet)
            with self._database.change() as cursor:
                self._manifest.bury(cursor, [old.path for old in group], now)
                self._manifest.add(cursor, sheet, now)
                create_bulk_view(cursor, bulk, self._manifest.files(cursor, bulk.key))
        return len(merges)

    def _merged(self, cursor: duckdb.DuckDBPyConnection, bulk: Bulk, group: Sequence[Sheet]) -> Sheet:
        start, seq = group[0].t_min.astimezone(UTC), max(s.seq for s in group)
        path = _path(bulk, start)
        files = parquet_sql([self._manifest.folder / s.path for s in group])
        return self._write(cursor, bulk, path, f"SELECT * FROM {files} ORDER BY {quoted(bulk.table.time)}", seq)

    def retain(self, bulk: Bulk, now: datetime, keep: timedelta) -> int:
        """Take files of `bulk` whose newest row is older than `keep` out of its table; how many."""
        with self._database.change() as cursor:
            old = [s.path for s in self._manifest.sheets(cursor, bulk.key) if s.t_max < now - keep]
            if old:
                self._manifest.bury(cursor, old, now)
                create_bulk_view(cursor, bulk, self._manifest.files(cursor, bulk.key))
        return len(old)

    def shrink(self, bulks: Sequence[Bulk], now: datetime, size_bytes: int) -> int:
        """Take the oldest raw files out of their tables until all files together are within `size_bytes`; how many."""
        raw = {b.key: b for b in bulks if b.table.name in RAW}
        with self._database.snapshot() as cursor:
            sheets = [s for b in bulks for s in self._manifest.sheets(cursor, b.key)]
        over = sum(s.size for s in sheets) - size_bytes
        leaving: list[Sheet] = []
        for sheet in sorted((s for s in sheets if s.key in raw), key=lambda s: (s.t_max, s.path)):
            if over <= 0:
                break
            leaving.append(sheet)
            over -= sheet.size
        if leaving:
            _LOG.warning("event=size_cap files=%d until=%s", len(leaving), leaving[-1].t_max.isoformat())
            with self._database.change() as cursor:
                self._manifest.bury(cursor, [s.path for s in leaving], now)
                for key in {s.key for s in leaving}:
                    create_bulk_view(cursor, raw[key], self._manifest.files(cursor, key))
        return len(leaving)

    def sweep(self, now: datetime) -> int:
        """Unlink files that left their table longer than the grace before `now`; how many."""
        with self._database.change() as cursor:
            return self._manifest.unlink_dead(cursor, now - GRACE)


def _path(bulk: Bulk, start: datetime) -> str:
    """A name no file ever had: a dead file is unlinked by name long after others took its rows."""
    return f"lake/{bulk.folder}/date={start:%Y-%m-%d}/{start:%H%M}-{uuid4().hex[:12]}.parquet"


def _slices(cursor: duckdb.DuckDBPyConnection, bulk: Bulk, bound: datetime) -> list[_Slice]:
    """Hot rows before `bound`, by hour when younger than three hours, else by day."""
    time = quoted(bulk.table.time)
    recent = _instant(bound - _BY_HOUR)
    found = cursor.execute(
        f"SELECT CASE WHEN {time} >= {recent} THEN date_trunc('hour', {time}) ELSE date_trunc('day', {time}) END AS start, "
        f"{time} >= {recent} AS young, count(*), max(seq), min({time}), max({time}) FROM {bulk.hot} WHERE {time} < {_instant(bound)} GROUP BY ALL ORDER BY 1, 2"
    ).fetchall()
    return [_slice(row, bound) for row in found]


def _slice(row: tuple[datetime, bool, int, int, datetime, datetime], bound: datetime) -> _Slice:
    start, young, rows, seq, low, high = row
    start, recent = start.astimezone(UTC), bound - _BY_HOUR
    if young:
        return _Slice(max(start, recent), min(start + timedelta(hours=1), bound), rows, seq, low, high)
    return _Slice(start, min(start + timedelta(days=1), recent), rows, seq, low, high)


def _floor(instant: datetime, length: timedelta = WINDOW) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (instant - epoch) // length * length


def _instant(moment: datetime) -> str:
    return f"TIMESTAMPTZ {literal(moment.astimezone(UTC).isoformat())}"


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _merges(sheets: Sequence[Sheet], now: datetime) -> list[list[Sheet]]:
    """Groups of files, each in order of time, that should be one: whole past days, then whole past hours."""
    for length, rest in ((timedelta(days=1), timedelta(hours=3)), (timedelta(hours=1), timedelta(minutes=30))):
        spans: dict[datetime, list[Sheet]] = defaultdict(list)
        for sheet in sheets:
            start = _floor(sheet.t_min, length)
            if start == _floor(sheet.t_max, length) and start + length + rest <= now:
                spans[start].append(sheet)
        groups = [g for g in spans.values() if len(g) > 1 and sum(s.size for s in g) <= _MERGED_BYTES]
        if groups:
            return groups
    return []


def joined(done: Sequence[Sealed]) -> Sealed:
    """Several seals as one."""
    rows = {key: count for s in done for key, count in s.rows.items()}
    return Sealed(rows, sum(s.files for s in done), sum(s.duplicates for s in done))
