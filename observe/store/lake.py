"""Hot rows of closed windows become Parquet files under `lake/<table>/date=…/`, once each.

COPY runs in a read snapshot bounded by the batch sequence while intake goes on; then fsync, rename,
fsync of the folder; then one transaction names the files, deletes the hot rows and recreates the
view, so that other cursors see the old or the new. A file without a line is an orphan and removed
at the next start. Rows that share an identity are sealed once.

Source: our own; MECHANISMS (c).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

import duckdb

from observe.schema import Window
from observe.store.checksums import checksum
from observe.store.database import Database
from observe.store.ddl import Bulk, literal, quoted
from observe.store.durable import sync
from observe.store.folds import FOLDED
from observe.store.manifest import Manifest, Sheet
from observe.store.merging import floor, merges
from observe.store.rollups import Rolled, Rollups
from observe.store.rows import identity
from observe.store.views import create_bulk_view, parquet_sql

WINDOW: Final = timedelta(minutes=5)  # windows of event time are sealed whole
GRACE: Final = timedelta(seconds=60)  # between leaving the manifest and unlinking; longer than any query
_BY_HOUR: Final = timedelta(hours=3)  # rows younger than this go to one file an hour, older ones to one a day
_ORDER: Final = {
    "attempt_1m": ("model_id",),
    "attempt_1h": ("model_id",),
    "gpu_1m": ("device_id",),
    "gpu_1h": ("device_id",),
}  # whom pages choose
_TICK: Final = timedelta(microseconds=1)  # the resolution of event time


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one seal did with rows that came in: rows by table, files written, rows dropped because they were there already."""

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
        self._rollups = Rollups(manifest)

    def seal(self, bulk: Bulk, now: datetime) -> Sealed:
        """Seal every window of `bulk` whose end and lateness have passed at `now`."""
        bound = floor(now - bulk.lateness, WINDOW)
        with self._database.snapshot() as cursor:
            slices = _slices(cursor, bulk, bound)
            written = [s for piece in slices if (s := self._copy(cursor, bulk, piece)).rows]
            rolled = self._rollups.fold(cursor, bulk, [self._draft(s) for s in written], bound)
        if not slices and rolled is None:
            return Sealed()
        self.publish(written)
        with self._database.change() as cursor:
            if slices:
                self._swap(cursor, bulk, slices, written, now)
            self._roll(cursor, rolled, now)
        rows = sum(s.rows for s in written)
        return Sealed({bulk.key: rows} if slices else {}, len(written), sum(s.rows for s in slices) - rows)

    def _roll(self, cursor: duckdb.DuckDBPyConnection, rolled: Rolled | None, now: datetime) -> None:
        if rolled is not None:
            rolled.write(cursor, self._database.seq, now)

    def roll(self, bulk: Bulk, now: datetime) -> int:
        """Fold files that were sealed when there were no rollups, each in a transaction; how many."""
        if bulk.key not in FOLDED:
            return 0
        with self._database.snapshot() as cursor:
            sheets = [s for s in self._manifest.sheets(cursor, bulk.key) if not s.rolled]
        for sheet in sheets:
            with self._database.snapshot() as cursor:
                file = self._manifest.folder / sheet.path
                rolled = self._rollups.fold(cursor, bulk, [file], floor(sheet.t_max, WINDOW) + WINDOW)
            with self._database.change() as cursor:
                self._roll(cursor, rolled, now)
                self._manifest.mark_rolled(cursor, sheet.path)
        return len(sheets)

    def _copy(self, cursor: duckdb.DuckDBPyConnection, bulk: Bulk, piece: _Slice) -> Sheet:
        return self.write(cursor, bulk, piece.start, self._rows_sql(cursor, bulk, piece), piece.seq)

    def _draft(self, sheet: Sheet) -> Path:
        return self._manifest.folder / f"{sheet.path}.tmp"

    def write(self, cursor: duckdb.DuckDBPyConnection, bulk: Bulk, start: datetime, rows: str, seq: int) -> Sheet:
        """A draft of a file with `rows`, the oldest at `start`, and what it holds; no draft is left when it holds none."""
        return self._write(cursor, bulk, _path(bulk, start), rows, seq)

    def _write(self, cursor: duckdb.DuckDBPyConnection, bulk: Bulk, path: str, rows: str, seq: int) -> Sheet:
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
        summed, rolled = checksum(draft) if count else None, bulk.key in FOLDED
        return Sheet(bulk.key, path, low, high, count, size, seq, newest, summed, rolled=rolled)

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

    def publish(self, sheets: Sequence[Sheet]) -> None:
        """Make drafts durable under their own names."""
        folders: dict[Path, None] = {}
        for sheet in sheets:
            path = self._manifest.folder / sheet.path
            draft = self._draft(sheet)
            sync(draft)
            os.rename(draft, path)
            folders |= dict.fromkeys(path.parents[:3])
        for folder in folders:
            sync(folder)

    def _swap(
        self,
        cursor: duckdb.DuckDBPyConnection,
        bulk: Bulk,
        slices: Sequence[_Slice],
        sheets: Sequence[Sheet],
        now: datetime,
    ) -> None:
        if sum(s.rows for s in slices) > sum(s.rows for s in sheets):
            self._note_duplicates(cursor, bulk, slices, sheets)
        for piece in slices:
            cursor.execute(f"DELETE FROM {bulk.hot} WHERE {piece.where(quoted(bulk.table.time))}")
        for sheet in sheets:
            self._manifest.add(cursor, sheet, now)
        create_bulk_view(cursor, bulk, self._manifest.files(cursor, bulk.key))

    def _note_duplicates(
        self, cursor: duckdb.DuckDBPyConnection, bulk: Bulk, slices: Sequence[_Slice], sheets: Sequence[Sheet]
    ) -> None:
        where = " OR ".join(f"({piece.where(quoted(bulk.table.time))})" for piece in slices)
        cursor.execute(
            f"INSERT INTO core.departure SELECT $key, max(ingested_at), $rows, 'duplicate', max(ingested_at) "
            f"FROM {bulk.hot} WHERE {where}",
            {"key": bulk.key, "rows": sum(s.rows for s in slices) - sum(s.rows for s in sheets)},
        )

    def compact(self, bulk: Bulk, now: datetime) -> int:
        """Merge small files, see `merging`.

        Returns:
            How many merges were made.
        """
        with self._database.snapshot() as cursor:
            groups = merges(self._manifest.sheets(cursor, bulk.key), now)
            sheets = [self._merged(cursor, bulk, group) for group in groups]
        for group, sheet in zip(groups, sheets, strict=True):
            self.publish([sheet])
            with self._database.change() as cursor:
                self._manifest.bury(cursor, [old.path for old in group], now)
                self._manifest.add(cursor, sheet, now)
                create_bulk_view(cursor, bulk, self._manifest.files(cursor, bulk.key))
        return len(groups)

    def _merged(self, cursor: duckdb.DuckDBPyConnection, bulk: Bulk, group: Sequence[Sheet]) -> Sheet:
        start, seq = group[0].t_min.astimezone(UTC), max(s.seq for s in group)
        files = parquet_sql([self._manifest.folder / s.path for s in group])
        order = ", ".join((*_ORDER.get(bulk.key, ()), quoted(bulk.table.time)))
        sheet = self.write(cursor, bulk, start, f"SELECT * FROM {files} ORDER BY {order}", seq)
        return replace(sheet, rolled=group[0].rolled)

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


def _instant(moment: datetime) -> str:
    return f"TIMESTAMPTZ {literal(moment.astimezone(UTC).isoformat())}"


def joined(done: Sequence[Sealed]) -> Sealed:
    """Several seals as one."""
    rows = {key: count for s in done for key, count in s.rows.items()}
    return Sealed(rows, sum(s.files for s in done), sum(s.duplicates for s in done))
