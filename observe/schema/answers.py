"""The nouns of prediction services: their answers, halves of calls, and the truth when it comes.

Source: our own columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from observe.schema.table import Noun


@dataclass(frozen=True, slots=True)
class Prediction(Noun):
    """One answer of a prediction service; one table per model, features as typed columns beside these."""

    table_name, bulk, ids = "prediction", True, ("prediction_id", "item_idx")
    ts: Annotated[datetime, "when it was answered"]
    prediction_id: Annotated[str, "id within the model"]
    item_idx: Annotated[int, "position inside a batch request"]
    model_version: Annotated[str | None, "version that answered"]
    variant: Annotated[str | None, "default | canary | shadow"]
    entity_key: Annotated[str | None, "what it is about"]
    latency_s: Annotated[float | None, "s"]
    prediction: Annotated[str | None, "the answer as given"]
    score: Annotated[float | None, "numeric answer or probability"]
    trace_id: Annotated[str | None, "joins attempts"]
    orphan: Annotated[str | None, "request_only | response_only; NULL when whole"]
    sampled_of: Annotated[
        int | None, "NULL while all of a day are there; else this row was sampled from so many when its day left"
    ]
    quality: Annotated[int, "bit flags: 16 a feature had another type and was blanked"]
    source: Annotated[str, "collector that took it"]
    ingested_at: Annotated[datetime, "when it was stored"]


@dataclass(frozen=True, slots=True)
class PredictionHalf(Noun):
    """One side of a call to a model server that came before the other; both together become predictions."""

    table_name, bulk, ids = "prediction_half", True, ("model_id", "half_id", "side")
    ts: Annotated[datetime, "when it was logged"]
    half_id: Annotated[str, "id that request and response share; prediction_id of their rows"]
    side: Annotated[str, "request | response"]
    model_id: Annotated[str, "canonical model, aliases resolved"]
    namespace: Annotated[str | None, "of the inference service"]
    variant: Annotated[str | None, "default | canary | shadow"]
    trace_id: Annotated[str | None, "joins attempts"]
    body: Annotated[str, "what was asked or answered, as JSON"]
    quality: Annotated[int, "bit flags"]
    source: Annotated[str, "collector that took it"]
    ingested_at: Annotated[datetime, "when it was stored"]


@dataclass(frozen=True, slots=True)
class Label(Noun):
    """The truth about one prediction, when it comes; later revisions do not erase earlier ones."""

    table_name, bulk, ids = "label", True, ("model_id", "prediction_id", "item_idx", "revision")
    ts: Annotated[datetime, "when the label became available"]
    model_id: Annotated[str, "model"]
    prediction_id: Annotated[str, "id within the model"]
    item_idx: Annotated[int, "position inside a batch request"]
    revision: Annotated[int, "0 for the first"]
    value: Annotated[str | None, "the truth as given"]
    value_num: Annotated[float | None, "the truth as a number"]
    ts_event: Annotated[datetime | None, "when it happened"]
    quality: Annotated[int, "bit flags"]
    source: Annotated[str, "collector that took it"]
    ingested_at: Annotated[datetime, "when it was stored"]
