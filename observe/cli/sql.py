"""`observe sql`: a person's query over a stopped data directory or, through the service, a running one.

Either way the query runs in the sandboxed worker over Parquet; the database file is never opened
by it.

Source: our own; TRUST section 1.5.
"""

from __future__ import annotations

import io
import json
import sys
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from observe.cli.directory import exported, folder
from observe.cli.service import Service, owner
from observe.errors import QueryError, SourceError, StoreLocked

if TYPE_CHECKING:
    import polars as pl


def run(query: str, site: Path | None, directory: Path | None, *, output: str, fresh: bool, quiet: bool) -> int:
    """Print the answer on stdout; 0 also when it is empty."""
    directory = folder(site, directory)
    try:
        frame, watermark = _stopped(query, directory)
    except StoreLocked:
        frame, watermark = through(query, owner(directory), fresh)
    if not quiet:
        sys.stderr.write(f"{frame.height} rows, data up to {watermark}\n")
    _print(frame, output)
    return 0


def through(query: str, service: Service, fresh: bool) -> tuple[pl.DataFrame, str]:
    """The answer of a running service, and up to when its data goes; `fresh` includes the last seconds.

    Raises:
        QueryError: the service refuses the query.
        SourceError: it does not answer.
    """
    import httpx
    import polars as pl

    try:
        with service.client() as client:
            answer = client.post("/api/v1/sql", json={"sql": query, "fresh": fresh})
    except httpx.HTTPError as error:
        raise SourceError(f"the service at {service.url} did not answer: {error}") from error
    if answer.status_code != 200:
        message = (
            answer.json().get("error", answer.text) if "json" in answer.headers.get("content-type", "") else answer.text
        )
        raise (QueryError if answer.status_code == 400 else SourceError)(message)
    _warn_if_cut(answer.headers.get("x-observe-truncated") == "true")
    return pl.read_ipc_stream(io.BytesIO(answer.content)), answer.headers.get("x-observe-watermark", "")


def _stopped(query: str, directory: Path) -> tuple[pl.DataFrame, str]:
    import polars as pl

    from observe.sqlworker import Limits, SqlWorker

    with exported(directory, query) as (snapshot, roots):
        worker = SqlWorker(roots, allow_unsandboxed=True)
        worker.start()
        try:
            answer = worker.query(query, snapshot.views, Limits())
        finally:
            worker.stop()
    _warn_if_cut(answer.truncated)
    return pl.read_ipc_stream(io.BytesIO(answer.arrow_ipc)), str(snapshot.watermark)


def _warn_if_cut(truncated: bool) -> None:
    if truncated:
        sys.stderr.write("warning: the answer was cut at the row cap; add a LIMIT or aggregate\n")


def _print(frame: pl.DataFrame, output: str) -> None:
    if output == "parquet":
        frame.write_parquet(sys.stdout.buffer)
    elif output == "csv":
        sys.stdout.write(_flat(frame).write_csv())
    elif output == "json":
        sys.stdout.write(_json(frame))
    else:
        _table(frame)


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Lists and structs as JSON, for CSV has neither."""
    import polars as pl

    def told(column: pl.Series) -> pl.Series:
        texts = [None if v is None else json.dumps(v, default=_plain, ensure_ascii=False) for v in column.to_list()]
        return pl.Series(column.name, texts, pl.String)

    return frame.with_columns(told(column) for column in frame if column.dtype.is_nested())


def _plain(value: object) -> str | int | float:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):  # DuckDB's sum of integers is a decimal
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else str(value)


def _json(frame: pl.DataFrame) -> str:
    rows = [
        {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in row.items()}
        for row in frame.iter_rows(named=True)
    ]
    return json.dumps(rows, default=_plain, ensure_ascii=False) + "\n"


def _table(frame: pl.DataFrame) -> None:
    from rich.table import Table
    from rich.text import Text

    from observe.cli.tables import show

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, dtype in frame.schema.items():
        table.add_column(Text(name), justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for row in frame.iter_rows():
        table.add_row(*(Text("" if v is None else str(v)) for v in row))
    show(table)
