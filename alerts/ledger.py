"""What may happen to an action, and when it is to be sent: one small state machine, pure.

    proposed ─▶ approved ─▶ sent ─▶ acknowledged ─▶ succeeded
       │           │          │           │
       ├▶ denied   ├▶ denied  ├▶ failed   ├▶ failed
       └▶ expired  ├▶ failed  └▶ expired  └▶ expired
                   └▶ expired

`sent` is written before the target is asked, so that after kill -9 it is known that it may have been asked; then it
is asked again with the same key, which the target knows. Once the target said that it has it, it is never asked again.

Source: our own; docs/actions.md. Gray and Reuter (1992), "Transaction processing", chapter 10, for the outbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from alerts.outbox import GIVE_UP, JITTER, backoff_s
from observe.schema import Action
from observe.schema.acting import Receipt, State

NEXT: Final[Mapping[str, frozenset[str]]] = {
    "proposed": frozenset({"approved", "denied", "expired"}),
    "approved": frozenset({"sent", "denied", "failed", "expired"}),
    "sent": frozenset({"acknowledged", "succeeded", "failed", "expired"}),
    "acknowledged": frozenset({"succeeded", "failed", "expired"}),
    "denied": frozenset(), "succeeded": frozenset(), "failed": frozenset(), "expired": frozenset(),
}  # fmt: skip
BY_RULE: Final = "rule"  # who approves what its rule says needs nobody
PATIENCE: Final[Mapping[str, timedelta]] = {
    "scale": timedelta(hours=1), "rollback": timedelta(hours=1), "hold": timedelta(hours=1), "retrain": timedelta(hours=24),
}  # how long after it was taken it must be over, unless the target says otherwise  # fmt: skip
_TICK: Final = timedelta(microseconds=1)


class IllegalStep(ValueError):
    """A step that the state machine does not have; what asks for it has a fault."""


@dataclass(frozen=True, slots=True)
class History:
    """One action: all its rows, oldest first."""

    rows: tuple[Action, ...]

    @property
    def now(self) -> Action:
        """The action as it is."""
        return self.rows[-1]

    def first(self, *states: State) -> datetime | None:
        """When it first came into one of these states."""
        return next((r.changed_at for r in self.rows if r.state in states), None)

    def then(self, row: Action) -> History:
        """The same with one more step."""
        return History((*self.rows, row))


def histories(rows: Iterable[Action]) -> dict[str, History]:
    """The rows of many actions by action, oldest first."""
    found: dict[str, list[Action]] = {}
    for row in sorted(rows, key=lambda r: r.changed_at):
        found.setdefault(row.action_id, []).append(row)
    return {action_id: History(tuple(mine)) for action_id, mine in found.items()}


def step(action: Action, state: State, now: datetime, **said: Any) -> Action:
    """The row of the next step; rows of one action never share an instant.

    Raises:
        IllegalStep: the state machine has no such step.
    """
    if state not in NEXT[action.state]:
        raise IllegalStep(f"{action.action_id} is {action.state}; it cannot become {state}")
    return _row(action, now, state=state, **said)


def note(action: Action, now: datetime, **said: Any) -> Action | None:
    """A row that says more in the same state; None when it says nothing new."""
    if all(getattr(action, name) == value for name, value in said.items()):
        return None
    return _row(action, now, **said)


def _row(action: Action, now: datetime, **said: Any) -> Action:
    return replace(action, changed_at=max(now, action.changed_at + _TICK), **said)


# --- people and rules -------------------------------------------------------------------------------


def approve(action: Action, by: str, now: datetime) -> Action:
    """It may be done.

    Raises:
        IllegalStep: it is not a proposal, a dry run, or too old.
    """
    if action.mode == "dry_run":
        raise IllegalStep(f"{action.action_id} is a dry run; nothing would be sent")
    if now >= action.expires_at:
        raise IllegalStep(f"{action.action_id} has expired")
    return step(action, "approved", now, approved_by=by, error=None)


def deny(action: Action, by: str, why: str, now: datetime) -> Action:
    """It must not be done.

    Raises:
        IllegalStep: it was asked already, or is over.
    """
    return step(action, "denied", now, approved_by=by, error=f"denied by {by}: {why}")


# --- sending ----------------------------------------------------------------------------------------


def is_due(history: History, now: datetime) -> bool:
    """Whether the target is to be asked now: for the first time, or again after a try of which nothing good is known."""
    action = history.now
    if action.mode == "dry_run" or action.state not in ("approved", "sent"):
        return False
    return action.state == "approved" or now >= next_try(action)


def next_try(action: Action) -> datetime:
    """When an action that was sent and not taken is to be sent again, a little less by chance."""
    tries = max(1, action.attempts or 0)
    chance = sha256(f"{action.action_id}\0{tries}".encode()).digest()[0] / 256
    return action.changed_at + timedelta(seconds=backoff_s(tries) * (1 - JITTER * chance))


def attempt(action: Action, now: datetime) -> Action:
    """The row that must be durable before the target is asked.

    Raises:
        IllegalStep: it may not be asked (any more).
    """
    tries = (action.attempts or 0) + 1
    if action.mode == "dry_run" or action.state not in ("approved", "sent"):
        raise IllegalStep(f"{action.action_id} is {action.state}, {action.mode}; it is not sent")
    return _row(action, now, state="sent", attempts=tries, error=None)


def answered(history: History, receipt: Receipt, now: datetime) -> Action:
    """The row after the target said something to a try."""
    action, said = history.now, receipt.as_json()
    if receipt.taken:
        state: State = "acknowledged" if receipt.done is None else "succeeded" if receipt.done else "failed"
        return step(action, state, now, receipt=said, error=receipt.text if receipt.done is False else None)
    why = receipt.text or f"status {receipt.status}"
    if not receipt.retry:
        return step(action, "failed", now, receipt=said, error=f"refused: {why}")
    tries = f"{action.attempts} tries" if (action.attempts or 0) > 1 else "1 try"
    since = history.first("sent") or now
    if now - since >= GIVE_UP or now >= action.expires_at:
        return step(action, "failed", now, receipt=said, error=f"dead letter: not taken in {tries}: {why}")
    return _row(action, now, receipt=said, error=f"not taken yet, {tries}: {why}")


def followed(action: Action, receipt: Receipt, now: datetime) -> Action | None:
    """The row after it was learnt how it went on; None when that is nothing new."""
    said = {**(action.receipt or {}), **receipt.as_json(), "taken": True}
    if receipt.done is None:
        return note(action, now, receipt=said)
    state: State = "succeeded" if receipt.done else "failed"
    return step(action, state, now, receipt=said, error=None if receipt.done else receipt.text or "it failed there")


def overdue(history: History, patience: timedelta, now: datetime, *, ended: bool = False) -> Action | None:
    """The row that ends what took too long: nobody approved it, nobody took it, nobody said how it ended.

    Args:
        history: of an action that is not over.
        patience: how long after it was taken it must be over.
        now: the present.
        ended: whether its incident is over; then what nobody has approved is not wanted any more.
    """
    action = history.now
    if action.state == "proposed" and ended:
        return step(action, "expired", now, error="its incident ended")
    if action.state in ("proposed", "approved") and now >= action.expires_at:
        why = "nobody approved it in time" if action.state == "proposed" else "it could not be sent in time"
        return step(action, "expired", now, error=action.error or why)
    tried = history.first("sent")
    if action.state == "sent" and (now >= action.expires_at + _UNSURE or (tried and now - tried >= GIVE_UP)):
        return step(
            action, "failed", now, error=f"dead letter: {action.error or 'it is not known whether it was taken'}"
        )
    taken = history.first("acknowledged")
    if action.state == "acknowledged" and taken and now - taken >= patience:
        return step(action, "expired", now, error="taken, but nothing told how it ended")
    return None


_UNSURE: Final = timedelta(minutes=10)  # an action whose last try was cut short by its expiry is tried once more


def sent_since(known: Iterable[History], since: datetime) -> Sequence[History]:
    """The actions whose target was first asked after an instant."""
    return [h for h in known if (at := h.first("sent")) is not None and at > since]
