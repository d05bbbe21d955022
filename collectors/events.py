"""Change events: deploys, scalings, node changes and the like, from any tool that can POST JSON.

One object, an array, a Kubernetes list (`items`), or one object a line. Our own form:

    {"ts": "2026-11-20T12:00:00Z", "kind": "deploy", "model_id": "fraud", "object_kind": "Deployment",
     "object_name": "fraud-api", "namespace": "ml", "cluster": "eu-west", "before": "v41", "after": "v42",
     "revision": "9f3c…", "actor": "ci", "severity": "info", "message": "one line", "event_id": "…",
     "caused_by": "key of our action, or a run's id", "data_from": "…", "data_to": "…"}

Only `kind` is required. Without `ts` the event happened when it arrived (note `ts_assumed`). Without
`event_id` it is named by the sha256 of its content, so the same event sent twice is stored once: two
like events need a `ts` or an id of their own. A kind we do not know is kept as `config`, its name put
before the message (note `unknown_kind`). Flux, Argo CD and Kubernetes objects are understood as they
come (see `collectors.changes`).

    syntax        no JSON object
    missing_key   none of these forms
    not_a_change  a Kubernetes event that changes nothing we follow (Pulled, Scheduled, ...)
    bad_ts        `ts` is no time
    too_old, in_future   outside what this intake takes

Source: our own form; SOURCES section 4.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from collectors import changes
from collectors.instants import bounds, instant, micros
from collectors.json_items import items
from collectors.scalars import told
from observe.errors import PayloadError, PayloadTooLarge
from observe.schema import TABLES, Parsed
from observe.schema.exchange import frame

if TYPE_CHECKING:
    import polars as pl

KINDS: Final = frozenset({
    "deploy", "rollback", "config", "scale", "node_add", "node_remove", "disruption", "xid", "driver", "model_version", "prompt",
    "data_pipeline", "trained", "alert_silence", "ecc",
})  # fmt: skip
KIND_ALIASES: Final[Mapping[str, str]] = {
    "deployment": "deploy", "deployed": "deploy", "release": "deploy", "rollout": "deploy", "scaling": "scale", "scaled": "scale",
    "node_added": "node_add", "node_removed": "node_remove", "retrain": "trained", "retrained": "trained", "training": "trained",
    "model": "model_version", "prompt_version": "prompt", "silence": "alert_silence", "configuration": "config", "evicted": "disruption",
}  # fmt: skip
ALIASES: Final[Mapping[str, str]] = {
    "timestamp": "ts", "time": "ts", "type": "kind", "id": "event_id", "model": "model_id", "user": "actor", "author": "actor",
    "description": "message", "sha": "revision", "version": "after", "name": "object_name",
    "run_id": "caused_by", "dag_run_id": "caused_by", "idempotency_key": "caused_by",
}  # fmt: skip
COLUMNS: Final = tuple(c.name for c in TABLES["change_event"].columns if c.name not in {"source", "ingested_at"})
BODY_LIMIT: Final = 8 * 2**20  # bytes of one body; about ten thousand events
EVENTS: Final = 100_000  # of one body
_MESSAGE: Final = 1000  # characters
_PERIOD: Final = ("data_from", "data_to")
_FORMS: Final = (changes.flux, changes.argo, changes.kubernetes_event, changes.deployment, changes.mlflow)


def parse(payload: bytes, at: datetime, labels: Mapping[str, str]) -> Parsed:
    """The change events of a body.

    Args:
        payload: JSON: an object, an array, a Kubernetes list, or one object a line.
        at: now, aware UTC.
        labels: `cluster` and `model` stand in where an event names none; `accept_past_s`, `accept_future_s`.

    Raises:
        PayloadError: neither JSON nor lines of which at least one is.
        PayloadTooLarge: more than 8 MiB.
    """
    if len(payload) > BODY_LIMIT:
        raise PayloadTooLarge(f"a body of events may be {BODY_LIMIT} bytes long; send it in parts")
    rejected: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    examples: dict[str, str] = {}
    rows, offered = [], 0
    for item in _items(payload):
        offered += 1
        row = change(item, at, labels, notes) if isinstance(item, dict) else "syntax"
        if isinstance(row, str):
            rejected[row] += 1
            if row not in examples:
                examples[row] = repr(item)[:200]
        else:
            rows.append(row)
    if not payload.strip() or (rejected["syntax"] == offered > 0 and not payload.lstrip().startswith(b"[")):
        raise PayloadError(f"the body is not JSON: {examples.get('syntax', 'it is empty')}")
    return Parsed({"change_event": table(rows)} if rows else {}, offered, dict(rejected), dict(notes), examples)


def _items(payload: bytes) -> Iterator[Any]:
    """The objects of a body, envelopes opened; what is no object comes as it is."""
    for document in items(payload, "items", EVENTS):
        yield from _opened(document)


def _opened(document: Any) -> Sequence[Any]:
    """A document's events: those of a Kubernetes list, or of a watch's envelope."""
    if isinstance(document, dict) and isinstance(document.get("items"), list):
        return [event for item in document["items"] for event in _opened(item)]
    if isinstance(document, dict) and isinstance(document.get("object"), dict) and "kind" not in document:
        return [document["object"]]
    return [document]


def table(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Changes, as `change` gives them, as rows of `change_event`."""
    return frame(TABLES["change_event"], {n: [r.get(n) for r in rows] for n in COLUMNS})


