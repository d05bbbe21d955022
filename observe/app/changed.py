"""Did it help, what others did? Deploys, rollbacks and scalings that no action of ours asked for, judged as ours are.

They come as change events, or are seen: the replicas that model servers show change, and stay so for five minutes. What
answers an action of ours, or scales within the hour after a scaling of ours, is its work and judged there. Of one model
and kind the first of an hour is judged, the others are counted beside it. None of it opens or closes a circuit
breaker: those are about what we propose.

Source: our own; docs/actions.md.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from alerts import confirming, ledger
from alerts.ledger import History
from observe.app import aftermath, burnt
from observe.schema import Action, ChangeEvent, ChangeOutcome
from observe.schema.exchange import nouns

if TYPE_CHECKING:
    from observe.spec import Config
    from observe.store import Store

_LOG = logging.getLogger("observe.outcomes")
BACK: Final = timedelta(days=1)  # what is told of later is not judged any more
REMEMBERED: Final = timedelta(days=30)  # rows of decisions come when something changed: the one before may be old
SAMPLES: Final = "samples"  # source of what nobody told of and model servers show
READER: Final = "a scaler that reads our answer"
_READS: Final = timedelta(minutes=10)  # so long ago at most it has read before it scales
_EVENTS: Final = """
select * from change_event where kind in ('scale', 'deploy', 'rollback') and model_id is not null and source <> 'scaling'
  and severity is distinct from 'error' and ts >= $from and ts < $to order by ts, event_id"""
_SEEN: Final = """
with told as (
  select model, ts, if((evidence ->> '$.running_basis') = 'scraped', running, null) as running from scaling_decision where ts >= $memory
), moved as (
  select *, lag(running) over (partition by model order by ts) as was from told
), changed as (
  select *, lead(ts) over (partition by model order by ts) - ts as stayed from moved where running is distinct from was)
select model, ts, was, running from changed
where running is not null and was is not null and coalesce(stayed >= interval 5 minutes, true) and ts >= $from and ts < $to order by ts"""
_SENT: Final = """select * from core.action where action_id in (
  select action_id from core.action where state = 'sent' and changed_at >= $since) order by changed_at"""
_JUDGED: Final = "select change_id, model, kind, ts from change_outcome where ts >= $since"
_OPEN: Final = """select incident_id from incident where model = $model and opened_at <= $at
  and (resolved_at is null or resolved_at > $at) order by severity = 'page' desc, opened_at limit 1"""


class Changed:
    """Judges what others did, once the hour after it is over."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def judge(self, config: Config, now: datetime) -> None:
        """Write the outcome of every change that is ripe, and was not asked for by an action of ours."""
        ripe = now - burnt.RIPE
        every = self._changes(config, ripe - BACK, now)
        if not any(c.ts <= ripe for c in every):
            return
        asked = {"since": ripe - BACK - ledger.PATIENCE["retrain"]}
        ours = list(ledger.histories(nouns(Action, self._store.read(_SENT, asked))).values())
        others = [c for c in every if not is_ours(c, ours)]
        known = self._store.read(_JUDGED, {"since": ripe - BACK - burnt.LENGTH}).rows()
        for change, more in first_of_an_hour([c for c in others if c.ts <= ripe], others, known):
            self._write(config, change, more, now)

    def _changes(self, config: Config, start: datetime, end: datetime) -> list[ChangeEvent]:
        """Changes of declared models, told of and seen, oldest first."""
        named = {name: model.name for model in config.models.values() for name in (model.name, *model.aliases)}
        span = {"from": start, "to": end}
        told: list[ChangeEvent] = nouns(ChangeEvent, self._store.read(_EVENTS, span))
        rows = self._store.read(_SEEN, {**span, "memory": start - REMEMBERED}).iter_rows()
        seen = [_seen(*row) for row in rows]
        mine = [replace(c, model_id=named[c.model_id or ""]) for c in (*told, *seen) if c.model_id in named]
        return sorted(mine, key=lambda c: (c.ts, c.event_id))

    def _write(self, config: Config, change: ChangeEvent, more: int, now: datetime) -> None:
        model = change.model_id or ""
        incident_id = self._open(model, change.ts)
        onset = aftermath.since(self._store, incident_id) if incident_id else None
        spans = burnt.hours(change.ts, change.ts, onset)
        start, end = burnt.ends(spans)
        notes = [f"and {more} more of this kind in that hour"] if more else []
        notes += aftermath.beside(self._store, aftermath.Own(model, change.kind), start, end)
        notes += aftermath.by_itself(self._store, incident_id, end) if incident_id else []
        found = burnt.judged(self._store, burnt.asked_of(config.models[model]), spans, notes)
        row = ChangeOutcome(
            change_id=change.event_id, model=model, kind=change.kind, what=what(change), actor=self._actor(change),
            source=change.source, ts=change.ts, incident_id=incident_id, outcome=found, judged_at=now,
        )  # fmt: skip
        with self._store.change() as tx:
            tx.insert([row])
        said = "event=outcome change=%s model=%s what=%s verdict=%s"
        _LOG.info(said, row.change_id, row.model, row.what, found["verdict"])

    def _open(self, model: str, at: datetime) -> str | None:
        """The incident of a model that was open at an instant, a page before a ticket."""
        rows = self._store.read(_OPEN, {"model": model, "at": at})
        return None if rows.is_empty() else str(rows.item())

    def _actor(self, change: ChangeEvent) -> str | None:
        """Who did it, as it was told; of what is only seen, the scaler that reads our answer, where one does."""
        if change.source != SAMPLES:
            return change.actor
        key = f"scaling/{change.model_id}"
        read_at = self._store.state([key]).get(key, {}).get("read_at")
        return READER if read_at and datetime.fromisoformat(read_at) >= change.ts - _READS else None


