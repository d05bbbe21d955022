"""What was found and done leaves the database when its time is over: findings, incidents, actions, changes.

An incident goes with its alerts, its explanations and what was told of it, and not while it is open; findings that
alarmed stay as long as incidents do. Commands stay for ever: they are the audit, and their chain has no middle.
Whole weeks leave, one a call: tables are exported anew for people's SQL only then, and intake never waits for years.

Source: our own; docs/operations.md, "How long rows are kept".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from observe.store.database import Database

_WEEK: Final = timedelta(days=7)
_KEPT: Final = "(SELECT incident_id FROM core.incident)"
_SETTLED: Final = "{0} IN (SELECT {0} FROM core.{1} GROUP BY 1 HAVING max(changed_at) < $before AND arg_max(state, changed_at) = 'resolved')"


@dataclass(frozen=True, slots=True)
class _Rule:
    """Rows of `table` that leave once the time of `kept` is over."""

    table: str
    kept: str
    time: str  # what says how old a row is; that of `where`
    where: str
    together: bool = False  # all rows of one thing leave at once, and there are few: no week by week


_RULES: Final = (
    _Rule("incident", "incident", "changed_at", _SETTLED.format("incident_id", "incident"), together=True),
    _Rule(
        "alert", "incident", "changed_at", f"{_SETTLED.format('alert_id', 'alert')} AND incident_id NOT IN {_KEPT}",
        together=True,
    ),
    _Rule("explanation", "incident", "changed_at", f"changed_at < $before AND incident_id NOT IN {_KEPT}"),
    _Rule("narration", "incident", "made_at", f"made_at < $before AND incident_id NOT IN {_KEPT}"),
    _Rule("delivery", "incident", "tried_at", f"tried_at < $before AND coalesce(incident_id, '') NOT IN {_KEPT}"),
    _Rule(
        "finding", "incident", "window_end",
        "window_end < $before AND state = 'alarm' AND finding_id NOT IN (SELECT finding_id FROM core.alert)",
    ),
    _Rule("finding", "finding", "window_end", "window_end < $before AND state <> 'alarm'"),
    _Rule(
        "action", "action", "changed_at",
        "action_id IN (SELECT action_id FROM core.action GROUP BY 1 HAVING max(changed_at) < $before)",
        together=True,
    ),
    _Rule(
        "scaling_decision", "action", "ts",
        "ts < $before AND (model, ts) NOT IN (SELECT (model, max(ts)) FROM core.scaling_decision GROUP BY model)",
    ),
    _Rule("capacity_match", "action", "ts", "ts < $before"),
    _Rule("change_outcome", "action", "judged_at", "judged_at < $before"),
    _Rule(
        "change_event", "change_event", "greatest(ts, ingested_at)",
        "greatest(ts, ingested_at) < $before",  # history is new when it comes
    ),
)  # fmt: skip


def forget(database: Database, now: datetime, keep: Mapping[str, timedelta]) -> tuple[str, ...]:
    """Delete what is older than `keep` says, at most a week of each rule; names of the tables that lost rows.

    Args:
        database: where they lie.
        now: the present.
        keep: how long, by `finding`, `incident`, `action` and `change_event`; what is absent stays.
    """
    lost: dict[str, None] = {}
    for rule in _RULES:
        if rule.kept in keep and _forgotten(database, rule, _monday(now - keep[rule.kept])):
            lost[rule.table] = None
    return tuple(lost)


def _forgotten(database: Database, rule: _Rule, before: datetime) -> bool:
    """Whether rows of a rule left."""
    oldest = f"SELECT min({rule.time}) FROM core.{rule.table} WHERE {rule.where}"
    with database.cursor() as cursor:
        [(first,)] = cursor.execute(oldest, {"before": before}).fetchall()
    if first is None:
        return False
    until = before if rule.together else min(before, _monday(first) + _WEEK)
    with database.change() as cursor:
        cursor.execute(f"DELETE FROM core.{rule.table} WHERE {rule.where}", {"before": until})
    return True


def _monday(instant: datetime) -> datetime:
    day = instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())
