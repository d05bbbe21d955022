"""OTLP logs become log events: what was said at WARN and above, as templates and counts.

A record is an item. Records that say the same in one minute, under one trace, make one row with
their `count`; the text of a record is never kept. Items that are no rows: `below_severity` (under
WARN, the usual case), `no_severity` (neither number nor text tells it) and `no_body` are nobody's
fault; `too_old` and `in_future` are the exporter's to know.

Source: OTLP logs.v1 and its data model (severity numbers); SOURCES section 7.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from collectors.attributes import plain, text
from collectors.instants import bounds, micros
from collectors.template import template, template_id
from observe.errors import PayloadTooLarge
from observe.schema import TABLES, Parsed
from observe.schema.exchange import frame

if TYPE_CHECKING:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

FAULTS: Final = ("too_old", "in_future")  # an exporter is told
RECORD_LIMIT: Final = 200_000  # records of one body
WARN: Final = 13  # SeverityNumber of WARN
CUT: Final = 32  # quality bit
NAME_LIMIT: Final = 256  # characters of a name
_MINUTE_US: Final = 60 * 10**6
# What loggers call it where they send no number; the first letters are enough.
WORDS: Final[Mapping[str, int]] = {
    "trace": 1, "debug": 5, "info": 9, "notice": 10, "warn": 13, "err": 17, "crit": 21, "fatal": 21, "alert": 21, "emerg": 21,
}  # fmt: skip
RESOURCE: Final[Mapping[str, str]] = {
    "service.name": "service", "k8s.cluster.name": "cluster", "k8s.namespace.name": "namespace", "k8s.pod.name": "pod",
}  # fmt: skip
MODEL: Final = ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name")  # first present wins
MESSAGE: Final = ("message", "msg", "event", "error")  # where a body is a map, what it says

COLUMNS: Final = (
    "minute", "severity_number", "severity_text", "service", "template", "trace_id", "span_id", "model_id", "cluster",
    "namespace", "pod", "quality",
)  # fmt: skip
Place = Mapping[str, str | None]


@dataclass(slots=True)
class _Reading:
    """What is known while one request is read."""

    now: int  # us since the epoch
    low: int
    high: int
    events: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)  # by COLUMNS: first instant, records
    rejected: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


def parse_logs(request: ExportLogsServiceRequest, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """The log events of a logs request.

    Args:
        request: as decoded.
        at: now, aware UTC.
        labels: `cluster` stands in where the resource names none; `accept_past_s`, `accept_future_s`.

    Raises:
        PayloadTooLarge: more than 200,000 records.
    """
    offered = sum(len(scope.log_records) for resource in request.resource_logs for scope in resource.scope_logs)
    if offered > RECORD_LIMIT:
        raise PayloadTooLarge(
            f"a body may hold {RECORD_LIMIT} log records; this one has {offered}: export fewer at once"
        )
    reading = _Reading(micros(at), *bounds(at, labels))
    for resource in request.resource_logs:
        place = _place(resource.resource.attributes, labels)
        for scope in resource.scope_logs:
            for record in scope.log_records:
                why = _read(record, place, reading)
                if why:
                    reading.rejected[why] += 1
    tables = {"log_event": _frame(reading.events)} if reading.events else {}
    kept = sum(count for _, count in reading.events.values())
    return Parsed(tables, offered, dict(reading.rejected), dict(reading.notes), folded=kept)


def _frame(events: Mapping[tuple[Any, ...], Sequence[int]]) -> Any:
    columns: dict[str, Sequence[Any]] = dict(zip(COLUMNS, zip(*events, strict=True), strict=True))
    del columns["minute"]
    templates = columns["template"]
    return frame(TABLES["log_event"], {
        "ts": [first for first, _ in events.values()], **columns, "template_id": [template_id(t) for t in templates],
        "count": [count for _, count in events.values()],
    })  # fmt: skip


def _place(attributes: Sequence[KeyValue], labels: Mapping[str, str]) -> Place:
    found: dict[str, str | None] = dict.fromkeys(RESOURCE.values())
    for attribute in attributes[:128]:
        column = RESOURCE.get(attribute.key)
        if column:
            found[column] = _name(attribute.value)
    return {**found, "cluster": found["cluster"] or labels.get("cluster") or None}


def _read(record: LogRecord, place: Place, reading: _Reading) -> str | None:
    """Count one record; the reason why it is not kept, if any."""
    severity = record.severity_number or _severity(record.severity_text)
    if severity < WARN:
        return "below_severity" if severity else "no_severity"
    ns = record.time_unix_nano or record.observed_time_unix_nano
    ts = ns // 1000 if ns else reading.now
    if not reading.low <= ts <= reading.high:
        return "too_old" if ts < reading.low else "in_future"
    said = _said(record)
    if not said:
        return "no_body"
    told, cut = template(said)
    if cut:
        reading.notes["template_cut"] += 1
    key = (
        ts // _MINUTE_US, min(severity, 24), record.severity_text[:32] or None, place["service"], told, _hex(record.trace_id, 16),
        _hex(record.span_id, 8), _model(record.attributes), place["cluster"], place["namespace"], place["pod"], CUT if cut else 0,
    )  # fmt: skip
    event = reading.events.setdefault(key, [ts, 0])
    event[0], event[1] = min(event[0], ts), event[1] + 1
    return None


def _severity(word: str) -> int:
    """The number of a level written as a word; 0 when it is none."""
    word = word.strip().lower()
    return next((number for start, number in WORDS.items() if word.startswith(start)), 0)


def _said(record: LogRecord) -> str:
    """What a record says: its body, the message in it, or the name of the event."""
    body = record.body
    if body.WhichOneof("value") == "kvlist_value":
        known = {v.key: v.value.string_value for v in body.kvlist_value.values[:128]}
        found = next((known[name] for name in MESSAGE if known.get(name)), "")
    else:
        found = body.string_value
    return found or record.event_name


def _model(attributes: Sequence[KeyValue]) -> str | None:
    known = {a.key: a.value for a in attributes[:128] if a.key in MODEL}
    return next((_name(known[name]) for name in MODEL if name in known), None)


def _name(value: AnyValue) -> str | None:
    told = text(plain(value, Counter()))
    return told[:NAME_LIMIT] if told else None


def _hex(value: bytes, size: int) -> str | None:
    return value.hex() if len(value) == size and any(value) else None
