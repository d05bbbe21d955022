"""The agent of one node: asks NVML in turns, shows the page to scrapers, or pushes it to the service.

It needs no store and little memory. Pages to be pushed carry their own instants and wait on disk,
so neither an outage of the service nor a kill of the agent leaves a gap; each page has a key by
which the service stores it once.

Source: our own.
"""

from __future__ import annotations

import gzip
import logging
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Final

from collectors.nvml import Nvml
from collectors.nvml_page import escaped
from observe.app.pushing import Push
from observe.app.spool import Spool
from observe.clock import Clock
from observe.errors import ObserveError

_LOG = logging.getLogger("observe.agent")
LONGEST_PAUSE_S: Final = 30.0  # between tries to push
_STALE: Final = 3  # turns after which a page is no longer shown as what the GPUs say now

Read = Callable[[datetime], bytes]  # a page of an instant, or SourceError


def reader(node: str, *, stamped: bool) -> Read:
    """Reads the GPUs of this machine; `stamped` when the page is not taken at once."""
    return partial(Nvml(node).page, stamped=stamped)


@dataclass(frozen=True, slots=True)
class _Shown:
    """The newest page, or why there is none."""

    page: bytes = b""
    why: str = "no reading yet"
    at: datetime | None = None


class Agent:
    """Reads in turns; `run` returns when told to stop.

    Args:
        read: makes a page.
        node: for the agent's own series.
        every_s: seconds between two readings.
        clock: instants of pages.
        spool: where pages wait, when they are pushed.
        push: who takes them.
    """

    def __init__(
        self, read: Read, node: str, every_s: float, clock: Clock, spool: Spool | None = None, push: Push | None = None
    ) -> None:
        self._read, self._node, self._every_s, self._clock = read, node, every_s, clock
        self._spool, self._push = spool, push
        self._shown = _Shown()
        self._said: dict[str, str] = {}
        self.refused = 0
        self._stop, self._fresh, self._turn = threading.Event(), threading.Event(), threading.Lock()

    def stop(self) -> None:
        """End soon; pages that wait stay on disk."""
        self._stop.set()
        self._fresh.set()

    def run(self) -> None:
        """Read in turns, and push beside it, until stopped."""
        pusher = threading.Thread(target=self._pushing, name="push", daemon=True)
        if self._push is not None:
            pusher.start()
        due = monotonic()
        while not self._stop.is_set():
            try:
                self._once()
            except Exception as error:  # noqa: BLE001 - the supervisor loop: told, tried again
                self._shown = _Shown(why=self._broke("read", error))
            due = max(due + self._every_s, monotonic())
            self._stop.wait(due - monotonic())
        if pusher.is_alive():
            pusher.join(timeout=15)

    def page(self) -> tuple[int, bytes]:
        """What a scraper gets: 200 and the page, or 503 and why there is none."""
        shown = self._shown
        if shown.at is not None and self._clock.now() - shown.at > timedelta(seconds=self._every_s * _STALE):
            return 503, f"no reading since {shown.at:%Y-%m-%dT%H:%M:%SZ}\n".encode()
        return (503, f"{shown.why}\n".encode()) if shown.why else (200, shown.page)

    def _once(self) -> None:
        at = self._clock.now()
        try:
            page = self._read(at) + self._own(at)
        except ObserveError as error:
            self._shown = _Shown(why=str(error))
            self._tell("read", str(error))
            return
        self._tell("read", "")
        self._shown = _Shown(page, "", at)
        if self._spool is not None:
            self._wait(self._spool, page, at)

    def _wait(self, spool: Spool, page: bytes, at: datetime) -> None:
        """Put a page where it waits to be pushed; what is lost by it is counted and told."""
        before = spool.dropped
        try:
            with self._turn:
                spool.put(int(at.timestamp() * 1000), gzip.compress(page, 6, mtime=0))
            self._tell("spool", "the spool is full, its oldest pages are lost" if spool.dropped > before else "")
        except OSError as error:
            spool.dropped += 1
            self._tell("spool", f"the spool does not take pages: {error.strerror}")
        self._fresh.set()

    def _own(self, at: datetime) -> bytes:
        """The agent about itself."""
        if self._spool is None:
            return b""
        labels, stamp = f'{{hostname="{escaped(self._node)}"}}', int(at.timestamp() * 1000)
        own = {
            "observe_agent_pages_dropped_total": self._spool.dropped, "observe_agent_pages_refused_total": self.refused,
            "observe_agent_spool_pages": len(self._spool), "observe_agent_spool_bytes": self._spool.size,
        }  # fmt: skip
        return "".join(f"{name}{labels} {value} {stamp}\n" for name, value in own.items()).encode()

    def _pushing(self) -> None:
        pause, failures = 0.0, 0
        while not self._stop.wait(pause):
            try:
                pause = self._pushed(failures)
            except Exception as error:  # noqa: BLE001 - the supervisor loop: told, tried again
                self._broke("push", error)
                pause = LONGEST_PAUSE_S
            failures = failures + 1 if pause else 0

    def _pushed(self, failures: int) -> float:
        """Push the oldest page, or wait for one; how long to wait before the next."""
        assert self._spool is not None
        try:
            with self._turn:
                waiting = self._spool.oldest()
        except OSError as error:
            self._tell("spool_read", f"pages of the spool cannot be read: {error.strerror}")
            return LONGEST_PAUSE_S
        self._tell("spool_read", "")
        if waiting is None:
            self._fresh.wait()
            self._fresh.clear()
            return 0.0
        return self._sent(*waiting, failures)

    def _sent(self, name: str, page: bytes, failures: int) -> float:
        """Push one page; how long to wait before the next, 0 when this one is done with."""
        assert self._push is not None
        assert self._spool is not None
        try:
            answer = self._push.send(page)
        except ObserveError as error:  # the token or the authorities cannot be read just now
            self._tell("push", str(error))
            return LONGEST_PAUSE_S
        self._tell("push", answer.said)
        if answer.outcome == "later":
            spread = 0.75 + zlib.crc32(f"{self._node}{failures}".encode()) / 2**33  # agents must not come all at once
            return max(answer.after_s, min(LONGEST_PAUSE_S, 0.5 * 2.0 ** min(failures, 10)) * spread)
        self.refused += answer.outcome == "refused"
        try:
            with self._turn:
                self._spool.drop(name)
        except OSError as error:
            self._tell("spool_drop", f"a page that was sent stays in the spool: {error.strerror}")
        return 0.0

    def _broke(self, what: str, error: Exception) -> str:
        """Our own fault: told with its place when it is new, in a line to a scraper."""
        said = f"{type(error).__name__}: {error}"
        if said != self._said.get(what):
            self._said[what] = said
            _LOG.exception("event=turn_broke what=%s", what)
        return said

    def _tell(self, what: str, said: str) -> None:
        """Log what changed, once."""
        before = self._said.get(what, "")
        self._said[what] = said
        if said and said != before:
            _LOG.warning("event=%s_failed error=%s", what, said)
        elif before and not said:
            _LOG.info("event=%s_works_again", what)
