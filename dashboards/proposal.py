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
_MODES = {"dry_run": "dry run", "approved": "approved", "auto": "by itself"}


def change(parameters: str | None) -> str:
    """The parameters of an action as people read them: what becomes what first.

    >>> change('{"from": 2, "to": 4, "max": 12, "basis": "declared minimum"}')
    '2 → 4, max 12, basis declared minimum'
    """
    held = dict(json.loads(parameters or "{}"))
    first = [f"{held.pop('from')} → {held.pop('to')}"] if {"from", "to"} <= held.keys() else []
    return ", ".join([*first, *(f"{name} {value}" for name, value in held.items())])


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
