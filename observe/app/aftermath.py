"""What stands beside an outcome: the words for it, what else happened in those hours, and who is told.

Source: our own; docs/actions.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from observe.app import actions
from observe.schema import Action, Finding

if TYPE_CHECKING:
    from observe.store import Store

_SHOWN: Final = 3
_SINCE: Final = "select since from incident where incident_id = $id"
_OTHERS: Final = """select distinct kind || ' ' || target as what from core.action
where model = $model and action_id <> $id and state = 'acknowledged' and changed_at >= $from and changed_at < $to order by what"""
_CHANGES: Final = """select kind || coalesce(' ' || coalesce(after, object_name), '') as what from change_event
where model_id = $model and kind in ('deploy', 'rollback', 'scale', 'config', 'model_version', 'prompt') and source <> 'scaling'
  and kind <> $own and ts >= $from and ts < $to order by ts"""
_ALONE: Final = """with mine as (select * from incident where incident_id = $id)
select count(*) as n, count(*) filter (i.resolved_at - i.since <= $within) as ended
from incident as i, mine where i.model = mine.model and i.kind = mine.kind and i.incident_id <> $id
  and i.since < mine.since and i.since > mine.since - interval 90 days and i.resolved_at is not null
  and not exists (select 1 from core.action as a where a.incident_id = i.incident_id and a.state = 'sent')"""


@dataclass(frozen=True, slots=True)
class Own:
    """What is judged: what else happened is everything but that."""

    model: str
    kind: str
    action_id: str = ""  # of an action of ours


def since(store: Store, incident_id: str) -> datetime | None:
    """When an incident began; None when it is gone."""
    rows = store.read(_SINCE, {"id": incident_id})
    return None if rows.is_empty() else rows.item()


def beside(store: Store, own: Own, start: datetime, end: datetime) -> list[str]:
    """What else fell into the same hours and may be what helped, or harmed."""
    hours = {"model": own.model, "from": start, "to": end}
    found = [*store.read(_OTHERS, {**hours, "id": own.action_id})["what"].to_list()]
    found += store.read(_CHANGES, {**hours, "own": own.kind})["what"].to_list()
    names = ", ".join(str(what) for what in dict.fromkeys(found[: _SHOWN + 1]))
    return [f"in the same hours: {names}"] if found else []


def by_itself(store: Store, incident_id: str, end: datetime) -> list[str]:
    """How many earlier incidents of this kind, to which nobody did anything, ended as fast."""
    onset = since(store, incident_id)
    if onset is None:
        return []
    n, ended = store.read(_ALONE, {"id": incident_id, "within": end - onset}).row(0)
    return [f"{ended} of {n} earlier incidents of this kind ended as fast without any action"] if n else []


def words(kept: Mapping[str, Any], why: str, notes: Sequence[str]) -> str:
    """An outcome as people read it.

    >>> words({"metric": "ttft budget burn", "before": 4.1, "after": 0.6, "effect": -3.5, "ci_low": -3.9, "ci_high": -2.8,
    ...        "unit": "x budget", "verdict": "helped", "days": 9}, "", [])
    'ttft budget burn fell from 4.1x to 0.6x (−3.5, 95 % −3.9 … −2.8, against these hours of 9 earlier days): helped'
    """
    unit = "x" if kept["unit"] == "x budget" else f" {kept['unit']}".rstrip()
    before, after = kept["before"], kept["after"]
    if before is None or after is None:
        return f"{kept['metric']}: {why}: unknown"
    went = "fell" if after < before else "rose" if after > before else "stayed"
    moved = (
        f"{went} from {_number(before)}{unit} to {_number(after)}{unit}"
        if went != "stayed"
        else f"stayed at {_number(after)}{unit}"
    )
    sure = (
        f" ({_number(kept['effect'])}, 95 % {_number(kept['ci_low'])} … {_number(kept['ci_high'])}{_against(kept)})"
        if kept["ci_low"] is not None
        else ""
    )
    said = f"{kept['metric']} {moved}{sure}: {kept['verdict']}" + (f", {why}" if why else "")
    return "; ".join([said, *notes])


def _against(kept: Mapping[str, Any]) -> str:
    days = kept.get("days")
    return f", against these hours of {days} earlier days" if days else ""


def _number(value: float) -> str:
    return f"{value:.2g}".replace("-", "−") if abs(value) < 100 else f"{value:.0f}".replace("-", "−")


# --- who is told ----------------------------------------------------------------------------------------


def tell(store: Store, action: Action, now: datetime) -> None:
    """A finding that opens an incident when the circuit breaker of this kind of action opened with this outcome."""
    why = actions.broken(store).get((action.model, action.kind))
    if why:
        write(store, action.model, action.kind, f"{action.kind} actions are stopped: {why}", now)


def write(store: Store, model: str, kind: str, said: str, now: datetime, *, is_open: bool = True) -> None:
    """The finding of a circuit breaker: alarm while it is open."""
    monitor = f"{model}/breaker/{kind}"
    with store.change() as tx:
        finding_id = f"fnd-{sha256(f'{monitor} {now.isoformat()}'.encode()).hexdigest()[:16]}"
        tx.insert([Finding(
            finding_id=finding_id, monitor_id=monitor, detector="breaker", model=model, kind="breaker", subject=kind,
            window_start=now - timedelta(minutes=1), window_end=now, state="alarm" if is_open else "ok", severity="ticket",
            evidence_nats=None, threshold_nats=None, effect=None, unit=None, ci_low=None, ci_high=None, onset=None,
            onset_low=None, onset_high=None, n=None, note=said, details={}, made_at=now,
        )])  # fmt: skip
