"""Group commit: one thread takes all batches that wait and stores them in one transaction.

A commit costs 4 to 15 ms whatever its size, so the thread lingers 5 ms for company. Where batches come
faster than one after the other it rests twice as long as it wrote, at most 40 ms: it then writes at most
a third of the time, and each commit takes more batches. The queue is bounded in bytes; a full queue
refuses, it never blocks.

Source: our own; MECHANISMS (e), TRUST section 1.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import duckdb
import polars as pl

from observe.errors import Overloaded, StoreError
from observe.schema import Receipt
from observe.store.rows import Part

LINGER_S: Final = 0.005  # MECHANISMS (e): 0 and 20 ms are both worse at the 99th percentile
_REST: Final = 2.0  # a crowded committer rests so many times as long as it wrote; see bench.load
_REST_S: Final = 0.040  # but no longer
_ENOUGH: Final = 4 << 20  # bytes that wait for no more company
_FILLING, _FULL = 0.70, 0.95  # of the queue's bytes: answered 429, 503
_GROUP_BYTES: Final = 32 << 20  # the most one transaction takes, unless one batch alone is larger
_REFUSED: Final = (StoreError, duckdb.Error, pl.exceptions.PolarsError, ValueError, TypeError)


@dataclass(slots=True)
class Entry:
    """One batch on its way: its parts, what the parser left out, and who waits for the receipt."""

    source: str
    batch_id: str
    parts: tuple[Part, ...]
    rejected: Mapping[str, int]
    size: int  # bytes
    future: Future[Receipt] = field(default_factory=Future)

    @property
    def rows(self) -> int:
        """Rows offered, those without a key included."""
        return sum(p.frame.height + p.missing_key for p in self.parts)


class Committer:
    """The queue and its thread.

    Args:
        write: stores entries in one transaction and returns their receipts; with `doubt` it first
            asks the ledger, because an earlier try may have been stored.
        capacity: bytes the queue may hold.
    """

    def __init__(self, write: Callable[[Sequence[Entry], bool], list[Receipt]], capacity: int) -> None:
        self._write = write
        self._capacity = capacity
        self._ready = threading.Condition()
        self._entries: list[Entry] = []
        self._closed = False
        self._waiting = 0  # bytes of `_entries`
        self._rest_s = LINGER_S
        self.queued = 0  # bytes waiting or being written
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def submit(self, entry: Entry) -> Future[Receipt]:
        """Put `entry` in the queue.

        Raises:
            Overloaded: the queue is at 70 % (429) or 95 % (503) of its bytes.
            StoreError: the store is closed.
        """
        with self._ready:
            if self._closed:
                raise StoreError("the store is closed")
            fill = self.queued / self._capacity
            if fill >= _FILLING:
                status = 503 if fill >= _FULL else 429
                raise Overloaded(f"the intake queue is {fill:.0%} full, nothing was taken", 1, status)
            entry.future.set_running_or_notify_cancel()  # a caller that goes away must not stop the thread
            self._entries.append(entry)
            self.queued += entry.size
            self._waiting += entry.size
            if len(self._entries) == 1 or self._waiting >= _ENOUGH:  # else it would wake for nothing
                self._ready.notify()
        return entry.future

    def close(self) -> None:
        """Take nothing more, store what waits, end the thread."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        self._thread.join()

    def _run(self) -> None:
        group: list[Entry] = []
        try:
            while group := self._take():
                began = monotonic()
                self._settle(group)
                with self._ready:
                    self.queued -= sum(e.size for e in group)
                    crowded = len(group) > 1 or bool(self._entries)
                self._rest_s = rest(monotonic() - began) if crowded else LINGER_S
        except BaseException as error:
            with self._ready:
                self._closed = True
                group = [*group, *self._entries]
            for entry in group:
                if not entry.future.done():
                    entry.future.set_exception(StoreError(f"the committer ended: {error!r}"))
            raise

    def _take(self) -> list[Entry]:
        """All that waits, after a rest; empty when closed and drained."""
        with self._ready:
            self._ready.wait_for(lambda: self._entries or self._closed)
            self._ready.wait_for(lambda: self._waiting >= _ENOUGH or self._closed, self._rest_s)
            return self._cut()

    def _cut(self) -> list[Entry]:
        size, count = 0, 0
        for entry in self._entries:
            size += entry.size
            if count and size > _GROUP_BYTES:
                break
            count += 1
        group, self._entries = self._entries[:count], self._entries[count:]
        self._waiting -= sum(e.size for e in group)
        return group

    def _settle(self, group: Sequence[Entry]) -> None:
        try:
            receipts = self._write(group, False)
        except _REFUSED:
            self._settle_one_by_one(group)
            return
        for entry, receipt in zip(group, receipts, strict=True):
            entry.future.set_result(receipt)

    def _settle_one_by_one(self, group: Sequence[Entry]) -> None:
        """After a failure: each batch alone, so that a bad one takes no other with it."""
        for entry in group:
            try:
                [receipt] = self._write([entry], True)
            except _REFUSED as error:
                entry.future.set_exception(error if isinstance(error, StoreError) else StoreError(str(error)))
            else:
                entry.future.set_result(receipt)


def rest(wrote_s: float) -> float:
    """How long to let batches gather after a commit of a crowd that took `wrote_s`, s.

    >>> rest(0.001), rest(0.012), rest(0.5)
    (0.005, 0.024, 0.04)
    """
    return min(max(LINGER_S, _REST * wrote_s), _REST_S)
