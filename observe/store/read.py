"""Questions to the store: SQL in, a frame or an Arrow stream out, all from one moment.

Without a window the views answer, which scan every sealed file of a table. With a window each bulk
table named in the SQL, and those beneath `request`, `gpu_5m`, `device_5m`, `queue_5m`, `traffic_1m` and `prediction`, stands for
its rows of that window only: hot ones and those of the few files that overlap it. Plain columns of many sealed
predictions are read without DuckDB (`sealed`).

Source: our own; MECHANISMS (c), the two doors.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl
import pyarrow as pa

from observe.errors import QueryError
from observe.schema import Window
from observe.store import sealed
from observe.store.database import Database
from observe.store.ddl import Bulk, bulk_tables, literal, quoted
from observe.store.isolating import Isolation
from observe.store.manifest import Manifest
from observe.store.predictions import all_bulks, model_of
from observe.store.views import derived, predictions_sql, source_sql

_FOLDED: Final[Mapping[str, tuple[str, ...]]] = {
    "request": ("attempt",), "gpu_5m": ("gpu_fleet_5m",), "device_5m": ("gpu_1m",), "queue_5m": ("serving_5m",), "traffic_1m": ("attempt_1m",),
}  # fmt: skip
_ROWS: Final = re.compile(r"\s*select\s+(?:\*|ts, try_cast)", re.IGNORECASE)  # as many as a table has
_MODEL_VIEW: Final = re.compile(r'\bpredictions\s*\.\s*(?:"((?:[^"]|"")+)"|(\w+))', re.IGNORECASE)
# DuckDB says that such an answer is copied once; a relation binds the views twice, and most answers are small
warnings.filterwarnings("ignore", "Arrow output on a DB-API result", UserWarning)


class Reader:
    """Answers queries; safe to use from many threads."""

    def __init__(self, database: Database, manifest: Manifest, isolation: Isolation) -> None:
        self._database, self._manifest, self._isolation = database, manifest, isolation

    def table(self, sql: str, params: Mapping[str, Any] | None = None, window: Window | None = None) -> pa.Table:
        """The answer to one SELECT as an Arrow table; sums of integers are int64, decimals float64.

        Args:
            sql: one SELECT, parameters as `$name`.
            params: values of the parameters.
            window: only rows of bulk tables inside it exist for this query.

        Raises:
            QueryError: not one SELECT, or DuckDB refuses it; the message is DuckDB's.
        """
        return self._isolation.surviving(lambda: self._answer(sql, params, window), sql)

    def _answer(self, sql: str, params: Mapping[str, Any] | None, window: Window | None) -> pa.Table:
        try:
            with self._database.snapshot() as cursor:
                plain = sealed.columns(cursor, self._manifest, sql, params) if window is not None else None
                if plain is not None:
                    return plain.to_arrow(compat_level=pl.CompatLevel.oldest())
                text = _single_select(cursor, sql)
                if window is not None:
                    text = self._pruned(cursor, text, window)
                return _plain(_asked(cursor, text, dict(params) if params else None, many=bool(_ROWS.match(sql))))
        except duckdb.Error as error:
            raise QueryError(str(error)) from error

    def frame(self, sql: str, params: Mapping[str, Any] | None = None, window: Window | None = None) -> pl.DataFrame:
        """The same as a Polars frame."""
        answer = pl.from_arrow(self.table(sql, params, window))
        assert isinstance(answer, pl.DataFrame)
        return answer

    def stream(self, sql: str, params: Mapping[str, Any] | None = None, window: Window | None = None) -> bytes:
        """The same as the bytes of an Arrow IPC stream."""
        table = self.table(sql, params, window)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return bytes(sink.getvalue())

    def _pruned(self, cursor: duckdb.DuckDBPyConnection, sql: str, window: Window) -> str:
        every = all_bulks(cursor) if "prediction" in sql.casefold() else bulk_tables()
        bulks = {b.view.replace('"', "").casefold(): b for b in every}
        sql = _MODEL_VIEW.sub(lambda m: _shadow(m, bulks), sql)
        ctes = ", ".join(f"{name} AS ({body})" for name, body in self._parts(cursor, sql, bulks, window))
        return f"WITH {ctes} SELECT * FROM (\n{sql}\n)" if ctes else sql

    def _parts(
        self, cursor: duckdb.DuckDBPyConnection, sql: str, bulks: Mapping[str, Bulk], window: Window
    ) -> Iterator[tuple[str, str]]:
        """Names and bodies of the relations that stand for the tables named in `sql`."""
        words = {w.casefold() for w in re.findall(r"\w+", sql)}
        folded = [view for view in _FOLDED if view in words]
        needed = words.union(*(_FOLDED[view] for view in folded))
        of_all = "prediction" in needed
        used = {
            name: bulk for name, bulk in bulks.items()
            if name in needed or (bulk.table.name == "prediction" and (of_all or f'"{name}"' in sql))
        }  # fmt: skip
        files = self._manifest.overlapping(cursor, {bulk.key for bulk in used.values()}, window)
        for name, bulk in used.items():
            yield quoted(name), _source(bulk, files.get(bulk.key, []), window)
        models = {model_of(b): quoted(name) for name, b in used.items() if b.table.name == "prediction"}
        if of_all:
            yield "prediction", predictions_sql(models)
        for view in folded:
            yield view, derived()[view]


def _source(bulk: Bulk, files: Sequence[Path], window: Window) -> str:
    """A query for the rows of a table in a window."""
    time = quoted(bulk.table.time)
    start, end = (literal(t.astimezone(UTC).isoformat()) for t in (window.start, window.end))
    return source_sql(bulk.hot, files, f"{time} >= TIMESTAMPTZ {start} AND {time} < TIMESTAMPTZ {end}")


def _asked(cursor: duckdb.DuckDBPyConnection, sql: str, params: dict[str, Any] | None, *, many: bool) -> pa.Table:
    """The answer of DuckDB: rows of tables as they are without a copy, anything else planned once instead of twice."""
    asked = cursor.sql(sql, params=params) if many else cursor.execute(sql, params)
    answer: pa.Table = asked.to_arrow_table()
    return answer


def _single_select(cursor: duckdb.DuckDBPyConnection, sql: str) -> str:
    statements = cursor.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryError("exactly one SELECT is expected; the store is written through batches and changes")
    return statements[0].query.rstrip().rstrip(";")


def _shadow(match: re.Match[str], bulks: Mapping[str, Bulk]) -> str:
    name = (match[1] or match[2]).replace('""', '"').casefold()
    return quoted(f"predictions.{name}") if f"predictions.{name}" in bulks else match[0]


def _plain(table: pa.Table) -> pa.Table:
    """HUGEINT comes as decimal(38, 0) and DECIMAL as decimal; nobody downstream wants either."""
    fields = [
        f.with_type(pa.int64() if f.type.scale == 0 else pa.float64()) if pa.types.is_decimal(f.type) else f
        for f in table.schema
    ]
    return table.cast(pa.schema(fields)) if fields != list(table.schema) else table
