"""What a target says when it is asked to act: the contract of everything plugged into `observe.actions`.

A *sink* is a module whose entry-point name is the `type` of targets in the site's file (`webhook`, `airflow`, `keda`):

    send(action: Action, target: Target, clock: Clock) -> Receipt
        Ask the target to do it; `target.what` is the part after the colon of the rule's `target:`. Called from a
        thread of its own target, with no lock held, after the row `sent` is durable. It never raises for what the
        other side does: that is a `Receipt`. It is called again with the same action whenever it is not known that it
        was taken: after kill -9, a timeout, a 5xx. So every request carries `action.key` (`key_of(action)`), and
        a receiver's "I have that already" (Airflow's 409, a 200 for a known key) is `Receipt(True)`.
    check(target: Target) -> tuple[bool | None, str]
        Whether the target answers and its secrets can be read; asks for nothing to be done. None: worth a second
        look. May raise `ConfigError`. This is what `observe check --live` prints.
    follow(action: Action, target: Target, clock: Clock) -> Receipt | None      # optional
        How it went on: a Receipt whose `done` is True (succeeded) or False (failed there), None when it is not over
        or cannot be told. Called about once a minute while the action is `acknowledged`. `action.receipt` holds what
        `send` returned as a mapping, e.g. `remote_id`.

A target that *reads* what it is to do (KEDA asks `GET /api/v1/scaling/{model}`) is plugged in the same way: `send`
returns `Receipt(True)` with a text that says so.

How it ended is learnt from `follow`, or from a change event that comes in by the front door: kind `scale` of the
model with at least the replicas asked for, `trained`, `model_version` or `deploy` for a retraining, `rollback` or
`deploy` for a rollback; an event whose `actor` or `message` holds `action.key` belongs to that action for sure.

Source: our own; ARCHITECTURE section 2 ("Action"), docs/actions.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from observe.schema.outcomes import Action
from observe.schema.table import Json

State = Literal["proposed", "approved", "denied", "sent", "acknowledged", "succeeded", "failed", "expired"]
Verdict = Literal["helped", "no change", "worse", "unknown"]
OPEN: Final = ("proposed", "approved", "sent", "acknowledged")  # something can still happen to it
OVER: Final = ("denied", "succeeded", "failed", "expired")
DONE: Final = ("acknowledged", "succeeded")  # the target has taken it


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a target said to one try.

    Args:
        taken: whether the target has it now, or had it already.
        retry: of what was not taken, whether trying again with the same key can help.
        status: HTTP status; None when nothing answered, or nothing was asked by HTTP.
        remote_id: what the target calls it, e.g. the run's id.
        text: one line for people: what it said, or why not.
        url: where people see it there.
        done: whether it ended well there (True) or not (False); None when that is not known yet.
    """

    taken: bool
    retry: bool = False
    status: int | None = None
    remote_id: str | None = None
    text: str | None = None
    url: str | None = None
    done: bool | None = None

    def as_json(self) -> Json:
        """What is kept of it: the fields that say something."""
        every = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in every.items() if value is not None and name != "retry"}


def key_of(action: Action) -> str:
    """The idempotency key that a receiver gets; rows of an older release hold it in their id only.

    The key is uuid5 over the model, the monitor as the rule names it (with what is done and to whom), and the incident.
    """
    return action.key or action.action_id.removeprefix("act-")
