"""Pulls scheduled by the site: scrape targets and watched paths, each on its own cadence.

A target that fails is recorded in `collector_run` with its reason and tried again at its next
turn; it never holds up the others.

Source: our own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from collectors import exposition, pull
from observe.app.intake import Intake
from observe.clock import Clock
from observe.errors import ObserveError, PayloadError, SourceError
from observe.schema import CollectorRun
from observe.store import Store

_LOG = logging.getLogger("observe.pulling")
_AT_ONCE: Final = 32
_WATCHED: Final = {"files": "predictions", "predictions": "predictions", "labels": "labels"}  # by collector type


@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """One target of one collector."""

    collector: str
    kind: str  # entry-point name of the collector that reads it: prometheus | predictions | labels
    target: str
    every: timedelta
    labels: Mapping[str, str]
    model: str | None = None
    timeout_s: float = 10.0  # for the whole answer


def pulls(collectors: Mapping[str, Any]) -> tuple[Pull, ...]:
    """All pulls a site declares; push intakes need none."""
    made: list[Pull] = []
    for name, spec in collectors.items():
        every = timedelta(seconds=spec.every_s)
        if spec.type == "prometheus":
            made += [Pull(name, "prometheus", t, every, spec.labels, None, spec.timeout_s) for t in spec.targets]
        elif spec.path and spec.type in _WATCHED:
            made.append(Pull(name, _WATCHED[spec.type], str(spec.path), every, spec.labels, spec.model))
    return tuple(made)


class Puller:
    """Runs pulls on time; a pull still running is not started again, and holds up no other of the first 32."""

    def __init__(self, plan: tuple[Pull, ...], intake: Intake, store: Store, clock: Clock) -> None:
        self._plan, self._intake, self._store, self._clock = plan, intake, store, clock
        self._due: dict[Pull, datetime] = {}
        self._busy: set[Pull] = set()
        self._xid: dict[str, Mapping[str, int]] = {}
        self._read: dict[str, Callable[[Pull, datetime], None]] = {"prometheus": self._scrape}  # others are files
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(max(1, min(_AT_ONCE, len(plan))), thread_name_prefix="pull")
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
        """Every pull once, in order."""
        for item in self._plan:
            self._pool.submit(self._pull, item).result()

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
            self._read.get(item.kind, self._tail)(item, at)
        except ObserveError as error:
            self._failed(item, item.target, at, str(error))
        except Exception as error:  # noqa: BLE001 - the supervisor loop: told, recorded, tried again
            _LOG.exception("event=pull_broke collector=%s target=%s", item.collector, item.target)
            self._failed(item, item.target, at, f"{type(error).__name__}: {error}")
        finally:
            self._busy.discard(item)

    def _failed(self, item: Pull, target: str, at: datetime, why: str) -> None:
        _LOG.warning("event=pull_failed collector=%s target=%s error=%s", item.collector, target, why)
        try:
            self._record(CollectorRun(at, item.collector, target, False, 0, 0, {}, None, why[:500]))
        except ObserveError as error:
            _LOG.warning("event=run_not_recorded collector=%s error=%s", item.collector, error)

    def _scrape(self, item: Pull, at: datetime) -> None:
        payload = pull.get(item.target, item.timeout_s)
        labels = {**item.labels, "target": item.target, "source": item.collector}
        parsed = exposition.parse(payload, at, labels)
        key, samples = f"xid/{item.target}", parsed.tables.get("gpu_sample")
        codes: Mapping[str, int] | None = None
        if samples is not None:
            events, codes = exposition.xid_events(self._codes(key), samples, at)
            parsed = exposition.with_table(parsed, "change_event", events) if events.height else parsed
        taken = self._intake.store_parsed(item.collector, parsed, batch_id="")
        taken.wait()
        if codes is not None and codes != self._codes(key):  # only now: an event that was not stored is found again
            with self._store.change() as tx:
                tx.set_state(key, codes)
            self._xid[key] = codes
        self._record(taken.run(at, item.collector, item.target))

    def _codes(self, key: str) -> Mapping[str, int]:
        """The last XID code of every device of a target."""
        if key not in self._xid:
            self._xid[key] = self._store.state([key]).get(key, {})
        return self._xid[key]

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
            try:
                taken = self._intake.take(item.kind, item.collector, file.read(), labels, batch_id=file.batch_id)
                self._record(taken.run(at, item.collector, file.path))
            except (PayloadError, SourceError) as error:  # this file is bad; the next one may be fine
                self._failed(item, file.path, at, str(error))
            seen = {**seen, file.path: file.fingerprint}
            with self._store.change() as tx:
                tx.set_state(key, seen)

    def _record(self, run: CollectorRun) -> None:
        with self._store.change() as tx:
            tx.insert([run])
