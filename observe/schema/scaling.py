"""What is answered to scalers, and which idle devices could help which starved model.

Source: our own; docs/scaling.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from observe.schema.table import Json, Noun


@dataclass(frozen=True, slots=True)
class ScalingDecision(Noun):
    """How many replicas a model needs, as told to scalers; a row when the answer or its reason changed."""

    table_name, ids = "scaling_decision", ("model", "ts")
    ts: Annotated[datetime, "when it was decided"]
    model: Annotated[str, "model it is about"]
    sure: Annotated[bool, "whether a number was told; if not, scalers keep to their fallback"]
    running: Annotated[int | None, "replicas there were"]
    replicas: Annotated[int | None, "replicas asked for; NULL when unsure"]
    load_units: Annotated[float | None, "replicas' worth of load, before reserve and envelope"]
    binding: Annotated[
        str,
        "present load | forecast | kv cache | slo burn | warm pool | action | price | minReplicas | maxReplicas | patience | unsure | stale",
    ]
    said: Annotated[str, "why, one line"]
    evidence: Annotated[Json, "every constraint with its number, capacity of a replica, forecast, envelope"]


@dataclass(frozen=True, slots=True)
class CapacityMatch(Noun):
    """Idle devices that a starved model could use, or why it could not; rows of one ts belong together."""

    table_name, ids = "capacity_match", ("ts", "model", "cluster", "sku")
    ts: Annotated[datetime, "when they were compared"]
    model: Annotated[str, "starved model"]
    starved: Annotated[str, "what shows that it is starved, one line"]
    replicas_short: Annotated[int, "replicas it lacks"]
    cluster: Annotated[str, "where devices idle"]
    sku: Annotated[str, "their product"]
    idle: Annotated[int, "how many idle"]
    fits: Annotated[Literal["yes", "no", "unknown"], "whether the model may and can run there"]
    replicas: Annotated[int | None, "replicas the idle devices could hold; NULL when unknown"]
    devices_each: Annotated[int | None, "devices of one replica there"]
    why: Annotated[str, "what speaks for and against it: memory, residency, distance, egress"]
    rtt_s: Annotated[float | None, "declared round trip between the clusters, s"]
    saved_usd_h: Annotated[
        float | None,
        "what as many new replicas like the declared would cost, less egress: devices that idle are paid for; USD/h; NULL without prices",
    ]
    idle_usd_h: Annotated[float | None, "what those devices cost while they idle, USD/h"]
