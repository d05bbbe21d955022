"""What is known of one incident, as its page and its bundle read it: the same questions, so the same numbers.

Source: our own, after UX.md; docs/incidents-bundle.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from dashboards import words
from dashboards.reader import Reader, Value

Row = Mapping[str, Any]
BEFORE: Final = timedelta(minutes=30)  # shown before the onset, at least
AFTER: Final = timedelta(minutes=15)  # shown after the end, at most
FAMILY: Final = "(select incident_id from incident where incident_id = $id or part_of = $id)"  # it and its parts

ONE: Final = """
select incident_id, kind, model, severity, state, since, opened_at, resolved_at, summary, effect, unit, ci_low, ci_high, evidence_nats,
  cause::VARCHAR as cause, suggestion, alerts, models, about::VARCHAR as about, part_of,
  (select arg_max(actor, ts) from command where verb = 'acknowledge' and object = incident_id and ts >= opened_at) as taken_by,
  (select min(h.changed_at) from core.incident h where h.incident_id = incident.incident_id and h.effect = incident.effect
    and h.ci_low is not distinct from incident.ci_low and h.ci_high is not distinct from incident.ci_high) as said_at,
  (select arg_max(f.onset_low, f.window_end) from finding f where f.onset = incident.since
    and f.monitor_id in (select key from alert where alert.incident_id = incident.incident_id)) as since_low,
  (select arg_max(f.onset_high, f.window_end) from finding f where f.onset = incident.since
    and f.monitor_id in (select key from alert where alert.incident_id = incident.incident_id)) as since_high
from incident where incident_id = $id
"""
EXPLAINED: Final = """
select changed_at, verdict, causes::VARCHAR as causes, differs::VARCHAR as differs, "similar"::VARCHAR as "similar", "text", unexplained, inhibited_by
from explanation where incident_id = $id
"""
ALERTS: Final = f"""
select alert_id, key, finding_id, kind, subject, severity, state, starts_at, ends_at, summary from alert where incident_id in {FAMILY}
order by starts_at, alert_id limit 1000
"""
IMPACT: Final = f"""
with a as (select distinct model, subject from alert where incident_id in {FAMILY} and kind = 'slo'), c as (
  select a.model, a.subject, coalesce(sum(s.n), 0)::BIGINT as n, coalesce(sum(s.events), 0)::BIGINT as bad from a
  left join summary s on s.measure = a.model || '/slo/' || a.subject and s.ts >= $start::TIMESTAMPTZ and s.ts < $end::TIMESTAMPTZ group by all
)
select c.model, c.subject as slo, c.n, c.bad, c.bad / nullif(c.n, 0) as share, t.counted, t.objective, t.window_s,
  c.bad / nullif(t.total * (1 - t.objective), 0) as budget_spent, t.budget_left
from c left join slo_status t on t.model = c.model and t.slo = c.subject order by c.bad desc, c.model, c.subject
"""
ALARMS: Final = f"""
select f.finding_id, f.monitor_id, f.model, f.kind, f.subject, f.window_start, f.window_end, f.state, f.severity, f.evidence_nats, f.threshold_nats, f.effect,
  f.unit, f.ci_low, f.ci_high, f.onset, f.n, f.note
from finding f where f.monitor_id in (select key from alert where incident_id in {FAMILY}) and f.state = 'alarm'
  and f.window_end > $start::TIMESTAMPTZ and f.window_start <= $end::TIMESTAMPTZ
