"""A small queue of model servers: requests wait for a free prefill, then decode beside others; replicas take time to start.

Event-driven: one queue in order of arrival; a replica reads one prompt at a time and writes up to `slots` answers at
once, slower the more of them there are. What leaves takes no new requests and stays until it is empty. Whoever
decides about the size is asked every fifteen seconds, and sees what the product would see: finished requests by
minute, the queue, replicas that are ready.

Source: our own; continuous batching after G.-I. Yu et al. (2022), "Orca", OSDI; prefill and decode apart as in
P. Patel et al. (2024), "Splitwise", ISCA.
Assumes: replicas are alike, prompts are not cached, memory is never short, nobody gives up waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observe.app.traces import Trace

Floats = NDArray[np.float64]

TICK_S: Final = 15.0
_AFTER_S: Final = 3600.0  # after the last arrival
_READ, _DONE, _READY = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Server:
    """What one replica does."""

    prefill_per_s: float = 8000.0  # prompt tokens
    decode_s: float = 0.025  # of one written token, alone
    slots: int = 16
    slowed: float = 1.0  # how much longer a token takes with all slots busy, times
    overhead_s: float = 0.02
    cold_start_s: float = 180.0


@dataclass(slots=True)
class Minutes:
    """What was counted in each minute that is over."""

    replicas: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    tokens_out: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)

    def columns(self) -> dict[str, Floats]:
        """As `detectors.throughput` reads them."""
        found = {name: np.array(getattr(self, name)) for name in self.__slots__}
        return {**found, "kv": np.full(len(self.requests), np.nan)}


@dataclass(frozen=True, slots=True)
class Sight:
    """What whoever decides may see."""

    at: float  # s since the start
    ready: int
    asked: int  # ready and starting
    waiting: int
    use: float  # of the last tick: the larger of prefill's and slots' use, 0-1
    minutes: Minutes


@dataclass(frozen=True, slots=True)
class Ran:
    """How it went."""

    ttft: Floats  # by request, s
    at: Floats  # arrivals
    changes: tuple[tuple[float, int], ...]  # instants at which another size was asked for
    replica_s: float  # paid for, starting and leaving ones too
    minutes: Minutes


Policy = Callable[[Sight], int]


@dataclass(slots=True)
class _Replica:
    ready_at: float
    begun: float
    busy: int = 0
    read_until: float = 0.0
    leaving: bool = False
    ended: float | None = None


def simulate(trace: Trace, server: Server, policy: Policy, size: int) -> Ran:
    """Run a trace.

    Args:
        trace: arrivals.
        server: what a replica does.
        policy: asked every 15 s for the size.
        size: replicas there are at the start, ready.
    """
    return _Run(trace, server, policy, size).run()


class _Run:
    def __init__(self, trace: Trace, server: Server, policy: Policy, size: int) -> None:
        self._trace, self._server, self._policy = trace, server, policy
        self._replicas = [_Replica(0.0, 0.0) for _ in range(size)]
        self._live = list(self._replicas)
        self._queue: deque[int] = deque()
        self._events: list[tuple[float, int, int, _Replica, int]] = []
        self._count, self._now, self._busy = 0, 0.0, 0
        self._ttft = np.full(trace.at.size, np.inf)
        self._changes: list[tuple[float, int]] = [(0.0, size)]
        self._minutes = Minutes()
        self._done: list[tuple[int, float]] = []  # of this minute: request, time to first token
        self._used_slots = self._used_prefill = 0.0
        self._queued = 0.0  # integral of the queue over this minute

    def run(self) -> Ran:
        at, n, i, tick = self._trace.at, self._trace.at.size, 0, TICK_S
        end = self._trace.length_s
        while i < n or ((self._queue or self._busy) and self._now < end + _AFTER_S):
            following = min(tick, float(at[i]) if i < n else np.inf, self._events[0][0] if self._events else np.inf)
            self._pass(following)
            if following == tick:
                self._tick()
                tick += TICK_S
            elif i < n and following == at[i]:
                self._queue.append(i)
                i += 1
                self._dispatch()
            else:
                self._event()
        ends = max(self._now, end)
        paid = sum((r.ended if r.ended is not None else ends) - r.begun for r in self._replicas)
        return Ran(self._ttft, at, tuple(self._changes), paid, self._minutes)

    def _pass(self, at: float) -> None:
        self._used_slots += self._busy * (at - self._now)
        self._queued += len(self._queue) * (at - self._now)
        self._now = at

    def _event(self) -> None:
        _, _, kind, replica, request = heappop(self._events)
        if kind == _DONE:
            replica.busy -= 1
            self._busy -= 1
            self._done.append((request, float(self._ttft[request])))
            if replica.leaving and replica.busy == 0:
                self._end(replica)
        self._dispatch()

    def _push(self, at: float, kind: int, replica: _Replica, request: int = -1) -> None:
        self._count += 1
        heappush(self._events, (at, self._count, kind, replica, request))

    def _dispatch(self) -> None:
        server = self._server
        while self._queue:
            free = [
                r
                for r in self._live
                if max(r.ready_at, r.read_until) <= self._now and not r.leaving and r.busy < server.slots
            ]
            if not free:
                return
            replica, request = min(free, key=lambda r: r.busy), self._queue.popleft()
            reads = server.overhead_s + self._trace.tokens_in[request] / server.prefill_per_s
            replica.busy += 1
            self._busy += 1
            replica.read_until = self._now + reads
            self._used_prefill += reads
            self._ttft[request] = replica.read_until - self._trace.at[request]
            writes = (
                self._trace.tokens_out[request]
                * server.decode_s
                * (1 + server.slowed * (replica.busy - 1) / server.slots)
            )
            self._push(replica.read_until, _READ, replica)
            self._push(replica.read_until + writes, _DONE, replica, request)

    def _tick(self) -> None:
        ready = sum(r.ready_at <= self._now and not r.leaving for r in self._live)
        if round(self._now) % 60 == 0:
            self._minute(ready)
        asked = sum(not r.leaving for r in self._live)
        served = max(ready, 1) * TICK_S
        use = min(1.0, max(self._used_prefill / served, self._used_slots / (served * self._server.slots)))
        self._used_slots = self._used_prefill = 0.0
        wanted = max(0, self._policy(Sight(self._now, ready, asked, len(self._queue), use, self._minutes)))
        if wanted != asked:
            self._resize(wanted, asked)
        self._dispatch()

    def _minute(self, ready: int) -> None:
        of = np.array([r for r, _ in self._done], dtype=np.int64)
        out, read = float(self._trace.tokens_out[of].sum()), float(self._trace.tokens_in[of].sum())
        m = self._minutes
        m.replicas.append(float(ready))
        m.waiting.append(self._queued / 60)
        m.latency.append(float(np.mean([t for _, t in self._done])) if self._done else np.nan)
        m.requests.append(of.size / 60)
        m.tokens_out.append(out / 60)
        m.tokens.append((out + read) / 60)
        self._done, self._queued = [], 0.0

    def _resize(self, wanted: int, asked: int) -> None:
        self._changes.append((self._now, wanted))
        for _ in range(wanted - asked):
            replica = _Replica(self._now + self._server.cold_start_s, self._now)
            self._replicas.append(replica)
            self._live.append(replica)
            self._push(replica.ready_at, _READY, replica)
        leaving = sorted((r for r in self._live if not r.leaving), key=lambda r: (-r.ready_at, r.busy))
        for replica in leaving[: max(0, asked - wanted)]:
            replica.leaving = True
            if replica.busy == 0:
                self._end(replica)

    def _end(self, replica: _Replica) -> None:
        replica.ended = self._now
        self._live.remove(replica)
