"""Who held the event loop: everything that keeps intake from answering for more than 20 ms is counted by name.

A task on the loop beats every 10 ms. A thread beside it looks whether the beat is late and, if so,
at what the loop's thread is doing: that place, the innermost function of ours, is counted when the
beat comes back. A loop that waits for the interpreter (another thread holds it) or for a processor
is doing nothing of ours: it is counted as `waiting`.

Source: our own; ARCHITECTURE section 4, "no call holds the GIL longer than 20 ms".
"""

from __future__ import annotations

import asyncio
import sys
import threading
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from observe.telemetry import Telemetry

HELD_S: Final = 0.020  # longer than this is counted
_BEAT_S: Final = 0.010
_OURS: Final = ("observe.", "collectors.", "alerts.")
_LOOP: Final = ("observe.server.listen", "observe.cli", "observe.server.watchdog")  # beneath every call of the loop


class Watchdog:
    """Watches the loop it is run on; `run` until cancelled."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._thread_id = 0
        self._due = float("inf")  # when the next beat should come, monotonic s
        self._where = ""
        self._stop = threading.Event()

    async def run(self) -> None:
        """Beat, and count every beat that comes more than 20 ms late."""
        self._thread_id = threading.get_ident()
        watcher = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        watcher.start()
        try:
            while True:
                self._due = monotonic() + _BEAT_S
                await asyncio.sleep(_BEAT_S)
                self._came(monotonic() - self._due)
        finally:
            self._stop.set()

    def _came(self, late_s: float) -> None:
        where, self._where, self._due = self._where, "", float("inf")
        self._telemetry.loop_lag.observe(max(0.0, late_s))
        if late_s > HELD_S:
            self._telemetry.loop_held.labels(where or "waiting").inc()

    def _watch(self) -> None:
        while not self._stop.wait(HELD_S):
            if monotonic() - self._due > HELD_S and not self._where:
                frame = sys._current_frames().get(self._thread_id)
                self._where = place(frame) if frame is not None else ""


def place(frame: FrameType) -> str:
    """The innermost function of ours that a thread is in, as `module.function`; empty outside our code."""
    inner: FrameType | None = frame
    while inner is not None:
        module = inner.f_globals.get("__name__", "")
        if module.startswith(_OURS) and not module.startswith(_LOOP):
            return f"{module}.{inner.f_code.co_name}"
        inner = inner.f_back
    return ""
