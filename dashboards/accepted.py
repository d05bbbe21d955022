"""What of an open incident was taken as the new normal, by whom; and what to do then.

Source: our own, after UX.md; docs/alerts.md. What is counted here is what the core goes by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dashboards import words
from dashboards.reader import Reader
from observe.spec.normal import KINDS, advised, once_accepted

FIRING: Final = f"""
with said as (
  select coalesce(r.incident_id, c.object) as object, c.ts, c.actor, r.reference_id is not null as trained
  from command c left join reference_window r on r.reference_id = c.object where c.verb = 'accept_normal'
)
select a.alert_id, a.incident_id, i.part_of, a.kind in {KINDS} as learns, max(said.ts) as accepted_at, arg_max(said.actor, said.ts) as accepted_by
from alert a join incident i using (incident_id) left join said
  on said.object in (a.incident_id, a.alert_id, a.key, coalesce(i.part_of, a.incident_id)) and said.ts >= a.starts_at
  and (a.kind = 'drift' or (a.kind in {KINDS} and not said.trained))
where a.state = 'firing' group by a.alert_id, a.incident_id, i.part_of, a.kind order by a.alert_id
"""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The firing alarms of one incident: how many can learn a new normal, how many will, and the last word about it."""

    learning: int  # alarms that can be accepted
    taken: int  # of these, accepted
    others: int  # alarms that end only by themselves
    at: datetime | None = None
    by: str | None = None

    @property
    def open(self) -> int:
        """Alarms that somebody may still accept."""
        return self.learning - self.taken

    def advice(self, suggestion: str | None) -> str | None:
        """What to do: what was done is not advised again."""
        return once_accepted(suggestion) if suggestion and self.taken and not self.open else suggestion

    def in_words(self, now: datetime) -> str:
        """Who accepted what, when, and what comes of it; "" where nobody did."""
        if not self.taken or self.at is None:
            return ""
        said = f"accepted {words.clock(self.at, now)} UTC by {self.by}"
        if self.open:
            return f"{self.taken} of {self.learning} alarms {said}, they end with the next judged window"
        if self.others:
            stays = "1 alarm of another kind stays" if self.others == 1 else f"{self.others} alarms of other kinds stay"
            return f"{said}, what drifts ends with the next judged window; {stays}"
        return f"{said}, ends with the next judged window"


def accepted(read: Reader, incident_id: str) -> Accepted:
    """What of an incident, its parts with it, was accepted."""
    return _of(read(FIRING).to_dicts(), incident_id)


def suggestions(read: Reader, rows: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
    """What to do about each incident now, by id.

    Args:
        read: answers SQL.
        rows: incidents with `incident_id` and `suggestion`.
    """
    asked = any(advised(r["suggestion"]) for r in rows)
    firing = read(FIRING).to_dicts() if asked else []
    return {r["incident_id"]: _of(firing, r["incident_id"]).advice(r["suggestion"]) for r in rows}


def _of(firing: Sequence[Mapping[str, Any]], incident_id: str) -> Accepted:
    mine = [a for a in firing if incident_id in (a["incident_id"], a["part_of"])]
    can = [a for a in mine if a["learns"]]
    taken = [a for a in can if a["accepted_at"] is not None]
    last = max(taken, key=lambda a: a["accepted_at"], default=None)
    at, by = (last["accepted_at"], last["accepted_by"]) if last else (None, None)
    return Accepted(len(can), len(taken), len(mine) - len(can), at, by)
