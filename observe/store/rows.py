"""Incoming frames become rows of a table: exact columns and types, a source, and a key in every row.

Source: our own; the columns are those of `observe.schema`.
"""

from __future__ import annotations

from collections.abc import Sequence
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
_NONE: Final[Hashes] = np.empty(0, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one batch for one table, ready to be written.

    What identifies rows is hashed when they are written, for all parts of a commit at once.
    """

    key: str  # table name, or prediction:<model>
    table: Table
    frame: pl.DataFrame
    missing_key: int  # rows left out because their time or an id was NULL


def hashed(parts: Sequence[Part]) -> list[Hashes]:
    """For each of `parts` of one table a hash of every row: of its identity, or its time where it has none."""
    table = parts[0].table
    columns = identity(table) or (table.time,)
    frames = [p.frame[list(columns)] if p.frame.height else None for p in parts]
    whole = [f for f in frames if f is not None]
    hashes = row_hashes(pl.concat(whole), columns) if whole else _NONE
    ends = np.cumsum([p.frame.height for p in parts])[:-1]
    return list(np.split(hashes, ends))


def checksum(hashes: Hashes) -> str:
    """16 hex digits over the hashes of rows, in any order."""
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

    Columns the frame lacks are left to the insert, which makes them NULL; numbers and truth values
    that may not be NULL become 0 and false.

    Raises:
        StoreError: an unknown table, or a column the table does not have.
    """
    table = table_of(key)
    columns = _conform(table, frame, source, features=key.startswith(PREDICTION))
    rows = pl.DataFrame(list(columns.values()))
    whole = _with_keys(table, rows)
    return Part(key, table, whole, frame.height - whole.height)


def _conform(table: Table, frame: pl.DataFrame, source: str, *, features: bool) -> dict[str, pl.Series]:
    types, zeros = _types(table)
    columns: dict[str, pl.Series] = {}
    for name, present in frame.schema.items():
        kind = types.get(name)
        if kind is not None:
            column = frame.get_column(name)
            column = column if present == kind else _cast(column, kind)
            columns[name] = column.fill_null(zeros[name]) if name in zeros and column.null_count() else column
        elif features:
            columns[name] = frame.get_column(name)
        elif name != _FILLED_BY_STORE:
            raise StoreError(f"table {table.name} has no column {name!r}; there are: {', '.join(types)}")
    for name, zero in zeros.items():
        if name not in columns:
            columns[name] = _constant(name, zero, types[name], frame.height)
    return _described(table, columns, source, frame.height)


def _described(table: Table, columns: dict[str, pl.Series], source: str, height: int) -> dict[str, pl.Series]:
    """Fill what every source may leave out: the source itself, and when a device was first seen."""
    if "source" in _types(table)[0]:
        given = columns.get("source")
        if given is None:
            columns["source"] = _constant("source", source, pl.String, height)
        elif given.null_count():
            columns["source"] = given.fill_null(source)
    if table.name == "gpu_device" and "last_seen" in columns:
        last = columns["last_seen"].alias("first_seen")
        columns["first_seen"] = columns["first_seen"].zip_with(columns["first_seen"].is_not_null(), last) if (
            "first_seen" in columns) else last  # fmt: skip
    return columns


def _with_keys(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows whose time and ids are all there."""
    keys = (table.time, *table.ids)
    if any(k not in rows.columns for k in keys):
        return rows.clear()
    if all(rows.get_column(k).null_count() == 0 for k in keys):
        return rows
    return rows.filter(pl.all_horizontal(pl.col(k).is_not_null() for k in keys))


@cache
def _types(table: Table) -> tuple[dict[str, Any], dict[str, Any]]:
    """Polars types by column, and the columns that may not be NULL with what stands for nothing."""
    types = {name: kind for name, kind in frame_schema(table).items() if name != _FILLED_BY_STORE}
    return types, {c.name: _ZERO[c.sql] for c in table.columns if not c.nullable and c.sql in _ZERO}


def _constant(name: str, value: Any, kind: Any, height: int) -> pl.Series:
    return pl.Series(name, [value], dtype=kind).new_from_index(0, height)


def _cast(column: pl.Series, kind: Any) -> pl.Series:
    present = column.dtype
    if isinstance(present, pl.Datetime) and isinstance(kind, pl.Datetime):
        aware = column.dt.replace_time_zone("UTC") if present.time_zone is None else column.dt.convert_time_zone("UTC")
        return aware.dt.cast_time_unit("us")
    if present == pl.String and isinstance(kind, pl.Datetime):
        return column.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    return column.cast(kind, strict=False)
