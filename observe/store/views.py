"""The views people read: bulk tables as hot rows and sealed files, and what is folded from them.

`source_sql` says what a bulk table is made of; the SQL of the other views stands in `views.sql`, so
the service, a pruned read and a snapshot for another process all say the same.

Source: our own; MECHANISMS (c).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files as resources
from pathlib import Path
from typing import Final

import duckdb

from observe.schema import TABLES
from observe.store.ddl import PREDICTION, Bulk, core_table, literal, native_tables, quoted
from observe.store.folds import open_sql

_FIXED: Final = tuple(c.name for c in TABLES["prediction"].columns)


@cache
def derived() -> Mapping[str, str]:
    """SQL of every view that is not a bulk table, by name, each after the ones it uses."""
    plain = {t.name: f"SELECT * FROM {core_table(t)}" for t in native_tables()}
    return plain | {name: _opened(_without_comments(body)) for name, body in _blocks().items()}


def _opened(sql: str) -> str:
    """`sql` with `$open(rollup)` written out: the rows that are not in it yet."""
    return re.sub(r"\$open\((\w+)\)", lambda m: open_sql(m[1]), sql)


@cache
def _blocks() -> Mapping[str, str]:
    text = resources("observe.store").joinpath("views.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- view: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@cache
def derived_docs() -> Mapping[str, str]:
    """What each view of `views.sql` shows, one line each."""
    return {name: body.splitlines()[0].removeprefix("-- ") for name, body in _blocks().items()}


@cache
def column_docs() -> Mapping[str, Mapping[str, str]]:
    """What columns of the views of `views.sql` mean, by view and column, where it is said."""
    said = re.compile(r"^-- \* (\w+): (.*)$", re.MULTILINE)
    return {name: dict(said.findall(body)) for name, body in _blocks().items()}


def _without_comments(body: str) -> str:
    return "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip()


def parquet_sql(files: Sequence[Path]) -> str:
    """A scan of `files`, at least one; columns are matched by name."""
    return f"read_parquet([{', '.join(literal(str(f)) for f in files)}], union_by_name=true, hive_partitioning=false)"


def source_sql(hot: str, files: Sequence[Path], where: str = "") -> str:
    """A query for the rows of a bulk table: hot table `hot` and sealed `files`, filtered by `where` if given."""
    tail = f" WHERE {where}" if where else ""
    sql = f"SELECT * EXCLUDE (seq) FROM {hot}{tail}"
    return f"{sql} UNION ALL BY NAME SELECT * FROM {parquet_sql(files)}{tail}" if files else sql


def predictions_sql(models: Mapping[str, str]) -> str:
    """A query for the fixed columns of all predictions; `models` maps each model to its relation."""
    columns = ", ".join(quoted(c) for c in _FIXED)
    if not models:
        empty = ", ".join(f"NULL::{c.sql} AS {quoted(c.name)}" for c in TABLES["prediction"].columns)
        return f"SELECT NULL::VARCHAR AS model_id, {empty} WHERE false"
    parts = (f"SELECT {literal(m)} AS model_id, {columns} FROM {relation}" for m, relation in sorted(models.items()))
    return " UNION ALL ".join(parts)


def create_bulk_view(cursor: duckdb.DuckDBPyConnection, bulk: Bulk, files: Sequence[Path]) -> None:
    """(Re)create the view of one bulk table over its hot rows and sealed `files`."""
    cursor.execute(f"CREATE OR REPLACE VIEW {bulk.view} AS {source_sql(bulk.hot, files)}")


def create_predictions_view(cursor: duckdb.DuckDBPyConnection, bulks: Sequence[Bulk]) -> None:
    """(Re)create the view `prediction` over the views of all models."""
    relations = {b.key.removeprefix(PREDICTION): b.view for b in bulks if b.table.name == "prediction"}
    cursor.execute(f"CREATE OR REPLACE VIEW prediction AS {predictions_sql(relations)}")


def create_derived_views(cursor: duckdb.DuckDBPyConnection) -> None:
    """(Re)create every view of `derived`; bulk views must exist."""
    for name, sql in derived().items():
        cursor.execute(f"CREATE OR REPLACE VIEW {quoted(name)} AS {sql}")
