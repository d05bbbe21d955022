"""Who has an incident in hand, whether it is muted, which messages nobody took; and the buttons for it.

Source: our own, after UX.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards import cards, doing, tables, words
from dashboards.cards import Badge, Query
from dashboards.reader import Reader, Value
from dashboards.scope import Scope

HANDLED = """
select i.state, i.model,
  (select arg_max(actor, ts) from command where verb = 'acknowledge' and object = i.incident_id and ts >= i.opened_at) as taken_by,
  (select count(*) from command where verb = 'false_alarm' and object = i.incident_id) as false_alarms,
  m.object as muted, m.until, m.actor, m.reason
from incident i left join mute m on m.until > $now::TIMESTAMPTZ and (m.object in (i.incident_id, i.model, '*') or list_contains(i.alerts, m.object))
where i.incident_id = $id order by m.until desc
"""
UNDELIVERED = """
select tried_at, url, coalesce(notice, 'alerts') as notice, incident_id, state, tries, error from undelivered order by state = 'waiting', tried_at desc limit 100
"""


def in_words(row: Mapping[str, Any], view: Scope) -> str:
    """Who has it, and whether anybody is told."""
    told = [f"{row['taken_by']} has it"] if row["taken_by"] else []
    muted = [f"muted until {words.clock(row['muted_until'], view.now)}"] if row["muted_until"] else []
    return ", ".join(told + muted)


def undelivered(read: Reader) -> list[Any]:
    """The messages that nobody has taken, when there are any."""
    rows = read(UNDELIVERED, {}).to_dicts()
    if not rows:
        return []
    shown = [{**r, "tried_at": r["tried_at"].isoformat(), "error": r["error"] or "no answer"} for r in rows]
    columns = [
        tables.Column("tried_at", "Tried (UTC)", "clock", 150), tables.Column("url", "Receiver", "", 220), tables.Column("notice", "Notice", "", 110),
        tables.Column("incident_id", "Incident", "incident", 110), tables.Column("state", "State", "", 90), tables.Column("tries", "Tries", "count", 70),
        tables.Column("error", "Why", "", 320),
    ]  # fmt: skip
    lost = sum(r["state"] != "waiting" for r in rows)
    sub = f"{lost} given up or refused, {len(rows) - lost} tried again · the last seven days"
    table = tables.grid("undelivered", shown, columns, height=min(320, 44 + tables.ROW_PX * len(shown)))
    return [
        cards.card(
            "Not delivered",
            table,
            sub=sub,
            mark=Badge("ticket" if lost else "unknown", "undelivered"),
            sql=[Query(UNDELIVERED)],
        )
    ]


def of_one(read: Reader, view: Scope, chosen: str) -> Any:
    """Who has it, whether it is muted, and the buttons that say so."""
    params: dict[str, Value] = {"id": chosen, "now": view.now}
    rows = read(HANDLED, params).to_dicts()
    first, muted = rows[0], [r for r in rows if r["muted"]]
    is_open = first["state"] == "open"
    told = [f"{first['taken_by']} has it"] if first["taken_by"] else ["nobody has taken it"] if is_open else []
    told += [
        f"{r['muted']} muted until {words.clock(r['until'], view.now)} UTC by {r['actor']}: {r['reason']}"
        for r in muted
    ]
    told += ["marked as a false alarm"] if first["false_alarms"] else []
    acts = [("acknowledge", "I have it", "Shows who has it; receivers are told")] if is_open else []
    acts += [(f"mute {s}", f"Mute {s}", f"Found and counted, but nobody is told for {s}") for s in ("1h", "8h", "3d")]
    acts += [("unmute", "Unmute", "Tell people again")] if any(r["muted"] == chosen for r in muted) else []
    acts += [("note", "Note", "Leaves the reason in the timeline")]
    acts += [("false_alarm", "False alarm", "Counts in the false-alarm budget")]
    form = doing.form(chosen, view.link("/incidents", id=chosen), acts)
    return cards.card("In hand", form, sub=" · ".join(told) or "it is over", sql=[Query(HANDLED, params)])
