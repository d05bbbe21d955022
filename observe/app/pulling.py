"""Pulls scheduled by the site: scrape targets and watched paths, each on its own cadence.

A target that fails is recorded in `collector_run` with its reason and tried again at its next
turn; it never holds up the others.

Source: our own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from collectors import exposition, pull
from observe.app.intake import Intake
from observe.clock import Clock
from observe.errors import ObserveError
from observe.schema import CollectorRun, Parsed
from observe.store import Store

_LOG = logging.getLogger("observe.pulling")


@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """One target of one collector."""

    collector: str
    kind: str  # prometheus | files
    target: str
    every: timedelta
    labels: Mapping[str, str]
    model: str | None = None


def pulls(collectors: Mapping[str, Any]) -> tuple[Pull, ...]:
    """All pulls a site declares; push intakes need none."""
    made: list[Pull] = []
    for name, spec in collectors.items():
        every = timedelta(seconds=spec.every_s)
        if spec.type == "prometheus":
            made += [Pull(name, "prometheus", target, every, spec.labels) for target in spec.targets]
        elif spec.type == "files" and spec.path:
            made.append(Pull(name, "files", spec.path, every, spec.labels, spec.model))
    return tuple(made)


class Puller:
    """Runs pulls on time, at most four at once; a pull still running is not started again."""

    def __init__(self, plan: tuple[Pull, ...], intake: Intake, store: Store, clock: Clock) -> None:
        self._plan, self._intake, self._store, self._clock = plan, intake, store, clock
        self._due: dict[Pull, datetime] = {}
        self._busy: set[Pull] = set()
        self._xid: dict[str, Mapping[str, int]] = {}
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="pull")
        self._thread = threading.Thread(target=self._run, name="puller", daemon=True)

    def start(self) -> None:
        """Begin pulling."""
        self._thread.start()

    def stop(self) -> None:
        """End; pulls under way are finished first."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def once(self) -> None:
        """Every pull once, in order, in this thread (`observe demo`, tests)."""
        for item in self._plan:
            self._pull(item)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            now = self._clock.now()
            for item in self._plan:
                if item not in self._busy and self._due.get(item, now) <= now:
                    self._due[item] = now + item.every
                    self._busy.add(item)
                    self._pool.submit(self._pull, item)

    def _pull(self, item: Pull) -> None:
        at = self._clock.now()
        try:
            if item.kind == "prometheus":
                self._scrape(item, at)
            else:
                self._tail(item, at)
        except ObserveError as error:
            _LOG.warning("event=pull_failed collector=%s target=%s error=%s", item.collector, item.target, error)
            self._record(CollectorRun(at, item.collector, item.target, False, 0, 0, {}, None, str(error)[:500]))
        finally:
            self._busy.discard(item)

    def _scrape(self, item: Pull, at: datetime) -> None:
        payload = pull.get(item.target)
        labels = {**item.labels, "target": item.target, "source": item.collector}
        parsed = exposition.parse(payload, at, labels)
        samples = parsed.tables.get("gpu_sample")
        if samples is not None:
            parsed = self._with_xid_events(parsed, samples, at, f"xid/{item.target}")
        taken = self._intake.store_parsed(item.collector, parsed, batch_id="")
        self._record(taken.run(at, item.collector, item.target))

    def _with_xid_events(self, parsed: Parsed, samples: pl.DataFrame, at: datetime, key: str) -> Parsed:
        """A page with the XID errors that are new since the last page of this target."""
        before = self._xid.get(key)
        if before is None:
            before = self._store.state([key]).get(key, {})
        events, self._xid[key] = exposition.xid_events(before, samples, at)
        if self._xid[key] != before:
            with self._store.change() as tx:
                tx.set_state(key, self._xid[key])
        return exposition.with_table(parsed, "change_event", events) if events.height else parsed

    def _tail(self, item: Pull, at: datetime) -> None:
        key = f"files/{item.collector}"
        seen = self._store.state([key]).get(key, {})
        for file in pull.tail(item.target, seen):
            labels = {
                **item.labels,
                "model": item.model or "",
                "content_type": file.content_type,
                "accept_past_s": "inf",
            }
            taken = self._intake.take("predictions", item.collector, file.read(), labels, batch_id=file.batch_id)
            taken.wait()
            seen = {**seen, file.path: file.fingerprint}
            with self._store.change() as tx:
                tx.set_state(key, seen)
            self._record(taken.run(at, item.collector, file.path))

    def _record(self, run: CollectorRun) -> None:
        with self._store.change() as tx:
            tx.insert([run])
