"""Plain columns of sealed predictions, read by Polars for half the processor time that DuckDB takes.

Whoever counts a long past asks for nothing but columns of one model between two instants. Where these rows
lie in sealed files only, and the files hold the columns in the types that are asked for, the files are
read as they are. Anything else, a damaged file too, is DuckDB's: it says what is wrong.

Source: our own; measured by `bench.summaries`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl
from polars.exceptions import PolarsError

from observe.store.ddl import Bulk, quoted
from observe.store.manifest import Manifest
from observe.store.predictions import model_bulks

MANY: Final = 20_000  # rows of the files from which it pays
_TYPES: Final[Mapping[str, Any]] = {"DOUBLE": pl.Float64, "VARCHAR": pl.String}
_NAME: Final = r'"((?:[^"]|"")+)"'
_COLUMN: Final = re.compile(rf"try_cast\({_NAME} as (DOUBLE|VARCHAR)\) as (\w+)")
_PLAIN: Final = re.compile(
    rf"select ts, (?P<columns>{_COLUMN.pattern}(?:, {_COLUMN.pattern})*)"
    r' from predictions\."(?P<relation>(?:[^"]|"")+)" where true and ts >= \$from and ts < \$to'
)


def columns(
    cursor: duckdb.DuckDBPyConnection,
    manifest: Manifest,
    sql: str,
    params: Mapping[str, Any] | None,
) -> pl.DataFrame | None:
    """The answer to `sql` where it is that simple; None where DuckDB has to give it.

    Args:
        cursor: a snapshot.
        manifest: which files there are.
        sql: any SELECT.
        params: values of its parameters.
    """
    plain = _PLAIN.fullmatch(sql)
    if plain is None:
        return None
    name, given = plain["relation"].replace('""', '"').casefold(), params or {}
    bulk = next((b for b in model_bulks(cursor) if b.name.casefold() == name), None)
    start, end = given.get("from"), given.get("to")
    if bulk is None or not (isinstance(start, datetime) and isinstance(end, datetime)):
        return None
    wanted = [(c.replace('""', '"'), _TYPES[kind], name) for c, kind, name in _COLUMN.findall(plain["columns"])]
    sheets = [s for s in manifest.sheets(cursor, bulk.key) if s.t_max >= start and s.t_min < end]
    if sum(s.rows for s in sheets) < MANY or _any_hot(cursor, bulk, start, end):
        return None
    return read([manifest.folder / s.path for s in sheets], wanted, start, end)


def _any_hot(cursor: duckdb.DuckDBPyConnection, bulk: Bulk, start: datetime, end: datetime) -> bool:
    """Whether rows of the period are not sealed."""
    time = quoted(bulk.table.time)
    sql = f"SELECT 1 FROM {bulk.hot} WHERE {time} >= $start AND {time} < $end LIMIT 1"
    return bool(cursor.execute(sql, {"start": start, "end": end}).fetchall())


def read(
    files: Sequence[Path], wanted: Sequence[tuple[str, Any, str]], start: datetime, end: datetime
) -> pl.DataFrame | None:
    """The columns of files between two instants; None where a file cannot be read, or lacks a column in its type.

    Args:
        files: Parquet files with a column `ts`.
        wanted: column, type, and what it is called in the answer.
        start: the first instant.
        end: the one behind the last.
    """
    within = (pl.col("ts") >= start) & (pl.col("ts") < end)
    shown = ["ts", *(pl.col(column).alias(name) for column, _, name in wanted)]
    try:
        scans = [pl.scan_parquet(path, glob=False) for path in files]
        for types in (scan.collect_schema() for scan in scans):
            if any(types.get(column) != kind for column, kind, _ in wanted):
                return None
        return pl.concat([scan.filter(within).select(shown) for scan in scans]).collect()
    except (PolarsError, OSError):
        return None
