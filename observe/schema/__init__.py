"""The nouns of Observe: every stored noun is one frozen dataclass and one table.

Times are aware UTC, windows half-open, fractions 0-1, units in the name at the edge.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping

from observe.schema.answers import Label, Prediction, PredictionHalf
from observe.schema.changed import ChangeOutcome
from observe.schema.exchange import Batch, Decision, Detected, Evidence, Message, Parsed, Receipt, Reply
from observe.schema.explanation import Explanation
from observe.schema.narration import Narration
from observe.schema.outcomes import (
    OWN_LEVELS,
    Action,
    Alert,
    Binning,
    Command,
    Delivery,
    Finding,
    Incident,
    KeptReport,
    Monitor,
    Severity,
    Summary,
)
from observe.schema.reference import ReferenceWindow
from observe.schema.rollups import ROLLUPS, AttemptHour, AttemptMinute, GpuFleet, GpuHour, GpuMinute, ServingFiveMinutes
from observe.schema.scaling import CapacityMatch, ScalingDecision
from observe.schema.service import CollectorRun, ServiceSample
from observe.schema.sources import (
    ERROR_KINDS,
    Attempt,
    ChangeEvent,
    GpuDevice,
    GpuSample,
    LogEvent,
    MetricSample,
    ServingSample,
)
from observe.schema.table import Column, Json, Noun, Table, Window
from observe.schema.trained import TrainingColumn

NOUNS: tuple[type[Noun], ...] = (
    GpuSample, GpuDevice, ServingSample, MetricSample, LogEvent, Attempt, Prediction, PredictionHalf, Label, ChangeEvent,
    Binning, Summary, Finding, Alert, Incident, Explanation, Narration, Action, Command, Delivery, KeptReport, CollectorRun, ServiceSample,
    ReferenceWindow, TrainingColumn, ChangeOutcome, ScalingDecision, CapacityMatch, *ROLLUPS,
)  # fmt: skip
TABLES: Mapping[str, Table] = {noun.table_name: noun.table() for noun in NOUNS}

__all__ = [
    "ERROR_KINDS", "NOUNS", "OWN_LEVELS", "ROLLUPS", "TABLES", "Action", "Alert", "Attempt", "AttemptHour", "AttemptMinute", "Batch", "Binning", "CapacityMatch", "ChangeEvent", "ChangeOutcome", "CollectorRun", "Column",
    "Command", "Decision", "Delivery", "Detected", "Evidence", "Explanation", "Finding", "GpuDevice", "GpuFleet", "GpuHour", "GpuMinute", "GpuSample", "Incident", "Json", "KeptReport", "Label", "LogEvent",
    "Message", "MetricSample", "Monitor", "Narration", "Noun", "Parsed", "Prediction", "PredictionHalf", "Receipt", "ReferenceWindow", "Reply", "ScalingDecision", "ServiceSample", "ServingFiveMinutes", "ServingSample", "Severity",
    "Summary", "Table", "TrainingColumn", "Window",
]  # fmt: skip
