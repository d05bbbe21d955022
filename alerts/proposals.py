"""Actions that the declared rules propose for what is firing now: rows, once per incident; nothing is sent here.

An action is proposed when its rule matches an alert that fires for at least `for:`, when none was
proposed for that incident, and when the last one for the same target is older than the cooldown. It
expires by itself, and when its incident ends.

Source: our own; ARCHITECTURE section 5 `actions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from alerts import permits, retraining, scaling
from observe.schema import Action, Alert, ChangeEvent, Finding, Incident, Json

if TYPE_CHECKING:
    from observe.spec import ActionRule, Config

NAMESPACE: Final = UUID("6f5cbd0e-2f0b-5a4e-9a3c-0b1d5e7f9a11")  # ours, so that ids are the same everywhere
LIFE: Final[Mapping[str, timedelta]] = {
    "scale": timedelta(hours=1), "rollback": timedelta(hours=1), "hold": timedelta(hours=1), "retrain": timedelta(days=7),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Present:
    """What fires now and what was proposed before."""

    incidents: Sequence[Incident]
    firing: Sequence[Alert]
    changes: Sequence[ChangeEvent]
    actions: Sequence[Action]
    performance: Sequence[Finding] = ()  # the newest of each monitor of kind performance
    running: Mapping[str, int] = field(default_factory=dict)  # replicas that are seen, by model


def key(model: str, trigger: str, incident_id: str) -> str:
    """The idempotency key of an action: the same question gives the same key.

    >>> key("chat", "slo.ttft.page", "inc-1") == key("chat", "slo.ttft.page", "inc-1")
    True
    """
    return str(uuid5(NAMESPACE, chr(0).join((model, trigger, incident_id))))


def propose(present: Present, config: Config, now: datetime) -> tuple[Action, ...]:
    """New proposals, and those that have expired, as rows to append."""
    expired = tuple(_expired(present, now))
    made: list[Action] = []
    for incident in present.incidents:
        model = config.models.get(incident.model)
        if incident.state != "open" or model is None or model.monitoring is None:
            continue
        for rule in model.monitoring.actions:
            alert = _trigger(rule, incident, present.firing, now)
            if alert is None or _asked_before(rule, incident, (*present.actions, *made), now):
                continue
            action = _action(rule, incident, present, config, now)
            if action is not None and not retraining.said_before(action, present.actions):
                made.append(action)
    return (*expired, *made)


def _expired(present: Present, now: datetime) -> Iterator[Action]:
    ended = {i.incident_id for i in present.incidents if i.state == "resolved"}
    for a in present.actions:
        mine = a.state == "proposed" and a.mode == "dry_run"  # what can be sent is ended by who sends it
        if mine and (now >= a.expires_at or a.incident_id in ended):
            why = "its incident ended" if a.incident_id in ended else "nobody approved it in time"
            yield replace(a, state="expired", changed_at=now, error=a.error or why)


def _trigger(rule: ActionRule, incident: Incident, firing: Sequence[Alert], now: datetime) -> Alert | None:
    """The alert that has fired long enough for the rule, the oldest first."""
    patience = timedelta(seconds=rule.for_s)
    mine = [a for a in firing if a.incident_id == incident.incident_id and _matches(rule, a)]
    ripe = [a for a in mine if now - a.starts_at >= patience]
    return min(ripe, key=lambda a: (a.starts_at, a.alert_id), default=None)


def _matches(rule: ActionRule, alert: Alert) -> bool:
    if rule.when == "drift.confirmed":
        return retraining.concerns(rule, alert)
    if rule.when == "canary.failed":
        return alert.kind == "canary"
    if alert.kind != "slo" or rule.slo != alert.subject:
        return False
    return alert.severity == "page" or rule.when.endswith(".ticket")


def _asked_before(rule: ActionRule, incident: Incident, actions: Sequence[Action], now: datetime) -> bool:
    same = [
        a
        for a in actions
        if (a.model, a.kind, a.target) == (incident.model, rule.do, rule.target) and not retraining.is_held(a)
    ]
    cooldown = timedelta(seconds=rule.cooldown_s)
    return any(a.incident_id == incident.incident_id or (_counts(a) and now - _asked_at(a) < cooldown) for a in same)


def _counts(action: Action) -> bool:
    """Whether a cooldown runs from it: what expired after its target was asked may have been done there."""
    return action.state != "expired" or bool(action.attempts)


def _asked_at(action: Action) -> datetime:
    """When it was proposed; later rows of it tell what became of it."""
    return action.expires_at - LIFE[action.kind]


def _action(rule: ActionRule, incident: Incident, present: Present, config: Config, now: datetime) -> Action | None:
    told = _parameters(rule, incident, present, config)
    if told is None:
        return None
    trigger = f"{rule.when}:{rule.do}:{rule.target}"
    held = told.get(retraining.HELD)  # by the rule itself: told, and asked again when what it needs is there
    asked = key(incident.model, trigger, incident.incident_id)
    price = permits.costs(rule.do, told, config.models[incident.model], config)
    return Action(
        action_id=f"act-{asked}", incident_id=incident.incident_id, model=incident.model, kind=rule.do,
        target=rule.target, mode=permits.mode_of(rule, config), state="denied" if held else "proposed",
        reason=f"{rule.when}: {held or incident.summary}", parameters={**told, **price, "approve": rule.approve},
        expires_at=now + LIFE[rule.do], changed_at=now, key=asked, error=held,
    )  # fmt: skip


def _parameters(rule: ActionRule, incident: Incident, present: Present, config: Config) -> Json | None:
    if rule.do == "scale":
        mine = [c for c in present.changes if c.model_id == incident.model]
        return scaling.parameters(rule, config.models[incident.model].spec, mine, present.running.get(incident.model))
    if rule.do == "retrain":
        known = retraining.performance(present.performance, incident.model, incident.since)
        return retraining.parameters(rule, incident, present.firing, known)
    worse = [a.subject for a in present.firing if a.incident_id == incident.incident_id and a.kind == "canary"]
    return {"version": worse[0]} if worse else {}
