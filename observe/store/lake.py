"""Hot rows of closed windows become Parquet files under `lake/<table>/date=…/`, once each.

COPY runs in a read snapshot bounded by the batch sequence while intake goes on; then fsync, rename,
fsync of the folder; then one transaction names the files, deletes the hot rows and recreates the
view, so that other cursors see the old or the new. A file without a line is an orphan and removed
at the next start. Rows that share an identity are sealed once.

Source: our own; MECHANISMS (c).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

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
        path = f"lake/{bulk.folder}/date={piece.start:%Y-%m-%d}/{piece.start:%H%M}-{piece.end:%dT%H%M}-{piece.seq}.parquet"
        draft = self._manifest.folder / f"{path}.tmp"
        draft.parent.mkdir(parents=True, exist_ok=True)
        rows = self._rows_sql(cursor, bulk, piece)
        cursor.execute(f"COPY ({rows}) TO {literal(str(draft))} (FORMAT parquet, COMPRESSION zstd)")
        time = quoted(bulk.table.time)
        [(count, low, high, newest)] = cursor.execute(
            f"SELECT count(*), min({time}), max({time}), max(ingested_at) FROM {parquet_sql([draft])}"
        ).fetchall()
        if not count:
            draft.unlink()
        size = draft.stat().st_size if count else 0
        return Sheet(bulk.key, path, low, high, count, size, piece.seq, newest)

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

    def retain(self, bulk: Bulk, now: datetime, keep: timedelta) -> int:
        """Take files of `bulk` whose newest row is older than `keep` out of its table; how many."""
        with self._database.change() as cursor:
            gone = cursor.execute(
                "UPDATE core.manifest SET dead_at = $now WHERE table_name = $table AND dead_at IS NULL AND t_max < $limit",
                {"now": now, "table": bulk.key, "limit": now - keep},
            ).fetchall()[0][0]
            if gone:
                create_bulk_view(cursor, bulk, self._manifest.files(cursor, bulk.key))
        return int(gone)

    def sweep(self, now: datetime) -> int:
        """Unlink files that left their table longer than the grace before `now`; how many."""
        with self._database.change() as cursor:
            return self._manifest.unlink_dead(cursor, now - GRACE)


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
    start, young, *content = row
    start = start.astimezone(UTC)
    if young:
        return _Slice(max(start, bound - _BY_HOUR), min(start + timedelta(hours=1), bound), *content)
    return _Slice(start, min(start + timedelta(days=1), bound - _BY_HOUR), *content)


def _floor(instant: datetime) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (instant - epoch) // WINDOW * WINDOW


def _instant(moment: datetime) -> str:
    return f"TIMESTAMPTZ {literal(moment.astimezone(UTC).isoformat())}"


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def joined(parts: Iterator[Sealed]) -> Sealed:
    """Several seals as one."""
    done = list(parts)
    rows = {key: count for s in done for key, count in s.rows.items()}
    return Sealed(rows, sum(s.files for s in done), sum(s.duplicates for s in done))
