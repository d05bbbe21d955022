"""Group commit: one thread takes all batches that wait and stores them in one transaction.

A commit costs 4 to 15 ms whatever its size, so the thread lingers 5 ms for company. Where batches come
faster than one after the other it rests twice as long as it wrote, at most 40 ms: it then writes at most
a third of the time, and each commit takes more batches. The queue is bounded in bytes; a full queue
refuses, it never blocks.

A second thread looks after those who wait for a commit that a checkpoint or a seal holds up: several that
wait too long are made safe in the `Spill`, and acknowledged. What is safe is stored, however often it takes.

Source: our own; MECHANISMS (e), TRUST section 1.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from math import inf
from time import monotonic
from typing import Final

import duckdb
import polars as pl

from observe.errors import Overloaded, StoreError
from observe.schema import Receipt
from observe.store.entry import Entry, Pending
from observe.store.spill import Spill

LINGER_S: Final = 0.005  # MECHANISMS (e): 0 and 20 ms are both worse at the 99th percentile
_REST: Final = 2.0  # a crowded committer rests so many times as long as it wrote; see bench.load
_REST_S: Final = 0.040  # but no longer
_ENOUGH: Final = 4 << 20  # bytes that wait for no more company
_FILLING, _FULL = 0.70, 0.95  # of the queue's bytes: answered 429, 503
_GROUP_BYTES: Final = 32 << 20  # the most one transaction takes, unless one batch alone is larger
_REFUSED: Final = (StoreError, duckdb.Error, pl.exceptions.PolarsError, ValueError, TypeError)
PATIENCE_S: Final = 0.06  # somebody waited this long for a commit: all who wait may overtake it; see bench.load
CROWD: Final = 4  # so many at least; fewer get their whole receipt
_LOOK_S: Final = 0.02  # how often the second thread looks while anybody waits
_AGAIN_S: Final = 5.0  # when what is safe and could not be stored is tried again
_LOG = logging.getLogger("observe.store")


class Committer:
    """The queue and its threads.

    Args:
        write: stores entries in one transaction and returns their receipts; with `doubt` it first
            asks the ledger, because an earlier try may have been stored.
        capacity: bytes the queue may hold.
        spill: where those who wait too long are made safe; what it holds is stored first.
    """

    def __init__(self, write: Callable[[Sequence[Entry], bool], list[Receipt]], capacity: int, spill: Spill) -> None:
        self._write, self._capacity, self._spill = write, capacity, spill
        self._ready = threading.Condition()
        self._entries: list[Entry] = []
        self._writing: list[Entry] = []  # what the thread is storing
        self._again = list(spill.found)  # safe, and not stored
        self._again_at = 0.0
        self._closed = False
        self._waiting = 0  # bytes of `_entries`
        self._rest_s = LINGER_S
        self.queued = sum(e.size for e in self._again)  # bytes waiting or being written
        self._try_again()
        self._threads = [threading.Thread(target=t, name=n, daemon=True) for n, t in self._tasks().items()]
        for thread in self._threads:
            thread.start()

    def _tasks(self) -> dict[str, Callable[[], None]]:
        return {"committer": self._run, "spiller": self._look_after}

    def submit(self, entry: Entry) -> Pending:
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
            self._entries.append(entry)
            self.queued += entry.size
            self._waiting += entry.size
            if len(self._entries) == 1 or self._waiting >= _ENOUGH:  # else they would wake for nothing
                self._ready.notify_all()
        return entry.future

    def wait(self, timeout_s: float) -> None:
        """Until everything is stored that waits now.

        Raises:
            StoreError: that took too long.
        """
        with self._ready:
            waiting = [e.future for e in (*self._writing, *self._entries, *self._again)]
        left = wait(waiting, timeout_s).not_done
        if left:
            raise StoreError(
                f"{len(left)} batches that were taken could not be stored in {timeout_s:g} s; the log says why"
            )

    def close(self) -> None:
        """Take nothing more, store what waits, end the threads; what is safe and cannot be stored stays in the spill."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        said = "the store was closed before they could be stored; they are at the next start"
        try:
            while self._take():
                began, count = monotonic(), len(self._writing)
                self._settle(self._writing)
                with self._ready:
                    self._writing = []
                    crowded = count > 1 or bool(self._entries)
                self._rest_s = rest(monotonic() - began) if crowded else LINGER_S
                if monotonic() >= self._again_at:
                    self._try_again()
            self._try_again()
        except BaseException as error:
            said = f"the committer ended: {error!r}"
            raise
        finally:
            with self._ready:
                self._closed = True
                left = [*self._writing, *self._entries, *self._again]
                self._writing, self._entries, self._again = [], [], []
            for entry in left:
                if not entry.future.done():
                    entry.future.give_up(StoreError(said))

    def _take(self) -> bool:
        """Let all that waits be written, after a rest; False when closed and drained."""
        with self._ready:
            self._ready.wait_for(lambda: self._entries or self._closed, _AGAIN_S if self._again else None)
            if self._closed and not self._entries:
                return False
            self._ready.wait_for(lambda: self._waiting >= _ENOUGH or self._closed, self._rest_s)
            self._writing = self._cut()
        return True

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
            receipts = self._write(group, False) if group else []
        except _REFUSED:
            self._settle_one_by_one(group)
            return
        for entry, receipt in zip(group, receipts, strict=True):
            entry.future.settle(receipt)
        self._done(group)

    def _settle_one_by_one(self, group: Sequence[Entry]) -> None:
        """After a failure: each batch alone, so that a bad one takes no other with it."""
        for entry in group:
            try:
                [receipt] = self._write([entry], True)
            except _REFUSED as error:
                if entry.future.fail(error if isinstance(error, StoreError) else StoreError(str(error))):
                    self._done([entry])
                else:
                    _LOG.warning(
                        "event=not_stored_yet source=%s batch=%s error=%s", entry.source, entry.batch_id, error
                    )
                    if entry not in self._again:
                        self._again.append(entry)
            else:
                entry.future.settle(receipt)
                self._done([entry])

    def _try_again(self) -> None:
        """Store what is safe and could not be stored when it came, or was left by an earlier process."""
        self._settle_one_by_one(tuple(self._again))
        with self._ready:
            self._again = [e for e in self._again if not e.future.done()]
        self._again_at = monotonic() + _AGAIN_S

    def _done(self, entries: Sequence[Entry]) -> None:
        with self._ready:
            self.queued -= sum(e.size for e in entries)
        self._spill.stored(entries)

    def _look_after(self) -> None:
        """Make safe what waits too long."""
        while self._look():
            late = self._late()
            if not late:
                continue
            try:
                self._spill.keep(late)
            except (OSError, pl.exceptions.PolarsError) as error:  # then they wait for the commit
                _LOG.warning("event=spill_failed batches=%d error=%s", len(late), error)
                with self._ready:
                    self._ready.wait_for(lambda: self._closed, _AGAIN_S)

    def _look(self) -> bool:
        """Wait a little while anybody waits, else until somebody does; False when closed."""
        with self._ready:
            self._ready.wait_for(lambda: self._entries or self._writing or self._closed)
            return not self._ready.wait_for(lambda: self._closed, _LOOK_S)

    def _late(self) -> list[Entry]:
        """All who wait to know that their rows are safe, if one of them waited too long and they are a crowd."""
        with self._ready:
            waiting = [e for e in (*self._writing, *self._entries) if e.future.is_awaited]
        oldest = min((e.since for e in waiting), default=inf)
        return waiting if len(waiting) >= CROWD and monotonic() - oldest >= PATIENCE_S else []


def rest(wrote_s: float) -> float:
    """How long to let batches gather after a commit of a crowd that took `wrote_s`, s.

    >>> rest(0.001), rest(0.012), rest(0.5)
    (0.005, 0.024, 0.04)
    """
    return min(max(LINGER_S, _REST * wrote_s), _REST_S)
