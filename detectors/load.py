"""How many replicas does a model need when one that is started now is ready?

Constraints each ask for a number, with what they saw; the highest binds. What comes (a forecast), what is there and
waits, and a full KV cache ask in proportion to what one replica carries; an SLO that burns asks for one more than
there are, but only where load can be the reason. The warm pool is added, the ModelSpec's envelope and its price cap
it: the price may take away what is kept in reserve, never what present load needs.

Up at once, down only when for as long as the patience every answer was lower, and then to the highest of them at a
lower use of replicas: one border up and another down, so that noise between them changes nothing.

Source: our own; the stabilisation window is that of Kubernetes' HorizontalPodAutoscaler (`behavior.scaleDown`).
Assumes: load spreads evenly over replicas, and replicas are alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any, Final

from detectors.demand import Forecast
from detectors.throughput import Carried

UP_USE: Final = 0.85  # of what a replica carries before queues begin: above, another is wanted
DOWN_USE: Final = 0.7  # below which use one fewer is believed to do
CACHE_USE: Final = 0.9  # of the KV cache that may be in use
DRAIN_S: Final = 60.0  # in which waiting requests are to be gone
EXPLAINS: Final = 0.7  # use of replicas from which load may be why an SLO burns
SATURATED: Final = 0.9  # use of GPUs that counts as full, as in `gpu_5m`
_CLOSE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the ModelSpec allows, and how long a replica takes."""

    low: int
    high: int
    warm: int = 0
    cold_start_s: float = 300.0
    patience_s: float = 900.0
    predictive: bool = True
    price_usd_h: float | None = None  # of one replica
    cost_per_1k_usd: float | None = None  # tokens; the declared ceiling


@dataclass(frozen=True, slots=True)
class Seen:
    """The present, as measured; None where unknown."""

    replicas: int
    rate: float  # coming in, in the unit of what a replica carries, a second
    waiting: float = 0.0  # requests
    work: float = 1.0  # units of one request
    kv: float | None = None  # KV cache in use, 0-1
    gpu: float | None = None  # use of the model's GPUs, 0-1
    burning: Mapping[str, float] = field(default_factory=dict)  # burn rate of SLOs that page, by name
    tokens: float | None = None  # a second
    floors: Mapping[str, int] = field(default_factory=dict)  # replicas that actions in force ask for, by action


@dataclass(frozen=True, slots=True)
class Memory:
    """What was answered before: the last answer, and what was wanted since the patience began."""

    decided: int | None = None
    wanted: tuple[tuple[float, int], ...] = ()  # epoch s, replicas at the lower use


@dataclass(frozen=True, slots=True)
class Constraint:
    """One reason for a number of replicas."""

    name: str
    replicas: float
    said: str


@dataclass(frozen=True, slots=True)
class Desired:
    """The answer, what binds it, and all that spoke for a number."""

    replicas: int
    load_units: float  # replicas' worth of load at full use, before reserve and envelope
    binding: str
    said: str
    constraints: tuple[Constraint, ...]
    notes: tuple[str, ...]
    memory: Memory


def desired(
    seen: Seen, carried: Carried | None, coming: Forecast | None, envelope: Envelope, memory: Memory, at: float
) -> Desired | None:
    """The answer for one model; None when nothing can be said.

    Args:
        seen: the present.
        carried: what one replica carries. Where that is not known only what speaks for more is heard, and what
            there is is kept.
        coming: what is expected until a replica is ready; None without history. A forecast that was never checked
            against the past is shown and asks for nothing.
        envelope: what is allowed.
        memory: of the last answer.
        at: now, epoch s.
    """
    notes: list[str] = []
    asked = [*_full(seen), *_burning(seen, carried, notes)]
    if carried is not None:
        asked += _load(seen, carried, coming if envelope.predictive else None)
    elif asked or seen.floors:
        asked.append(
            Constraint("as there is", seen.replicas, "what a replica carries is not known: none is taken away")
        )
    else:
        return None
    need = max((_whole(c) for c in asked), key=lambda c: c.replicas)
    bound = _bounded(need, asked, seen, envelope, notes)
    lower = max(envelope.low, min(envelope.high, max(_at_lower_use(c) for c in asked) + envelope.warm))
    lower = int(bound.replicas) if bound.name == "price" else lower
    units = max([c.replicas for c in asked if _in_proportion(c)] or [float(need.replicas)])
    final, kept = _steady(bound, max(lower, _floor_of(seen, envelope)), memory, envelope, at, seen)
    more = () if bound.name in {c.name for c in asked} else (bound,)
    return Desired(int(final.replicas), units, final.name, final.said, (*asked, *more), tuple(notes), kept)


