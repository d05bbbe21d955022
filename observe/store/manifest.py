"""Which Parquet files belong to which bulk table, and what span of event time each holds.

A file that leaves its table is first marked dead and unlinked after a grace longer than any query.

Source: our own; MECHANISMS (c).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb

from observe.errors import StoreError
from observe.schema import Window
from observe.store.ddl import bulk_tables

SUFFIX: Final = ".damaged"  # of a file that was set aside, in its own folder
_LIVE = "SELECT path FROM core.manifest WHERE table_name = $table AND dead_at IS NULL"
_LIVE_ALL: Final = "SELECT path FROM core.manifest WHERE dead_at IS NULL"
_OURS: Final = re.compile(  # as lake.py names them
    r"lake/(?:prediction/[^/]+|(?:TABLES))/date=\d{4}-\d\d-\d\d/"
    r"(?:\d{4}-[0-9a-f]{12}\.parquet|[^/]+\.parquet\.tmp)".replace("TABLES", "|".join(b.name for b in bulk_tables()))
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sealed file: where it is (relative to the data directory) and what it holds."""

    key: str
    path: str
    t_min: datetime
    t_max: datetime
    rows: int
    size: int  # bytes
    seq: int  # newest commit it may hold rows of
    ingested_max: datetime
    checksum: str | None = None  # sha256 of the file, 64 hex digits; None when it was sealed before 0.2
    reservoir: bool = False  # a sample of predictions whose day has left
    rolled: bool = False  # its rows are in the rollups; false for tables without


