"""A body in any format becomes rows of one table; what cannot be stored is counted by reason.

    syntax, missing_key, bad_ts   see `collectors.ndjson`, `collectors.delimited`
    too_old, in_future            outside what this intake takes

Source: our own; limits of event time in TRUST section 2.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from collectors.delimited import DELIMITERS, read_delimited
from collectors.instants import bounds
from collectors.ipc import is_ipc, read_ipc
from collectors.ndjson import read_ndjson
from collectors.parquet import MAGIC, read_parquet
from collectors.shape import EXAMPLE, Records, Shape
from observe.errors import PayloadError
from observe.schema import Parsed, Table

if TYPE_CHECKING:
    import polars as pl

STAMPED: Final = frozenset({"source", "ingested_at", "seq"})  # columns that only the store writes
PARQUET_TYPES: Final = frozenset({"application/vnd.apache.parquet", "application/x-parquet", "application/parquet"})
ARROW_TYPES: Final = frozenset({"application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"})
TEXT_TABLE_TYPES: Final = frozenset({"text/csv", "application/csv", "text/tab-separated-values"})
_JSON_STARTS: Final = (b"{", b"[")


def shape_of(
    table: Table,
    required: tuple[str, ...],
    *,
    hidden: frozenset[str] = frozenset(),
    aliases: Mapping[str, str] | None = None,
    features: bool = False,
    wrapper: str = "",
) -> Shape:
    """What a reader has to know of a table.

    Args:
        table: whose columns are the fixed ones.
        required: columns without which a row is refused.
        hidden: columns that no sender may fill.
        aliases: other names that senders use for columns.
        features: whether unknown keys are kept as features.
        wrapper: key of a JSON object that holds all rows in an array.
    """
    types = {c.name: c.sql for c in table.columns if c.name not in STAMPED | hidden}
    reserved = frozenset({c.name for c in table.columns} | STAMPED | {"features"})
    return Shape(types, required, reserved, aliases or {}, features, wrapper)


def read(payload: bytes, shape: Shape, labels: Mapping[str, str]) -> Records:
    """A body as columns: the format is told by its first bytes, then by the content type, else it is JSON.

    Args:
        payload: Parquet, Arrow IPC (stream or file), CSV, NDJSON or JSON.
        shape: of the table.
        labels: `content_type`; `types`, JSON of the SQL types of features that the model has already.

    Raises:
        PayloadError: a format was announced and is not there, or the body cannot be read as a whole.
    """
    if payload.startswith(MAGIC):
        return read_parquet(payload, shape)
    if is_ipc(payload):
        return read_ipc(payload, shape)
    kind = media_type(labels)
    if kind in PARQUET_TYPES:
        raise PayloadError("the content type says Parquet but the body does not begin with PAR1")
    if kind in ARROW_TYPES:
        raise PayloadError("the content type says Arrow but the body begins like neither a stream nor a file of it")
    if is_text_table(payload, kind):
        return read_delimited(payload, shape, json.loads(labels.get("types") or "{}"))
    return read_ndjson(payload, shape)


def media_type(labels: Mapping[str, str]) -> str:
    """The content type without its parameters, lower case."""
    return labels.get("content_type", "").partition(";")[0].strip().lower()


def is_text_table(payload: bytes, kind: str) -> bool:
    """Whether a body is CSV: it is said to be, or nothing that we know is said and it begins like a header."""
    start = payload[:4096].removeprefix(codecs.BOM_UTF8).lstrip()
    if not start or start.startswith(_JSON_STARTS):
        return False
    if kind in TEXT_TABLE_TYPES or start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    line = start.partition(b"\n")[0].decode(errors="replace").strip()
    return "json" not in kind and line.replace("\t", " ").isprintable() and any(d in line for d in DELIMITERS)


def parsed(records: Records, table: str, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """The rows that can be stored; the others counted.

    Args:
        records: with a column `ts`.
        table: key of the rows in `Parsed.tables`.
        at: now, aware UTC.
        labels: `accept_past_s`, `accept_future_s`.
    """
    import polars as pl

    rejected: Counter[str] = Counter(records.lost)
    offered = sum(rejected.values()) + len(records.refused)
    frame, examples = records.frame, records.examples
    if len(records.refused):
        low, high = bounds(at, labels)
        refused = _refused(frame, records.refused, low, high)
        if refused.null_count() < len(refused):
            rejected.update({str(reason): n for reason, n in refused.drop_nulls().value_counts().iter_rows()})
            examples = {**_examples(frame, refused), **examples}
            frame = frame.filter(refused.is_null()) if frame.width else pl.DataFrame()
    tables = {table: frame} if frame.height else {}
    return Parsed(tables, offered, dict(rejected), dict(records.notes), examples)


def _examples(frame: pl.DataFrame, refused: pl.Series) -> dict[str, str]:
    """By reason the first row that is refused for it: what it says, times in us, without what is absent or nested."""
    import polars.selectors as cs

    firsts = {str(reason): (refused == reason).arg_max() or 0 for reason in refused.drop_nulls().unique().to_list()}
    plain = frame.select(~cs.nested()).with_columns(cs.temporal().to_physical())  # no time is too large for a number
    rows = {reason: plain.row(i, named=True) for reason, i in firsts.items()} if plain.width else {}
    said = {reason: {k: v for k, v in row.items() if v is not None} for reason, row in rows.items()}
    return {reason: repr(row)[:EXAMPLE] for reason, row in said.items()}


def _refused(frame: pl.DataFrame, refused: pl.Series, low: int, high: int) -> pl.Series:
    import polars as pl

    if "ts" not in frame.columns:
        return refused
    us = frame["ts"].cast(pl.Int64)
    first, last = us.min(), us.max()
    if isinstance(first, int) and isinstance(last, int) and low <= first and last <= high:
        return refused  # all in time, as nearly always: no need to ask row by row
    told = (
        pl.when(refused.is_not_null())
        .then(refused)
        .when(us < low)
        .then(pl.lit("too_old"))
        .when(us > high)
        .then(pl.lit("in_future"))
    )
    return pl.select(told).to_series()
