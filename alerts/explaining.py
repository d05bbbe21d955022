"""Why did it happen? An incident and what is known around it become one row: causes, differences, likeness, words.

Pure: the same case gives the same explanation. An incident whose cause explains an earlier one that is open and at
least as loud is told inside that one: inhibition by cause.

Source: our own; docs/incidents.md. Alertmanager's inhibition rules for the idea of the last sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from alerts import account, alike, weighing, wording
from alerts.account import Known
from alerts.clues import Clue
from alerts.differing import Count, Totals, compare
from alerts.incidents import RANK
from alerts.suggestion import suggest
from alerts.weighing import Scene, Weighed
from observe.schema import Explanation, Finding, Incident, Json
from observe.schema.explanation import Verdict
from observe.spec.quiet import Mute

if TYPE_CHECKING:
    from observe.spec import Config

MOST: Final = 8  # causes told
LEAST: Final = 0.005  # score worth telling
FEW: Final = 10  # bad requests below which, without any signal, nothing can be said
SHARED: Final = frozenset({"xid", "node", "throttle", "provider", "saturation"})  # causes that strike several models
SURE: Final = 0.5  # of a cause before it inhibits
LONGEST: Final = timedelta(days=7)  # after which an inhibited incident is told by itself
_OWN: Final[Mapping[str, frozenset[str]]] = {
    "drift": frozenset({"drift"}), "gpu": frozenset({"saturation"}), "imbalance": frozenset({"saturation"}),
}  # fmt: skip  # what an incident of a kind consists of is not its cause

_COARSE: Final[Mapping[str, str]] = {"throttle": "gpu", "saturation": "gpu", "config": "deploy", "version": "deploy"}


@dataclass(frozen=True, slots=True)
class Case:
    """An incident, and everything near it."""

    incident: Incident
    scene: Scene
    clues: Sequence[Clue] = ()
    counts: Sequence[Count] = ()
    totals: Totals = field(default_factory=Totals)
    past: Sequence[alike.Past] = ()
    others: Sequence[Told] = ()  # incidents that are open now


@dataclass(frozen=True, slots=True)
class Told:
    """Another open incident, how it is explained, and the GPUs and nodes it is about."""

    incident: Incident
    explanation: Explanation | None = None
    hardware: frozenset[str] = field(default=frozenset())


def explain(case: Case, now: datetime) -> Explanation:
    """The explanation of a case as it is known now."""
    own = _OWN.get(case.incident.kind, frozenset())
    mixes = compare(case.counts, case.totals)
    ranked, unexplained = weighing.weigh([c for c in case.clues if c.kind not in own], case.scene, mixes)
    verdict = _verdict(case, ranked)
    causes = tuple(weighing.as_json(w) for w in ranked[:MOST] if w.score >= LEAST)
    differs = tuple(m.as_json() for m in mixes.ranked)
    similar = alike.similar(alike.Now(case.incident, causes if verdict == "cause" else (), differs), case.past)
    inhibitor = inhibited_by(case, ranked, verdict)
    known = Known(case.incident, case.scene, verdict, ranked, unexplained, mixes, similar, inhibitor, _explains(case))
    return Explanation(
        incident_id=case.incident.incident_id, changed_at=now, verdict=verdict, causes=causes, differs=differs, similar=similar,
        text=account.account(known), unexplained=None if verdict == "too little" else round(unexplained, 3), inhibited_by=inhibitor,
    )  # fmt: skip


def _verdict(case: Case, ranked: Sequence[Weighed]) -> Verdict:
    if weighing.is_clear(ranked):
        return "cause"
    return "no clear cause" if ranked or case.totals.bad >= FEW else "too little"


def first_cause(explanation: Explanation) -> Json | None:
    """The cause as an incident keeps it: kind, subject, onset and note of the first; None when it is not clear.

    An incident knows fewer kinds: a GPU that throttles or is full is `gpu`, a configuration or version a `deploy`.
    """
    if explanation.verdict != "cause":
        return None
    first = explanation.causes[0]
    kind = _COARSE.get(str(first["kind"]), first["kind"])
    return {"kind": kind, **{name: first[name] for name in ("subject", "onset", "note")}}


def caused(
    incident: Incident, explanation: Explanation, signals: Sequence[Finding], config: Config, now: datetime
) -> Incident:
    """The incident with the first of its causes, and what to do about that; the same row where nothing changed."""
    cause = first_cause(explanation)
    if cause == incident.cause:
        return incident
    made = replace(incident, cause=cause)
    return replace(made, suggestion=suggest(made, signals, config, now), changed_at=now)


def is_news(after: Explanation, before: Explanation | None) -> bool:
    """Whether an explanation says something that the one before it did not."""
    if before is None:
        return True
    return _gist(after) != _gist(before)


def _gist(e: Explanation) -> tuple[object, ...]:
    """What must change before a row is written: scores count in tenths."""
    causes = [(c["kind"], c["subject"], round(float(c["score"]), 1)) for c in e.causes[:3]]
    differs = [(d["dimension"], d["value"]) for d in e.differs[:3]]
    return e.verdict, causes, differs, [s["incident_id"] for s in e.similar], e.inhibited_by


# --- inhibition -------------------------------------------------------------------------------------


def inhibited_by(case: Case, ranked: Sequence[Weighed], verdict: Verdict) -> str | None:
    """The open incident that explains this one: it has the same cause, is older, and at least as loud."""
    if verdict != "cause" or ranked[0].score < SURE or ranked[0].clue.kind not in SHARED:
        return None
    mine, cause = case.incident, ranked[0].clue
    fitting = [o.incident for o in case.others if _leads(o.incident, mine) and _has(o, cause)]
    return min(fitting, key=_age).incident_id if fitting else None


def _leads(other: Incident, mine: Incident) -> bool:
    louder = RANK[other.severity] >= RANK[mine.severity]
    return other.state == "open" and louder and other.incident_id != mine.incident_id and _age(other) < _age(mine)


def _age(incident: Incident) -> tuple[datetime, str]:
    return incident.opened_at, incident.incident_id


def _has(other: Told, cause: Clue) -> bool:
    """Whether another incident is about the hardware of this cause, or has the same first cause and is itself told."""
    if {cause.device, cause.node, cause.subject} & other.hardware:
        return True
    e = other.explanation
    if e is None or e.inhibited_by or e.verdict != "cause":
        return False
    return (e.causes[0]["kind"], e.causes[0]["subject"]) == cause.key


def _explains(case: Case) -> list[Incident]:
    mine = case.incident.incident_id
    return [o.incident for o in case.others if o.explanation is not None and o.explanation.inhibited_by == mine]


def quiet(explanations: Iterable[Explanation], incidents: Mapping[str, Incident]) -> dict[str, Incident]:
    """By incident that nobody is told of: the open one it is told inside."""
    pairs = {e.incident_id: e.inhibited_by for e in explanations if e.inhibited_by}
    return {i: incidents[by] for i, by in pairs.items() if by in incidents and incidents[by].state == "open"}


def mute(explanation: Explanation, by: Incident) -> Mute:
    """Nobody is told of an incident while the one that explains it is open, for a week at most."""
    return Mute(
        explanation.incident_id, explanation.changed_at, by.opened_at + LONGEST, f"its cause, told in {by.incident_id}"
    )


def model_of(incident: Incident) -> str:
    """The model of an incident; "" for the site's."""
    return "" if incident.model == wording.SITE else incident.model
