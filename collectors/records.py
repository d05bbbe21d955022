"""NDJSON or Parquet bodies become rows of one table; what cannot be stored is counted by reason.

    syntax, missing_key, bad_ts   see `collectors.ndjson`
    too_old, in_future            outside what this intake takes

Source: our own; limits of event time in TRUST section 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from collectors.instants import bounds
from collectors.ndjson import Records, Shape, read_ndjson
from collectors.parquet import MAGIC, read_parquet
from observe.errors import PayloadError
from observe.schema import Parsed, Table

if TYPE_CHECKING:
    import polars as pl

STAMPED: Final = frozenset({"source", "ingested_at", "seq"})  # columns that only the store writes
PARQUET_TYPES: Final = frozenset({"application/vnd.apache.parquet", "application/x-parquet", "application/parquet"})


def shape_of(
    table: Table,
    required: tuple[str, ...],
    *,
    hidden: frozenset[str] = frozenset(),
    aliases: Mapping[str, str] | None = None,
    features: bool = False,
) -> Shape:
    """What a reader has to know of a table.

    Args:
        table: whose columns are the fixed ones.
        required: columns without which a row is refused.
        hidden: columns that no sender may fill.
        aliases: other names that senders use for columns.
        features: whether unknown keys are kept as features.
    """
    types = {c.name: c.sql for c in table.columns if c.name not in STAMPED | hidden}
    reserved = frozenset({c.name for c in table.columns} | STAMPED | {"features"})
    return Shape(types, required, reserved, aliases or {}, features)


def read(payload: bytes, shape: Shape, labels: Mapping[str, str]) -> Records:
    """A body as columns: Parquet by its first bytes, else NDJSON or one JSON array.

    Raises:
        PayloadError: Parquet was announced and is not there, or the body cannot be read as a whole.
    """
    if payload.startswith(MAGIC):
        return read_parquet(payload, shape)
    if labels.get("content_type", "").partition(";")[0].strip().lower() in PARQUET_TYPES:
        raise PayloadError("the content type says Parquet but the body does not begin with PAR1")
    return read_ndjson(payload, shape)


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
    frame = records.frame
    if len(records.refused):
        low, high = bounds(at, labels)
        refused = _refused(frame, records.refused, low, high)
        rejected.update({str(reason): n for reason, n in refused.drop_nulls().value_counts().iter_rows()})
        frame = frame.filter(refused.is_null()) if frame.width else pl.DataFrame()
    tables = {table: frame} if frame.height else {}
    return Parsed(tables, offered, dict(rejected), dict(records.notes), records.examples)


def _refused(frame: pl.DataFrame, refused: pl.Series, low: int, high: int) -> pl.Series:
    import polars as pl

    if "ts" not in frame.columns:
        return refused
    us = frame["ts"].cast(pl.Int64)
    told = (
        pl.when(refused.is_not_null())
        .then(refused)
        .when(us < low)
        .then(pl.lit("too_old"))
        .when(us > high)
        .then(pl.lit("in_future"))
    )
    return pl.select(told).to_series()
