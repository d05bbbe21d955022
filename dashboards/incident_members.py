"""The members of an incident that several models share: one line each, with what burns there and the thing they share.

Source: our own; docs/incidents.md.
"""

from __future__ import annotations

from typing import Any, Final

from dashboards import cards, incident, tables
from dashboards.cards import Query
from dashboards.incident import FAMILY, Row
from dashboards.reader import Reader
from dashboards.scope import Scope

MEMBERS: Final = f"""
select a.incident_id, a.model, arg_min(a.summary, (if(a.state = 'firing', 0, 1), if(a.severity = 'page', 0, 1), a.starts_at)) as what,
  bool_or(a.state = 'firing') as fires, bool_or(a.severity = 'page') as paged, min(i.since) as since, max(i.resolved_at) as ended, count(*) as alerts
from alert a join incident i using (incident_id) where a.incident_id in {FAMILY} group by 1, 2 order by since, a.incident_id, a.model
"""


def card(read: Reader, row: Row, view: Scope) -> Any:
    """The card of its members; None for an incident without parts."""
    if not row["models"]:
        return None
    asked = {"id": row["incident_id"]}
    members = read(MEMBERS, asked).to_dicts()
    shown = [
        {"state": ("page" if m["paged"] else "ticket") if m["fires"] else "resolved", "model": m["model"], "what": m["what"],
         "since": m["since"].isoformat(), "lasted": ((m["ended"] or view.now) - m["since"]).total_seconds(), "alerts": m["alerts"]}
        for m in members
    ]  # fmt: skip
    columns = [
        tables.Column("state", "State", "state", 112), tables.Column("model", "Model", "model", 125), tables.Column("what", "What", "", 300),
        tables.Column("since", "Since (UTC)", "clock", 142), tables.Column("lasted", "Lasted", "span", 104), tables.Column("alerts", "Alerts", "count", 80),
    ]  # fmt: skip
    sub = f"{incident.about(row) or 'one thing'} is behind all of them: told once, and over when the last is"
    table = tables.grid("members", shown, columns)
    return cards.card(f"One incident, {len(members)} members", table, sub=sub, sql=[Query(MEMBERS, asked)])
