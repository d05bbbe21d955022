"""What passes between stages: batches in, evidence out, findings back, decisions on.

Frames are Polars; `frame_schema` gives the exact column types a table's frame must have.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from observe.schema.outcomes import Action, Alert, Binning, Finding, Incident, Monitor
from observe.schema.table import Json, Table, Window

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a collector made of one body: rows by table, and how many items it could not use, by reason.

    A key is a table name, or `prediction:<model>` for the rows of one prediction service; those
    frames carry feature columns beside the fixed ones, named as the sender names them. Columns
    that a source does not know may be absent; `source` and `ingested_at` are filled by the store.
    `offered` counts the items of the body: offered = items + sum of `rejected`, where `items` counts
    those that became something: a row each, or what `folded` says where several make one row.
    `notes` counts what was kept but repaired (a sentinel blanked, a value truncated), by reason.
    """

    tables: Mapping[str, pl.DataFrame]
    offered: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)  # one short example for a reason, <= 200 characters
    folded: int | None = None  # items that became a cell or a row, where items and rows are not one to one

    @property
    def items(self) -> int:
        """Items of the body that were kept; `offered` less this is what `rejected` explains."""
        return sum(frame.height for frame in self.tables.values()) if self.folded is None else self.folded


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to be stored together, once: `batch_id` seen before is acknowledged and not stored again."""

    source: str
    batch_id: str
    tables: Mapping[str, pl.DataFrame]
    rejected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The store's word that a batch is durable."""

    batch_id: str
    seq: int  # of the commit that holds it
    stored: Mapping[str, int]  # rows by table
    rejected: Mapping[str, int]  # rows not stored, by reason, e.g. duplicate
    duplicate: bool = False  # the whole batch was seen before
    notes: Mapping[str, int] = field(default_factory=dict)  # kept but repaired, e.g. type_conflict:amount
    examples: Mapping[str, str] = field(default_factory=dict)  # one short example for a reason


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a detector may look at: a batch of monitors of one detector and their summaries.

    `summaries` holds the rows of table `summary` for the monitors' measures, sorted by measure and
    ts, from the start of what the state needs to `window.end`; other frames a detector reads come
    in `frames` (e.g. `gpu_5m`, `last_seen`). `state` is what the detector returned last time, by
    monitor id, plain JSON. `window` is the span to be judged: windows that end in (start, end].
    `accepted` says, by monitor id, from when on a person took the level as the new normal: an alarm older
    than that ends, and nothing before it is learnt from. `expected` holds, by model, spans in which a
    change was announced (a holiday, a launch, a deploy): neither judged nor learnt from.
    """

    monitors: tuple[Monitor, ...]
    window: Window
    summaries: pl.DataFrame
    binnings: Mapping[str, Binning]
    state: Mapping[str, Json]
    frames: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    accepted: Mapping[str, datetime] = field(default_factory=dict)
    expected: Mapping[str, tuple[Window, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Detected:
    """What a detector returns: findings, one per monitor and judged window, and its new state (plain JSON)."""

    findings: tuple[Finding, ...]
    state: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Decision:
    """What policy makes of findings: rows to append; an alert or incident appears once per state change."""

    alerts: tuple[Alert, ...] = ()
    incidents: tuple[Incident, ...] = ()
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery to one channel, kept in the outbox until a receiver has taken it."""

    message_id: str  # idempotency key
    channel: str  # e.g. alertmanager
    url: str  # for a receiver of the site: <type>:<name>, its address may be a secret
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    incident_id: str | None = None  # what it is about
    notice: str | None = None  # what happened to it


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver said to one message: taken, or why not and whether trying again can help.

    Taken with an error is taken in part: the rest was refused for that reason.
    """

    ok: bool
    status: int | None = None  # HTTP; None when nothing answered
    retry: bool = False
    error: str | None = None


def frame_schema(table: Table) -> Mapping[str, Any]:
    """Polars types of a table's columns, in order; times are microseconds UTC."""
    import polars as pl

    types: Mapping[str, Any] = {
        "VARCHAR": pl.String, "DOUBLE": pl.Float64, "BIGINT": pl.Int64, "BOOLEAN": pl.Boolean,
        "TIMESTAMPTZ": pl.Datetime("us", "UTC"), "VARCHAR[]": pl.List(pl.String),
        "BIGINT[]": pl.List(pl.Int64), "DOUBLE[]": pl.List(pl.Float64),
    }  # fmt: skip
    return {c.name: types[c.sql] for c in table.columns}


def frame(table: Table, columns: Mapping[str, Sequence[Any]]) -> pl.DataFrame:
    """A frame of `table` from Python lists by column; absent columns stay absent, names must be the table's.

    Raises:
        KeyError: a column the table does not have.
    """
    import polars as pl

    schema = frame_schema(table)
    return pl.DataFrame([pl.Series(name, values, schema[name]) for name, values in columns.items()])


def nouns_frame(nouns: Sequence[Any]) -> pl.DataFrame:
    """A frame with one row per noun, at least one and all of one class; JSON fields become text."""
    import json

    table: Table = nouns[0].table()
    columns = {c.name: [getattr(x, c.name) for x in nouns] for c in table.columns}
    for name in nouns[0].json_fields():  # lists of objects are tuples here
        texts = [dict(v) if isinstance(v, Mapping) else v for v in columns[name]]
        columns[name] = [json.dumps(v, sort_keys=True) if isinstance(v, dict | tuple) else v for v in texts]
    return frame(table, columns)


def nouns(kind: type[Any], rows: pl.DataFrame) -> list[Any]:
    """The rows of a frame as nouns of one class, in order; JSON text becomes mappings, lists become tuples."""
    import json

    if rows.is_empty():
        return []
    table: Table = kind.table()
    texts = kind.json_fields()
    result = []
    for row in rows.select([c.name for c in table.columns]).iter_rows(named=True):
        for name, value in row.items():
            if name in texts and value is not None:
                read = json.loads(value)
                row[name] = tuple(read) if isinstance(read, list) else read
            elif isinstance(value, list):
                row[name] = tuple(value)
        result.append(kind(**row))
    return result
