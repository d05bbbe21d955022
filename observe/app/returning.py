"""The way back of a training: its event proposes the new reference, who may accept it does, and its drift ends.

A `trained` event of a model that drifts, or any event that names a retraining of ours, proposes that the data it
learnt from are the new normal. Accepting is a command, `accept_normal` on the proposal (or on the incident, as
ever): a person's, the canary's once the new version is proven as good, or the rule's where it says `reference: auto`.
Whatever its event says, a monitor learns anew no earlier than where its own change was over.

Source: our own; ARCHITECTURE section 3, "Binnings and references".
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from alerts import confirming, ledger
from alerts.wording import said
from observe.access import Principal
from observe.app import actions, training
from observe.app.people import written
from observe.schema import Action, ChangeEvent, Incident, ReferenceWindow
from observe.schema.exchange import nouns

if TYPE_CHECKING:
    from observe.clock import Clock
    from observe.schema.reference import Accepts
    from observe.spec import Config
    from observe.store import Store

_LOG = logging.getLogger("observe.returning")
EVERY_S: Final = 5.0  # how often it is looked whether something came back
RULE: Final = "rule"  # who accepts what its rule says needs nobody
CANARY: Final = "canary"
_LOOK_BACK: Final = timedelta(days=2)  # how long after its arrival an event may still propose something
_MARK: Final = "; new reference of "  # where in what a target said our words begin
_STEP: Final = timedelta(microseconds=1)  # rows of one proposal never share an instant
_ANSWERS: Final = timedelta(days=30)  # how long after it was sent a retraining may be answered
_EVENTS: Final = """
select * from change_event where ingested_at > $since and severity is distinct from 'error'
  and kind in ('trained', 'model_version', 'deploy') and model_id in (select model from incident where state = 'open')
  and event_id not in (select event_id from reference_window) order by ts, event_id"""
_RETRAININGS: Final = """
select * from action where kind = 'retrain' and model = $model and changed_at > $since
  and state in ('sent', 'acknowledged', 'succeeded', 'expired') order by changed_at desc"""
_SENT: Final = "select min(changed_at) from core.action where action_id = $id and state = 'sent'"
_DRIFTING: Final = """
select * from incident where state = 'open' and model = $model and since < $at and incident_id in (
  select incident_id from alert where kind = 'drift' and state = 'firing') order by opened_at limit 1"""
_INCIDENT: Final = "select * from incident where incident_id = $id"
_SAME: Final = """
select 1 from reference_window where incident_id = $incident and state <> 'withdrawn' and version is not distinct from $version"""
_PROPOSED: Final = "select * from reference_window where state = 'proposed' order by changed_at, reference_id"
_ACCEPTED: Final = """
select arg_min(actor, ts) as actor from command where verb = 'accept_normal' and ts >= $since
  and (object in ($reference, $incident) or list_contains($alerts, object))"""
_PASSED: Final = """
select subject, details ->> '$.decision' as decision from finding where kind = 'canary' and model = $model
  and window_end >= $since order by window_end desc limit 1"""


class Returning:
    """Reads what came back from trainings, and settles what they propose."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def tick(self, config: Config) -> None:
        """Propose what new events ask for, and settle what can be settled."""
        now = self._clock.now()
        for event in nouns(ChangeEvent, self._store.read(_EVENTS, {"since": now - _LOOK_BACK})):
            made = self._proposal(event, config, now)
            if made is not None:
                self._write(made)
        for reference in nouns(ReferenceWindow, self._store.read(_PROPOSED)):
            self._tell(self._settle(reference, now), now)

    # --- proposing ------------------------------------------------------------------------------

    def _proposal(self, event: ChangeEvent, config: Config, now: datetime) -> ReferenceWindow | None:
        """What an event proposes; None when nothing of that model drifts, or it is no training."""
        action = self._asked_for(event, now)
        incident = self._incident(event, action)
        if incident is None or incident.state != "open":
            return None
        if not self._store.read(_SAME, {"incident": incident.incident_id, "version": event.after}).is_empty():
            return None  # trained, then deployed: one new reference
        start = event.data_from or training.onset(self._store, incident.incident_id) or incident.since
        end = max(event.data_to or event.ts, start)
        accepts = _accepts(event.model_id or "", action, config)
        made = ReferenceWindow(
            reference_id=f"ref-{sha256(f'{event.source}{chr(0)}{event.event_id}'.encode()).hexdigest()[:16]}",
            model=incident.model, incident_id=incident.incident_id, action_id=action.action_id if action else None,
            event_id=event.event_id, version=event.after, period_from=start, period_to=end,
            rows=training.rows(self._store, incident.model, start, end), accepts=accepts, state="proposed", settled_by=None,
            text="", changed_at=now,
        )  # fmt: skip
        return replace(made, text=_worded(made, config))

    def _asked_for(self, event: ChangeEvent, now: datetime) -> Action | None:
        """The retraining of ours that an event answers: the one it names, else of a training the newest before it."""
        asked = {"model": event.model_id, "since": now - _ANSWERS}
        known: list[Action] = nouns(Action, self._store.read(_RETRAININGS, asked))
        for action in known:
            sent = self._store.read(_SENT, {"id": action.action_id}).item()
            if sent is not None and confirming.confirmed(action, sent.astimezone(UTC), [event]) is not None:
                return action
        return None

    def _incident(self, event: ChangeEvent, action: Action | None) -> Incident | None:
        if action is not None:
            found = nouns(Incident, self._store.read(_INCIDENT, {"id": action.incident_id}))
        elif event.kind == "trained":
            found = nouns(Incident, self._store.read(_DRIFTING, {"model": event.model_id, "at": event.ts}))
        else:
            return None
        return found[0] if found else None

    # --- settling -------------------------------------------------------------------------------

    def _settle(self, reference: ReferenceWindow, now: datetime) -> ReferenceWindow:
        """As it is now: accepted where somebody or something accepts, withdrawn where there is no drift any more."""
        now = max(now, reference.changed_at + _STEP)
        [incident] = nouns(Incident, self._store.read(_INCIDENT, {"id": reference.incident_id})) or [None]
        by = self._accepted_by(reference, incident)
        if by is None and (incident is None or incident.state != "open"):
            text = f"{reference.text}; its incident ended before anybody accepted it"
            return self._write(replace(reference, state="withdrawn", text=text, changed_at=now))
        for_itself = None if by else self._by_itself(reference)
        if by or for_itself:
            accepted = replace(reference, state="accepted", settled_by=by or for_itself, changed_at=now)
            return self._write(accepted, for_itself)
        return reference

    def _tell(self, reference: ReferenceWindow, now: datetime) -> None:
        """Say at the action what became of it, where people look: in what its target said."""
        history = actions.one(self._store, reference.action_id) if reference.action_id else None
        if history is None:
            return
        receipt = history.now.receipt or {}
        first = str(receipt.get("text") or "").partition(_MARK)[0]
        accept = f"observe incidents accept-normal {reference.reference_id}"
        more = {"proposed": f"accept it: {accept}", "accepted": f"accepted by {reference.settled_by}"}
        said_now = f"{first}; {reference.text}; {more.get(reference.state, reference.state)}"
        row = ledger.note(history.now, now, receipt={**receipt, "text": said_now, "reference": reference.reference_id})
        if row is not None:
            actions.add(self._store, history.now, row)

    def _accepted_by(self, reference: ReferenceWindow, incident: Incident | None) -> str | None:
        """Who accepted it by a command, on itself or on what drifts."""
        asked: Mapping[str, Any] = {
            "since": reference.changed_at, "reference": reference.reference_id, "incident": reference.incident_id,
            "alerts": list(incident.alerts) if incident else [],
        }  # fmt: skip
        found: str | None = self._store.read(_ACCEPTED, asked)["actor"][0]
        return found

    def _by_itself(self, reference: ReferenceWindow) -> str | None:
        """What accepts it where no person needs to: the rule, or a canary that is as good."""
        if reference.accepts == "auto":
            return RULE
        if reference.accepts != "canary":
            return None
        found = self._store.read(_PASSED, {"model": reference.model, "since": reference.changed_at})
        if found.is_empty():
            return None
        subject, decision = found.row(0)
        return CANARY if decision == "good" and reference.version in (None, subject) else None

    def _write(self, reference: ReferenceWindow, speaker: str | None = None) -> ReferenceWindow:
        """Append a row, and return it; with the command by which it is accepted where no person gave one."""
        with self._store.change() as tx:
            tx.insert([reference])
            if speaker is not None:
                command = {
                    "verb": "accept_normal", "object": reference.reference_id, "reason": reference.text,
                    "parameters": {"action": reference.action_id, "version": reference.version},
                }  # fmt: skip
                written(tx, reference.changed_at, Principal(speaker, "operator"), command)
        said_of = "event=reference id=%s model=%s state=%s by=%s text=%s"
        told = (reference.reference_id, reference.model, reference.state, reference.settled_by or "", reference.text)
        _LOG.info(said_of, *told)
        return reference


def _accepts(model: str, action: Action | None, config: Config) -> Accepts:
    """Who accepts, as the rule of the action says; a person where none does."""
    known = config.models.get(model)
    rules = known.monitoring.actions if known and known.monitoring else ()
    mine = [r for r in rules if action is not None and (r.do, r.target) == ("retrain", action.target)]
    return mine[0].reference if mine else "human"


def _worded(reference: ReferenceWindow, config: Config) -> str:
    """The proposal as one line, and who watches the new version."""
    known = config.models.get(reference.model)
    canary = known.monitoring.canary if known and known.monitoring else None
    version = f" ({reference.version})" if reference.version else ""
    rows = f", {reference.rows:,} rows" if reference.rows else ""
    watched = f"canary: {reference.version or 'the new version'} is watched by {canary.by} as soon as it answers" if canary else "no canary is declared, nothing compares it with the old version"  # fmt: skip
    period = f"{said(reference.period_from)} to {said(reference.period_to)}"
    return f"new reference of {reference.model}{version}: {period}{rows}; {watched}"
