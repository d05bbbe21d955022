"""Pulls scheduled by the site: scrape targets and watched paths, each on its own cadence.

A target that fails is recorded in `collector_run` with its reason and tried again at its next
turn; it never holds up the others. The plan may change while pulls are under way: those finish,
and what stays in the plan keeps its turn.

Source: our own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from socket import gethostname
from time import monotonic
from typing import Final
from zlib import crc32

from collectors import pull
from collectors.nvml import Nvml
from observe.app import querying, spending
from observe.app.intake import Intake, Taken
from observe.app.pages import Pages
from observe.app.pull_plan import Pull
from observe.clock import Clock
from observe.errors import ObserveError, PayloadError, SourceError
from observe.schema import CollectorRun
from observe.store import Store

_LOG = logging.getLogger("observe.pulling")
_AT_ONCE: Final = 32
_TOGETHER_S: Final = 2.0  # runs are written down at most this often: a transaction each would hold up intake
_RETRY_S: Final = 5.0  # after a fault of ours
_UNWRITTEN: Final = 10_000  # runs that may wait for a store that writes nothing
_SPREAD: Final = ("prometheus", "spendlogs", "nvml", querying.TYPE)
_FIRST: Final = timedelta(seconds=5)  # within which every target is read once; cadences up to this begin at once
_FIRST_PER_S: Final = 8  # so many first reads a second: where there are more targets the first round takes longer


def _first_round(plan: tuple[Pull, ...]) -> timedelta:
    """Within how long every target is read for the first time: soon, but not so that a start holds up intake."""
    return max(_FIRST, timedelta(seconds=sum(item.kind in _SPREAD for item in plan) / _FIRST_PER_S))


class Puller:
    """Runs pulls on time; a pull still running is not started again, and holds up no other of the first 32."""

    def __init__(
        self, plan: tuple[Pull, ...], intake: Intake, store: Store, clock: Clock, pages: Pages | None = None
    ) -> None:
        self._plan, self._intake, self._store, self._clock = plan, intake, store, clock
        self._within = _first_round(plan)
        self._due: dict[tuple[str, str, str], datetime] = {}
        self._turns: dict[tuple[str, str, str], datetime] = {}  # second turns: from then on a cadence is spread out
        self._runs: list[CollectorRun] = []
        self._writing, self._written = threading.Lock(), monotonic() - _TOGETHER_S
        self._busy: set[tuple[str, str, str]] = set()
        self._failing: dict[tuple[str, str], str] = {}  # by collector and target: what was said of it
        self._pages = pages or Pages(intake, store)
        self._gpus: dict[tuple[str, ...], Nvml] = {}
        self._read: dict[str, Callable[[Pull, datetime], None]] = {
            "prometheus": self._scrape, "nvml": self._nvml, "spendlogs": self._spend, querying.TYPE: self._ask,
        }  # others are files  # fmt: skip
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pull")
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
        self._write()
        for asked in self._gpus.values():
            asked.close()

    def replan(self, plan: tuple[Pull, ...]) -> None:
        """Go on with another plan; what is under way is finished, what is new is pulled within seconds."""
        self._within = _first_round(plan)
        self._plan = plan  # one assignment: the loop sees the old plan or the new one

    def once(self) -> None:
        """Every pull once, in order."""
        for item in self._plan:
            self._pool.submit(self._pull, item).result()
        self._write()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            try:
                self._turn()
            except Exception:  # noqa: BLE001 - the supervisor loop: told, tried again
                _LOG.exception("event=pulls_broke retry_in_s=%s", _RETRY_S)
                self._stop.wait(_RETRY_S)

    def _turn(self) -> None:
        now = self._clock.now()
        plan = self._plan
        self._due = {item.key: min(self._when(item, now), now + item.every) for item in plan}
        for item in plan:
            # due, or further ahead than its cadence: then the clock went back
            if item.key not in self._busy and not now < self._due[item.key] <= now + item.every:
                self._due[item.key] = self._next(item, now)
                self._busy.add(item.key)
                self._pool.submit(self._pull, item)
        if monotonic() - self._written >= _TOGETHER_S:
            self._write()

    def _when(self, item: Pull, now: datetime) -> datetime:
        """When a pull is due; targets seen for the first time are spread, so that not all are read in one instant."""
        known = self._due.get(item.key)
        if known is not None or item.kind not in _SPREAD or item.every <= _FIRST:
            return known or now
        part = crc32(f"{item.collector} {item.target}".encode()) / 2**32
        self._turns[item.key] = now + item.every * part
        return now + min(self._within, item.every) * part

    def _next(self, item: Pull, now: datetime) -> datetime:
        """When a pull that begins now is due again: the second time at its own place within its cadence."""
        second = self._turns.pop(item.key, now)
        return second if now + _FIRST / 5 < second <= now + item.every else now + item.every

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
            self._busy.discard(item.key)

    def _failed(self, item: Pull, target: str, at: datetime, why: str) -> None:
        if self._failing.get((item.collector, target)) != why:  # said once, and again when it changes or is over
            self._failing[item.collector, target] = why
            _LOG.warning("event=pull_failed collector=%s target=%s error=%s", item.collector, target, why)
        self._record(CollectorRun(at, item.collector, target, False, 0, 0, {}, None, why[:500]))

    def _scrape(self, item: Pull, at: datetime) -> None:
        payload = item.get()
        self._page(item, payload, at, item.labels)

    def _nvml(self, item: Pull, at: datetime) -> None:
        """The GPUs of this machine, asked through NVML."""
        node = item.labels.get("node") or gethostname()
        asked = self._gpus.setdefault((*item.key, node), Nvml(node))
        self._page(item, asked.page(at), at, {**item.labels, "node": node})

    def _page(self, item: Pull, payload: bytes, at: datetime, labels: Mapping[str, str]) -> None:
        taken = self._pages.take(item.collector, item.target, payload, at, labels)
        self._record(taken.run(at, item.collector, item.target))

    def _spend(self, item: Pull, at: datetime) -> None:
        gateway = spending.Gateway(
            item.collector, item.target, item.labels, lambda url: replace(item, target=url).get()
        )
        taken = spending.spend(gateway, self._intake, self._store, at)
        self._record(taken.run(at, item.collector, item.target))

    def _ask(self, item: Pull, at: datetime) -> None:
        """One SLO's counts, of the first replica that answers."""
        assert item.question is not None
        question, answers = item.question, (self._intake, self._store)

        def call(target: str) -> Taken:
            return querying.ask(question, lambda url: replace(item, target=url).get(), target, answers, at)

        targets = (item.target, *item.others)
        found = querying.first_answer(targets, call, lambda target, why: self._failed(item, target, at, why))
        if found is not None:
            self._record(found[1].run(at, item.collector, found[0]))

    def _tail(self, item: Pull, at: datetime) -> None:
        """Read what is new; how far is kept every two seconds, for a file that is read again is known by its id."""
        key = f"files/{item.collector}"
        seen = dict(self._store.state([key]).get(key, {}))
        fresh: dict[str, str] = {}
        since = monotonic()
        try:
            for file in pull.tail(item.target, seen):
                self._file(item, file, at)
                fresh[file.path] = file.fingerprint
                if monotonic() - since >= _TOGETHER_S:
                    self._keep(key, seen, fresh)
                    since = monotonic()
        finally:
            self._keep(key, seen, fresh)

    def _file(self, item: Pull, file: pull.File, at: datetime) -> None:
        labels = {**item.labels, "model": item.model or "", "content_type": file.content_type, "accept_past_s": "inf"}
        source = spending.SOURCE if item.kind == "litellm" else item.collector
        try:
            taken = self._intake.take(item.kind, source, file.read(), labels, batch_id=file.batch_id)
            self._record(taken.run(at, item.collector, file.path))
        except (PayloadError, SourceError) as error:  # this file is bad; the next one may be fine
            self._failed(item, file.path, at, str(error))

    def _keep(self, key: str, seen: dict[str, str], fresh: dict[str, str]) -> None:
        """Keep how far files were read."""
        if fresh:
            seen |= fresh
            fresh.clear()
            with self._store.change() as tx:
                tx.set_state(key, seen)

    def _record(self, run: CollectorRun) -> None:
        if run.ok and self._failing.pop((run.collector, run.target), None) is not None:
            _LOG.info("event=pull_recovered collector=%s target=%s", run.collector, run.target)
        with self._writing:
            self._runs.append(run)

    def _write(self) -> None:
        """Write down what runs came to; what cannot be written waits for the next turn."""
        with self._writing:
            runs, self._runs = self._runs, []
        self._written = monotonic()
        if not runs:
            return
        try:
            with self._store.change() as tx:
                tx.insert(runs)
        except ObserveError as error:
            _LOG.warning("event=runs_not_recorded n=%s error=%s", len(runs), error)
            with self._writing:
                self._runs = [*runs, *self._runs][-_UNWRITTEN:]
