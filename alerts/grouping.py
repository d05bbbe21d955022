"""Which incidents are one: those that one sick thing strikes at about the same time.

An incident *stands on* what serves its model: GPUs, nodes, its only cluster, its only provider, models it depends on.
A thing is *sick* in it where the incident itself says so: its clear cause is that GPU, node or provider, or a change
that is no model's own; a fault was reported of hardware it stands on; its bad requests gather in that cluster or at
that provider; it is about that hardware; or the model itself burns, for those that depend on it. Two incidents that
began within an hour of each other are one where a thing that is sick in one of them is sick in the other, too, or the
other stands on it. An incident whose clear cause is its own (a deploy of its model, its traffic) joins nothing.

The older is told, the younger becomes part of it. What was joined stays so: it was told together.

Source: our own; docs/incidents.md. Assumes: one sick thing per incident; what only stands on the same ground burns for
reasons of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from alerts import series
from alerts.clues import CHANGES
from alerts.incidents import RANK
from alerts.wording import SITE
from observe.schema import Alert, Incident, Json

NEAR: Final = timedelta(hours=1)  # between the onsets of incidents that are one, and of a fault and what it strikes
CLOCKS: Final = timedelta(minutes=15)  # a fault may be noted so long after what it strikes
SHARED: Final = frozenset({"xid", "node", "throttle", "provider", "saturation"})  # causes that strike several models
STANDS: Final = frozenset({"slo", "silence", "gpu"})  # kinds that a sick place brings about; it moves no feature
_FAULTS: Final = frozenset({"xid", "node", "provider"})  # reported of hardware, or counted in the model's own tries
_ORDER: Final = ("gpu", "node", "provider", "cluster", "change", "model")  # the narrowest first
_HARDWARE: Final = frozenset({"gpu", "node"})
_GATHERED: Final = 3  # of what differs, looked at


@dataclass(frozen=True, slots=True, order=True)
class Thing:
    """Something that several models may stand on."""

    kind: str
    name: str

    @property
    def says(self) -> str:
        """As people name it."""
        return self.name if self.kind == "change" else f"{'GPU' if self.kind == 'gpu' else self.kind} {self.name}"

    def as_json(self) -> Json:
        """As an incident keeps it."""
        return {"kind": self.kind, "name": self.name, "says": self.says}


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one incident when it is asked what it shares with others."""

    incident: Incident
    onset: datetime
    verdict: str = ""  # "" before it is explained
    causes: Sequence[Mapping[str, Any]] = ()  # as an explanation keeps them
    differs: Sequence[Mapping[str, Any]] = ()
    on: frozenset[Thing] = frozenset()  # what it stands on
    blames: tuple[str, ...] = ()  # models its objectives are about: dependencies


@dataclass(frozen=True, slots=True)
class Ground:
    """An incident by the things that may make it one with others."""

    incident: Incident
    onset: datetime
    sick: tuple[Thing, ...] = ()
    on: frozenset[Thing] = frozenset()
    alone: bool = False  # its cause is its own
    reach: frozenset[Thing] = field(default=frozenset())  # sick or stood on


def ground(seen: Seen) -> Ground:
    """What is sick in an incident and what it stands on; what it was joined about counts first."""
    about = seen.incident.about
    told = (Thing(str(about["kind"]), str(about["name"])),) if about else ()
    if seen.verdict == "cause" and not _is_common(seen.causes[0]):
        own = (*told, *((Thing("model", seen.incident.model),) if seen.incident.kind == "slo" else ()))
        return Ground(seen.incident, seen.onset, own, frozenset(), True, frozenset(own))
    on = seen.on if seen.incident.kind in STANDS else frozenset()
    sick = tuple(dict.fromkeys((*told, *_sick(seen))))
    return Ground(seen.incident, seen.onset, sick, on, False, on | frozenset(sick))


def _is_common(cause: Mapping[str, Any]) -> bool:
    """Whether a cause is nobody's own: hardware, a provider, a change that names no model."""
    return cause["kind"] in SHARED or (cause["kind"] in CHANGES and not cause.get("model"))


def _sick(seen: Seen) -> Iterator[Thing]:
    incident = seen.incident
    if seen.verdict == "cause":
        yield from _of_cause(seen.causes[0])
    elif incident.kind in STANDS:
        for cause in seen.causes:
            if cause["kind"] in _FAULTS and _is_near(cause, seen.onset):
                yield from (t for t in _of_cause(cause) if t in seen.on or t.kind == "provider")
    if incident.model == SITE:
        yield from (t for t in sorted(seen.on) if incident.kind == "gpu" and t.kind in _HARDWARE)
        return
    yield from _gathered(seen.differs)
    if incident.kind == "slo":
        yield from (Thing("model", name) for name in (*seen.blames, incident.model))


