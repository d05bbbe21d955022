"""A target that reads what it is to do: KEDA, or anything else that asks `GET /api/v1/scaling/{model}`.

Nothing is sent to it. Once an action is `sent` its replicas are part of that answer until it expires, so taking it is a
promise of ours; whether somebody reads it is seen when the replicas come up, and told as unknown when they do not.

Source: KEDA documentation, "Metrics API" scaler; docs/actions.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from observe.schema.acting import Receipt

if TYPE_CHECKING:
    from observe.clock import Clock
    from observe.schema import Action
    from observe.spec.acting import Target


def send(action: Action, target: Target, clock: Clock) -> Receipt:
    """Say where it can be read from now on."""
    if action.kind != "scale":
        return Receipt(
            False, text=f"a target of type {target.spec.type} reads numbers of replicas; it cannot {action.kind}"
        )
    return Receipt(True, text=f"{target.what} reads it at GET /api/v1/scaling/{action.model}")


def check(target: Target) -> tuple[bool | None, str]:
    """Nothing is asked of it, so nothing can be tried."""
    return True, "reads GET /api/v1/scaling/{model}; nothing is sent to it"
