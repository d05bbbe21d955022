"""What people have taken as the new normal: from when on each monitor learns anew.

A person accepts an incident, an alert or a monitor. What they accept is the level since its change
came, so learning begins at the latest plausible onset of the alarm they saw, not at their click:
otherwise a stream would be blind for days more. `parameters.since` overrules it. Accepting a new reference after a
training is accepting the drift of its incident, from no earlier than the first of the data that were learnt from;
a loss of performance is not normal for that: it ends when the new version does better. What learns nothing anew (a
burn, a silence) cannot be accepted, and is refused.

Source: our own; METHODS section 4, "After an alarm".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from observe.errors import UsageError
from observe.spec.nearest import meant
from observe.spec.normal import KINDS, LEARNING
from observe.spec.quantity import Malformed, parse_instant

if TYPE_CHECKING:
    from observe.store import Store

_ENDS: Final = "it ends when what it is about does; until then it can be muted, or marked as a false alarm"
_ONLY: Final = f"only alarms of {', '.join(KINDS[:-1])} and {KINDS[-1]} learn a new normal"
_REFERENCE: Final = "select state, settled_by from reference_window where reference_id = $object"
_ALARMS: Final = """
select distinct a.kind from alert a left join incident i using (incident_id)
where $object in (a.incident_id, a.alert_id, a.key, i.part_of) order by a.kind"""
_WATCHED: Final = """
select detector as what from finding where monitor_id = $object union all select kind from incident where incident_id = $object limit 1"""
_NAMES: Final = """
select incident_id from incident union select alert_id from alert union select key from alert union select reference_id from reference_window"""
_SQL: Final = f"""
with said as (
  select coalesce(r.incident_id, c.object) as object, c.ts, try_cast(c.parameters ->> '$.since' as timestamptz) as since, r.period_from
  from command c left join reference_window r on r.reference_id = c.object where c.verb = 'accept_normal'),
aimed as (
  select object as monitor_id, ts, since, period_from from said where list_contains($ids, object)
  union all
  select alert.key, said.ts, said.since, said.period_from
  from said join (select alert.*, i.part_of from alert left join incident i using (incident_id)) as alert
    on object in (incident_id, alert_id, coalesce(part_of, incident_id))
  where (kind = 'drift' or (kind in {KINDS} and said.period_from is null)) and starts_at <= said.ts and list_contains($ids, alert.key)),
onsets as (
  select aimed.monitor_id, aimed.ts, any_value(aimed.since) as since, any_value(aimed.period_from) as period_from,
    arg_max(coalesce(onset_high, onset), window_end) filter (state = 'alarm') as onset
  from aimed left join finding f on f.monitor_id = aimed.monitor_id and f.window_end <= aimed.ts
  group by aimed.monitor_id, aimed.ts)
select monitor_id, max(coalesce(since, greatest(onset, period_from), ts)) as accepted from onsets group by monitor_id"""


def accepted(store: Store, monitor_ids: Sequence[str]) -> Mapping[str, datetime]:
    """From when on the level of these monitors is the new normal, by monitor id; only those somebody accepted."""
    asked = store.read("select 1 from command where verb = 'accept_normal' limit 1")
    if asked.is_empty():
        return {}
    rows = store.read(_SQL, {"ids": list(monitor_ids)})
    return {monitor_id: at.astimezone(UTC) for monitor_id, at in rows.iter_rows()}


def checked(store: Store, target: str, parameters: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    """The parameters of an acceptance that acts: what it names is there, and learns a new normal.

    Raises:
        UsageError: it is not there, or nothing of it learns, and what to do instead.
    """
    found = store.read(_REFERENCE, {"object": target})
    if found.is_empty():
        _learns(store, target)
    else:
        _proposed(target, *found.row(0))
    if "since" not in parameters:
        return parameters
    try:
        since = parse_instant(str(parameters["since"]))
    except Malformed as error:
        raise UsageError(f"since when is it normal? {error}") from None
    if since > now:
        raise UsageError(f"since {parameters['since']} lies ahead; name when the new normal began, or leave it out")
    return {**parameters, "since": since.isoformat()}


def _proposed(target: str, state: str, by: str | None) -> None:
    if state != "proposed":
        raise UsageError(f"{target} is {state}{f' by {by}' if by else ''}; only a proposed reference can be accepted")


def _learns(store: Store, target: str) -> None:
    """Refuse an incident, alert or monitor of which no stream would learn anew."""
    kinds = store.read(_ALARMS, {"object": target})["kind"].to_list()
    if set(kinds) & set(KINDS):
        return
    found = store.read(_WATCHED, {"object": target})["what"].to_list()
    if not kinds and not found:
        raise _unknown(store, target)
    if not kinds and found[0] in LEARNING:
        return  # a monitor that has not alarmed
    raise UsageError(f"{target} is about {', '.join(kinds or found)}: {_ONLY}; {_ENDS}")


def _unknown(store: Store, target: str) -> UsageError:
    near = meant(target, store.read(_NAMES).to_series().to_list())
    hint = f"did you mean {near!r}?" if near else "observe incidents lists incidents, view reference_window references"
    return UsageError(f"there is no incident, alert, monitor or reference {target!r} to accept; {hint}")
