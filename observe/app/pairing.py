"""The two halves of a call to a model server, which come in bodies of their own, become its predictions.

The half that comes first is stored as it came, in `prediction_half`, and so acknowledged when it is
durable; it also waits in memory. The other half finds it there, and both become the call's predictions,
whole, in the transaction that acknowledges the second body. A half that waited 60 s becomes orphans:
`request_only` (features without an answer) or `response_only`.

What is kept in memory can be lost without loss: at the next start the halves of the last minutes that
have no predictions wait again. Rows that are made twice that way have the same identity and are stored
once. Memory is bounded: beyond 32 MiB the oldest become orphans before their time.

Source: our own; KServe's logger sends request and response through a pool of workers that wait for
the answer, so an acknowledgement may not wait for the other half.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from collectors import cloudevents
from observe.clock import Clock
from observe.errors import ObserveError
from observe.schema import Json, Parsed, Receipt, Window
from observe.store import Store

if TYPE_CHECKING:
    from observe.app.intake import Taken

HALF: Final = cloudevents.HALF
SOURCE: Final = "cloudevents"
DEADLINE: Final = timedelta(seconds=60)  # how long the first half waits for the other
PENDING_BYTES: Final = 32 * 2**20
_HALF_BYTES: Final = 1000  # a half takes about so much more than its body
_ANSWERED: Final = timedelta(hours=1)  # a model that answers later than this is not found again
_TOGETHER: Final = 256  # calls of a model that become columns at once
_RECALLED: Final = timedelta(minutes=5)  # before the newest half: all older ones were dealt with before the stop

_LOG = logging.getLogger("observe.pairing")

Submit = Callable[[str, Parsed, str], "Taken"]
Resolve = Callable[[str, str | None], str]


@dataclass(frozen=True, slots=True)
class _Waiting:
    half: Json
    since: datetime

    @property
    def size(self) -> int:
        return len(self.half["body"]) + _HALF_BYTES


_Key = tuple[str, str, str]  # model, id, side
_Pair = tuple[Json | None, Json | None]  # request, response
_OTHER: Final = {cloudevents.REQUEST: cloudevents.RESPONSE, cloudevents.RESPONSE: cloudevents.REQUEST}


class Pairing:
    """Halves that wait, and what becomes of them; safe to call from any thread.

    Args:
        submit: queues what was parsed of a body under a source and a batch id.
        resolve: the model that a name, in a namespace, means.
        clock: tells how long a half has waited.
    """

    def __init__(self, submit: Submit, resolve: Resolve, clock: Clock) -> None:
        self._submit, self._resolve, self._clock = submit, resolve, clock
        self._lock = threading.Lock()
        self._waiting: OrderedDict[_Key, _Waiting] = OrderedDict()
        self._bytes = 0

    @property
    def pending(self) -> int:
        """Halves that wait."""
        return len(self._waiting)

    def waiting(self) -> dict[str, tuple[int, float]]:
        """Of requests without a response, and of responses without a request: how many wait, and the oldest for how long, s."""
        now = self._clock.now()
        with self._lock:
            since = {side: [w.since for key, w in self._waiting.items() if key[2] == side] for side in _OTHER}
        return {side: (len(at), max(0.0, (now - min(at, default=now)).total_seconds())) for side, at in since.items()}

    def take(self, source: str, parsed: Parsed, batch_id: str) -> Taken:
        """Queue a body of halves: those whose other half is here as predictions, the others as they are.

        Raises:
            Overloaded: the queue is full; then what waited still waits.
        """
        halves = [{**h, "model_id": self._resolve(h["model_id"], h["namespace"])} for h in _rows(parsed.tables[HALF])]
        with self._lock:
            pairs, firsts = self._matched(halves)
        own = set(map(id, halves))
        held = [half for pair in pairs for half in pair if half is not None and id(half) not in own]
        try:
            taken = self._submit(source, self._made(parsed, pairs, firsts), batch_id)
        except BaseException:
            self._undo(held, firsts)
            raise
        taken.receipt.add_done_callback(lambda done: self._settled(done, held, firsts))
        if self._bytes > PENDING_BYTES:  # what waited too long is swept by the tick
            self.sweep()
        return taken

    def _made(self, parsed: Parsed, pairs: Sequence[_Pair], firsts: Sequence[Json]) -> Parsed:
        """A body with predictions in place of the halves that have their other half."""
        notes = Counter(parsed.notes)
        tables, rejected = self._predictions(pairs, notes)
        tables |= {name: frame for name, frame in parsed.tables.items() if name != HALF}
        if firsts:
            tables[HALF] = pl.DataFrame(firsts, schema=parsed.tables[HALF].schema)
        return replace(parsed, tables=tables, notes=dict(notes), rejected=_sum(parsed.rejected, rejected))

    def _settled(self, done: Future[Receipt], held: Sequence[Json], firsts: Sequence[Json]) -> None:
        """Once a body is stored, or not: one that was sent again brought nothing that waits."""
        if done.cancelled() or done.exception():
            self._undo(held, firsts)
        elif done.result().duplicate:
            self._undo((), firsts)

    def sweep(self) -> None:
        """Make orphans of the halves that waited too long, or that there is no room for."""
        late = self._clock.now() - DEADLINE
        with self._lock:
            left = []
            while self._waiting:
                key, oldest = next(iter(self._waiting.items()))
                if oldest.since > late and self._bytes <= PENDING_BYTES:
                    break
                left.append(self._drop(key))
        if left:
            self._orphan(left)

    def recall(self, store: Store) -> None:
        """Let the halves that a stop left without predictions wait again; a failure is logged, the service starts."""
        try:
            self._recall(store)
        except Exception:  # noqa: BLE001 - what stays stored as halves is no reason not to start
            _LOG.exception("event=recall_failed table=%s", HALF)

    def _recall(self, store: Store) -> None:
        newest = store.read(f"SELECT max(ingested_at) AS t FROM {HALF}").item()
        if newest is None:
            return
        since = {"since": newest - _RECALLED}
        [(low, high)] = store.read(f"SELECT min(ts), max(ts) FROM {HALF} WHERE ingested_at >= $since", since).rows()
        alone = store.read(
            f"FROM {HALF} AS h WHERE ingested_at >= $since AND NOT EXISTS (FROM prediction AS p WHERE p.source = h.source "
            "AND p.model_id = h.model_id AND p.prediction_id = h.half_id)", since, Window(low, high + _ANSWERED),
        )  # fmt: skip
        halves = _rows(alone.sort("ts").drop("ingested_at"))
        with self._lock:
            pairs, _ = self._matched(halves)
        if pairs:
            notes: Counter[str] = Counter()
            tables, rejected = self._predictions(pairs, notes)
            self._submit(SOURCE, Parsed(tables, _height(tables), rejected, dict(notes)), "")

    def _matched(self, halves: Sequence[Json]) -> tuple[list[_Pair], list[Json]]:
        """Pairs of request and response that are complete now, and the halves that wait from now on."""
        pairs: list[_Pair] = []
        firsts: dict[_Key, Json] = {}
        for half in halves:
            key = _key(half)
            other = (*key[:2], _OTHER[half["side"]])
            if other in self._waiting:
                found = self._drop(other)
                pairs.append((found, half) if half["side"] == cloudevents.RESPONSE else (half, found))
                firsts.pop(other, None)
            else:
                firsts.setdefault(key, half)  # sent again, it is a duplicate to the store
                if key not in self._waiting:
                    self._add(key, half)
        return pairs, list(firsts.values())

    def _add(self, key: _Key, half: Json) -> None:
        if key in self._waiting:
            self._drop(key)
        waiting = self._waiting[key] = _Waiting(half, self._clock.now())
        self._bytes += waiting.size

    def _drop(self, key: _Key) -> Json:
        waiting = self._waiting.pop(key)
        self._bytes -= waiting.size
        return waiting.half

    def _undo(self, held: Sequence[Json], firsts: Sequence[Json]) -> None:
        """A body was not stored: what waited for it waits again, what it brought will be sent again.

        A half that another body brought stays, also when this body brought it too.
        """
        with self._lock:
            for half in firsts:
                waiting = self._waiting.get(key := _key(half))
                if waiting is not None and waiting.half is half:
                    self._drop(key)
            for half in held:
                self._add(_key(half), half)

    def _predictions(
        self, pairs: Sequence[_Pair], notes: Counter[str]
    ) -> tuple[dict[str, pl.DataFrame], dict[str, int]]:
        """The rows of calls by table, and those that could not be made, by reason."""
        frames: dict[str, list[pl.DataFrame]] = {}
        rejected: Counter[str] = Counter()
        for model, calls in _by_model(pairs):
            parsed = cloudevents.predictions(calls, self._clock.now(), {"model": model})
            notes.update(parsed.notes)
            rejected.update(parsed.rejected)
            for name, frame in parsed.tables.items():
                frames.setdefault(name, []).append(frame)
        return {name: pl.concat(parts, how="diagonal_relaxed") for name, parts in frames.items()}, dict(rejected)

    def _orphan(self, halves: Sequence[Json]) -> None:
        """Store orphans; if the queue is full, they wait again."""
        notes: Counter[str] = Counter()
        pairs: list[_Pair] = [(h, None) if h["side"] == cloudevents.REQUEST else (None, h) for h in halves]
        try:
            tables, rejected = self._predictions(pairs, notes)
            for frame in tables.values():
                notes.update(frame["orphan"].drop_nulls().to_list())
            taken = self._submit(SOURCE, Parsed(tables, _height(tables), rejected, dict(notes)), "")
        except ObserveError:
            self._undo(halves, ())
        except BaseException:
            self._undo(halves, ())
            raise
        else:
            taken.receipt.add_done_callback(lambda done: self._settled(done, halves, ()))


def _by_model(pairs: Sequence[_Pair]) -> Iterator[tuple[str, list[_Pair]]]:
    """Calls by model, in parts that bound what is made of them."""
    calls: dict[str, list[_Pair]] = {}
    for request, response in pairs:
        half = response or request
        assert half is not None
        calls.setdefault(half["model_id"], []).append((request, response))
    for model, all_of_it in calls.items():
        for start in range(0, len(all_of_it), _TOGETHER):
            yield model, all_of_it[start : start + _TOGETHER]


def _key(half: Json) -> _Key:
    return half["model_id"], half["half_id"], half["side"]


def _rows(halves: pl.DataFrame) -> list[dict[str, Any]]:
    return list(halves.iter_rows(named=True))


def _height(tables: Mapping[str, pl.DataFrame]) -> int:
    return sum(frame.height for frame in tables.values())


def _sum(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(a) + Counter(b))
