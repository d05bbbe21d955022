"""Native tables that only grow, as Parquet files that grow with them.

A table is a run of files, each over a range of row ids; new rows make a new file, together with the
files before it that are not much larger, so a table of n rows has about log n files and a row is
written about log n times. When rows left (see `forget`) or moved, the table is written anew.

Source: our own; the runs are those of a log-structured merge tree (O'Neil 1996).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from observe.store.ddl import literal

GROWING: Final = frozenset(
    {
        "finding",
        "alert",
        "incident",
        "explanation",
        "reference_window",
        "action",
        "command",
        "delivery",
        "collector_run",
        "change_event",
        "change_outcome",
    }
)  # rows are appended and never changed; those that leave are told to `forget`


@dataclass(frozen=True, slots=True)
class _Part:
    path: Path
    rows: int
    high: int  # the last row id in it


class Parts:
    """Exports growing tables under `folder`; one export at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: dict[str, list[_Part]] = {}
        self._forgotten: set[str] = set()
        self._number = 0
        self._left: dict[Path, float] = {}  # file -> when it left its run, monotonic seconds

    def forget(self, table: str) -> None:
        """Rows of `table` were deleted or changed: write it anew the next time."""
        self._forgotten |= {table}

    def files(self, cursor: duckdb.DuckDBPyConnection, table: str, moment: float) -> list[Path]:
        """Files that hold every row of `table` as the cursor's transaction sees it, at least one."""
        before, forgotten = self._runs.get(table, []), table in self._forgotten
        [(total,)] = cursor.execute(f"SELECT count(*) FROM core.{table}").fetchall()
        run = list(before) if not forgotten and _still(cursor, table, before) else []
        fresh = total - sum(p.rows for p in run)
        if fresh or not run:
            while run and run[-1].rows <= 2 * fresh:
                fresh += run.pop().rows
            if not _still(cursor, table, run):
                run = []
            run.append(self._write(cursor, table, run[-1].high if run else -1))
        self._runs[table] = run
        self._forgotten.discard(table)
        self._left |= {p.path: moment for p in before if p not in run}
        return [p.path for p in run]

    def _write(self, cursor: duckdb.DuckDBPyConnection, table: str, after: int) -> _Part:
        self._number += 1
        path = self._folder / f"core.{table}.{self._number:08d}.parquet"
        self._folder.mkdir(parents=True, exist_ok=True)
        rows = f"FROM core.{table} WHERE rowid > {after}"
        [(written,)] = cursor.execute(
            f"COPY ({rows}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)"
        ).fetchall()
        [(high,)] = cursor.execute(f"SELECT coalesce(max(rowid), {after}) {rows}").fetchall()
        return _Part(path, written, high)

    def remove_old(self, before: float) -> None:
        """Unlink the files that left their run before `before` (monotonic seconds)."""
        for path in [p for p, at in self._left.items() if at < before]:
            path.unlink(missing_ok=True)
            del self._left[path]


def _still(cursor: duckdb.DuckDBPyConnection, table: str, run: list[_Part]) -> bool:
    """Whether the row ids of `run` still mean the rows they meant: a checkpoint closes gaps between them."""
    if not run:
        return True
    sql = f"SELECT count(*) FROM core.{table} WHERE rowid <= {run[-1].high}"
    [(rows,)] = cursor.execute(sql).fetchall()
    return bool(rows == sum(p.rows for p in run))
