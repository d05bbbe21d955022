"""What a training may learn from, and what is known of how a model performs: read from the store for retrain actions.

The data that are the new normal begin where the last change was over, the latest plausible onset of the drift. A
reference needs a day and 10,000 rows (METHODS section 3), so that is what a training is told to wait for, too. Older
rows are told besides, to count as much as they help: where they are wrong now that is nothing (`bench.retraining_worlds`).

Source: our own; METHODS section 4, "After an alarm"; Ibrahim and Chen (2000), power priors, for rows that count less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from alerts.retraining import is_held
from alerts.wording import instant, said
from observe.schema import Action, Finding, Json, Window
from observe.schema.exchange import nouns

if TYPE_CHECKING:
    from observe.spec import Config
    from observe.store import Store

ENOUGH: Final = 10_000  # rows
A_DAY: Final = timedelta(days=1)
OLDER: Final = timedelta(days=60)  # before the change: rows that a training may learn from besides
HOW: Final = (
    "hold out the newest fifth of the rows since the change; let older rows count as much (0 to 1) as answers it best"
)
_KNOWN_FOR: Final = timedelta(days=60)  # labels may be that late
_PERFORMANCE: Final = """
select * from finding where kind = 'performance' and window_end > $since
  and (state not in ('ok', 'unknown') or details ->> '$.labelled' is not null)
qualify row_number() over (partition by monitor_id order by window_end desc, made_at desc) = 1"""
_ONSET: Final = """
select max(onset) from (
  select f.monitor_id, arg_max(coalesce(f.onset_high, f.onset, f.window_start), f.window_end) as onset
  from alert a join finding f on f.monitor_id = a.key and f.state = 'alarm' and f.window_end >= a.starts_at
  where a.incident_id = $incident and a.kind = 'drift' group by f.monitor_id)"""
_ROWS: Final = """
select max(n) from (
  select sum(n + missing) as n from summary where model = $model and binning_id is not null
    and ts >= $since and ts < $until group by measure, window_s)"""


def performance(store: Store, config: Config, now: datetime) -> list[Finding]:
    """The newest finding of every monitor of kind performance, where a rule may ask for a retraining."""
    watched = (m.monitoring for m in config.models.values() if m.monitoring is not None)
    if not any(rule.do == "retrain" for monitoring in watched for rule in monitoring.actions):
        return []
    return nouns(Finding, store.read(_PERFORMANCE, {"since": now - _KNOWN_FOR}))


def proposed(store: Store, config: Config, actions: Iterable[Action], now: datetime) -> tuple[Action, ...]:
    """The same actions; retrain ones that are proposed say what there is to learn from, and where people see why."""
    home = config.site.alerts.dashboard_url
    return tuple(_told(store, a, home, now) if a.kind == "retrain" and _is_new(a) else a for a in actions)


def onset(store: Store, incident_id: str) -> datetime | None:
    """The latest plausible start of what drifts in an incident; None when nothing does."""
    found = store.read(_ONSET, {"incident": incident_id}).item()
    return found.astimezone(UTC) if found else None


def rows(store: Store, model: str, since: datetime, until: datetime) -> int | None:
    """Rows of a model's drift source in a period, to the window; None when none is summarised."""
    if until <= since:
        return None
    found = store.read(_ROWS, {"model": model, "since": since, "until": until}, Window(since, until)).item()
    return int(found) if found is not None else None


def window(model: str, since: datetime, found: int | None, now: datetime) -> Json:
    """What a training is told of its data.

    Args:
        model: whose.
        since: first instant of the new normal.
        found: rows since then; None when not known.
        now: the present.

    Returns:
        from, rows, enough (null when not known), older (from when, how they are to count) and a sentence.

    >>> from datetime import datetime, UTC
    >>> t = datetime(2026, 11, 20, tzinfo=UTC)
    >>> window("fraud", t, 4_000, t + timedelta(hours=12))["text"]
    'only 4,000 rows of fraud since 2026-11-20 00:00 UTC: 10,000 of a day or more are about 18 h away'
    """
    told = {"from": instant(since), "rows": found, "older": {"from": instant(since - OLDER), "how": HOW}}
    if found is None:
        return {**told, "enough": None, "text": f"learn from {said(since)} on"}
    span = now - since
    enough = found >= ENOUGH and span >= A_DAY
    text = f"{found:,} rows of {model} since {said(since)}: enough to learn from"
    if not enough:
        left = max((ENOUGH / max(found, 1) - 1) * span, A_DAY - span)
        ahead = f"about {max(1, round(left.total_seconds() / 3600)):,} h away" if found else "not in sight"
        text = f"only {found:,} rows of {model} since {said(since)}: 10,000 of a day or more are {ahead}"
    return {**told, "enough": enough, "text": text}


def _is_new(action: Action) -> bool:
    return action.state == "proposed" and not is_held(action) and "training" not in action.parameters


def _told(store: Store, action: Action, home: str | None, now: datetime) -> Action:
    since = onset(store, action.incident_id) or datetime.fromisoformat(action.parameters["since"])
    training = window(action.model, since, rows(store, action.model, since, now), now)
    link = {"link": f"{str(home).rstrip('/')}/incidents?id={quote(action.incident_id, safe='')}"} if home else {}
    return replace(action, parameters={**action.parameters, **link, "training": training})
