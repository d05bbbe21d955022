"""Whoever decides about the size of a simulated service: a constant, Kubernetes' rule on utilisation, and ours.

Source: Kubernetes 1.35 documentation, "Horizontal Pod Autoscaling", algorithm details (tolerance 10 %, downscale
stabilisation 5 min, pods that are not ready count as idle); ours is `detectors.load`, unchanged.
"""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import Final

import numpy as np

from detectors import demand, load
from detectors.demand import Floats
from detectors.load import Envelope, Memory, Seen
from detectors.throughput import Carried
from observe.app.queueing import TICK_S, Minutes, Policy, Sight

TOLERANCE: Final = 0.1
STABLE_S: Final = 300.0
AVERAGED: Final = 4  # ticks of utilisation that are averaged
RELEARN: Final = 60  # minutes
WEEKS: Final = 14 * demand.DAY


def constant(size: int) -> Policy:
    """A size that never changes."""
    return lambda _: size


class Utilisation:
    """A HorizontalPodAutoscaler on the use of replicas."""

    def __init__(self, target: float, low: int, high: int) -> None:
        self._target, self._low, self._high = target, low, high
        self._used: deque[float] = deque(maxlen=AVERAGED)
        self._told: deque[int] = deque(maxlen=int(STABLE_S / TICK_S))

    def __call__(self, sight: Sight) -> int:
        """Replicas in proportion to their use over the target."""
        self._used.append(sight.use)
        use = sum(self._used) / len(self._used)
        ratio = use * sight.ready / (self._target * max(sight.asked, 1))
        wanted = sight.asked if abs(ratio - 1) <= TOLERANCE else ceil(sight.ready * use / self._target - 1e-9)
        wanted = max(self._low, min(self._high, wanted, max(2 * sight.asked, sight.asked + 4)))
        self._told.append(wanted)
        return wanted if wanted >= sight.asked else min(sight.asked, max(self._told))


class Ours:
    """The decision of the product, from what it would see."""

    def __init__(self, carried: Carried, envelope: Envelope, past: Minutes, first: int) -> None:
        """A policy.

        Args:
            carried: what a replica carries, as it was measured.
            envelope: what is allowed.
            past: minutes before the first tick.
            first: minute of the day in which the simulation begins.
        """
        self._carried, self._envelope, self._memory = carried, envelope, Memory()
        self._past = np.array(getattr(past, carried.unit))
        self._first, self._learnt = first, -RELEARN
        self._lead = max(1, ceil(envelope.cold_start_s / 60))
        self._usual = demand.Usual(self._lead, None, *demand.ASSUMED, 0)
        self.bindings: dict[str, int] = {}

    def __call__(self, sight: Sight) -> int:
        """Replicas as `detectors.load` says."""
        now, m = sight.minutes, len(sight.minutes.requests)
        rates = np.concatenate([self._past, np.array(getattr(now, self._carried.unit))])[-WEEKS:]
        if not rates.size:
            return sight.asked
        if m - self._learnt >= RELEARN:
            self._usual, self._learnt = demand.learn(rates, self._first + m - 1, self._lead), m
        coming = demand.forecast(rates[-demand.LEVEL :], self._first + m - 1, self._usual)
        seen = self._seen(sight, rates)
        answer = load.desired(seen, self._carried, coming, self._envelope, self._memory, sight.at)
        assert answer is not None
        self._memory = answer.memory
        self.bindings[answer.binding] = self.bindings.get(answer.binding, 0) + 1
        return answer.replicas

    def _seen(self, sight: Sight, rates: Floats) -> Seen:
        m = sight.minutes
        rate = float(np.nan_to_num(demand.smoothed(rates[-demand.LEVEL :], demand.LEVEL)[-1]))
        grown = max(0.0, m.waiting[-1] - m.waiting[-3]) / 120 if len(m.waiting) >= 3 else 0.0
        requests, work = float(np.sum(m.requests[-15:])), float(np.sum(getattr(m, self._carried.unit)[-15:]))
        each = work / requests if requests > 0 and work > 0 else 1.0
        return Seen(replicas=sight.ready, rate=rate + grown * each, waiting=float(sight.waiting), work=each)
