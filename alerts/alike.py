"""Which incidents of the past were like this one, what ended them, and how long that took.

Likeness is counted, not learnt: the same model, kind and subject, the same kind and subject of the first cause,
and values that differed in both.

Source: our own; Jaccard (1901) for what differed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from alerts.clues import kind_of
from observe.schema import Action, ChangeEvent, Incident, Json

MOST: Final = 3
LEAST: Final = 0.5  # likeness that is worth telling
HELPS: Final = timedelta(minutes=45)  # how long before its end something may have ended an incident
_DONE: Final = frozenset({"succeeded", "acknowledged", "sent"})
_REMEDIES: Final = frozenset({"deploy", "config", "version", "scale", "scale_up"})


@dataclass(frozen=True, slots=True)
class Past:
    """An incident that is over, with how it was explained and what happened until it ended."""

    incident: Incident
    causes: Sequence[Json] = ()
    differs: Sequence[Json] = ()
    actions: Sequence[Action] = ()
    changes: Sequence[ChangeEvent] = ()


@dataclass(frozen=True, slots=True)
class Now:
    """The incident that is asked about."""

    incident: Incident
    causes: Sequence[Json]
    differs: Sequence[Json]


def similar(now: Now, past: Sequence[Past]) -> tuple[Json, ...]:
    """The most alike of the past, the newest of equals first."""
    scored = [(likeness(now, p), p) for p in past if p.incident.incident_id != now.incident.incident_id]
    best = sorted(scored, key=lambda s: (-s[0], -s[1].incident.opened_at.timestamp(), s[1].incident.incident_id))
    return tuple(_as_json(score, p) for score, p in best if score >= LEAST)[:MOST]


def likeness(now: Now, past: Past) -> float:
    """From 0 to 1: a third for model and kind each at most, the rest for cause and differences as far as known."""
    a, b = now.incident, past.incident
    same = 0.3 * (a.model == b.model) + 0.2 * (a.kind == b.kind)
    cause = _cause(now.causes, past.causes)
    shared = _jaccard({_value(d) for d in now.differs}, {_value(d) for d in past.differs})
    return round(same + 0.3 * cause + 0.2 * shared, 3)


def _cause(now: Sequence[Json], past: Sequence[Json]) -> float:
    if not now or not past:
        return 0.0
    kind = now[0].get("kind") == past[0].get("kind")
    return kind * (1.0 if now[0].get("subject") == past[0].get("subject") else 0.6)


def _value(differs: Json) -> tuple[str, str]:
    return str(differs.get("dimension")), str(differs.get("value"))


def _jaccard(a: Collection[tuple[str, str]], b: Collection[tuple[str, str]]) -> float:
    either = {*a, *b}
    return len({*a} & {*b}) / len(either) if either else 0.0


def _as_json(score: float, past: Past) -> Json:
    incident = past.incident
    ended = incident.resolved_at
    lasted = (ended - incident.since).total_seconds() if ended else None
    cause = past.causes[0] if past.causes else incident.cause
    return {
        "incident_id": incident.incident_id, "score": score, "summary": incident.summary,
        "cause": str(cause["note"]) if cause else None, "resolved_after_s": lasted, "helped": helped(past),
    }  # fmt: skip


def helped(past: Past) -> str | None:
    """What was done last before it ended: an action of ours that was carried out, else a change somebody made."""
    end = past.incident.resolved_at
    if end is None:
        return None
    done = [a for a in past.actions if a.state in _DONE and a.changed_at <= end]
    if done:
        last = max(done, key=lambda a: (a.changed_at, a.action_id))
        return f"{last.kind} {last.target}, {_before(last.changed_at, end)}"
    made = [c for c in past.changes if kind_of(c) in _REMEDIES and _in_time(c.ts, past.incident.since, end)]
    if not made:
        return None
    change = max(made, key=lambda c: (c.ts, c.event_id))
    return f"{_said(change)}, {_before(change.ts, end)}"


def _in_time(at: datetime, since: datetime, end: datetime) -> bool:
    return max(since, end - HELPS) < at <= end


def _said(change: ChangeEvent) -> str:
    moved = f" {change.before} → {change.after}" if change.before and change.after else f" {change.after or ''}"
    return f"{change.kind.replace('_', ' ')} of {change.object_name or change.model_id or 'something'}{moved}".rstrip()


def _before(at: datetime, end: datetime) -> str:
    return f"{max(0.0, (end - at).total_seconds() / 60):.0f} min before it ended"