def _is_near(cause: Mapping[str, Any], onset: datetime) -> bool:
    return -CLOCKS <= onset - datetime.fromisoformat(str(cause["onset"])) <= NEAR


def _of_cause(cause: Mapping[str, Any]) -> Iterator[Thing]:
    """The things that a cause is about, the narrowest first."""
    kind, subject = str(cause["kind"]), str(cause["subject"])
    if kind == "provider":
        yield Thing("provider", subject)
    elif kind in SHARED:
        if cause.get("device"):
            yield Thing("gpu", str(cause["device"]))
        if cause.get("node"):
            yield Thing("node", str(cause["node"]))
        elif kind in {"throttle", "saturation"}:
            yield Thing("cluster", subject)
    else:
        yield Thing("change", f"{kind} {subject}")


def _gathered(differs: Sequence[Mapping[str, Any]]) -> Iterator[Thing]:
    """Clusters and foreign providers in which bad requests gather; what our own servers are called says nothing."""
    for entry in differs[:_GATHERED]:
        named = [f"{entry['dimension']} {entry['value']}", *(str(a) for a in entry.get("also") or ())]
        for kind, _, name in (n.partition(" ") for n in named):
            if kind == "cluster" or (kind == "provider" and not series.is_ours(name)):
                yield Thing(kind, name)


def common(a: Ground, b: Ground) -> Thing | None:
    """The narrowest thing that is sick in one of two incidents and that both reach; None where there is none."""
    if abs(a.onset - b.onset) > NEAR or a.incident.model == b.incident.model:
        return None
    both = [t for t in {*a.sick, *b.sick} if t in a.reach and t in b.reach]
    return min(both, key=lambda t: (_ORDER.index(t.kind), t.name), default=None)


def home(mine: Ground, others: Sequence[Ground]) -> tuple[Incident, Thing] | None:
    """The oldest open incident that this one is part of, and what it shares with that or with a part of it."""
    if mine.alone:
        return None
    heads = {o.incident.incident_id: o.incident for o in others if o.incident.part_of is None}
    for other in sorted(others, key=lambda o: age(o.incident)):
        head, thing = heads.get(other.incident.part_of or other.incident.incident_id), common(mine, other)
        if head is not None and thing is not None and _leads(head, mine.incident) and _agrees(head.about, thing):
            return head, thing
    return None


def _leads(other: Incident, mine: Incident) -> bool:
    return other.state == "open" and other.part_of is None and age(other) < age(mine)


def _agrees(about: Json | None, thing: Thing) -> bool:
    """Whether an incident that is about something already may be about this: one sick thing each, no chains."""
    if about is None or (about["kind"], about["name"]) == (thing.kind, thing.name):
        return True
    return {str(about["kind"]), thing.kind} <= _HARDWARE


def age(incident: Incident) -> tuple[datetime, str]:
    """Which of several incidents is the older."""
    return incident.opened_at, incident.incident_id


def joined(head: Incident, part: Incident, about: Json, now: datetime) -> tuple[Incident, Incident]:
    """Both rows after one became part of the other: the head has its alerts and models, and speaks for the louder."""
    told = dict.fromkeys((*(head.models or (head.model,)), *(part.models or (part.model,))))
    models = tuple(m for m in told if m != SITE) or (SITE,)
    made = replace(
        head, alerts=tuple(dict.fromkeys((*head.alerts, *part.alerts))), since=min(head.since, part.since), about=about,
        models=models, changed_at=_after(head, now),
    )  # fmt: skip
    if RANK[part.severity] > RANK[head.severity]:
        made = replace(
            made, severity=part.severity, summary=part.summary, effect=part.effect, unit=part.unit, ci_low=part.ci_low,
            ci_high=part.ci_high, evidence_nats=part.evidence_nats,
        )  # fmt: skip
    return made, replace(part, part_of=head.incident_id, about=about, changed_at=_after(part, now))


def _after(row: Incident, now: datetime) -> datetime:
    """When the next row of an incident is written: of two the later is the newer."""
    return max(now, row.changed_at + timedelta(microseconds=1))


def quiet(incidents: Iterable[Incident], firing: Iterable[Alert]) -> dict[str, Incident]:
    """By part that nobody is told of for itself: the incident it is told in, while one as loud fires there before it."""
    known = {i.incident_id: i for i in incidents}
    loud: dict[str, int] = {}
    for alert in firing:
        if alert.state == "firing":
            loud[alert.incident_id] = max(loud.get(alert.incident_id, 0), RANK[alert.severity])
    heard = dict(loud)
    made: dict[str, Incident] = {}
    for part in sorted((i for i in known.values() if i.part_of in known), key=age):
        head = known[str(part.part_of)]
        mine = loud.get(part.incident_id, 0)
        if mine <= heard.get(head.incident_id, -1):
            made[part.incident_id] = head
        else:
            heard[head.incident_id] = mine
    return made
