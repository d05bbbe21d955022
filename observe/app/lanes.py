"""Those who are spoken to, each in a lane of its own: one that hangs holds up no other, and none is spoken to twice at once.

One thread looks every second what is due. A lane works off one job at a time; what is due for one that is busy waits
for the next look. Whatever goes wrong is told, counted and tried again.

Source: our own; docs/delivery.md, docs/actions.md.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from observe.telemetry import Telemetry

_LOG = logging.getLogger("observe.lanes")
LOOK_S: Final = 1.0


class Lanes:
    """The lanes of one stage, and the thread that looks what is due.

    Args:
        stage: its name in metrics and logs.
        most: lanes that are spoken to at the same time.
        look: hands the lanes that are free what is due for them.
        telemetry: where faults are counted.
    """

    def __init__(self, stage: str, most: int, look: Callable[[], object], telemetry: Telemetry) -> None:
        self._stage, self._look, self._telemetry = stage, look, telemetry
        self._lanes: dict[str, Future[None]] = {}
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=stage)
        self._thread = threading.Thread(target=self._run, name=stage, daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether no job is to begin anything new."""
        return self._ended.is_set()

    @property
    def begun(self) -> bool:
        """Whether it was begun, or is not to begin any more."""
        return self._thread.is_alive() or self.stopping

    def start(self) -> None:
        """Begin to look, once."""
        self._thread.start()

    def stop(self) -> None:
        """End after the jobs under way."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def is_busy(self, lane: str) -> bool:
        """Whether somebody is being spoken to."""
        return lane in self._lanes and not self._lanes[lane].done()

    def submit(self, lane: str, job: Callable[[], object]) -> Future[None]:
        """Work off a job in a lane that is not busy."""

        def run() -> None:
            try:
                job()
            except Exception:  # noqa: BLE001 - the supervisor loop of this lane: told, counted, tried again
                self.failed()

        self._lanes[lane] = self._pool.submit(run)
        return self._lanes[lane]

    def failed(self) -> None:
        """Tell and count the fault that is being handled."""
        self._telemetry.stage_errors.labels(self._stage).inc()
        _LOG.exception("event=stage_failed stage=%s", self._stage)

    def _run(self) -> None:
        while not self._ended.wait(LOOK_S):
            try:
                with self._telemetry.stage(self._stage):
                    self._look()
            except Exception:  # noqa: BLE001 - the supervisor loop: told, counted, tried again
                self.failed()
