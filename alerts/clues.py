"""What may have caused an incident: things that changed near it, how often they change by chance, and where.

Each kind has a declared prior (how often it is the cause), a mean lag (how long until its effect shows) and
`follows` (how often it is itself an effect of whatever went wrong: queues grow in every slow incident, deploys do not).

Source: our own numbers, after Beyer et al. (2016), "Site Reliability Engineering", chapter 1: some 70 % of outages
come from changes; the remainder split by kinds as a prior guess. They are declared here, not fitted to data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from observe.schema import ChangeEvent, Finding

NONE_PRIOR: Final = 0.35  # share of incidents whose cause is nothing that we see
SKEW: Final = timedelta(seconds=30)  # how far a change's clock may be off
TOGETHER: Final = timedelta(minutes=10)  # one change told in several events
PAST: Final = timedelta(days=14)  # from which base rates are counted
FEWEST_EVENTS: Final = 0.5  # added to what was counted: nothing seen is not never (Jeffreys)


@dataclass(frozen=True, slots=True)
class Kind:
    """What is assumed of one kind of clue."""

    prior: float  # share of incidents whose cause is of this kind, of all
    lag_s: float  # mean time until its effect shows, s
    follows: float  # probability that an incident of another cause brings one, 0-1
    says: str


KINDS: Final[Mapping[str, Kind]] = {
    "deploy": Kind(0.14, 600, 0.01, "deploy"),
    "config": Kind(0.06, 300, 0.01, "configuration change"),
    "version": Kind(0.07, 300, 0.01, "new version"),
    "scale": Kind(0.05, 600, 0.02, "scale-down"),
    "scale_up": Kind(0.002, 600, 0.3, "scale-up"),
    "xid": Kind(0.05, 180, 0.01, "GPU fault"),
    "node": Kind(0.05, 300, 0.02, "node disruption"),
    "data": Kind(0.02, 3600, 0.01, "data pipeline change"),
    "throttle": Kind(0.04, 300, 0.03, "GPU throttling"),
    "saturation": Kind(0.01, 300, 0.5, "GPU saturation"),
    "queue": Kind(0.02, 180, 0.6, "queue"),
    "kv": Kind(0.03, 180, 0.3, "KV cache"),
    "provider": Kind(0.06, 60, 0.4, "provider errors"),
    "log": Kind(0.02, 120, 0.6, "log messages"),
    "retries": Kind(0.005, 60, 0.9, "retries"),
    "traffic": Kind(0.06, 300, 0.03, "traffic surge"),
    "tokens": Kind(0.04, 180, 0.02, "longer prompts"),
    "cache": Kind(0.03, 180, 0.05, "cache hit loss"),
    "drift": Kind(0.02, 3600, 0.1, "drift of inputs"),
}
CHANGES: Final = frozenset({"deploy", "config", "version", "scale", "scale_up", "node", "data"})  # somebody did it
_EVENTS: Final[Mapping[str, str]] = {
    "deploy": "deploy", "rollback": "deploy", "config": "config", "driver": "config", "model_version": "version", "prompt": "version",
    "node_remove": "node", "disruption": "node", "xid": "xid", "ecc": "xid", "data_pipeline": "data", "trained": "data",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clue:
    """Something that changed near an incident and may be its cause."""

    kind: str
    subject: str
    onset: datetime
    note: str
    low: datetime  # its onset lies in [low, high]
    high: datetime
    until: datetime | None = None
    model: str = ""  # "" is "does not say", likewise for places
    places: tuple[tuple[str, str], ...] = ()  # (dimension, value) where its effect is expected, the narrowest first
    device: str = ""  # GPU it is about
    node: str = ""
    per_day: float = FEWEST_EVENTS / 14  # how often such a thing begins by chance
    events: int = field(default=1, compare=False)  # events it was told in

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same clue in another look."""
        return self.kind, self.subject