def is_ours(change: ChangeEvent, histories: Iterable[History]) -> bool:
    """Whether a change answers an action of ours, or scales within the hour after a scaling of ours."""
    return any(_answers(change, h) for h in histories if h.now.model == change.model_id)


def _answers(change: ChangeEvent, history: History) -> bool:
    sent, action = history.first("sent"), history.now
    if sent is None or not sent <= change.ts < sent + ledger.PATIENCE.get(action.kind, timedelta(hours=1)):
        return False
    return action.kind == change.kind == "scale" or confirming.confirmed(action, sent, [change]) is not None


def first_of_an_hour(
    ripe: Sequence[ChangeEvent], every: Sequence[ChangeEvent], known: Sequence[tuple[str, str, str, datetime]]
) -> Iterator[tuple[ChangeEvent, int]]:
    """The changes that are to be judged, and how many of the same kind came within the hour after each.

    Args:
        ripe: whose hour after is over, oldest first.
        every: these and later ones.
        known: id, model, kind and time of those that are judged.
    """
    judged: dict[tuple[str | None, str], list[datetime]] = {}
    for _, model, kind, ts in known:
        judged.setdefault((model, kind), []).append(ts)
    ids = {change_id for change_id, *_ in known}
    for change in ripe:
        times = judged.setdefault((change.model_id, change.kind), [])
        if change.event_id in ids or any(abs(change.ts - at) < burnt.LENGTH for at in times):
            continue
        times.append(change.ts)
        yield change, sum(_follows(change, other) for other in every)


def _follows(change: ChangeEvent, other: ChangeEvent) -> bool:
    same = (change.model_id, change.kind) == (other.model_id, other.kind) and change.event_id != other.event_id
    return same and change.ts <= other.ts < change.ts + burnt.LENGTH


def what(change: ChangeEvent) -> str:
    """A change as one line.

    >>> what(_seen("chat", datetime(2026, 11, 21, tzinfo=UTC), 4, 6))
    'scale chat 4 → 6'
    """
    step = f"{change.before} → {change.after}" if change.before and change.after else change.after or change.revision
    return " ".join(part for part in (change.kind, change.object_name, step) if part)


def _seen(model: str, ts: datetime, before: int, after: int) -> ChangeEvent:
    """A scaling that nobody told of; model servers show it."""
    told: Mapping[str, None] = dict.fromkeys(
        ("namespace", "cluster", "node", "revision", "actor", "severity", "message")
    )
    return ChangeEvent(
        ts=ts, event_id=f"seen/{model}/{ts.astimezone(UTC).isoformat()}", kind="scale", object_kind="Model", object_name=model,
        model_id=model, before=str(before), after=str(after), source=SAMPLES, ingested_at=ts, **told,
    )  # fmt: skip
