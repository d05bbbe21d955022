"""When the alarm of an SLO starts and ends, minute by minute.

Page tiers are one lane, ticket tiers another. A lane that is quiet fires when a tier's two windows
burn at its factor and the gate is passed; one that fired resets by a reverse likelihood-ratio CUSUM
or when six hours burned at most at the allowed rate. Minutes are judged as arrays between two
changes of a lane, so years replay in seconds, and one call over many minutes gives what many calls
over one minute give.

Source: METHODS section 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from detectors.errorbudget import HOUR, MEMORY, Floats, Ints, Minutes, Onset, gate_nats, onset, recovery
from detectors.hours import Bools, Hours
from observe.schema import Json

RESET_NATS: Final = 9.0  # METHODS section 6
EVERY: Final = 5  # minutes between marks of an unchanged state
_LOOKED_AT: Final = 60  # minutes after it fired that the start of a burn is still reconsidered
_SIX_HOURS: Final = 360  # minutes


@dataclass(frozen=True, slots=True)
class Tier:
    """Two windows (minutes) that must both burn at `factor`, and the evidence that is needed."""

    name: str
    severity: str
    long: int
    short: int
    factor: float
    gate: float  # nats


@dataclass(frozen=True, slots=True)
class Firing:
    """An alarm that is on: since when, by which tier, and when the burn seems to have begun (minutes)."""

    at: int
    tier: str
    began: int  # as estimated when it fired: the incident's rate is measured from here
    onset: Onset
    cusum: float = 0.0  # evidence of recovery, nats


@dataclass(frozen=True, slots=True)
class Lane:
    """Tiers of one severity, whether they fire, and from which minute on evidence counts."""

    severity: str
    tiers: tuple[Tier, ...]
    restart: int = 0
    firing: Firing | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """How things stood at the end of one minute."""

    minute: int
    lanes: tuple[Lane, ...]
    phi: float  # burst factor as it was known then
    changed: bool
    out: Bools = field(compare=False, repr=False)  # hours of incidents, as far as they were known then


def tiers_of(params: Json) -> tuple[Tier, ...]:
    """Tiers that can fire, from a monitor's params."""
    usable = (t for t in params["tiers"] if t["factor"] * (1 - params["objective"]) < 1)
    return tuple(
        Tier(t["name"], t["severity"], t["long_s"] // 60, t["short_s"] // 60, t["factor"], t["gate_nats"])
        for t in usable
    )


class Walk:
    """Goes through the minutes of one SLO and marks how things stand."""

    def __init__(self, params: Json, minutes: Minutes, start: int, state: Json) -> None:
        """Begin at minute `start` (since the epoch) with the state of last time."""
        self.minutes, self.params = minutes, params
        self.budget = 1.0 - params["objective"]
        self.now: int = state.get("minute", start)
        self.hours = Hours.of(minutes, self.now, state.get("hours", {}))
        tiers = tiers_of(params)
        severities = dict.fromkeys(t.severity for t in tiers)
        saved = state.get("lanes", {})
        self.lanes = tuple(_lane(s, tuple(t for t in tiers if t.severity == s), saved.get(s, {})) for s in severities)
        self.marks: list[Mark] = []

    def to(self, end: int) -> None:
        """Judge every minute that ends after `now` and not after `end`."""
        while self.now < end:
            ends = np.arange(self.now + 1, self._stretch(end) + 1) - self.minutes.first
            phi = self._phi(ends)
            found = [
                self._reset(lane, ends, phi) if lane.firing else self._fire(lane, ends, phi) for lane in self.lanes
            ]
            first = min((i for i, _ in found), default=ends.size)
            changed = first < ends.size
            ends = ends[: first + 1]
            stop = int(ends[-1]) + self.minutes.first
            between = range(self.now // EVERY * EVERY + EVERY, stop, EVERY)
            out = self._out() if between else self.hours.out
            self.marks += [Mark(m, self.lanes, float(phi[m - self.now - 1]), False, out) for m in between]
            self._flag(stop)
            self.lanes = tuple(
                self._changed(lane, stop, tier) if changed and i == first else self._kept(lane, ends)
                for lane, (i, tier) in zip(self.lanes, found, strict=True)
            )
            self.now = stop
            if changed or stop % EVERY == 0:
                self.marks.append(Mark(stop, self.lanes, float(phi[ends.size - 1]), changed, self.hours.left_out()))

    def _stretch(self, end: int) -> int:
        """How far minutes can be judged at once: to the next mark while a fresh burn is still looked at."""
        fresh = any(x.firing is not None and self.now < x.firing.at + _LOOKED_AT for x in self.lanes)
        return min(end, self.now // EVERY * EVERY + EVERY) if fresh else end

    def _phi(self, ends: Ints) -> Floats:
        """Burst factor at each end; the hours of an alarm that is on are left out as they pass."""
        phi = replace(self.hours, out=self._out()).phi()[(ends + self.minutes.first) // HOUR - self.hours.first]
        floor: Floats = np.maximum(phi, self.params.get("phi_floor", 1.0))  # minutes of one bad state are one event
        return floor

    def _out(self) -> Bools:
        """Hours of incidents, those to come of an alarm that is on included; what it gives never changes."""
        out = self.hours.left_out()
        if any(lane.firing for lane in self.lanes):
            out = out.copy()
            out[max(0, self.now // HOUR - self.hours.first) :] = True
        return out

    def _flag(self, stop: int) -> None:
        if any(lane.firing for lane in self.lanes):
            self.hours.leave_out(self.now, stop)

    def state(self) -> Json:
        """What the next call needs."""
        keep = max(int(self.params["window_s"]) // 3600 + 4 * 24, 720) + 1  # a month of 31 d, 25 hours in a day
        return {
            "minute": self.now,
            "hours": self.hours.state(keep),
            "lanes": {x.severity: _saved(x) for x in self.lanes},
        }

    def evidence(self, lane: Lane, tier: Tier, ends: Ints, phi: Floats) -> Floats:
        """Nats of one tier at each end, from the last reset on."""
        total, bad = self.minutes.within(ends, tier.long, max(0, lane.restart - self.minutes.first))
        return gate_nats(bad.astype(np.float64), total * self.budget, phi)

    def _fire(self, lane: Lane, ends: Ints, phi: Floats) -> tuple[int, str]:
        """When the lane fires first, as an index into `ends` (their number when it does not), and by which tier."""
        best = (ends.size, "")
        for tier in lane.tiers:
            burning = (self.minutes.burn(ends, tier.long, self.budget) >= tier.factor) & (
                self.minutes.burn(ends, tier.short, self.budget) >= tier.factor
            )
            at = np.flatnonzero(burning)
            at = at[self.evidence(lane, tier, ends[at], phi[at]) > tier.gate] if at.size else at
            if at.size and at[0] < best[0]:
                best = (int(at[0]), tier.name)
        return best

    def _reset(self, lane: Lane, ends: Ints, phi: Floats) -> tuple[int, str]:
        """When the lane becomes quiet again, as an index into `ends`, their number when it does not."""
        assert lane.firing is not None
        factor = next(t.factor for t in lane.tiers if t.name == lane.firing.tier)
        calm = self.minutes.burn(ends, 5, self.budget) <= factor
        gone = self.minutes.burn(ends, _SIX_HOURS, self.budget) <= 1.0
        evidence = self._cusum(lane.firing, ends)
        ended = np.flatnonzero((evidence >= RESET_NATS * phi) & calm | gone)
        return (int(ended[0]) if ended.size else ends.size), ""

    def _cusum(self, firing: Firing, ends: Ints) -> Floats:
        says = recovery(self.minutes, max(0, firing.began - self.minutes.first), ends, 0, self.budget)
        result, value = np.empty(ends.size), firing.cusum
        for i, nats in enumerate(says.tolist()):
            value = max(0.0, value + nats)
            result[i] = value
        return result

    def _kept(self, lane: Lane, ends: Ints) -> Lane:
        """The lane after minutes in which it did not change."""
        firing, stop = lane.firing, int(ends[-1]) + self.minutes.first
        if firing is None:
            return lane
        looked_at = stop % EVERY == 0 and stop <= firing.at + _LOOKED_AT
        began = self._onset(lane, stop, firing.tier) if looked_at else firing.onset
        return replace(lane, firing=replace(firing, cusum=float(self._cusum(firing, ends)[-1]), onset=began))

    def _changed(self, lane: Lane, minute: int, tier: str) -> Lane:
        if lane.firing is not None:
            return replace(lane, firing=None, restart=minute)
        began = self._onset(lane, minute, tier)
        self.hours.leave_out(began.best, minute)
        return replace(lane, firing=Firing(minute, tier, began.best, began))

    def _onset(self, lane: Lane, minute: int, tier: str) -> Onset:
        long = next(t.long for t in lane.tiers if t.name == tier)
        back = min(2 * long, MEMORY - _LOOKED_AT, minute - self.minutes.first, max(1, minute - lane.restart))
        normal = self.hours.normal(minute // HOUR, self.budget)
        return onset(self.minutes, minute - self.minutes.first, back, normal)


def _lane(severity: str, tiers: tuple[Tier, ...], saved: Mapping[str, Any]) -> Lane:
    fired = saved.get("firing")
    firing = None
    if fired:  # the tier that fired may have gone with a changed objective: the longest one left stands for it
        tier = fired["tier"] if any(t.name == fired["tier"] for t in tiers) else max(tiers, key=lambda t: t.long).name
        firing = Firing(fired["at"], tier, fired["began"], Onset(*fired["onset"]), fired["cusum"])
    return Lane(severity, tiers, saved.get("restart", 0), firing)


def _saved(lane: Lane) -> dict[str, Any]:
    f = lane.firing
    onset_ = [f.onset.best, f.onset.low, f.onset.high] if f else []
    firing = {"at": f.at, "tier": f.tier, "began": f.began, "onset": onset_, "cusum": f.cusum} if f else None
    return {"restart": lane.restart, "firing": firing}
