"""Questions to the store: SQL in, a frame or an Arrow stream out, all from one moment.

Without a window the views answer, which scan every sealed file of a table. With a window each bulk
table named in the SQL, and those beneath `request`, `gpu_5m`, `device_5m`, `queue_5m`, `traffic_1m` and `prediction`, stands for
its rows of that window only: hot ones and those of the few files that overlap it.

Source: our own; MECHANISMS (c), the two doors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any, Final

import duckdb
import polars as pl
import pyarrow as pa

from observe.errors import QueryError
from observe.schema import Window
from observe.store.database import Database
from observe.store.ddl import Bulk, literal, quoted
from observe.store.isolating import Isolation
from observe.store.manifest import Manifest
from observe.store.predictions import all_bulks, model_of
from observe.store.views import derived, predictions_sql, source_sql

_FOLDED: Final[Mapping[str, tuple[str, ...]]] = {
    "request": ("attempt",), "gpu_5m": ("gpu_fleet_5m",), "device_5m": ("gpu_1m",), "queue_5m": ("serving_5m",), "traffic_1m": ("attempt_1m",),
}  # fmt: skip
_MODEL_VIEW: Final = re.compile(r'\bpredictions\s*\.\s*(?:"((?:[^"]|"")+)"|(\w+))', re.IGNORECASE)


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
                text = _single_select(cursor, sql)
                if window is not None:
                    text = self._pruned(cursor, text, window)
                answer = cursor.sql(text, params=dict(params) if params else None)
                return _plain(answer.to_arrow_table())
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
        bulks = {b.view.replace('"', "").casefold(): b for b in all_bulks(cursor)}
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
        models = {}
        for name, bulk in bulks.items():
            of_model = bulk.table.name == "prediction"
            if name in needed or (of_model and ("prediction" in needed or f'"{name}"' in sql)):
                yield quoted(name), self._source(cursor, bulk, window)
                if of_model:
                    models[model_of(bulk)] = quoted(name)
        if "prediction" in needed:
            yield "prediction", predictions_sql(models)
        for view in folded:
            yield view, derived()[view]

    def _source(self, cursor: duckdb.DuckDBPyConnection, bulk: Bulk, window: Window) -> str:
        time = quoted(bulk.table.time)
        start, end = (literal(t.astimezone(UTC).isoformat()) for t in (window.start, window.end))
        where = f"{time} >= TIMESTAMPTZ {start} AND {time} < TIMESTAMPTZ {end}"
        return source_sql(bulk.hot, self._manifest.files(cursor, bulk.key, window), where)


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
