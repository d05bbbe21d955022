"""The past, body by body: each is stored once, however often and however far an import was run before.

How far a file came is kept under `import/<kind>/<model>/<source>/<fingerprint>`, so an import that
was killed goes on where it was, and one that was finished stores nothing again. A body that was
stored and not marked yet is known by its content. Event time may lie as far back as 1970.

Source: our own; ARCHITECTURE section 3, Time and Idempotency.
"""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from collectors import columns
from observe.app.files import Body
from observe.app.intake import Intake
from observe.clock import Clock
from observe.errors import PayloadError, UsageError
from observe.registry import plugin
from observe.schema import Batch, Json, Parsed, Receipt
from observe.spec.nearest import did_you_mean
from observe.store import Store

if TYPE_CHECKING:
    import polars as pl

KINDS: Final = ("predictions", "attempts", "gpu", "labels", "events")
NEED_MODEL: Final = ("predictions", "labels")
_ROWS: Final = 50_000  # per batch: bounds memory and the time one commit takes
_UNSEALED: Final = 300_000  # rows stored before they are sealed on the way
_SOURCES: Final[Mapping[str, str]] = {"events": "events", "attempts": "import", "gpu": "import"}


def import_tables(store: Store, tables: Mapping[str, pl.DataFrame], name: str, now: datetime) -> Mapping[str, int]:
    """Append frames by table, once per `name`, and seal what is closed; returns rows stored by table."""
    stored: dict[str, int] = {}
    for table, frame in tables.items():
        for i, part in enumerate(frame.iter_slices(_ROWS)):
            receipt = store.append(Batch(f"import/{name}", f"{name}/{table}/{i}", {table: part}))
            stored[table] = stored.get(table, 0) + sum(receipt.stored.values())
    store.seal(now)
    return stored


@dataclass(frozen=True, slots=True)
class Told:
    """What a file holds, and what its rows are stored as."""

    kind: str
    model: str = ""
    source: str = ""

    def checked(self) -> Told:
        """The same with a source.

        Raises:
            UsageError: an unknown kind, or a model is missing.
        """
        if self.kind not in KINDS:
            raise UsageError(f"nothing is imported as {self.kind!r}; {did_you_mean(self.kind, KINDS)}")
        if self.kind in NEED_MODEL and not self.model:
            raise UsageError(f"{self.kind} belong to a model; say which with --model")
        return replace(self, source=self.source or _SOURCES.get(self.kind, f"{self.kind}/{self.model}"))

    def key(self, fingerprint: str) -> str:
        """Where it is kept how far a file came."""
        return f"import/{self.kind}/{self.model}/{self.source}/{fingerprint}"


@dataclass(slots=True)
class Counted:
    """What became of rows: read = stored + duplicate + the sum of rejected."""

    read: int = 0
    stored: int = 0
    duplicate: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, other: Counted) -> None:
        """Count these too."""
        self.read += other.read
        self.stored += other.stored
        self.duplicate += other.duplicate
        self.rejected += other.rejected
        self.notes += other.notes
        self.examples = {**other.examples, **self.examples}

    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "read": self.read, "stored": self.stored, "duplicate": self.duplicate, "rejected": dict(self.rejected),
            "notes": dict(self.notes), "examples": self.examples,
        }  # fmt: skip

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Counted:
        """From plain JSON."""
        read, stored, duplicate = (int(said.get(name, 0)) for name in ("read", "stored", "duplicate"))
        rejected, notes = (Counter(said.get(name, {})) for name in ("rejected", "notes"))
        return cls(read, stored, duplicate, rejected, notes, dict(said.get("examples", {})))


