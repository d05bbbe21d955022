"""The nouns of Observe: every stored noun is one frozen dataclass and one table.

Times are aware UTC, windows half-open, fractions 0-1, units in the name at the edge.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping

from observe.schema.exchange import Batch, Decision, Detected, Evidence, Message, Parsed, Receipt, Reply
from observe.schema.outcomes import (
    Action,
    Alert,
    Binning,
    CollectorRun,
    Command,
    Delivery,
    Finding,
    Incident,
    Monitor,
    Severity,
    Summary,
)
from observe.schema.sources import (
    Attempt,
    ChangeEvent,
    GpuDevice,
    GpuSample,
    Label,
    MetricSample,
    Prediction,
    ServingSample,
)
from observe.schema.table import Column, Json, Noun, Table, Window

NOUNS: tuple[type[Noun], ...] = (
    GpuSample, GpuDevice, ServingSample, MetricSample, Attempt, Prediction, Label, ChangeEvent,
    Binning, Summary, Finding, Alert, Incident, Action, Command, Delivery, CollectorRun,
)  # fmt: skip
TABLES: Mapping[str, Table] = {noun.table_name: noun.table() for noun in NOUNS}

__all__ = [
    "NOUNS", "TABLES", "Action", "Alert", "Attempt", "Batch", "Binning", "ChangeEvent", "CollectorRun", "Column",
    "Command", "Decision", "Delivery", "Detected", "Evidence", "Finding", "GpuDevice", "GpuSample", "Incident", "Json", "Label",
    "Message", "MetricSample", "Monitor", "Noun", "Parsed", "Prediction", "Receipt", "Reply", "ServingSample", "Severity",
    "Summary", "Table", "Window",
]  # fmt: skip
