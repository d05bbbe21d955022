"""Answers to queries, kept for a moment: the newest ones, within so many bytes.

Source: our own.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict

CACHE_BYTES = 64 * 1024 * 1024  # bound of the result cache
FRESH_S = 5.0  # commands, reports and settings change while the watermark stands: no answer is kept for longer


class Results:
    """Answers of the last `FRESH_S` by key, bounded in bytes; the oldest leaves first."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._held: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> bytes | None:
        """The answer kept under `name`; None where none is, or it is too old."""
        with self._lock:
            self._leave(time.monotonic() - FRESH_S)
            found = self._held.get(name)
            return found[1] if found else None

    def put(self, name: str, answer: bytes) -> None:
        """Keep an answer."""
        with self._lock:
            if name in self._held:
                self._size -= len(self._held.pop(name)[1])
            self._size += len(answer)
            self._held[name] = (time.monotonic(), answer)
            self._leave(-math.inf)

    def _leave(self, oldest: float) -> None:
        while self._held:
            name, (at, answer) = next(iter(self._held.items()))
            if self._size <= self._limit and at >= oldest:
                return
            del self._held[name]
            self._size -= len(answer)
