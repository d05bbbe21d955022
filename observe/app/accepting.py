"""What people have taken as the new normal: from when on each monitor learns anew.

A person accepts an incident, an alert or a monitor. What they accept is the level since its change
came, so learning begins at the latest plausible onset of the alarm they saw, not at their click:
otherwise a stream would be blind for days more. `parameters.since` overrules it. Accepting a new reference after a
training is accepting the drift of its incident, from no earlier than the first of the data that were learnt from;
a loss of performance is not normal for that: it ends when the new version does better.

Source: our own; METHODS section 4, "After an alarm".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from observe.store import Store

_SQL: Final = """
with said as (
  select coalesce(r.incident_id, c.object) as object, c.ts, try_cast(c.parameters ->> '$.since' as timestamptz) as since, r.period_from
  from command c left join reference_window r on r.reference_id = c.object where c.verb = 'accept_normal'),
aimed as (
  select object as monitor_id, ts, since, period_from from said where list_contains($ids, object)
  union all
  select alert.key, said.ts, said.since, said.period_from
  from said join (select alert.*, i.part_of from alert left join incident i using (incident_id)) as alert
    on object in (incident_id, alert_id, coalesce(part_of, incident_id))
  where (kind = 'drift' or (kind in ('performance', 'skew') and said.period_from is null)) and starts_at <= said.ts and list_contains($ids, alert.key)),
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