def _load(seen: Seen, carried: Carried, coming: Forecast | None) -> Iterator[Constraint]:
    """Replicas' worth of what is there and of what comes."""
    each, unit = carried.each, _UNITS[carried.unit]
    drained = seen.waiting * seen.work / DRAIN_S
    said = f"{seen.rate:.3g} {unit} come in; one replica carries {each:.3g}"
    if seen.waiting >= 0.5:
        said += f"; {seen.waiting:.0f} requests wait and are to be gone in {DRAIN_S:.0f} s"
    yield Constraint("present load", (seen.rate + drained) / each, said)
    if coming is not None and coming.checked:  # a range that nothing has checked moves nobody
        told = (
            f"{coming.middle:.3g} {unit} ({coming.low:.3g} to {coming.high:.3g}) are expected within {coming.lead} min"
        )
        yield Constraint(
            "forecast",
            (coming.high + drained) / each,
            f"{told}, from the {coming.basis}; one replica carries {each:.3g}",
        )


_UNITS: Final[Mapping[str, str]] = {"requests": "requests/s", "tokens_out": "written tokens/s", "tokens": "tokens/s"}
_PROPORTIONAL: Final = ("present load", "forecast")


def _full(seen: Seen) -> Iterator[Constraint]:
    if seen.kv is not None and seen.kv > CACHE_USE:
        said = f"the KV cache is {seen.kv:.0%} full; {CACHE_USE:.0%} are to be in use"
        yield Constraint("kv cache", ceil(seen.replicas * seen.kv / CACHE_USE - _CLOSE), said)


def _burning(seen: Seen, carried: Carried | None, notes: list[str]) -> Iterator[Constraint]:
    """One more while an SLO pages, unless replicas have room: then load is not why."""
    if not seen.burning:
        return
    name, rate = max(seen.burning.items(), key=lambda item: item[1])
    why = _reason(seen, _use(seen, carried))
    if why:
        yield Constraint("slo burn", seen.replicas + 1, f"SLO {name} burns {rate:.1f} times too fast while {why}")
    else:
        notes.append(f"SLO {name} burns, but nothing says that load is why: more replicas would not help")


def _use(seen: Seen, carried: Carried | None) -> float:
    """Part of what replicas carry that is asked of them; 0 where that is not known."""
    if carried is None:
        return 0.0
    return seen.rate / (carried.each * seen.replicas) if seen.replicas else 1.0


def _reason(seen: Seen, use: float) -> str | None:
    """Why load may be what makes an SLO burn."""
    if seen.waiting >= max(seen.replicas, 1):
        return "requests wait"
    if use >= EXPLAINS:
        return f"replicas are used {use:.0%}"
    return "GPUs are full" if seen.gpu is not None and seen.gpu >= SATURATED and use >= EXPLAINS / 2 else None


def _in_proportion(constraint: Constraint) -> bool:
    return constraint.name in _PROPORTIONAL


def _whole(constraint: Constraint) -> Constraint:
    """The same in whole replicas at the use that is wanted."""
    if not _in_proportion(constraint):
        return constraint
    return Constraint(constraint.name, ceil(constraint.replicas / UP_USE - _CLOSE), constraint.said)


def _at_lower_use(constraint: Constraint) -> int:
    if not _in_proportion(constraint):
        return int(constraint.replicas)
    return ceil(constraint.replicas / DOWN_USE - _CLOSE)


