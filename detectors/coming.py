"""What is expected of streams in the windows to come, worked out for many windows at once.

Baselines change when a stream learns, which is seldom; the windows of a replay are many. Worked out together they
cost little more than one.

Source: our own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import baseline
from detectors.memory import Memory

Floats = NDArray[np.float64]

_AHEAD: Final = 48  # windows that are worked out together


class Coming:
    """Baselines of the streams of a memory, and their errors, up to the last window that is judged."""

    def __init__(self, memory: Memory, last: int) -> None:
        """Windows end at `last` at the latest, epoch s."""
        self._memory, self._last = memory, last
        self._first, self._known = 0, (np.zeros((0, 0)), np.zeros((0, 0)))

    def forget(self) -> None:
        """A stream has learnt: what was worked out no longer holds."""
        self._known = np.zeros((0, 0)), np.zeros((0, 0))

    def at(self, end: int) -> tuple[Floats, Floats]:
        """Baseline and its standard error in the window that ends at `end`, epoch s; (S,) each, sigma."""
        step = self._memory.window_s
        k = (end - self._first) // step
        if not 0 <= k < len(self._known[0]):
            middles = np.arange(end, min(self._last, end + (_AHEAD - 1) * step) + 1, step) - step // 2
            row = baseline.design(middles)
            self._known = baseline.combined(row, self._memory.beta), baseline.deviation(row, self._memory.cov)
            self._first, k = end, 0
        expected, se = self._known
        return expected[k], se[k]