class Importing:
    """Stores bodies and remembers how far each file came; safe to call from any thread."""

    def __init__(self, store: Store, intake: Intake, clock: Clock) -> None:
        self._store, self._intake, self._clock = store, intake, clock
        self._lock = threading.Lock()
        self._unsealed = 0

    def mark(self, told: Told, fingerprint: str) -> Json:
        """How far a file came: `bodies` done, `whole`, and what was counted; empty before its first body."""
        key = told.checked().key(fingerprint)
        return self._store.state([key]).get(key, {})

    def take(self, told: Told, body: Body, fingerprint: str) -> Counted:
        """Store one body, once, and keep that its file is done up to and with it.

        Returns:
            What became of its rows. One that its file is marked beyond counts nothing: it is in the mark.

        Raises:
            UsageError: the first body of a file has a column we do not have; nothing was stored.
            Overloaded: the queue or the disk is full; nothing was stored.
        """
        told = told.checked()
        with self._lock:
            mark = self.mark(told, fingerprint)
            if body.number < mark.get("bodies", 0):
                return Counted()
            counted = self._stored(told, body)
            if body.lost:
                counted.add(Counted(read=body.lost, rejected=Counter(syntax=body.lost)))
            so_far = Counted.of(mark)
            so_far.add(counted)
            self._keep(told, fingerprint, so_far, body.number + 1, whole=False)
            self._seal(counted.stored)
        return counted

    def finish(self, told: Told, fingerprint: str) -> None:
        """Keep that a file is done to its end, and seal what is closed."""
        with self._lock:
            mark = self.mark(told, fingerprint)
            self._keep(told, fingerprint, Counted.of(mark), mark.get("bodies", 0), whole=True)
            self._seal(_UNSEALED)

    def _keep(self, told: Told, fingerprint: str, counted: Counted, bodies: int, *, whole: bool) -> None:
        value = {**counted.as_json(), "examples": {}, "bodies": bodies, "whole": whole}
        with self._store.change() as tx:
            tx.set_state(told.checked().key(fingerprint), value)

    def _stored(self, told: Told, body: Body) -> Counted:
        if not body.content:
            return Counted()
        try:
            parsed = self._parse(told, body.content, body.content_type)
        except PayloadError as error:
            if isinstance(error, columns.UnknownColumn) and body.number == 0:
                raise UsageError(f"{error}; see docs/schema.md") from error
            return Counted(body.rows, rejected=Counter(unreadable=body.rows), examples={"unreadable": str(error)[:200]})
        batch_id = self._intake.content_id(f"import/{told.kind}/{told.model}/{told.source}", body.content)
        taken = self._intake.store_parsed(f"import/{told.source}", _sourced(parsed, told.source), batch_id)
        return _counted(taken.parsed, taken.wait())

    def _seal(self, stored: int) -> None:
        self._unsealed += stored
        if self._unsealed >= _UNSEALED:
            self._unsealed = 0
            self._store.seal(self._clock.now())

    def _parse(self, told: Told, content: bytes, content_type: str) -> Parsed:
        now = self._clock.now()
        since_epoch = str(now.timestamp())  # as far back as epoch times go; an earlier one is a mistake
        labels = {"source": told.source, "content_type": content_type, "accept_past_s": since_epoch}
        labels = dict(self._intake.told({**labels, "model": told.model} if told.model else labels))
        if told.kind in columns.TABLE_OF and not _is_litellm(told.kind, content):
            return columns.parse(content, now, {**labels, "table": columns.TABLE_OF[told.kind]})
        if told.kind == "events" and content.startswith(b"PAR1"):
            content = _as_lines(content)
        name = "litellm" if told.kind == "attempts" else told.kind
        parsed: Parsed = plugin("observe.collectors", name).parse(content, now, labels)
        return parsed


def _is_litellm(kind: str, content: bytes) -> bool:
    """Whether attempts come as the gateway's own payloads, which name their times in camel case."""
    return kind == "attempts" and not content.startswith(b"PAR1") and b'"startTime"' in content[: 1 << 20]


def _as_lines(content: bytes) -> bytes:
    """A Parquet body as one JSON object a line, without what is NULL."""
    import polars as pl

    try:
        rows = pl.read_parquet(io.BytesIO(content)).iter_rows(named=True)
    except pl.exceptions.PolarsError as error:
        raise PayloadError(f"the body is not a readable Parquet file: {str(error)[:200]}") from error
    told = ({k: v for k, v in row.items() if v is not None} for row in rows)
    return "\n".join(
        json.dumps(row, default=lambda v: v.isoformat() if hasattr(v, "isoformat") else str(v)) for row in told
    ).encode()


def _sourced(parsed: Parsed, source: str) -> Parsed:
    """The rows named for the source they would have come from live: the same row, live and imported, is one."""
    import polars as pl

    tables = {}
    for name, frame in parsed.tables.items():
        given = pl.col("source").fill_null(source) if "source" in frame.columns else pl.lit(source).alias("source")
        tables[name] = frame.with_columns(given)
    return replace(parsed, tables=tables)


def _counted(parsed: Parsed, receipt: Receipt) -> Counted:
    """Rows of the body, not those of tables written beside (`gpu_device`)."""
    items = parsed.items
    rejected = Counter(parsed.rejected) + Counter({k: n for k, n in receipt.rejected.items() if k != "duplicate"})
    stored = sum(n for table, n in receipt.stored.items() if table != "gpu_device")
    lost = sum(n for reason, n in receipt.rejected.items() if reason != "duplicate")
    notes = Counter(parsed.notes) + Counter(receipt.notes)
    return Counted(parsed.offered, stored, items - stored - lost, rejected, notes, dict(parsed.examples))
