"""Pages of GPUs and servers become rows, and what became worse since the last page becomes a change event.

One way for scrapes, for NVML of this machine, and for agents that push. The state that tells a new
fault from a standing one lies in the store, by target, and moves only when the rows are durable.

Source: our own.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from collectors import exposition
from collectors.faults import MAX_DEVICES as MAX_SCRAPED
from collectors.faults import faults
from observe.app.intake import Intake, Taken
from observe.app.senders import name_of
from observe.app.targets import Target, Targets, key_of
from observe.errors import Overloaded, PayloadTooLarge
from observe.schema import Parsed
from observe.store import Store

if TYPE_CHECKING:
    import polars as pl

PUSHED: Final = "exposition"  # the source of pages that agents push
MAX_DEVICES: Final = 512  # of a pushed page: 16 GPUs of a node cut into seven are 128
IN_HAND: Final = 128  # pushed pages that wait for the store
OF_ONE: Final = 4  # of those, of one target: an agent sends one at a time
_AT_ONCE: Final = 32  # threads that wait for commits; one commit takes the pages of all of them


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was read and is not stored yet."""

    source: str
    target: str
    key: str
    parsed: Parsed
    at: datetime
    batch_id: str
    cluster: str = ""


class Pages:
    """Takes pages; one page of a target at a time."""

    def __init__(self, intake: Intake, store: Store) -> None:
        self._intake, self._targets = intake, Targets(store)
        self._lock, self._waiting = threading.Lock(), Counter[str]()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="page")

    def take(
        self, source: str, target: str, payload: bytes, at: datetime, labels: Mapping[str, str], batch_id: str = ""
    ) -> Taken:
        """Read and store a page; see `read` and `keep`."""
        return self.keep(self.read(source, target, payload, at, labels, batch_id))

    def read(
        self, source: str, target: str, payload: bytes, at: datetime, labels: Mapping[str, str], batch_id: str = ""
    ) -> Page:
        """Parse a page.

        Args:
            source: name the rows are stored under.
            target: whose page it is.
            payload: the page.
            at: instant of samples that have none of their own.
            labels: of the site, and how to read.
            batch_id: the sender's idempotency key, if it has one.

        Raises:
            PayloadTooLarge: it was pushed and is about more GPUs than a node has.
        """
        told = {**self._intake.told(labels), "target": target, "source": source}
        parsed = exposition.parse(payload, at, told)
        devices = parsed.tables["gpu_device"].height if "gpu_device" in parsed.tables else 0
        if source == PUSHED and devices > MAX_DEVICES:
            said = f"a page of {devices} GPUs and instances, {MAX_DEVICES} are the most of one target"
            raise PayloadTooLarge(f"{said}: push one page a node, or let a collector scrape it")
        cluster = labels.get("cluster", "")
        return Page(source, target, key_of(source, target, cluster), parsed, at, batch_id, cluster)

    @property
    def in_hand(self) -> int:
        """Pushed pages that wait for the store."""
        return self._waiting.total()

    def hand_in(self, page: Page) -> Future[Taken]:
        """Keep a pushed page, in threads of our own; the future is done when it is durable.

        Raises:
            Overloaded: too many wait already.
        """
        with self._lock:
            if self._waiting[page.key] >= OF_ONE:
                raise Overloaded(f"{OF_ONE} pages of {page.target} wait already, nothing of this one was taken", 2)
            if self._waiting.total() >= IN_HAND:
                raise Overloaded(f"{IN_HAND} pages wait already, nothing of this one was taken", 2)
            self._waiting[page.key] += 1
        try:
            kept = self._pool.submit(self.keep, page)
        except RuntimeError:  # stopped
            self._let_go(page.key)
            raise Overloaded("the service ends, nothing of this page was taken", 2, 503) from None
        kept.add_done_callback(partial(self._let_go, page.key))
        return kept

    def stop(self) -> None:
        """End; pages that are being kept are finished first."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _let_go(self, key: str, _kept: Future[Taken] | None = None) -> None:
        with self._lock:
            self._waiting[key] -= 1
            self._waiting += Counter()  # without what is zero

    def keep(self, page: Page) -> Taken:
        """Store a page and find its faults; returns when its rows are durable.

        Raises:
            Overloaded: the queue is full.
            StoreError: the rows could not be made durable.
        """
        taken = self._kept(page)
        if page.source == PUSHED:
            self._heard(page, taken)
        return taken

    def _heard(self, page: Page, taken: Taken) -> None:
        """Who sent a page was heard, also when its rows were here already."""
        now, stored = self._intake.now(), sum(taken.wait().stored.values())
        lag_s = (now - taken.newest).total_seconds() if taken.newest else None
        self._intake.senders.heard((page.source, name_of(page.target, page.cluster)), now, stored, lag_s)

    def _kept(self, page: Page) -> Taken:
        if "gpu_sample" not in page.parsed.tables:
            return self._stored(page, page.parsed)
        target = self._targets.of(page.source, page.key, self._intake.now())
        if target is None:
            return self._stored(page, _refused(page.parsed, "too_many_targets"))
        with target.turn:
            return self._judged(page, target)

    def _judged(self, page: Page, target: Target) -> Taken:
        parsed, before = page.parsed, self._targets.read(target)
        fresh = _fresh(parsed.tables["gpu_sample"], target.newest)
        most = MAX_DEVICES if page.source == PUSHED else MAX_SCRAPED
        events, state = faults(before, {**parsed.tables, "gpu_sample": fresh}, page.at, most)
        taken = self._stored(page, parsed if events is None else exposition.with_table(parsed, "change_event", events))
        self._targets.write(target, state, self._intake.now())  # only now: what was not stored is found again
        judged = fresh.select("device_id", "ts").group_by("device_id").max()
        target.newest = {d: ts for d, ts in (target.newest | dict(judged.iter_rows())).items() if d in state}
        return taken

    def _stored(self, page: Page, parsed: Parsed) -> Taken:
        taken = self._intake.store_parsed(page.source, parsed, page.batch_id)
        taken.wait()
        return taken


def _fresh(samples: pl.DataFrame, newest: Mapping[str, datetime]) -> pl.DataFrame:
    """Samples that are not of a past in which their device is judged already."""
    pairs = samples.select("device_id", "ts").iter_rows()
    late = [ts < newest.get(device, ts) for device, ts in pairs]
    return samples.filter([not one for one in late]) if any(late) else samples


def _refused(parsed: Parsed, why: str) -> Parsed:
    """The same without rows, and the reason."""
    return replace(parsed, tables={}, notes={}, folded=0, rejected={**parsed.rejected, why: parsed.items})