class Manifest:
    """The list of sealed files, read in the caller's transaction."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self, cursor: duckdb.DuckDBPyConnection, key: str, window: Window | None = None) -> list[Path]:
        """Live files of a bulk table in order of time; with a window only those that overlap it."""
        sql, params = _LIVE, {"table": key}
        if window is not None:
            sql += " AND t_max >= $start AND t_min < $end"
            params |= {"start": window.start, "end": window.end}  # type: ignore[dict-item]
        rows = cursor.execute(f"{sql} ORDER BY t_min, path", params).fetchall()
        return [self.folder / path for (path,) in rows]

    def overlapping(
        self, cursor: duckdb.DuckDBPyConnection, keys: Collection[str], window: Window
    ) -> Mapping[str, list[Path]]:
        """Live files of some bulk tables that overlap a window, in order of time."""
        found: dict[str, list[Path]] = defaultdict(list)
        sql = (
            "SELECT table_name, path FROM core.manifest WHERE list_contains($keys, table_name) AND dead_at IS NULL"
            " AND t_max >= $start AND t_min < $end ORDER BY t_min, path"
        )
        rows = cursor.execute(sql, {"keys": list(keys), "start": window.start, "end": window.end}).fetchall()
        for key, path in rows:
            found[key].append(self.folder / path)
        return found

    def all_files(self, cursor: duckdb.DuckDBPyConnection) -> Mapping[str, list[Path]]:
        """Live files of every bulk table in order of time."""
        found: dict[str, list[Path]] = defaultdict(list)
        sql = "SELECT table_name, path FROM core.manifest WHERE dead_at IS NULL ORDER BY t_min, path"
        for key, path in cursor.execute(sql).fetchall():
            found[key].append(self.folder / path)
        return found

    def sheets(self, cursor: duckdb.DuckDBPyConnection, key: str) -> list[Sheet]:
        """Live files of a bulk table with what they hold, in order of time."""
        rows = cursor.execute(
            "SELECT table_name, path, t_min, t_max, rows, bytes, seq, ingested_max, checksum, "
            "coalesce(reservoir, false), coalesce(rolled, false) FROM core.manifest "
            "WHERE table_name = ? AND dead_at IS NULL ORDER BY t_min, path", [key],
        ).fetchall()  # fmt: skip
        return [Sheet(*row) for row in rows]

    def bury(self, cursor: duckdb.DuckDBPyConnection, paths: Sequence[str], now: datetime) -> None:
        """Let files no longer belong to their table; they stay on disk for the grace."""
        cursor.execute("UPDATE core.manifest SET dead_at = ? WHERE list_contains(?, path)", [now, list(paths)])

    def leave(self, cursor: duckdb.DuckDBPyConnection, paths: Sequence[str], now: datetime, reason: str) -> None:
        """Let files no longer belong to their table, with their rows; `verify` then does not miss them."""
        cursor.execute(
            "INSERT INTO core.departure SELECT table_name, ingested_max, rows, $reason, $now FROM core.manifest "
            "WHERE list_contains($paths, path)", {"reason": reason, "now": now, "paths": list(paths)},
        )  # fmt: skip
        self.bury(cursor, paths, now)

    def add(self, cursor: duckdb.DuckDBPyConnection, sheet: Sheet, now: datetime) -> None:
        """Let a file belong to its table."""
        cursor.execute(
            "INSERT INTO core.manifest VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?)",
            [sheet.key, sheet.path, sheet.t_min, sheet.t_max, sheet.rows, sheet.size, sheet.seq,
             sheet.ingested_max, now, sheet.checksum, sheet.reservoir, sheet.rolled],
        )  # fmt: skip

    def mark_rolled(self, cursor: duckdb.DuckDBPyConnection, path: str) -> None:
        """The rows of a file are in the rollups from now on."""
        cursor.execute("UPDATE core.manifest SET rolled = true WHERE path = ?", [path])

    def unlink_dead(self, cursor: duckdb.DuckDBPyConnection, before: datetime | None = None) -> int:
        """Remove dead files and their lines: those that died by `before`, or all; how many."""
        where = "dead_at IS NOT NULL" if before is None else "dead_at <= $before"
        params = {} if before is None else {"before": before}
        paths = cursor.execute(f"SELECT path FROM core.manifest WHERE {where}", params).fetchall()
        for (path,) in paths:
            (self.folder / path).unlink(missing_ok=True)
        cursor.execute(f"DELETE FROM core.manifest WHERE {where}", params)
        return len(paths)

    def remove_orphans(self, cursor: duckdb.DuckDBPyConnection) -> int:
        """Unlink files of our making under the lake that no line names, left by a process that died.

        Other files stay.

        Returns:
            How many were unlinked.
        """
        named = {path for (path,) in cursor.execute("SELECT path FROM core.manifest").fetchall()}
        orphans = [path for path in self._found() - named if _OURS.fullmatch(path)]
        for path in orphans:
            (self.folder / path).unlink()
        return len(orphans)

    def refuse_gaps(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Every file that a line names must be there: else database and lake are not of one moment.

        One that was set aside is there; its line is still there after dying before the commit.

        Raises:
            StoreError: files are missing; nothing was changed.
        """
        named = {path for (path,) in cursor.execute(_LIVE_ALL).fetchall()}
        missing = sorted(named - {path.removesuffix(SUFFIX) for path in self._found()})
        if missing:
            raise StoreError(
                f"{self.folder}: {len(missing)} of {len(named)} sealed files named in observe.duckdb are missing "
                f"({missing[0]}); nothing was changed: put them back, or restore observe.duckdb and lake/ from one backup"
            )

    def refuse_strangers(self) -> None:
        """To be called where no database of ours is: the lake must be empty.

        Raises:
            StoreError: it holds files; nothing was changed.
        """
        found = sorted(self._found())
        if found:
            files = f"{len(found)} file{'s' if len(found) > 1 else ''} ({found[0].removeprefix('lake/')}"
            raise StoreError(
                f"{self.folder}: lake/ holds {files}{', …' if len(found) > 1 else ''}), but there is no observe.duckdb "
                "of Observe that names them; nothing was changed: restore observe.duckdb from the backup that belongs "
                "to this lake, or choose another directory with store.path"
            )

    def _found(self) -> set[str]:
        """Every file under the lake, relative to the data directory."""
        return {str(p.relative_to(self.folder)) for p in (self.folder / "lake").rglob("*") if p.is_file()}
