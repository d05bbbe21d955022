"""Actions leave: what is approved is sent, what was sent is followed, what takes too long is ended.

One thread looks what is due; each target has a lane of its own, so one that hangs holds up no other. `sent` is durable
before a target is asked; after kill -9 it is asked again with the same key. Nothing leaves without a permit
that is asked for at that moment (`alerts.permits`).

Source: our own; docs/actions.md.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from alerts import confirming, ledger, permits
from alerts.ledger import History
from observe.app import actions
from observe.app.lanes import Lanes
from observe.app.outcomes import Outcomes
from observe.clock import Clock
from observe.registry import plugin
from observe.schema import Action, ChangeEvent
from observe.schema.acting import Receipt, State
from observe.schema.exchange import nouns
from observe.spec.acting import Target, target_of
from observe.store import Store
from observe.telemetry import Telemetry

if TYPE_CHECKING:
    from observe.spec import Config

_LOG = logging.getLogger("observe.acting")
_LANES: Final = 8  # targets that are spoken to at the same time
_AGAIN: Final = timedelta(seconds=60)  # how often it is looked how an action went on
_EVENTS: Final = "select * from change_event where model_id = $model and ts >= $since order by ts limit 1000"


class Acting:
    """Sends what is approved to the targets of a site, and learns what became of it."""

    def __init__(self, config: Config, store: Store, clock: Clock, telemetry: Telemetry) -> None:
        self._config, self._store, self._clock, self._telemetry = config, store, clock, telemetry
        self._outcomes = Outcomes(store, telemetry)
        self._guard = threading.Lock()  # over permits and the step `sent`: two lanes must not both be the sixth of six
        self._flying: set[str] = set()  # action ids that a lane has in hand
        self._quiet: int | None = None  # rows there were when nothing was under way: until one comes, nothing is
        self._followed: dict[str, datetime] = {}
        self._lanes = Lanes("act", _LANES, self._look, telemetry)

    def start(self) -> None:
        """Go on where the store says we were."""
        self._lanes.start()

    def adopt(self, config: Config) -> None:
        """Go by another configuration from the next look on."""
        self._config = config

    def stop(self) -> None:
        """End after the requests under way."""
        self._lanes.stop()

    def once(self) -> None:
        """Do what is due now, and wait until it is done."""
        wait(self._look())

    # --- what is due, by lane -------------------------------------------------------------------

    def _look(self) -> list[Future[None]]:
        config, now = self._config, self._clock.now()
        self._outcomes.judge(config, now)
        rows = actions.count(self._store)
        if rows == self._quiet:
            return []
        jobs: dict[str, list[Callable[[], bool]]] = {}
        under_way = actions.under_way(self._store)
        self._quiet = None if under_way else rows
        unwanted = actions.unwanted(self._store) if under_way else frozenset()
        for action_id, history in under_way.items():
            if action_id in self._flying or self._aged(history, config, now, ended=action_id in unwanted):
                continue
            due = self._due(self._unattended(history, config, now), config, now)
            if due is not None:
                target = target_of(config.site, history.now.target)
                jobs.setdefault(target.name if target else "", []).append(due)
        free = {lane: work for lane, work in jobs.items() if not self._lanes.is_busy(lane)}
        return [self._lanes.submit(lane, partial(self._work_off, work)) for lane, work in free.items()]

    def _due(self, history: History, config: Config, now: datetime) -> Callable[[], bool] | None:
        """What is to be done about an action in the lane of its target."""
        action, target = history.now, target_of(config.site, history.now.target)
        if ledger.is_due(history, now):
            return partial(self._send, action.action_id, config)
        if action.state == "acknowledged" and now - self._followed.get(action.action_id, _NEVER) >= _AGAIN:
            self._followed[action.action_id] = now
            return partial(self._follow, history, target)
        return None

    def _work_off(self, work: Sequence[Callable[[], bool]]) -> None:
        for each in work:
            if self._lanes.stopping or not each():
                return  # it is away: the others need not find out one by one

    # --- without asking anybody -------------------------------------------------------------------

    def _aged(self, history: History, config: Config, now: datetime, *, ended: bool) -> bool:
        """End what takes too long."""
        action, target = history.now, target_of(config.site, history.now.target)
        own = target.spec.done_within_s if target else None
        patience = timedelta(seconds=own) if own else ledger.PATIENCE.get(action.kind, timedelta(hours=1))
        row = ledger.overdue(history, patience, now, ended=ended)
        return row is not None and self._add(action, row)

    def _unattended(self, history: History, config: Config, now: datetime) -> History:
        """Approve what its rule says needs nobody, when a permit would be given."""
        action = history.now
        if action.state != "proposed" or action.mode != "auto":
            return history
        hold = permits.permit(action, actions.known(self._store, config, now), now)
        row = self._held(action, hold, now) if hold else ledger.approve(action, ledger.BY_RULE, now)
        return history.then(row) if row is not None and self._add(action, row) else history

    def _held(self, action: Action, hold: permits.Hold, now: datetime) -> Action | None:
        if not hold.for_good:
            return ledger.note(action, now, error=f"held: {hold.why}")
        if action.state == "sent":
            tries = "once" if (action.attempts or 0) <= 1 else f"{action.attempts} times"
            why = f"asked {tries}, not known whether taken; not asked again: {hold.why}"
            return ledger.step(action, "failed", now, error=why)
        state: State = "failed" if action.state == "approved" else "expired"
        return ledger.step(action, state, now, error=f"not sent: {hold.why}")

    def _add(self, before: Action, row: Action) -> bool:
        if not actions.add(self._store, before, row):
            return False
        said = "event=action id=%s model=%s do=%s target=%s state=%s attempts=%s error=%s"
        _LOG.info(said, row.action_id, row.model, row.kind, row.target, row.state, row.attempts or 0, row.error or "")
        self._telemetry.acted.labels(row.kind, row.state).inc()
        return True

    # --- lanes: no lock is held while somebody is spoken to ----------------------------------------

    def _send(self, action_id: str, config: Config) -> bool:
        """Ask a target once; whether it answered sensibly."""
        self._flying.add(action_id)
        try:
            history = self._noted(action_id, config)
            target = target_of(config.site, history.now.target) if history else None
            if history is None or target is None:
                return True
            receipt = _asked(history.now, target, self._clock)
            self._add(history.now, ledger.answered(history, receipt, self._clock.now()))
            return receipt.taken or not receipt.retry
        finally:
            self._flying.discard(action_id)

    def _noted(self, action_id: str, config: Config) -> History | None:
        """The action with the durable note that it may now be asked; None when it must not be."""
        with self._guard:
            history, now = actions.one(self._store, action_id), self._clock.now()
            if history is None or not ledger.is_due(history, now):
                return None
            hold = permits.permit(history.now, actions.known(self._store, config, now), now)
            row = self._held(history.now, hold, now) if hold else ledger.attempt(history.now, now)
            if row is None or not self._add(history.now, row) or hold:
                return None
            return history.then(row)

    def _follow(self, history: History, target: Target | None) -> bool:
        """Learn how an action went on, from what came in or from its target."""
        action = history.now
        since = history.first("sent") or action.changed_at
        changes = nouns(ChangeEvent, self._store.read(_EVENTS, {"model": action.model, "since": since}))
        receipt = confirming.confirmed(action, since, changes)
        if receipt is None and target is not None:
            receipt = _looked(action, target, self._clock)
        row = ledger.followed(action, receipt, self._clock.now()) if receipt else None
        if row is not None:
            self._add(action, row)
        if row is not None and row.state != "acknowledged":
            self._followed.pop(action.action_id, None)
        return True


def _asked(action: Action, target: Target, clock: Clock) -> Receipt:
    """What a target said; a sink that fails has asked, for all that is known."""
    try:
        said: Receipt = plugin("observe.actions", target.spec.type).send(action, target, clock)
    except Exception as error:  # noqa: BLE001 - a plugin's fault must not lose the action
        _LOG.exception("event=sink_failed type=%s action=%s", target.spec.type, action.action_id)
        return Receipt(False, retry=True, text=f"the sink failed: {type(error).__name__}: {error}"[:500])
    return said


def _looked(action: Action, target: Target, clock: Clock) -> Receipt | None:
    """What a target that can be followed says; None where it cannot."""
    follow = getattr(plugin("observe.actions", target.spec.type), "follow", None)
    found: Receipt | None = follow(action, target, clock) if follow else None
    return found


_NEVER: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
