"""Whether something that happened says how an action ended: change events that come in by the front door.

Source: our own; docs/actions.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from observe.schema import Action, ChangeEvent
from observe.schema.acting import Receipt, key_of

_TELLS: Final[Mapping[str, tuple[str, ...]]] = {
    "scale": ("scale",), "retrain": ("trained", "model_version"), "rollback": ("rollback", "deploy"), "hold": (),
}  # fmt: skip


def confirmed(action: Action, since: datetime, changes: Sequence[ChangeEvent]) -> Receipt | None:
    """What the oldest event that belongs to an action says about it; None when there is none.

    Args:
        action: taken by its target.
        since: when it was first sent; what was before cannot be its work.
        changes: change events, in any order.
    """
    for change in sorted(changes, key=lambda c: (c.ts, c.event_id)):
        if change.ts >= since and _belongs(action, change):
            failed = change.severity == "error" and _names(action, change)
            said = change.message or f"{change.kind} {change.after or change.object_name or ''}".rstrip()
            return Receipt(True, text=f"{said} ({change.source}, {change.ts:%H:%M:%S} UTC)", done=not failed)
    return None


def _belongs(action: Action, change: ChangeEvent) -> bool:
    if _names(action, change):
        return True
    if change.model_id != action.model or change.kind not in _TELLS.get(action.kind, ()) or change.severity == "error":
        return False
    return action.kind != "scale" or _reached(action, change)


def _names(action: Action, change: ChangeEvent) -> bool:
    """Whether an event names the action itself."""
    key = key_of(action)
    said = (change.actor, change.message, change.event_id, change.caused_by)
    return any(key in text for text in said if text) or _is_its_run(action, change)


def _is_its_run(action: Action, change: ChangeEvent) -> bool:
    """Whether an event names the run by which the target knows the action."""
    run = (action.receipt or {}).get("remote_id")
    return run is not None and change.caused_by == run


def _reached(action: Action, change: ChangeEvent) -> bool:
    """Whether so many replicas are there as were asked for."""
    wanted, before = action.parameters.get("to"), action.parameters.get("from")
    if not isinstance(wanted, int) or change.after is None or not change.after.isdecimal():
        return False
    grows = not isinstance(before, int) or wanted >= before
    return int(change.after) >= wanted if grows else int(change.after) <= wanted
