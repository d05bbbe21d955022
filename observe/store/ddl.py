"""Where rows live in the database file: schemas, tables and quoting.

`core` holds native tables and bookkeeping, `hot` the newest rows of bulk tables, `main` the views
people read, `predictions` one view per model.

Source: our own; ARCHITECTURE section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from observe.schema import ROLLUPS, TABLES, Table

SCHEMA_VERSION: Final = 2  # see migrations.py; written to core.meta, a newer one is refused
SCHEMAS: Final = ("core", "hot", "predictions")
PREDICTION: Final = "prediction:"  # prefix of the table key of one model's predictions

_LATENESS: Final = {  # how long after its end a window still takes rows; ARCHITECTURE section 3, Time
    "attempt": timedelta(seconds=60),
    "gpu_sample": timedelta(seconds=30),
    "serving_sample": timedelta(seconds=30),
    "metric_sample": timedelta(seconds=30),
    "prediction": timedelta(minutes=5),
    **{noun.table_name: timedelta(hours=1) for noun in ROLLUPS},  # a file an hour, not one every five minutes
}

BOOKKEEPING: Final = """
CREATE TABLE IF NOT EXISTS core.meta (key VARCHAR PRIMARY KEY, value VARCHAR);
CREATE TABLE IF NOT EXISTS core.batch (
  source VARCHAR, batch_id VARCHAR, seq BIGINT, table_name VARCHAR, rows BIGINT, checksum VARCHAR,
  rejected VARCHAR, committed_at TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS core.manifest (
  table_name VARCHAR, path VARCHAR, t_min TIMESTAMPTZ, t_max TIMESTAMPTZ, rows BIGINT, bytes BIGINT,
  seq BIGINT, ingested_max TIMESTAMPTZ, sealed_at TIMESTAMPTZ, dead_at TIMESTAMPTZ, checksum VARCHAR,
  reservoir BOOLEAN, rolled BOOLEAN);
CREATE TABLE IF NOT EXISTS core.departure (
  table_name VARCHAR, ingested_to TIMESTAMPTZ, rows BIGINT, reason VARCHAR, left_at TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS core.damage (
  found_at TIMESTAMPTZ, kind VARCHAR, subject VARCHAR, t_min TIMESTAMPTZ, t_max TIMESTAMPTZ, rows BIGINT,
  said VARCHAR, todo VARCHAR);
CREATE TABLE IF NOT EXISTS core.state (
  key VARCHAR PRIMARY KEY, value VARCHAR, judged_until TIMESTAMPTZ, updated_at TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS core.setting (key VARCHAR PRIMARY KEY, value VARCHAR);
CREATE TABLE IF NOT EXISTS core.model_table (model VARCHAR PRIMARY KEY, name VARCHAR);
CREATE TABLE IF NOT EXISTS core.feature_column (model VARCHAR, feature VARCHAR, column_name VARCHAR, type VARCHAR);
"""


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Bulk:
    """One bulk table as stored: its key in batches, hot table, view, and folder under the lake."""

    key: str
    table: Table
    name: str  # unique without regard to case, safe in a path

    @property
    def hot(self) -> str:
        """The hot table, quoted."""
        return f"hot.{quoted(self.key if self.key == self.name else PREDICTION + self.name)}"

    @property
    def view(self) -> str:
        """The view that people read, quoted."""
        return quoted(self.name) if self.key == self.name else f"predictions.{quoted(self.name)}"

    @property
    def folder(self) -> str:
        """The folder under the lake, relative."""
        return self.name if self.key == self.name else f"prediction/{self.name}"

    @property
    def lateness(self) -> timedelta:
        """How long after its end a window still takes rows."""
        return _LATENESS.get(self.table.name, timedelta(seconds=60))


def bulk_tables() -> tuple[Bulk, ...]:
    """The bulk tables that always exist; predictions get theirs per model."""
    return tuple(Bulk(t.name, t, t.name) for t in TABLES.values() if t.bulk and t.name != "prediction")


def native_tables() -> tuple[Table, ...]:
    """The tables that stay in the database."""
    return tuple(t for t in TABLES.values() if not t.bulk)


def hot_columns(table: Table) -> str:
    """Column definitions of a hot table; `seq` is the number of the commit that brought the row."""
    return ", ".join(f"{quoted(c.name)} {c.sql}" for c in table.columns) + ", seq BIGINT"


def core_table(table: Table) -> str:
    """A native table, quoted."""
    return f"core.{quoted(table.name)}"


def create_statements() -> Iterator[str]:
    """Everything a data directory needs before views, in order; safe to repeat."""
    for schema in SCHEMAS:
        yield f"CREATE SCHEMA IF NOT EXISTS {schema}"
    yield BOOKKEEPING
    for table in native_tables():
        keyed = ", PRIMARY KEY (device_id)" if table.name == "gpu_device" else ""
        columns = ", ".join(f"{quoted(c.name)} {c.sql}" for c in table.columns)
        yield f"CREATE TABLE IF NOT EXISTS {core_table(table)} ({columns}{keyed})"
    for bulk in bulk_tables():
        yield f"CREATE TABLE IF NOT EXISTS {bulk.hot} ({hot_columns(bulk.table)})"


def missing_columns(table: Table, present: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Columns of `table` (quoted name, SQL type) that a stored table with columns `present` lacks."""
    known = {name.casefold() for name in present}
    return ((quoted(c.name), c.sql) for c in table.columns if c.name.casefold() not in known)
