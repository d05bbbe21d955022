"""What was proposed to a scaler or a trainer, in one line.

Source: our own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

PENDING = """
select action_id, incident_id, model, kind, target, mode, state, parameters::VARCHAR as parameters, changed_at from action
where state in ('proposed', 'approved') and (expires_at is null or expires_at > $now::TIMESTAMPTZ) order by changed_at desc limit 20
"""
_MODES = {"dry_run": "dry run", "approval": "by approval", "auto": "by itself"}
_OURS = (
    "from",
    "to",
    "min",
    "max",
    "approve",
    "usd_per_h",
    "held",
    "performance_state",
    "since",
    "effect",
    "unit",
    "summary",
)  # said in other words
HOURS_A_MONTH = 730.0


def change(parameters: str | None) -> str:
    """The parameters of an action as people read them: what becomes what first.

    >>> change('{"from": 2, "to": 4, "max": 12, "basis": "declared minimum", "usd_per_h": 11.6}')
    '2 → 4, max 12, basis declared minimum, +$11.60 an hour, +$8,468 a month'
    """
    held = dict(json.loads(parameters or "{}"))
    first = [f"{held.pop('from')} → {held.pop('to')}"] if {"from", "to"} <= held.keys() else []
    paid = cost(held)
    told = [
        f"{n.replace('_', ' ')} {v}"
        for n, v in held.items()
        if not isinstance(v, dict) and (n != "usd_per_h" or not paid)
    ]
    return ", ".join([*first, *told, *([paid] if paid else [])])


def sentence(row: Mapping[str, Any]) -> str:
    """An action with its target, its change and its mode.

    >>> sentence({"kind": "scale", "target": "keda:chat", "parameters": '{"from": 2, "to": 4}', "mode": "dry_run", "state": "proposed"})
    'scale keda:chat 2 → 4 (proposed, dry run)'
    """
    held = json.loads(row["parameters"] or "{}")
    step = f" {held['from']} → {held['to']}" if {"from", "to"} <= held.keys() else ""
    return f"{row['kind']} {row['target']}{step} ({row['state']}, {mode(row['mode'])})"


def mode(name: str) -> str:
    """How an action is carried out, in words."""
    return _MODES.get(name, name.replace("_", " "))


def does(row: Mapping[str, Any]) -> str:
    """What would be done, as one says it.

    >>> does({"kind": "scale", "target": "keda:vllm-chat", "model": "chat", "parameters": '{"from": 2, "to": 4}'})
    'scale vllm-chat from 2 to 4 replicas'
    >>> does({"kind": "retrain", "target": "airflow:retrain_fraud", "model": "fraud", "parameters": '{}'})
    'retrain fraud (retrain_fraud)'
    """
    told, what = json.loads(row["parameters"] or "{}"), row["target"].partition(":")[2]
    if {"from", "to"} <= told.keys():
        return f"{row['kind']} {what} from {told['from']} to {told['to']} replicas"
    version = f" of version {told['version']}" if told.get("version") else ""
    return f"{row['kind']}{version} {row['model']} ({what})"


def cost(parameters: Mapping[str, Any]) -> str | None:
    """What it costs more or less; None where no price is known.

    >>> cost({"usd_per_h": 20.0}), cost({})
    ('+$20.00 an hour, +$14,600 a month', None)
    """
    hourly = parameters.get("usd_per_h")
    if not isinstance(hourly, int | float):
        return None
    sign = "−" if hourly < 0 else "+"
    return f"{sign}${abs(hourly):,.2f} an hour, {sign}${abs(hourly) * HOURS_A_MONTH:,.0f} a month"


def rest(parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What else the target is told, by name; of a training what there is to learn from.

    >>> rest({"features": ["amount"], "training": {"text": "only 400 rows since 09:00 UTC"}})
    [('features', 'amount'), ('learns from', 'only 400 rows since 09:00 UTC')]
    """
    found = []
    for name, value in parameters.items():
        if name in _OURS or value in (None, "", [], {}) or isinstance(value, dict):
            continue
        shown = (
            ", ".join(map(str, value))
            if isinstance(value, list)
            else f"{value:.3g}"
            if isinstance(value, float)
            else str(value)
        )
        found.append((name.replace("_", " "), shown))
    training = parameters.get("training")
    said = training.get("text") if isinstance(training, dict) else None
    return [*found, ("learns from", str(said))] if said else found
