"""An incident in two to six sentences, made of counted facts only.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts import wording
from alerts.clues import KINDS
from alerts.differing import Mixes
from alerts.weighing import Scene, Weighed, clock
from observe.schema import Incident, Json
from observe.schema.explanation import Verdict

_LONG = timedelta(minutes=2)  # an interval shorter than this is an instant to a reader
_OTHERS = 2


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that the sentences may say."""

    incident: Incident
    scene: Scene
    verdict: Verdict
    ranked: Sequence[Weighed]
    unexplained: float
    mixes: Mixes
    similar: Sequence[Json] = ()
    inhibited_by: str | None = None
    explains: Sequence[Incident] = ()  # that are told inside this one
    about: str = ""  # the sick thing it shares with others


def account(known: Known) -> str:
    """The sentences."""
    return " ".join([_began(known), *_cause(known), *_differs(known), *_inhibition(known), *_similar(known)])


def _began(known: Known) -> str:
    incident, scene = known.incident, known.scene
    whose = "The platform" if incident.model == wording.SITE else incident.model
    begun = f"since {clock(scene.onset)} UTC on {scene.onset:%Y-%m-%d}"
    if scene.high - scene.low >= _LONG:
        begun += f" (it began between {_minute(scene.low)} and {_minute(scene.high)})"
    return f"{whose}: {incident.summary}, {begun}."


def _minute(at: datetime) -> str:
    return clock(at)


def _cause(known: Known) -> Iterator[str]:
    if known.verdict == "too little":
        few = "too few bad requests" if known.mixes.totals.bad or known.mixes.totals.good else "no requests"
        yield f"No clear cause: too little evidence. No change and no other signal was seen near it, and there are {few} to compare."
        return
    likely = [w for w in known.ranked[: _OTHERS + 1] if w.score >= 0.05]
    if known.verdict == "cause":
        first = known.ranked[0]
        yield f"Most likely cause ({_percent(first.score)}): {_signal(first)}, {first.why[0].split(';')[0]}."
        likely = likely[1:]
        if likely:
            yield f"Less likely: {', '.join(f'{_signal(w)} ({_percent(w.score)})' for w in likely)}."
        return
    if not known.ranked:
        yield "No clear cause: no change and no other signal was seen near it."
        return
    tail = f" Nearest: {', '.join(f'{_signal(w)} ({_percent(w.score)})' for w in likely)}." if likely else ""
    count = len(known.ranked)
    seen = f"none of the {count} signals" if count > 1 else "not the one signal"
    yield f"No clear cause: with {_percent(known.unexplained)} it is {seen} seen near it.{tail}"


def _signal(weighed: Weighed) -> str:
    clue = weighed.clue
    return f"{KINDS[clue.kind].says} at {clock(clue.onset)} ({clue.note})"


def _percent(p: float) -> str:
    return f"{min(99.0, 100 * p):.0f} %" if p >= 0.01 else "under 1 %"


def _differs(known: Known) -> Iterator[str]:
    ranked = known.mixes.ranked
    if ranked:
        first = ranked[0]
        also = f" (the same requests: {', '.join(f'{d} {v}' for d, v in first.also[:2])})" if first.also else ""
        yield f"{first.words()}{also}: at least {first.low:.2g} times as common."
    elif known.mixes.totals.bad >= 20:
        yield "Bad requests do not stand out in any dimension that is recorded."


def _inhibition(known: Known) -> Iterator[str]:
    if known.inhibited_by:
        shared = f" ({known.about})" if known.about else ""
        yield f"It is told inside {known.inhibited_by}, which has the same cause{shared}, and pages nobody by itself."
    elif known.explains:
        named = ", ".join(f"{i.incident_id} ({i.model})" for i in known.explains[:3])
        yield f"Of one cause with {named}, told here only."


def _similar(known: Known) -> Iterator[str]:
    if not known.similar:
        return
    best = known.similar[0]
    lasted = best["resolved_after_s"]
    took = f" and lasted {_span(float(lasted))}" if lasted is not None else ""
    ended = f"; before its end: {best['helped']}" if best["helped"] else ""
    yield f"Like {best['incident_id']}, which was “{best['summary']}”{took}{ended}."


def _span(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