def _bounded(
    need: Constraint, asked: Sequence[Constraint], seen: Seen, envelope: Envelope, notes: list[str]
) -> Constraint:
    """The need with the warm pool, within price, floors of actions, and the envelope."""
    bound = need
    if envelope.warm:
        bound = Constraint("warm pool", need.replicas + envelope.warm, f"{need.said}; {envelope.warm} are kept warm")
    present = max(_whole(c).replicas for c in asked if c.name != "forecast")
    ceiling = _affordable(seen, envelope)
    if ceiling is not None and bound.replicas > max(ceiling, present, envelope.low):
        capped = max(ceiling, present, envelope.low)
        said = (
            f"at {envelope.cost_per_1k_usd:g} USD per 1,000 tokens {ceiling} replicas are paid for by present traffic"
        )
        notes.append(f"the price keeps {bound.replicas - capped:.0f} of {bound.replicas:.0f} away: {bound.said}")
        bound = Constraint("price", capped, said)
    for action, replicas in seen.floors.items():
        if replicas > bound.replicas:
            bound = Constraint("action", replicas, f"{action} asks for {replicas}")
    if bound.replicas > envelope.high:
        notes.append(f"{bound.replicas:.0f} are wanted: {bound.said}")
        return Constraint("maxReplicas", envelope.high, f"{bound.replicas:.0f} would be needed: {bound.said}")
    if bound.replicas < envelope.low:
        return Constraint("minReplicas", envelope.low, f"{bound.replicas:.0f} would do: {bound.said}")
    return bound


def _affordable(seen: Seen, envelope: Envelope) -> int | None:
    if envelope.cost_per_1k_usd is None or not envelope.price_usd_h or not seen.tokens:
        return None
    return floor(envelope.cost_per_1k_usd * seen.tokens * 3.6 / envelope.price_usd_h + _CLOSE)


def _floor_of(seen: Seen, envelope: Envelope) -> int:
    return min(envelope.high, max(seen.floors.values(), default=0))


def _steady(
    bound: Constraint, lower: int, memory: Memory, envelope: Envelope, at: float, seen: Seen
) -> tuple[Constraint, Memory]:
    """Up at once; down to the highest number wanted since the patience began."""
    now = seen.replicas if memory.decided is None else memory.decided
    since = at - envelope.patience_s
    past = tuple((t, n) for t, n in memory.wanted if t < at)
    recent = tuple((t, n) for t, n in past if t >= since)
    before = past[: len(past) - len(recent)][-1:]  # says that the patience is over
    kept = (*before, *recent, (at, lower))
    wanted = int(bound.replicas)
    if wanted >= now:
        return bound, Memory(wanted, kept)
    highest = max(n for t, n in kept if t >= since)
    if not (before or (recent and recent[0][0] == since)) or highest >= now:
        return _patient(bound, now, envelope), Memory(now, kept)
    if highest > wanted:
        return _patient(bound, highest, envelope), Memory(highest, kept)
    return bound, Memory(wanted, kept)


def _patient(bound: Constraint, replicas: int, envelope: Envelope) -> Constraint:
    said = f"{bound.replicas:.0f} would do now: {bound.said}; fewer only when {envelope.patience_s / 60:.0f} min agree"
    return Constraint("patience", min(replicas, envelope.high), said)


def evidence(answer: Desired, carried: Carried | None, coming: Forecast | None, envelope: Envelope) -> dict[str, Any]:
    """All of it as plain JSON."""
    return {
        "binding": answer.binding, "said": answer.said,
        "constraints": [{"name": c.name, "replicas": round(c.replicas, 3), "said": c.said} for c in answer.constraints],
        "capacity": None if carried is None else {
            "each": carried.each, "low": carried.low, "high": carried.high, "unit": f"{carried.unit}/s",
            "basis": carried.basis, "minutes": carried.minutes, "pressed": carried.pressed},
        "forecast": None if coming is None else {
            "minutes": coming.lead, "level": coming.level, "middle": coming.middle, "low": coming.low, "high": coming.high,
            "basis": coming.basis, "checked": coming.checked},
        "envelope": {"min": envelope.low, "max": envelope.high, "warm": envelope.warm,
                     "cold_start_s": envelope.cold_start_s, "patience_s": envelope.patience_s},
        "notes": list(answer.notes),
    }  # fmt: skip
