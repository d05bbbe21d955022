"""What people may say, and whether it can be meant: checked before it is written down, for it acts from then on.

A mute has an end and a reason, and names something there is; an acknowledgement, a false alarm and a note name an
incident; what is accepted as the new normal learns one. What is written is complete: `for` has become `until`.

Source: our own; docs/delivery.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from observe.app import accepting
from observe.errors import UsageError
from observe.schema import Alert, Command, Incident
from observe.schema.exchange import nouns
from observe.spec.nearest import meant
from observe.spec.quantity import Malformed, parse_duration, parse_instant

if TYPE_CHECKING:
    import polars as pl

    from observe.spec import Config
    from observe.store import Store

VERBS: Final = (
    "acknowledge",
    "mute",
    "unmute",
    "approve",
    "deny",
    "close_breaker",
    "accept_normal",
    "false_alarm",
    "note",
)
LONGEST: Final = timedelta(days=30)  # of a mute
MOST: Final = 1000  # incidents of one list
_SHOWN: Final = f"""
select incident.*,
  (select arg_max(actor, ts) from command where verb = 'acknowledge' and object = incident_id and ts >= opened_at) as taken_by
from incident where part_of is null order by state <> 'open', opened_at desc, incident_id limit {MOST}"""
_MUTES: Final = "select * from command where verb in ('mute', 'unmute') order by ts, command_id"
_MEMBERS: Final = "select * from alert where list_contains($ids, alert_id)"
_STATE: Final = "select state from incident where incident_id = $id"
_WHY: Final[Mapping[str, str]] = {
    "mute": "a reason: people will ask why they were not told",
    "false_alarm": "a reason: people will ask why they were not told",
    "note": "a text: give it as the reason",
}
_INCIDENTS: Final = "select incident_id from incident order by state <> 'open', opened_at desc limit 1000"
_THINGS: Final = """
select incident_id as name from incident union select alert_id from alert union select key from alert union select model from alert
union select 'site' union select '*'
union select unnest(json_keys(value)) from (select value::JSON as value from core.setting where key = 'models')"""
_MONITOR: Final = "select 1 from finding where monitor_id = $object limit 1"
_MUTED: Final = "select object from mute where until > $now order by object"


def incidents(store: Store, now: datetime, config: Config | None = None) -> pl.DataFrame:
    """Incidents as people see them, open ones first, then the newest: who has each, and until when nobody is told of it.

    Args:
        store: what there is.
        now: the present.
        config: whose maintenance counts; None where only mutes of people are known.
    """
    import polars as pl

    from alerts import muting

    shown = store.read(_SHOWN)
    quiet = muting.Quiet(muting.mutes(nouns(Command, store.read(_MUTES))), muting.calendar(config) if config else [])
    ends: list[datetime | None] = [None] * shown.height
    if quiet.muted or quiet.calendar:
        rows = nouns(Incident, shown.drop("taken_by"))
        members = nouns(Alert, store.read(_MEMBERS, {"ids": [a for r in rows for a in r.alerts]}))
        alerts = {a.alert_id: a for a in members}
        free = [quiet.free(muting.parts(r, alerts), now) for r in rows]
        ends = [end if end > now else None for end in free]
    return shown.with_columns(pl.Series("muted_until", ends, dtype=pl.Datetime("us", "UTC")))


def checked(store: Store, verb: str, said: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    """The parameters of a command that can be meant.

    Args:
        store: what there is.
        verb: one of `VERBS`.
        said: `object`, `reason` and `parameters` as they came.
        now: the present.

    Raises:
        UsageError: something is missing or not there, with what to do.
    """
    target, reason = str(said["object"]), said.get("reason")
    parameters: Mapping[str, Any] = said["parameters"]
    if verb in _WHY and not reason:
        raise UsageError(f"{verb} needs {_WHY[verb]}")
    if verb in ("acknowledge", "false_alarm", "note"):
        _incident(store, target, open_only=verb == "acknowledge")
    if verb == "accept_normal":
        return accepting.checked(store, target, parameters, now)
    if verb == "unmute":
        _is_muted(store, target, now)
    if verb != "mute":
        return parameters
    _thing(store, target)
    rest = {k: v for k, v in parameters.items() if k not in ("for", "until")}
    return {**rest, "until": _until(parameters, now).isoformat()}


def _incident(store: Store, target: str, *, open_only: bool) -> None:
    found = store.read(_STATE, {"id": target})
    if found.is_empty():
        known = store.read(_INCIDENTS)["incident_id"].to_list()
        raise UsageError(f"there is no incident {target!r}; {_meant(target, known, 'observe incidents lists them')}")
    if open_only and found["state"][0] != "open":
        raise UsageError(f"{target} is over; there is nothing to take. A note can still be left")


def _thing(store: Store, target: str) -> None:
    names = set(store.read(_THINGS).to_series().to_list())
    if target in names or not store.read(_MONITOR, {"object": target}).is_empty():
        return
    hint = _meant(target, names, "name an incident, alert, monitor or model, or * for everything")
    raise UsageError(f"there is nothing called {target!r} to mute; {hint}")


def _meant(target: str, names: Iterable[str], otherwise: str) -> str:
    """The name most like it, or that begins so, else what to do; never all of a thousand names."""
    near = meant(target, names)
    return f"did you mean {near!r}?" if near else otherwise


def _is_muted(store: Store, target: str, now: datetime) -> None:
    muted = store.read(_MUTED, {"now": now}).to_series().to_list()
    if target not in muted:
        raise UsageError(f"{target!r} is not muted; muted are: {', '.join(muted) or 'none'}")


def _until(parameters: Mapping[str, Any], now: datetime) -> datetime:
    wanted = 'a mute needs an end: {"for": "2h"} or {"until": "2026-11-20T09:00:00Z"}'
    span, end = parameters.get("for"), parameters.get("until")
    if (span is None) == (end is None):
        raise UsageError(wanted)
    try:
        until = now + timedelta(seconds=parse_duration(str(span))) if end is None else parse_instant(str(end))
    except (Malformed, OverflowError) as error:
        raise UsageError(f"{wanted}: {error}") from None
    if not now < until <= now + LONGEST:
        raise UsageError(f"a mute ends in the future, and within {LONGEST.days} days")
    return until.astimezone(UTC)
