"""Bodies become durable rows: parse, resolve model names, queue, commit, count.

The accounting is exact and by source: `accepted = stored + rejected + queued`, in rows. A row is
`stored` only when the store says so.

Source: our own; OTLP and LiteLLM formats in `collectors`.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from collectors.cardinality import OTHER, Cardinality
from collectors.inflate import inflate
from collectors.records import is_text_table, media_type
from observe.app.intake_known import known_from, model_meant
from observe.app.pairing import HALF, Pairing
from observe.app.refused import SETTING, Refused
from observe.app.senders import Senders
from observe.app.twins import Twins
from observe.clock import Clock
from observe.errors import PayloadError
from observe.registry import plugin
from observe.schema import Batch, CollectorRun, Parsed, Receipt
from observe.store import Pending, Store
from observe.telemetry import Telemetry

if TYPE_CHECKING:
    from observe.spec import Config

MAX_UNDECLARED: Final = 200  # prediction models without a Monitoring that get a table of their own; TRUST section 2
MAX_SOURCES: Final = 500  # that our own metrics tell apart
_MODEL: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")  # names; ARCHITECTURE section 5
_IDS_OF_THEIR_OWN = frozenset({"attempt", "label", "change_event", "prediction", "prediction_half"})


@dataclass(frozen=True, slots=True)
class Taken:
    """A body in hand: what was parsed of it, and the promise of its receipt."""

    parsed: Parsed
    receipt: Pending
    rows: int
    newest: datetime | None = field(default=None)

    def wait(self) -> Receipt:
        """The receipt, when the rows are durable."""
        return self.receipt.result()

    def reasons(self, receipt: Receipt) -> dict[str, int]:
        """Rows and items not stored, by reason."""
        return _sum(self.parsed.rejected, {"duplicate": self.rows} if receipt.duplicate else receipt.rejected)

    def run(self, at: datetime, collector: str, target: str) -> CollectorRun:
        """The row that tells of this pull."""
        receipt = self.wait()
        stored = sum(receipt.stored.values())
        reasons = self.reasons(receipt)
        lag = (at - self.newest).total_seconds() if self.newest else None
        return CollectorRun(
            at, collector, target, True, self.rows + sum(self.parsed.rejected.values()), stored, reasons, lag, None
        )


def _folded(notes: Mapping[str, int]) -> dict[str, int]:
    """Notes without the feature that some name behind a colon: metrics have no room for every feature."""
    total: Counter[str] = Counter()
    for reason, n in notes.items():
        total[reason.partition(":")[0]] += n
    return dict(total)


def _sum(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {k: a.get(k, 0) + b.get(k, 0) for k in {**a, **b}}


class Intake:
    """Takes bodies from HTTP and from pulls; safe to call from any thread."""

    def __init__(self, store: Store, clock: Clock, telemetry: Telemetry, config: Config) -> None:
        self._store, self._clock, self._telemetry = store, clock, telemetry
        self._known = known_from(config)
        store.declare(config.numbers)
        self._lock = threading.Lock()
        self._strangers = set(store.features()) - self._known.declared
        self.cardinality, self.twins = Cardinality(), Twins()
        self.senders, self.refused = Senders(), Refused(_examples(store))
        self._sources: set[str] = set(config.site.collectors)
        self.pairing = Pairing(self.store_parsed, self._model_of, clock)

    def adopt(self, config: Config) -> None:
        """Go by another configuration from the next body on."""
        self._known = known_from(config)
        self._store.declare(config.numbers)
        with self._lock:
            self._sources |= set(config.site.collectors)

    def take(self, kind: str, source: str, payload: bytes, labels: Mapping[str, str], batch_id: str) -> Taken:
        """Parse a body with collector `kind` and queue its rows.

        Args:
            kind: entry-point name of the collector.
            source: name the rows are stored and counted under.
            payload: the inflated body.
            labels: what the collector is told: model, cluster, content_type, ...
            batch_id: the sender's idempotency key; empty makes one from the content, or a random
                one where rows carry no ids of their own.

        Raises:
            PayloadError: the body is unusable as a whole.
            Overloaded: the queue is full.
        """
        model = labels.get("model", "")
        if model and not _MODEL.fullmatch(model):
            raise PayloadError(
                f"model name {model[:80]!r}: expected lower-case letters, digits, '.', '_', '-', at most 63"
            )
        with self._telemetry.stage("parse", collector=kind):
            parsed = plugin("observe.collectors", kind).parse(
                payload, self.now(), self.told({"source": source, **self._types(kind, payload, labels), **labels})
            )
        if not batch_id and any(t.partition(":")[0] in _IDS_OF_THEIR_OWN for t in parsed.tables):
            batch_id = self.content_id(source, payload)
        if HALF in parsed.tables:
            return self.pairing.take(source, parsed, batch_id)
        return self.store_parsed(source, parsed, batch_id)

    def _types(self, kind: str, payload: bytes, labels: Mapping[str, str]) -> dict[str, str]:
        """What a model's features are already, where a body cannot tell numbers from text."""
        if kind != "predictions" or not is_text_table(payload, media_type(labels)):
            return {}
        return {"types": json.dumps(dict(self._store.features().get(labels.get("model", ""), {})))}

    def _model_of(self, name: str, namespace: str | None) -> str:
        """The model that an inference service of a namespace serves."""
        aliases = self._known.aliases
        return aliases.get(f"{namespace}/{name}") or aliases.get(name, name)

    def now(self) -> datetime:
        """The present instant."""
        return self._clock.now()

    def told(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        """What a collector is told: these labels and how old an item may be."""
        return {**self._known.told, **labels}

    def place(self, way: str, said: str = "") -> dict[str, str]:
        """Label `cluster` of what is sent this way: as its sender says, else as the site does; empty when nobody does."""
        cluster = said or self._known.clusters.get(way)
        return {"cluster": cluster} if cluster else {}

    @staticmethod
    def content_id(source: str, body: bytes) -> str:
        """A batch id that the same body from the same source always gets."""
        return hashlib.sha256(source.encode() + b"\0" + body).hexdigest()

    @staticmethod
    def inflate(wire: bytes, encoding: str) -> bytes:
        """A body as it came on the wire, inflated within the caps.

        Raises:
            PayloadTooLarge: it inflates beyond them.
            UnsupportedPayload: an encoding we do not speak.
        """
        return inflate(wire, encoding)

    def store_parsed(self, source: str, parsed: Parsed, batch_id: str, *, admitted: bool = False) -> Taken:
        """Queue what a collector parsed; the counts move from accepted to stored or rejected when durable.

        Args:
            source: name the rows are stored and counted under.
            parsed: the rows.
            batch_id: one that was stored is not stored again; empty makes a random one.
            admitted: whether its series were held to their cap already.
        """
        parsed = self._without_strangers(parsed)
        tables = {name: self._resolved(name, frame) for name, frame in parsed.tables.items() if frame.height}
        known = self._known
        targets = None if admitted else known.targets.get(source, 1)
        parsed = self.cardinality.capped(source, replace(parsed, tables=tables), known.names, targets, self.now())
        tables = {name: frame for name, frame in parsed.tables.items() if frame.height}
        rows = sum(f.height for f in tables.values())
        refused = sum(parsed.rejected.values())
        t, counted = self._telemetry, self._counted(source)
        batch = Batch(source, batch_id or secrets.token_hex(16), tables, dict(parsed.rejected))
        receipt = self._store.submit(batch)
        t.accepted.labels(counted).inc(rows + refused)
        t.count_rejected(counted, parsed.rejected)
        self.refused.note(counted, parsed.rejected, parsed.examples, self.now())
        t.count_repaired(counted, _folded(parsed.notes))
        t.queued.labels(counted).inc(rows)
        receipt.add_done_callback(lambda done: self._settled(counted, rows, done))
        newest = _newest(tables)
        if newest is not None:
            t.lag.labels(counted).set((self.now() - newest).total_seconds())
        return Taken(parsed, receipt, rows, newest)

    def _counted(self, source: str) -> str:
        """The name a source is counted under: of those that senders make up only so many are told apart."""
        with self._lock:
            if len(self._sources) < MAX_SOURCES:
                self._sources.add(source)
            return source if source in self._sources else f"{source.partition('/')[0]}/{OTHER}"

    def _without_strangers(self, parsed: Parsed) -> Parsed:
        """The same without predictions of more undeclared models than a site may have; those are counted."""
        kept, refused = {}, 0
        for name, frame in parsed.tables.items():
            table, _, model = name.partition(":")
            if table == "prediction" and not self._is_welcome(model):
                refused += frame.height
            else:
                kept[name] = frame
        if not refused:
            return parsed
        return replace(parsed, tables=kept, rejected=_sum(parsed.rejected, {"too_many_models": refused}))

    def _is_welcome(self, model: str) -> bool:
        if model in self._known.declared or model in self._strangers:
            return True
        with self._lock:
            if len(self._strangers) < MAX_UNDECLARED:
                self._strangers.add(model)
            return model in self._strangers

    def _settled(self, source: str, rows: int, done: Future[Receipt]) -> None:
        t = self._telemetry
        t.queued.labels(source).dec(rows)
        if done.cancelled() or done.exception() is not None:
            t.count_rejected(source, {"store_failed": rows})
            return
        receipt = done.result()
        stored = sum(receipt.stored.values())
        t.stored.labels(source).inc(stored)
        t.count_rejected(source, {"duplicate": rows} if receipt.duplicate else receipt.rejected)
        t.count_repaired(source, _folded(receipt.notes))

    def _resolved(self, table: str, frame: pl.DataFrame) -> pl.DataFrame:
        """Model names as the specs know them; unknown names stay as they came."""
        names = {
            "attempt": ("model_requested", "model_served", "model_id"),
            "serving_sample": ("model_id",),
            "label": ("model_id",),
            "log_event": ("model_id",),
        }
        candidates = [c for c in names.get(table, ()) if c in frame.columns]
        if not candidates:
            return frame
        aliases = self._known.aliases
        told = set(zip(*(frame[c].to_list() for c in candidates), strict=True))
        if all(model_meant(row, aliases) == row[-1] for row in told) and candidates[-1] == "model_id":
            return frame
        models = {row: model_meant(row, aliases) for row in told}
        rows = zip(*(frame[c].to_list() for c in candidates), strict=True)
        return frame.with_columns(pl.Series("model_id", [models[row] for row in rows], pl.String))


def _examples(store: Store) -> Mapping[str, Any]:
    """What was refused before this start."""
    found = store.read("select value::VARCHAR as value from core.setting where key = $key", {"key": SETTING})
    return json.loads(found.item()) if found.height else {}


def _newest(tables: Mapping[str, pl.DataFrame]) -> datetime | None:
    newest = [f["ts"].max() for f in tables.values() if "ts" in f.columns and f.height]
    return max((n for n in newest if isinstance(n, datetime)), default=None)
