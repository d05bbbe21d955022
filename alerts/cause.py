"""Which signal began nearest to an incident: an XID, a GPU, a queue or a deploy.

A signal is a candidate when it began at most 30 min before and 10 min after the incident, and when
neither its cluster nor its model contradicts the incident's. GPU and queue series are seen in
five-minute steps, so onsets closer than that are the same moment; of those, the earliest is named:
a cause does not follow its effect. Full boards are what a slow model looks like, so saturation is named
only when nothing else began then.

Source: our own. Assumes: nothing about causation; it is the first thing an engineer would look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from observe.schema import ChangeEvent, Finding, Json

BEFORE: Final = timedelta(minutes=30)
AFTER: Final = timedelta(minutes=10)
STEP: Final = timedelta(minutes=5)  # resolution of `gpu_5m` and `queue_5m`
ORDER: Final = ("xid", "gpu", "queue", "deploy")  # nearer to the metal first, when all else is equal
DEPLOYS: Final = frozenset({"deploy", "rollback", "config", "model_version", "prompt", "driver"})


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that began at an instant and may explain an incident; "" is "does not say"."""

    kind: str
    subject: str
    onset: datetime
    note: str
    cluster: str = ""
    model: str = ""
    until: datetime | None = None  # the onset lies in [onset, until]; None: exactly at onset

    def as_json(self) -> Json:
        """As an incident keeps it."""
        return {"kind": self.kind, "subject": self.subject, "onset": self.onset.isoformat(), "note": self.note}


def signals(changes: Sequence[ChangeEvent], findings: Sequence[Finding]) -> Iterator[Signal]:
    """The signals in change events and in findings of kinds gpu and queue."""
    for c in changes:
        broken = c.kind in ("xid", "ecc") or (c.kind, c.object_kind) == ("disruption", "GPU")
        kind = "xid" if broken else "deploy" if c.kind in DEPLOYS else ""
        if kind:
            yield Signal(kind, _subject(c), c.ts, _note(c), c.cluster or "", c.model_id or "")
    for f in findings:
        if f.kind in ("gpu", "queue") and f.state == "alarm":
            since = f.onset or f.window_start
            until = since + (f.window_end - f.window_start) if f.onset_high is None else f.onset_high
            model = "" if f.model == "site" else f.model
            cluster = str(f.details.get("cluster", "")).strip("?")  # "?" is a sample without a cluster
            yield Signal(f.kind, f.subject, since, f.note, cluster, model, max(since, until))


def _subject(change: ChangeEvent) -> str:
    return change.object_name or change.model_id or change.node or change.kind


def _note(change: ChangeEvent) -> str:
    if change.message:
        return change.message
    moved = f" {change.before} → {change.after}" if change.before and change.after else f" {change.after or ''}"
    return f"{change.kind} of {_subject(change)}{moved}".rstrip()


def kept(cause: Json | None) -> tuple[Signal, ...]:
    """The cause an incident names already, as a candidate; it has matched before."""
    if cause is None:
        return ()
    onset = datetime.fromisoformat(str(cause["onset"]))
    return (Signal(str(cause["kind"]), str(cause["subject"]), onset, str(cause["note"])),)


def nearest(since: datetime, model: str, clusters: Sequence[str], candidates: Sequence[Signal]) -> Signal | None:
    """The one signal nearest to `since`, or None.

    Args:
        since: onset of the incident.
        model: the incident's model; "" when it is the site's.
        clusters: clusters the model is known to run in; empty when unknown.
        candidates: signals, in any order.
    """
    fitting = [s for s in candidates if -BEFORE <= s.onset - since <= AFTER and _agrees(s, model, clusters)]
    return min(
        fitting, key=lambda s: (_gap(s, since), _is_symptom(s), s.onset, ORDER.index(s.kind), s.subject), default=None
    )


def _is_symptom(signal: Signal) -> bool:
    return signal.kind == "gpu" and "saturated" in signal.subject


def _agrees(signal: Signal, model: str, clusters: Sequence[str]) -> bool:
    if signal.model and model and signal.model != model:
        return False
    return not (signal.cluster and clusters) or signal.cluster in clusters


def _gap(signal: Signal, since: datetime) -> timedelta:
    apart = max(signal.onset - since, since - (signal.until or signal.onset), timedelta(0))
    return max(apart - STEP, timedelta(0))