def kind_of(change: ChangeEvent) -> str | None:
    """The kind of clue that a change event is; None for those that cause nothing (a node that came, a silence)."""
    if (change.kind, change.object_kind) == ("disruption", "GPU"):
        return "xid"
    if change.kind == "scale":
        return "scale" if _is_fewer(change) else "scale_up"
    return _EVENTS.get(change.kind)


def _is_fewer(change: ChangeEvent) -> bool:
    try:
        return float(change.after or "") < float(change.before or "")
    except ValueError:
        return False


def of_changes(changes: Iterable[ChangeEvent]) -> list[Clue]:
    """Clues of change events; several events of one kind and subject within ten minutes are one."""
    made: dict[tuple[str, str, str], Clue] = {}
    rows: list[Clue] = []
    for change in sorted(changes, key=lambda c: (c.ts, c.event_id)):
        kind = kind_of(change)
        if kind is None:
            continue
        clue = _of_change(kind, change)
        key = (kind, clue.subject, clue.model)
        before = made.get(key)
        if before is not None and change.ts - (before.until or before.onset) <= TOGETHER:
            made[key] = replace(before, until=change.ts, events=before.events + 1)
            continue
        rows += [before] if before is not None else []
        made[key] = clue
    return sorted([*rows, *made.values()], key=lambda c: (c.onset, c.kind, c.subject))


def _of_change(kind: str, c: ChangeEvent) -> Clue:
    names = dict.fromkeys(n for n in (c.object_name, c.after, c.revision) if n)
    places = [("name", n) for n in names]
    places += [("node", c.node)] if c.node else []
    places += [("namespace", c.namespace)] if c.namespace else []
    places += [("cluster", c.cluster)] if c.cluster else []
    device = (c.object_name or "") if kind == "xid" else ""
    return Clue(
        kind=kind, subject=_subject(c), onset=c.ts, note=_note(c), low=c.ts - SKEW, high=c.ts + SKEW, model=c.model_id or "",
        places=tuple(places), device=device, node=c.node or "",
    )  # fmt: skip


def _subject(c: ChangeEvent) -> str:
    return c.object_name or c.model_id or c.node or c.kind


def _note(c: ChangeEvent) -> str:
    if c.message:
        return " ".join(c.message.split())[:200]
    moved = f" {c.before} → {c.after}" if c.before and c.after else f" {c.after or ''}"
    where = f" in {c.cluster}" if c.cluster else ""
    return f"{c.kind.replace('_', ' ')} of {_subject(c)}{moved}".rstrip() + where


def of_findings(findings: Sequence[Finding], model: str) -> Iterator[Clue]:
    """Drift that was found in the same model: one clue a feature, the earliest finding of it."""
    told: set[str] = set()
    for f in sorted(findings, key=lambda f: (f.window_end, f.finding_id)):
        if f.kind != "drift" or f.model != model or f.state != "alarm" or f.subject in told:
            continue
        told.add(f.subject)
        onset = f.onset or f.window_start
        yield Clue(
            kind="drift", subject=f.subject, onset=onset, note=f"drift: {f.note}", low=min(f.onset_low or onset, onset),
            high=max(f.onset_high or f.window_end, onset), model=f.model,
        )  # fmt: skip


def rated(clues: Iterable[Clue], past: Sequence[Clue], days: float, model: str) -> list[Clue]:
    """The clues of change events with how often their like came by chance.

    Args:
        clues: near the incident.
        past: clues of the time before it.
        days: how long that time was.
        model: the incident's, "" for the site's; events that name a model and those that name none each have their own rate.
    """
    counted: dict[tuple[str, bool], int] = {}
    for p in past:
        if not model or p.model in ("", model):
            scope = (p.kind, bool(p.model))
            counted[scope] = counted.get(scope, 0) + 1
    days = max(days, 1.0)
    return [replace(c, per_day=(counted.get((c.kind, bool(c.model)), 0) + FEWEST_EVENTS) / days) for c in clues]
