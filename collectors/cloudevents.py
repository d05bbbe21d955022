"""CloudEvents: calls to model servers as KServe and Seldon log them, and changes of any tool that speaks it.

A call comes as two events with one id, `….serving.inference.request` and `….response`, often in
two bodies and in any order. Each is a row of `prediction_half`; the core joins them (see
`observe.app.pairing`). Everything else is a change event, if its data is one that
`collectors.events` knows, or its type ends in the name of a change (`com.example.deploy`).

Binary mode has the attributes in `ce-` headers, which come here as labels; structured mode is one
JSON object or one a line; batched mode an array. Recorded requests, `{"headers": …, "body": …}`, are read too.

    syntax         no CloudEvent
    missing_key    no id or no type
    unknown_type   neither a call nor a change
    bad_model      inferenceservicename is missing or cannot name a model
    bad_data       the data of a call is no JSON object in V1 or V2, or larger than 1 MiB
    bad_ts, too_old, in_future   `time` is none, or outside what this intake takes

Source: CNCF CloudEvents 1.0 (HTTP protocol binding, JSON format); KServe `pkg/logger/worker.go`;
SOURCES section 3.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from collectors import events, inference
from collectors.instants import bounds, instant, micros
from collectors.json_items import ITEM_LIMIT, items
from collectors.ndjson import read_objects
from collectors.predictions import completed, prediction_shape
from collectors.records import parsed
from collectors.scalars import told
from collectors.shape import EXAMPLE
from observe.errors import PayloadError
from observe.schema import TABLES, Json, Parsed
from observe.schema.exchange import frame

HALF: Final = "prediction_half"
PREFIX: Final = "ce-"  # of headers in binary mode, and of the labels that carry them
REQUEST, RESPONSE = "request", "response"
_TYPE: Final = re.compile(r"(?:org\.kubeflow|io\.seldon)\.serving\.inference\.(request|response)")
_MODEL: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")  # names of Kubernetes fit
_HALF_COLUMNS: Final = ("ts", "half_id", "side", "model_id", "namespace", "variant", "trace_id", "body", "quality")
_VARIANTS: Final = {"": "default", "default": "default", "canary": "canary", "shadow": "shadow"}


@dataclass(slots=True)
class _Reading:
    """What a body gave so far."""

    at: datetime
    labels: Mapping[str, str]
    notes: Counter[str] = field(default_factory=Counter)
    halves: list[Json] = field(default_factory=list)
    changes: list[Json] = field(default_factory=list)


def parse(payload: bytes, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """The halves of calls and the change events of a body.

    Args:
        payload: an event's data in binary mode; else JSON.
        at: now, aware UTC.
        labels: `ce-…` in binary mode; `cluster`, `accept_past_s`, `accept_future_s`.

    Raises:
        PayloadError: a body that begins like a JSON array and is none.
    """
    low, high = bounds(at, labels)
    rejected: Counter[str] = Counter()
    examples: dict[str, str] = {}
    reading = _Reading(at, labels)
    offered = 0
    for event in _events(payload, labels):
        offered += 1
        reason = _read(event, reading, low, high) if isinstance(event, dict) else "syntax"
        if reason:
            rejected[reason] += 1
            if reason not in examples:
                examples[reason] = _example(event)
    tables = {}
    if reading.halves:
        columns = {n: [row.get(n) for row in reading.halves] for n in _HALF_COLUMNS}
        tables[HALF] = frame(TABLES[HALF], columns)
    if reading.changes:
        tables["change_event"] = events.table(reading.changes)
    return Parsed(tables, offered, dict(rejected), dict(reading.notes), examples)


def _events(payload: bytes, labels: Mapping[str, str]) -> Iterator[Any]:
    """The events of a body: attributes in lower case, `data` as JSON or as it came."""
    binary = {k.removeprefix(PREFIX): v for k, v in labels.items() if k.startswith(PREFIX)}
    if binary:
        yield {**binary, "data": payload}
        return
    for item in items(payload, most=events.EVENTS):
        if isinstance(item, dict) and isinstance(item.get("headers"), dict):
            headers = {str(k).lower(): v for k, v in item["headers"].items()}
            attributes = {k.removeprefix(PREFIX): v for k, v in headers.items() if k.startswith(PREFIX)}
            yield {**attributes, "data": item.get("body")}
        elif isinstance(item, dict) and "specversion" in item:
            yield {str(k).lower(): v for k, v in item.items()}
        else:
            yield item if not isinstance(item, dict) else repr(sorted(item))


def _example(event: Any) -> str:
    """What an event was, without its data."""
    if not isinstance(event, dict):
        return repr(event)[:EXAMPLE]
    return ", ".join(f"{k}={event[k]!r:.60}" for k in ("id", "type", "source", "time", "inferenceservicename") if k in event)[:EXAMPLE]  # fmt: skip


def _read(event: Json, reading: _Reading, low: int, high: int) -> str | None:
    """Keep an event; or why it cannot be kept."""
    if not isinstance(event.get("type"), str) or not _text(event.get("id")):
        return "missing_key"
    when = event.get("time")
    ts = micros(reading.at) if when in (None, "") else instant(when)
    if ts is None:
        return "bad_ts"
    if not low <= ts <= high:
        return "too_old" if ts < low else "in_future"
    data = _data(event)
    call = _TYPE.fullmatch(event["type"])
    if call is None:
        return _change(event, data, ts, reading)
    half = _half(event, data, call[1], ts)
    if isinstance(half, str):
        return half
    reading.halves.append(half)
    return None


def _data(event: Json) -> Any:
    """The data of an event as JSON; None where it is none."""
    data = event.get("data")
    try:
        if isinstance(event.get("data_base64"), str):
            data = base64.b64decode(event["data_base64"], validate=True)
        if isinstance(data, (bytes, str)):
            return json.loads(data) if len(data) <= ITEM_LIMIT else None
    except (ValueError, RecursionError, binascii.Error):
        return None
    return data


def _half(event: Json, data: Any, side: str, ts: int) -> Json | str:
    model = event.get("inferenceservicename")
    if not isinstance(model, str) or not _MODEL.fullmatch(model):
        return "bad_model"
    try:
        rows = inference.rows_of(data, None) if side == REQUEST else inference.rows_of(None, data)
        body = json.dumps(data)
    except (ValueError, RecursionError, TypeError):
        return "bad_data"
    if not rows or len(body) > ITEM_LIMIT:
        return "bad_data"
    endpoint = str(event.get("endpoint") or "").lower()
    trace = str(event.get("traceparent") or "").split("-")
    return {
        "ts": ts, "half_id": _text(event["id"]), "side": side, "model_id": model, "namespace": _text(event.get("namespace")),
        "variant": _VARIANTS.get(endpoint, endpoint[:64].encode(errors="replace").decode()), "trace_id": trace[1] if len(trace) == 4 and trace[1].isalnum() else None,
        "body": body.encode(errors="replace").decode(), "quality": 0,
    }  # fmt: skip


def _change(event: Json, data: Any, ts: int, reading: _Reading) -> str | None:
    """A change event: what the data tells, and where that is silent, what the envelope does."""
    item = dict(data) if isinstance(data, dict) else {}
    envelope: Json = {"event_id": event["id"], "ts": event.get("time"), "object_name": event.get("subject")}
    row = events.change(item, reading.at, reading.labels, reading.notes) if item else "missing_key"
    if isinstance(row, str):
        kind = next((k for part in reversed(event["type"].split(".")) if (k := events.kind_of(part))), None)
        if kind is None or row not in ("missing_key", "not_a_change"):
            return "unknown_type" if kind is None else row
        known = {k: v for k, v in item.items() if k in events.COLUMNS or k in events.ALIASES}
        row = events.change({**envelope, **known, "kind": kind}, reading.at, reading.labels, reading.notes)
        if isinstance(row, str):
            return row
    elif not {"ts", "timestamp", "time"} & item.keys():
        row = {**row, "ts": ts}
    reading.changes.append(row)
    return None


def _text(value: Any) -> str | None:
    text = None if value in (None, "") else told(value)
    return text.encode(errors="replace").decode() if text else None


def predictions(calls: Sequence[tuple[Json | None, Json | None]], at: datetime, labels: Mapping[str, str]) -> Parsed:
    """The predictions of calls from their halves, rows of `prediction_half`; orphans where one is missing.

    Args:
        calls: of one model: request and response with `body` as JSON text; one of the two may be None.
        at: now, aware UTC.
        labels: `model`, the one that the rows belong to.

    Raises:
        PayloadError: neither half of a call is there.
    """
    rows: list[dict[str, Any]] = []
    bad = 0
    for request, response in calls:
        try:
            rows += _of_call(request, response)
        except ValueError:  # halves are looked at when they come, and could have been stored by another version
            bad += 1
    records = read_objects(rows, prediction_shape(orphan=True))
    forever = {**labels, "accept_past_s": "inf", "accept_future_s": "inf"}  # looked at when the half came
    made = parsed(completed(records), f"prediction:{labels['model']}", at, forever)
    return replace(made, offered=made.offered + bad, rejected={**made.rejected, "bad_data": bad}) if bad else made


def _of_call(request: Json | None, response: Json | None) -> list[dict[str, Any]]:
    last = response or request
    if last is None:
        raise PayloadError("a call without a request and a response")
    rows = inference.rows_of(*(json.loads(half["body"]) if half else None for half in (request, response)))
    shared: dict[str, Any] = {
        "prediction_id": last["half_id"], "ts": last["ts"].isoformat(), "variant": last["variant"], "trace_id": last["trace_id"],
    }  # fmt: skip
    if request and response and response["ts"] > request["ts"]:
        shared["latency_s"] = (response["ts"] - request["ts"]).total_seconds()
    return [row | shared for row in rows]
