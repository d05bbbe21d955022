"""Incoming frames become rows of a table: exact columns and types, a source, and a key in every row.

Source: our own; the columns are those of `observe.schema`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import polars as pl

from observe.errors import StoreError
from observe.schema import TABLES, Table
from observe.schema.exchange import frame_schema
from observe.store.ddl import PREDICTION
from observe.store.seen import Hashes, row_hashes

_FILLED_BY_STORE: Final = "ingested_at"
_ZERO: Final[dict[str, Any]] = {"BIGINT": 0, "BOOLEAN": False}


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one batch for one table, ready to be written.

    `hashes` identify the rows within their source, one each; None where a table has no ids.
    """

    key: str  # table name, or prediction:<model>
    table: Table
    frame: pl.DataFrame
    hashes: Hashes | None
    missing_key: int  # rows left out because their time or an id was NULL

    @property
    def checksum(self) -> str:
        """16 hex digits over the identities, or the times, of the rows; order does not matter."""
        hashes = row_hashes(self.frame, [self.table.time]) if self.hashes is None else self.hashes
        return f"{int(np.add.reduce(hashes, dtype=np.uint64)):016x}"


def table_of(key: str) -> Table:
    """The table that rows under `key` belong to.

    Raises:
        StoreError: there is no such table.
    """
    name = "prediction" if key.startswith(PREDICTION) and len(key) > len(PREDICTION) else key
    if name not in TABLES or key == "prediction":
        known = ", ".join(sorted(set(TABLES) - {"prediction"}))
        raise StoreError(f"no table named {key!r}; there are: {known}, prediction:<model>")
    return TABLES[name]


def identity(table: Table) -> tuple[str, ...]:
    """Columns that identify a row: its source, where the table has one, and its ids."""
    if not table.ids:
        return ()
    sourced = any(c.name == "source" for c in table.columns) and table.name != "gpu_device"
    return ("source", *table.ids) if sourced else table.ids


def part(key: str, frame: pl.DataFrame, source: str) -> Part:
    """The rows of `frame` as they will be stored under `key`; features of predictions stay as they came.

    Raises:
        StoreError: an unknown table, or a column the table does not have.
    """
    table = table_of(key)
    rows = _conform(table, frame, source, features=key.startswith(PREDICTION))
    keys = (table.time, *table.ids)
    whole = rows.filter(pl.all_horizontal(pl.col(k).is_not_null() for k in keys))
    hashes = row_hashes(whole, identity(table)) if table.ids else None
    return Part(key, table, whole, hashes, rows.height - whole.height)


def _conform(table: Table, frame: pl.DataFrame, source: str, *, features: bool) -> pl.DataFrame:
    types = _types(table)
    strange = [c for c in frame.columns if c not in types and c != _FILLED_BY_STORE]
    if strange and not features:
        raise StoreError(f"table {table.name} has no column {strange[0]!r}; there are: {', '.join(types)}")
    columns = [_column(c.name, c.sql, c.nullable, frame, types[c.name]) for c in table.columns if c.name in types]
    rows = frame.with_columns(columns).select(*types, *strange)
    if "source" in types:
        rows = rows.with_columns(pl.col("source").fill_null(source))
    if table.name == "gpu_device":
        rows = rows.with_columns(pl.col("first_seen").fill_null(pl.col("last_seen")))
    return rows


@cache
def _types(table: Table) -> dict[str, Any]:
    return {name: kind for name, kind in frame_schema(table).items() if name != _FILLED_BY_STORE}


def _column(name: str, sql: str, nullable: bool, frame: pl.DataFrame, kind: Any) -> pl.Expr:
    filling = None if nullable else _ZERO.get(sql)
    if name not in frame.columns:
        return pl.lit(filling, dtype=kind).alias(name)
    present, column = frame.schema[name], pl.col(name)
    if present != kind:
        column = _cast(column, present, kind)
    return column if filling is None else column.fill_null(filling)


def _cast(column: pl.Expr, present: pl.DataType, kind: Any) -> pl.Expr:
    if isinstance(present, pl.Datetime) and isinstance(kind, pl.Datetime):
        aware = column.dt.replace_time_zone("UTC") if present.time_zone is None else column.dt.convert_time_zone("UTC")
        return aware.dt.cast_time_unit("us")
    if present == pl.String and isinstance(kind, pl.Datetime):
        return column.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    return column.cast(kind, strict=False)
