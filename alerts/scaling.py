"""How many replicas a scale action asks for: one step up, inside the model's own envelope.

The envelope is the ModelSpec's `minReplicas` and `maxReplicas`. Replicas running now are those that are seen
(`scaling_decision`), else those of the newest scale event, else the declared minimum, and the action says which.

Source: our own; KEDA and HPA keep the same envelope.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from observe.schema import ChangeEvent, Json

if TYPE_CHECKING:
    from observe.spec import ActionRule, ModelSpec


def parameters(
    rule: ActionRule, spec: ModelSpec | None, changes: Sequence[ChangeEvent], seen: int | None = None
) -> Json | None:
    """Replicas from and to, and the envelope; None when nothing may be asked for.

    Args:
        rule: what the team declared.
        spec: the model's ModelSpec; without its maximum there is no envelope and no action.
        changes: recent change events of the model.
        seen: replicas there are; None where they are not seen.
    """
    if spec is None or spec.max_replicas is None:
        return None
    low = spec.min_replicas or 1
    told = running(changes)
    now, basis = next(
        (n, why) for n, why in ((seen, "seen"), (told, "last scale event"), (low, "declared minimum")) if n is not None
    )
    wanted = max(low, min(spec.max_replicas, now + rule.step))
    if wanted <= now:
        return None
    return {
        "from": now, "to": wanted, "min": low, "max": spec.max_replicas,
        "basis": basis,
    }  # fmt: skip


def running(changes: Sequence[ChangeEvent]) -> int | None:
    """Replicas after the newest scale event that says a number; None when none does."""
    for change in sorted(changes, key=lambda c: (c.ts, c.event_id), reverse=True):
        if change.kind == "scale" and change.after is not None and change.after.isdecimal():
            return int(change.after)
    return None
