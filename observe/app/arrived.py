"""Replicas that a scale action asked for are there: a change event, so that the action's loop is closed.

Source: our own; ARCHITECTURE section 7 (a): "new replicas come back as samples and a ChangeEvent".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from observe.schema import ChangeEvent
from observe.store import Store

WAITED: Final = """
select action_id, model, coalesce(key, replace(action_id, 'act-', '')) as key, (parameters ->> '$.from')::bigint as was, (parameters ->> '$.to')::bigint as wanted
from action where kind = 'scale' and state in ('sent', 'acknowledged') and wanted is not null
  and not exists (select 1 from change_event where event_id = 'scaling/' || action_id)"""


def arrived(
    store: Store, running: Mapping[str, int], reads: Mapping[str, datetime], now: datetime
) -> list[ChangeEvent]:
    """An event for each action whose replicas are scraped now, once.

    Args:
        store: where actions are.
        running: replicas that model servers show, by model.
        reads: when a scaler last read the answer, by model.
        now: the present.
    """
    rows = store.read(WAITED).iter_rows(named=True)
    return [
        _event(row, running[row["model"]], reads.get(row["model"]), now)
        for row in rows
        if running.get(row["model"], -1) >= row["wanted"]
    ]


def _event(row: Mapping[str, Any], running: int, read_at: datetime | None, now: datetime) -> ChangeEvent:
    read = "" if read_at is None else f"; a scaler read the answer at {read_at:%H:%M:%S}"
    return ChangeEvent(
        ts=now, event_id=f"scaling/{row['action_id']}", kind="scale", object_kind="Model", object_name=row["model"],
        namespace=None, cluster=None, node=None, model_id=row["model"], before=None if row["was"] is None else str(row["was"]),
        after=str(running), revision=None, actor="scaler", severity="info",
        message=f"{running} replicas are scraped, {row['wanted']} were asked for by {row['key']}{read}", source="scaling",
        ingested_at=now,
    )  # fmt: skip
