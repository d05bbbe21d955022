"""Our scaling policy on recorded traffic, against a constant size, the best constant in hindsight, and an HPA.

The first half of the trace is the past: what a replica carries, the usual day and the errors of forecasts are learnt
there, and the constant and the HPA's target are chosen there. Only the second half is reported. All begin it with the
same size.

Source: our own; `observe.app.queueing` says what is simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np

from detectors.load import Envelope
from detectors.throughput import Carried, measured
from observe.app.queueing import Minutes, Policy, Ran, Server, simulate
from observe.app.sizing import Ours, Utilisation, constant
from observe.app.traces import Trace
from observe.errors import UsageError

OBJECTIVE: Final = 0.95  # of the requests of a minute that must have their first token in time
SHORTEST_S: Final = 450.0  # of one half
FLAP_S: Final = 900.0  # a change that turns the one before within so long
TARGETS: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of the HPA
_BEGUN: Final = 30_000_000 // 1440 * 1440  # a midnight, in minutes since the epoch


@dataclass(frozen=True, slots=True)
class Asked:
    """What is simulated."""

    server: Server = field(default_factory=Server)
    ttft_s: float = 2.0
    low: int = 1
    high: int = 20
    gpus: int = 1  # of one replica
    patience_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one policy did on the second half."""

    policy: str
    minutes: int
    lost: int  # minutes below the objective
    bad: float  # share of all requests that were late
    gpu_hours: float
    changes: int
    flaps: int
    largest: int


@dataclass(frozen=True, slots=True)
class Compared:
    """All of it."""

    trace: str
    requests: int
    reported: int  # requests of the second half
    hours: float
    carried: Carried
    seen_at: int  # fewest replicas of the past among those in which that was measured
    outcomes: tuple[Outcome, ...]
    bindings: Mapping[str, int]  # ticks by what bound our answer

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            **{k: v for k, v in asdict(self).items() if k != "outcomes"},
            "outcomes": [asdict(o) for o in self.outcomes],
        }


def compare(trace: Trace, asked: Asked, moved: Callable[[str], None] = lambda _: None) -> Compared:
    """Run every policy.

    Args:
        trace: recorded requests.
        asked: what is simulated.
        moved: told what is being run.

    Raises:
        UsageError: the past is never under pressure, or the whole is too short.
    """
    half = trace.length_s / 2
    past, judged = trace.part(0, half), trace.part(half, np.inf)
    if half < SHORTEST_S:
        raise UsageError(
            f"{trace.name} is {trace.length_s / 60:.0f} min long; at least {SHORTEST_S / 30:.0f} min are asked for: half is learnt from"
        )
    moved("a constant size, on the first half")
    fixed = smallest(past, asked)
    seen_at, carried, seen = _past(past, asked, fixed)
    moved("an HPA's target, on the first half")
    target = _target(past, asked, fixed)
    moved("the best constant size, on the second half")
    best = smallest(judged, asked)
    moved("the policies, on the second half")
    envelope = Envelope(asked.low, asked.high, cold_start_s=asked.server.cold_start_s, patience_s=asked.patience_s)
    ours = Ours(carried, envelope, seen, _BEGUN + int(half // 60))
    runs: list[tuple[str, Policy, int]] = [
        ("Observe", ours, fixed), (f"fixed at {fixed}", constant(fixed), fixed),
        (f"HPA at {target:.0%}", Utilisation(target, asked.low, asked.high), fixed),
        (f"best fixed in hindsight: {best}", constant(best), best),
    ]  # fmt: skip
    outcomes = tuple(judge(name, simulate(judged, asked.server, policy, size), asked) for name, policy, size in runs)
    return Compared(
        trace.name,
        trace.at.size,
        judged.at.size,
        judged.length_s / 3600,
        carried,
        seen_at,
        outcomes,
        dict(ours.bindings),
    )


def judge(name: str, ran: Ran, asked: Asked) -> Outcome:
    """Minutes lost, hours paid for, and changes of mind."""
    late = ran.ttft > asked.ttft_s
    minute = (ran.at // 60).astype(np.int64)
    n, bad = np.bincount(minute), np.bincount(minute, weights=late)
    lost = int(np.sum(bad[n > 0] > (1 - OBJECTIVE) * n[n > 0]))
    sizes = [size for _, size in ran.changes]
    return Outcome(
        name, int((n > 0).sum()), lost, float(late.mean()), ran.replica_s * asked.gpus / 3600, len(sizes) - 1, flaps(ran.changes),
        max(sizes),
    )  # fmt: skip


def flaps(changes: Sequence[tuple[float, int]]) -> int:
    """Changes that take back the one before within a quarter of an hour.

    >>> flaps([(0, 2), (100, 3), (400, 2), (5000, 3)])
    1
    """
    steps = [(at, size - before) for (_, before), (at, size) in pairwise(changes)]
    return sum((a < 0) != (b < 0) and at_b - at_a < FLAP_S for (at_a, a), (at_b, b) in pairwise(steps))


def smallest(trace: Trace, asked: Asked) -> int:
    """The smallest constant size that loses no more minutes than the largest one."""

    def lost(size: int) -> int:
        return judge("", simulate(trace, asked.server, constant(size), size), asked).lost

    low, high, least = asked.low, asked.high, lost(asked.high)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if lost(middle) <= least else (middle + 1, high)
    return low


def _past(trace: Trace, asked: Asked, fixed: int) -> tuple[int, Carried, Minutes]:
    """What a replica carries, of the first half at the constant size and at ever smaller ones until it shows."""
    seen = simulate(trace, asked.server, constant(fixed), fixed).minutes
    pooled = seen.columns()
    for size in range(fixed, 0, -1):
        if size < fixed:
            more = simulate(trace, asked.server, constant(size), size).minutes.columns()
            pooled = {name: np.concatenate([x, more[name]]) for name, x in pooled.items()}
        carried = measured(pooled)
        if carried is not None:
            return size, carried, seen
    raise UsageError(
        f"the first half of {trace.name} never brings replicas to their limit: there is nothing to scale; try --times 10"
    )


def _target(trace: Trace, asked: Asked, fixed: int) -> float:
    """The HPA's target that loses fewest minutes of the first half, of several the one that costs least."""

    def cost(target: float) -> tuple[int, float]:
        ran = simulate(trace, asked.server, Utilisation(target, asked.low, asked.high), fixed)
        found = judge("", ran, asked)
        return found.lost, found.gpu_hours

    return min(TARGETS, key=cost)


def headline(found: Compared) -> Iterator[str]:
    """What was done, in words."""
    c = found.carried
    yield (
        f"{found.trace}: {found.requests:,} requests; {found.reported:,} of the second half, {found.hours:.1f} h, are reported\n"
    )
    yield (
        f"one replica carries {c.each:.3g} {c.unit}/s ({c.low:.3g} to {c.high:.3g}), measured on the first half with {found.seen_at} replicas and more\n"
    )