qualify row_number() over (partition by f.monitor_id order by f.window_end desc) = 1
order by case f.severity when 'page' then 0 when 'ticket' then 1 else 2 end, f.evidence_nats desc nulls first, f.monitor_id limit 40
"""
ALARM: Final = """
select effect, ci_low, ci_high, unit, evidence_nats, threshold_nats, n, window_start, window_end, note from finding where finding_id = $finding
"""
STEPS: Final = f"""
with i as (select * from incident where incident_id = $id), first as (
  select arg_min(severity, changed_at) as severity, arg_min(summary, changed_at) as summary from core.incident where incident_id = $id
), near as (
  select since - interval 30 minutes as low, coalesce(resolved_at, since + interval 1 day) as high, coalesce(models, [model]) as models from i
), t as (
  select since as ts, 'onset' as kind, 'most likely start of the change' as words from i
  union all select i.opened_at, 'opened', first.severity || ': ' || first.summary from i, first
  union all select resolved_at, 'resolved', summary from i where resolved_at is not null
  union all select starts_at, 'alert', severity || ' on ' || if(incident_id = $id, '', model || ' ') || subject || ': ' || summary from alert where incident_id in {FAMILY}
  union all select ends_at, 'alert ends', if(incident_id = $id, '', model || ' ') || subject from alert where incident_id in {FAMILY} and ends_at is not null
  union all select c.ts, c.kind, coalesce(c.message, c.object_name, c.after, '') from change_event c, near n
    where c.ts between n.low and n.high and (c.model_id is null or list_contains(n.models, c.model_id))
  union all select any_value(f.onset), 'signal', any_value(f.note) from finding f, near n
    where f.kind in ('gpu', 'queue') and f.onset between n.low and n.low + interval 40 minutes group by f.monitor_id, f.subject, f.onset
  union all select changed_at, 'action', kind || ' ' || target || coalesce(' ' || (parameters->>'from') || ' → ' || (parameters->>'to'), '')
    || ' (' || state || ', ' || replace(mode, '_', ' ') || ')' from action where incident_id in {FAMILY}
  union all select tried_at, 'told', url || ': ' || coalesce(notice, '') || ' ' || state || coalesce(' (' || error || ')', '') from delivery where incident_id in {FAMILY}
  union all select ts, 'person', replace(verb, '_', ' ') || ' by ' || actor || coalesce(': ' || reason, '') from command where object = $id
)
select ts, kind, words from t order by ts, kind, words limit 200
"""


@dataclass(frozen=True, slots=True)
class Explained:
    """Why it happened, as far as is known: a row of `explanation`, its lists read."""

    verdict: str
    text: str
    causes: Sequence[Row]
    differs: Sequence[Row]
    similar: Sequence[Row]
    unexplained: float | None
    inhibited_by: str | None
    changed_at: datetime

    @classmethod
    def of(cls, row: Row) -> Explained:
        """From a row as `EXPLAINED` gives it."""
        causes, differs, similar = (json.loads(row[name] or "[]") for name in ("causes", "differs", "similar"))
        return cls(
            row["verdict"], row["text"], causes, differs, similar, row["unexplained"], row["inhibited_by"], row["changed_at"]
        )  # fmt: skip


def found(read: Reader, incident_id: str) -> Row | None:
    """The incident; None where there is none of that name."""
    return next(iter(read(ONE, {"id": incident_id}).to_dicts()), None)


def explained(read: Reader, incident_id: str) -> Explained | None:
    """Its explanation; None where there is none yet."""
    rows = read(EXPLAINED, {"id": incident_id}).to_dicts()
    return Explained.of(rows[0]) if rows else None


def cause_of(row: Row) -> Row | None:
    """The nearest signal that the incident itself names."""
    held: Row | None = json.loads(row["cause"]) if row["cause"] else None
    return held


def whose(row: Row) -> str:
    """Every model it concerns."""
    return ", ".join(row["models"] or (row["model"],))


def about(row: Row) -> str:
    """The sick thing it is about, in words; "" where none is known."""
    return str(json.loads(row["about"])["says"]) if row["about"] else ""


def during(row: Row, now: datetime) -> dict[str, Value]:
    """The parameters of what is counted from its onset to its end: `id`, `start`, `end`."""
    return {"id": row["incident_id"], "start": row["since"], "end": max(row["resolved_at"] or now, row["since"])}


def around(row: Row, now: datetime) -> tuple[datetime, datetime]:
    """The span its timeline shows: before the onset as much as a third of it, and a little after its end."""
    until = max(row["resolved_at"] or now, row["since"])
    length = until - row["since"]
    return row["since"] - max(BEFORE, length / 3), min(now, until + max(AFTER, length / 6)) if now > until else until


def strength(row: Row) -> str:
    """Its effect with the 95 % interval where one is known."""
    said = words.effect(row["effect"], row["unit"])
    return f"{said} (95 %: {words.interval(row['ci_low'], row['ci_high'])})" if words.known(row["ci_low"]) else said


def looked(at: datetime | None, now: datetime | None) -> str:
    """When a figure was looked at: those of other times differ from it."""
    return f"as of {words.clock(at, now)} UTC"


def since(row: Row, now: datetime | None) -> str:
    """Its onset with the span it may lie in; without a `now` always with its date."""
    said = f"{words.clock(row['since'], now)} UTC"
    low, high = (words.clock(row[name], now) for name in ("since_low", "since_high"))
    return said if words.UNKNOWN in (low, high) or low == high else f"{said} ({low} to {high})"


def lasted(row: Row, now: datetime) -> str:
    """How long it has lasted."""
    return words.span((row["resolved_at"] or now) - row["since"])


def impact(row: Row, *, named: bool = False) -> str:
    """What it cost one objective: what was bad and its share of the budget, from a row of `IMPACT`; `named` with its model."""
    if named:
        return f"{row['model']} {impact(row)}"
    if not row["n"]:
        return f"{row['slo']}: nothing counted yet"
    said = (
        f"{row['slo']}: {row['bad']:,} of {row['n']:,} {row['counted'] or 'events'} bad ({words.share(row['share'])})"
    )
    if not words.known(row["budget_spent"]):
        return said
    return f"{said}, {words.share(row['budget_spent'])} of the {words.span(float(row['window_s'] or 0))} budget"