def change(item: dict[str, Any], at: datetime, labels: Mapping[str, str], notes: Counter[str]) -> dict[str, Any] | str:
    """An event as columns, `ts` in microseconds since the epoch; or why it cannot be one.

    Args:
        item: in any form we know.
        at: now, aware UTC.
        labels: `cluster` and `model` stand in where the event names none; `accept_past_s`, `accept_future_s`.
        notes: what was repaired is counted here.
    """
    row = _row(item, at, labels, notes)
    low, high = bounds(at, labels)
    if isinstance(row, dict) and not low <= row["ts"] <= high:
        return "too_old" if row["ts"] < low else "in_future"
    return row


def kind_of(word: str) -> str | None:
    """The kind of change that a word names; None when it names none."""
    kind = word.strip().lower().replace("-", "_")
    kind = KIND_ALIASES.get(kind, kind)
    return kind if kind in KINDS else None


def _row(item: dict[str, Any], at: datetime, labels: Mapping[str, str], notes: Counter[str]) -> dict[str, Any] | str:
    """An event as columns, `ts` in microseconds since the epoch; or why it cannot be one."""
    known = next((told for form in _FORMS if (told := form(item))), None) or _generic(item)
    if not known.get("kind") or not isinstance(known["kind"], str):
        return "not_a_change" if item.get("kind") == "Event" else "missing_key"
    moment = known.get("ts")
    ts = micros(at) if moment is None or moment == "" else instant(moment)
    if ts is None:
        return "bad_ts"
    if moment is None or moment == "":
        notes["ts_assumed"] += 1
    row: dict[str, Any] = {name: _text(known.get(name)) for name in COLUMNS}
    row |= {name: instant(known[name]) if known.get(name) else None for name in _PERIOD}
    row |= {"ts": ts, "event_id": row["event_id"] or _digest(item)}
    row["cluster"] = row["cluster"] or labels.get("cluster")
    row["model_id"] = row["model_id"] or labels.get("model")
    row["kind"], row["message"] = _kind(known["kind"], row["message"] or "", notes)
    return {name: _printable(value) for name, value in row.items()}


def _kind(told_kind: str, message: str, notes: Counter[str]) -> tuple[str, str | None]:
    """The kind as we name it, and the message, which keeps the name of a kind we do not know."""
    kind = kind_of(told_kind)
    if kind is None:
        notes["unknown_kind"] += 1
        message = f"{told_kind[:100]}: {message}".rstrip(": ")
        kind = "config"
    return kind, message[:_MESSAGE] or None


def _generic(item: Mapping[str, Any]) -> changes.Told:
    """Our own form; aliases count where the name itself is absent."""
    row = {column: item[alias] for alias, column in ALIASES.items() if alias in item}
    return row | {name: item[name] for name in COLUMNS if item.get(name) is not None}


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else told(value)


def _printable(value: Any) -> Any:
    """Lone surrogates, which JSON can spell and UTF-8 cannot, become '?'."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _digest(item: Mapping[str, Any]) -> str:
    """A name for an event that has none: the same content, the same name."""
    return hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()[:32]
