"""Why did it happen? An incident and what is known around it become one row: causes, differences, likeness, words.

Pure: the same case gives the same explanation. An incident that one sick thing makes one with an older, open one is
told inside that (`alerts.grouping`): inhibition by cause.

Source: our own; docs/incidents.md. Alertmanager's inhibition rules for the idea of the last sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from alerts import account, alike, grouping, weighing, wording
from alerts.account import Known
from alerts.clues import Clue
from alerts.differing import Count, Totals, compare
from alerts.grouping import Ground, Seen, Thing
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
LONGEST: Final = timedelta(days=7)  # after which an inhibited incident is told by itself
NAMED: Final = frozenset({"gpu", "node", "provider"})  # things that an incident of one model is about, too
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
    others: Sequence[Ground] = ()  # incidents that are open now, and parts of this one
    on: frozenset[Thing] = frozenset()  # what it stands on
    blames: tuple[str, ...] = ()  # models its objectives are about


def explain(case: Case, now: datetime) -> Explanation:
    """The explanation of a case as it is known now."""
    own = _OWN.get(case.incident.kind, frozenset())
    mixes = compare(case.counts, case.totals)
    ranked, unexplained = weighing.weigh([c for c in case.clues if c.kind not in own], case.scene, mixes)
    verdict = _verdict(case, ranked)
    causes = tuple(weighing.as_json(w) for w in ranked[:MOST] if w.score >= LEAST)
    differs = tuple(m.as_json() for m in mixes.ranked)
    similar = alike.similar(alike.Now(case.incident, causes if verdict == "cause" else (), differs), case.past)
    head, about = _home(case, grouping.ground(_seen(case, verdict, causes, differs)))
    known = Known(
        case.incident, case.scene, verdict, ranked, unexplained, mixes, similar, head, _explains(case), about["says"] if about else ""
    )  # fmt: skip
    return Explanation(
        incident_id=case.incident.incident_id, changed_at=now, verdict=verdict, causes=causes, differs=differs, similar=similar,
        text=account.account(known), unexplained=None if verdict == "too little" else round(unexplained, 3), inhibited_by=head,
        about=about,
    )  # fmt: skip


def _seen(case: Case, verdict: Verdict, causes: Sequence[Json], differs: Sequence[Json]) -> Seen:
    return Seen(case.incident, case.scene.onset, verdict, causes, differs, case.on, case.blames)


def _home(case: Case, mine: Ground) -> tuple[str | None, Json | None]:
    """The incident it is told in, and the sick thing that it is about; what was joined stays so."""
    if case.incident.part_of:
        return case.incident.part_of, case.incident.about
    found = grouping.home(mine, case.others)
    if found is not None:
        return found[0].incident_id, found[1].as_json()
    return None, mine.sick[0].as_json() if mine.sick and mine.sick[0].kind in NAMED else None


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
    about = incident.about if incident.models or incident.part_of else explanation.about
    if cause == incident.cause and about == incident.about:
        return incident
    made = replace(incident, cause=cause, about=about)
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
    return (
        e.verdict,
        causes,
        differs,
        [s["incident_id"] for s in e.similar],
        e.inhibited_by,
        (e.about or {}).get("says"),
    )


# --- inhibition -------------------------------------------------------------------------------------


def _explains(case: Case) -> list[Incident]:
    mine = case.incident.incident_id
    return [o.incident for o in case.others if o.incident.part_of == mine]


def mute(part: Incident, by: Incident) -> Mute:
    """Nobody is told of a part for itself while the incident it is told in is open, for a week at most."""
    return Mute(part.incident_id, part.opened_at, by.opened_at + LONGEST, f"its cause, told in {by.incident_id}")


def model_of(incident: Incident) -> str:
    """The model of an incident; "" for the site's."""
    return "" if incident.model == wording.SITE else incident.model
