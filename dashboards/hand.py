"""Who has an incident in hand, whether it is muted, which messages nobody took; and the buttons for it.

Source: our own, after UX.md.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import polars as pl
from dash import html

from dashboards import accepted, cards, doing, tables, words
from dashboards.cards import Badge, Query
from dashboards.reader import Reader, Value
from dashboards.scope import Scope
from observe.spec.quiet import EVERYTHING, Mute, Names, Quiet
from observe.spec.receiving import Maintenance

HANDLED: Final = """
select i.incident_id, i.state, i.model, i.alerts,
  (select arg_max(actor, ts) from command where verb = 'acknowledge' and object = i.incident_id and ts >= i.opened_at) as taken_by,
  (select max(ts) from command where verb = 'acknowledge' and object = i.incident_id and ts >= i.opened_at) as taken_at,
  (select count(*) from command where verb = 'false_alarm' and object = i.incident_id) as false_alarms
from incident i where i.incident_id = $id
"""
MUTES: Final = """
select object, since, until, actor, reason from mute where until > $now::TIMESTAMPTZ order by until desc, object
"""
CALENDAR: Final = "select value::VARCHAR as value from core.setting where key = 'maintenance'"
MEMBERS: Final = """
select a.incident_id, a.alert_id, a.key, a.model, i.part_of from alert a join incident i using (incident_id)
where i.state = 'open' or i.opened_at >= $start::TIMESTAMPTZ or i.incident_id = $id or i.part_of = $id
"""
UNDELIVERED = """
select tried_at, url, coalesce(notice, 'alerts') as notice, incident_id, state, tries, error from undelivered order by state = 'waiting', tried_at desc limit 100
"""


def quiet(read: Reader, now: datetime) -> Quiet:
    """What is muted now, by people and by the calendar: the same that decides who is told."""
    muted = [
        Mute(m["object"], m["since"], m["until"], f"{m['actor']}: {m['reason'] or ''}".rstrip(": "))
        for m in read(MUTES, {"now": now}).iter_rows(named=True)
    ]
    told = read(CALENDAR)
    held = json.loads(told["value"][0] or "[]") if told.height else []
    return Quiet(
        muted,
        [(Maintenance.model_validate({k: v for k, v in m.items() if k != "on"}), frozenset(m["on"])) for m in held],
    )


def muted_until(read: Reader, rows: Sequence[Mapping[str, Any]], view: Scope) -> dict[str, datetime]:
    """Until when nobody is told of an incident, by id; those that are not muted are not in it.

    Args:
        read: answers SQL.
        rows: incidents with `incident_id`, `model` and `alerts`.
        view: whose `now` it is.
    """
    known = quiet(read, view.now)
    if not known.muted and not known.calendar:
        return {}
    alerts: dict[str, dict[str, Names]] = defaultdict(dict)
    only: dict[str, Value] = {"start": view.start, "id": rows[0]["incident_id"] if len(rows) == 1 else ""}
    for a in read(MEMBERS, only).iter_rows(named=True):
        names = frozenset({EVERYTHING, a["alert_id"], a["incident_id"], a["key"], a["model"]})
        alerts[a["incident_id"]][a["alert_id"]] = names
        if a["part_of"]:  # a mute of the whole is one of its parts
            alerts[a["part_of"]][a["alert_id"]] = names | {a["part_of"]}
    ends = {r["incident_id"]: known.free(parts(r, alerts[r["incident_id"]]), view.now) for r in rows}
    return {name: end for name, end in ends.items() if end > view.now}


def parts(row: Mapping[str, Any], alerts: Mapping[str, Names]) -> list[Names]:
    """What each alert of an incident is muted by: the incident is muted while all of them are."""
    known = [alerts[i] for i in row["alerts"] if i in alerts]
    return known or [frozenset({EVERYTHING, row["incident_id"], row["model"]})]


def in_words(row: Mapping[str, Any], view: Scope) -> str:
    """Who has it, and whether anybody is told; `row` has `taken_by` and, where it is muted, `muted_until`."""
    told = [str(row["taken_by"])] if row["taken_by"] else []
    muted = [f"muted to {words.clock(row['muted_until'], view.now)}"] if row.get("muted_until") else []
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
    (row,) = read(HANDLED, params).to_dicts()
    known, is_open = quiet(read, view.now), row["state"] == "open"
    end = muted_until(read, [row], view).get(chosen)
    normal = accepted.accepted(read, chosen)
    said = normal.in_words(view.now)
    told = (
        [f"{row['taken_by']} has it since {words.clock(row['taken_at'], view.now)} UTC"]
        if row["taken_by"]
        else ["nobody has taken it"]
        if is_open and not said
        else []
    )
    told += [said] if said else []
    told += [f"nobody is told until {words.clock(end, view.now)} UTC"] if end else []
    told += ["marked as a false alarm"] if row["false_alarms"] else []
    acts = _acts(
        take=is_open and not row["taken_by"],
        unmute=any(m.object == chosen for m in known.muted),
        accept=normal.open > 0,
    )
    form = doing.form(chosen, view.link("/incidents", id=chosen), acts)
    mine = _touching(read, row, known, view)
    queries = [Query(HANDLED, params), Query(MUTES, params), Query(accepted.FIRING)]
    return cards.card("In hand", form, *mine, sub=" · ".join(told) or "it is over", sql=queries)


def _acts(*, take: bool, unmute: bool, accept: bool) -> list[doing.Act]:
    """The buttons: what each does, its words, and what it means."""
    acts = [("acknowledge", "I have it", "Shows who has it; receivers are told")] if take else []
    acts += [(f"mute {s}", f"Mute {s}", f"Found and counted, but nobody is told for {s}") for s in ("1h", "8h", "3d")]
    acts += [("unmute", "Unmute", "Tell people again")] if unmute else []
    normal = "It was meant: what alarms learns anew from its onset on, and ends with the next judged window"
    acts += [("accept_normal", "Accept as new normal", normal)] if accept else []
    return [*acts, ("false_alarm", "False alarm", "Counts in the false-alarm budget")]


def _touching(read: Reader, row: Mapping[str, Any], known: Quiet, view: Scope) -> list[Any]:
    """Every mute in force that is about it or a part of it, as one line."""
    found = read(MEMBERS, {"start": view.end, "id": row["incident_id"]}).filter(
        pl.col("incident_id") == row["incident_id"]
    )
    names = {EVERYTHING, row["incident_id"], row["model"], *found["alert_id"], *found["key"], *found["model"]}
    said = [f"{m.object} until {words.clock(m.end, view.now)} UTC by {m.why}" for m in known.muted if m.object in names]
    return [html.P("Muted: " + " · ".join(said), className="sub")] if said else []
