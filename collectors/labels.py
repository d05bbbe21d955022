"""Labels: the truth about predictions, when it comes.

NDJSON, one object a line, one JSON array, `{"labels": […]}`, or CSV, Arrow or Parquet with the same columns:

    {"prediction_id": "p-1", "value": "fraud", "ts": "2026-11-21T12:00:00Z",
     "item_idx": 0, "revision": 0, "ts_event": "2026-11-20T18:00:00Z"}

`prediction_id` and `value` are required. `ts` says when the label became available (the arrival
when absent), `ts_event` when the thing happened (any time). A later `revision` does not erase an
earlier one. A numeric value, or true and false as 1 and 0, is kept as a number too. The model is
`model_id` (or `model`) of the row, else the label `model`.

Source: our own format; SOURCES section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache

from collectors.predictions import model_of
from collectors.records import parsed, read, shape_of
from collectors.shape import Records, Shape
from observe.schema import TABLES, Parsed


@cache
def _shape() -> Shape:
    aliases = {"model": "model_id", "label": "value", "timestamp": "ts", "ts_available": "ts", "id": "prediction_id"}
    return shape_of(
        TABLES["label"],
        ("prediction_id", "value"),
        hidden=frozenset({"quality", "value_num"}),
        aliases=aliases,
        wrapper="labels",
    )


def parse(payload: bytes, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """The labels of a body.

    Args:
        payload: NDJSON, JSON, CSV, Arrow IPC or Parquet.
        at: now, aware UTC; stands in for an absent `ts`.
        labels: `model` (needed), `content_type`, `accept_past_s`, `accept_future_s`.

    Raises:
        PayloadError: no model, or the body cannot be read as a whole.
    """
    model = model_of(labels)
    records = read(payload, _shape(), labels)
    return parsed(_completed(records, model, at), "label", at, labels)


def _completed(records: Records, model: str, at: datetime) -> Records:
    """Defaults: the body's model, arrival, item 0, revision 0, and the value as a number."""
    import polars as pl

    frame = records.frame
    if not frame.width or "value" not in frame.columns:
        return records
    known = set(frame.columns)
    columns = [pl.col(n).fill_null(0) if n in known else pl.lit(0, pl.Int64).alias(n) for n in ("item_idx", "revision")]
    arrival = pl.lit(at, pl.Datetime("us", "UTC"))
    columns.append((pl.col("ts").fill_null(arrival) if "ts" in known else arrival).alias("ts"))
    columns.append((pl.col("model_id").fill_null(model) if "model_id" in known else pl.lit(model)).alias("model_id"))
    lower = pl.col("value").str.to_lowercase()
    truth = pl.when(lower == "true").then(1.0).when(lower == "false").then(0.0)
    number = pl.col("value").cast(pl.Float64, strict=False)
    columns.append(pl.when(number.is_finite()).then(number).otherwise(truth).alias("value_num"))
    records.frame = frame.with_columns(columns)
    return records
