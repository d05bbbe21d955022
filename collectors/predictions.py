"""Prediction logs: one row for each answer of a prediction service, with its features.

NDJSON, one object a line; one JSON array; or `{"predictions": […]}`:

    {"prediction_id": "p-1", "ts": "2026-11-20T12:00:00Z", "model_version": "3", "variant": "default",
     "entity_key": "card-7", "latency_s": 0.004, "prediction": "fraud", "score": 0.93,
     "trace_id": "…", "item_idx": 0, "features": {"amount": 31.5, "country": "NL"}}

The same rows come as CSV with a header, as Arrow (stream or file) or as Parquet; one table gives the
same frame in every format. Lines of a SageMaker data capture are understood too.

Only `prediction_id` and `ts` are required. `ts` is ISO 8601 (UTC where it names no zone) or an epoch
number in s, ms, µs or ns. Every key not named above is a feature too, so flat rows and Parquet files
with one column a feature work as they are. A feature is a number where all its values in the body
are numbers, true or false where all are, else text; nested values become NULL and are counted; a
feature named as a fixed column is stored as `<name>_feature`. Without a `score` a numeric
`prediction` is the score.

Rows go to table `prediction:<model>`; the model is the label `model`.

Source: our own format; SOURCES section 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Final

from collectors.inference import captured
from collectors.records import parsed, read, shape_of
from collectors.shape import Records, Shape
from observe.errors import PayloadError
from observe.schema import TABLES, Parsed

_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


@cache
def prediction_shape(*, orphan: bool = False) -> Shape:
    """What a reader of predictions knows; `orphan` where the rows are of our own making."""
    shape = shape_of(
        TABLES["prediction"],
        ("prediction_id", "ts"),
        hidden=frozenset({"quality"}) if orphan else frozenset({"quality", "orphan"}),
        aliases={"id": "prediction_id", "timestamp": "ts", "time": "ts"},
        features=True,
    )
    return shape if orphan else replace(shape, wrapper="predictions", spread=captured)


def parse(payload: bytes, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """The predictions of a body.

    Args:
        payload: NDJSON, JSON, CSV, Arrow IPC or Parquet.
        at: now, aware UTC.
        labels: `model` (needed), `content_type`, `types`, `accept_past_s`, `accept_future_s`.

    Raises:
        PayloadError: no model, or the body cannot be read as a whole.
    """
    model = model_of(labels)
    records = read(payload, prediction_shape(), labels)
    return parsed(completed(records), f"prediction:{model}", at, labels)


def model_of(labels: Mapping[str, str]) -> str:
    """The model a body is about.

    Raises:
        PayloadError: the label is missing or cannot name a model.
    """
    model = labels.get("model", "")
    if not _MODEL.fullmatch(model):
        raise PayloadError(
            f"label model={model[:64]!r} cannot name a model; expected letters, digits and . _ : / -, at most 128"
        )
    return model


def completed(records: Records) -> Records:
    """The same with defaults: item 0, and the score of a numeric prediction."""
    import polars as pl

    frame = records.frame
    if not frame.width:
        return records
    if "item_idx" not in frame.columns:
        frame = frame.hstack([pl.Series("item_idx", [0], pl.Int64).new_from_index(0, frame.height)])
    elif frame["item_idx"].null_count():
        frame = frame.with_columns(pl.col("item_idx").fill_null(0))
    if "prediction" in frame.columns:
        number = pl.col("prediction").cast(pl.Float64, strict=False)
        number = pl.when(number.is_finite()).then(number)
        frame = frame.with_columns(score=pl.coalesce("score", number) if "score" in frame.columns else number)
    records.frame = frame
    return records
