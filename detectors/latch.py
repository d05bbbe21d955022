"""Alarms of level streams: raised once the evidence suffices, refined for a while, ended after a calm day.

Source: METHODS section 4, "After an alarm".
Assumes: as `localise`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import budget, effects, localise
from detectors.fitting import Fit
from detectors.memory import Alarm, Memory
from detectors.slots import DAY_S
from detectors.verdict import may_alarm
from observe.schema import Binning, Monitor

Floats = NDArray[np.float64]

_CALM_S: Final = DAY_S  # an alarm ends when every window was calm for so long
_REFINED: Final = 48  # windows after an alarm in which onset and effect are still refined
_MOST: Final = 5.0  # nats above its threshold that the evidence of an alarm may reach, so that it can end


class Latch:
    """Raises, refines and ends the alarms of a memory's streams."""

    def __init__(
        self, memory: Memory, monitors: Sequence[Monitor], binnings: Sequence[Binning | None], least: Sequence[float]
    ) -> None:
        """Monitors with their binnings and the smallest effects that matter, sigma."""
        self._memory, self._monitors, self._binnings, self._least = memory, monitors, binnings, least
        self._threshold = np.array([m.threshold_nats for m in monitors])

    def settle(self, end: int, nats: Floats, se: Floats, judged: NDArray[np.bool_]) -> None:
        """Look at every judged stream with an alarm, or with evidence for one.

        Args:
            end: of the window, epoch s.
            nats: evidence up and down, own penalty taken off, (S, 2).
            se: of the baseline, sigma, (S,).
            judged: which streams were, (S,).
        """
        alarmed = np.array([a is not None for a in self._memory.alarms], dtype=bool)
        for i in np.flatnonzero(judged & (alarmed | (nats.max(axis=1) >= self._threshold))).tolist():
            found = self._memory.fits[i]
            if found is not None:
                self._settle(i, end, nats[i], (float(se[i]), found))

    def _settle(self, i: int, end: int, nats: Floats, known: tuple[float, Fit]) -> None:
        mem, alarm, (se, found) = self._memory, self._memory.alarms[i], known
        if alarm is None:
            if not may_alarm(found):
                return
            sign = 1 if nats[0] >= nats[1] else -1
            alarm = mem.alarms[i] = Alarm(end, sign, end, end, end, 0.0, 0.0, 0.0)
        if end - alarm.at <= _REFINED * mem.window_s:
            self._locate(i, alarm, end, se, found)
        if alarm.at == end and abs(alarm.effect) < self._least[i]:  # surely moved, but by less than matters
            mem.alarms[i] = None
            return
        self._calm(i, alarm, end, nats)

    def _locate(self, i: int, alarm: Alarm, end: int, se: float, found: Fit) -> None:
        trail = self._memory.recent(i)
        noisier = partial(effects.noisier, self._monitors[i].score, self._binnings[i])
        shift = localise.shift(trail, found.rho, se, found.scale, alarm.sign, noisier)
        if shift.nats < alarm.nats:  # the shift has gone: what it was is kept
            return
        alarm.nats, window_s = shift.nats, self._memory.window_s
        first = end - trail.e.size * window_s
        alarm.onset, alarm.low, alarm.high = (first + j * window_s for j in (shift.start, shift.low, shift.high))
        alarm.effect, alarm.ci_low, alarm.ci_high = shift.effect, shift.ci_low, shift.ci_high

    def _calm(self, i: int, alarm: Alarm, end: int, nats: Floats) -> None:
        mem = self._memory
        top = mem.cusum.z[i]
        np.minimum(top, _MOST + self._threshold[i] + mem.penalty[i].max(), out=top)
        if (nats + mem.penalty[i])[0 if alarm.sign > 0 else 1] >= budget.calm(mem.window_s):
            alarm.calm = None
        elif alarm.calm is None:
            alarm.calm = end
        elif end - alarm.calm >= _CALM_S:
            mem.alarms[i] = None
            mem.masks[i].append([alarm.low, end])
            mem.tried[i] = 0
            mem.forget(i, end)
