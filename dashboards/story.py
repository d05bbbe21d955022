"""The course of one incident on a common time axis: what it judged, requests, GPUs, queue, changes, alerts, actions.

Source: our own, after UX.md. The page draws it with Plotly, the bundle as SVG: both from one `Story`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from dashboards import catalogue, incident
from dashboards.cards import Query
from dashboards.incident import FAMILY, Row
from dashboards.reader import Reader, Value

BUCKETS_S: Final = (60, 300, 900, 1800, 3600, 7200, 21600)  # widths a lane may use, s
MOST: Final = 150  # points of a lane
COARSEST_SOURCE_S: Final = 300  # GPU and queue views have 5-minute buckets
SERIES: Final = 4  # lines of one lane
SITE: Final = "site"
CHANGES: Final = frozenset((
    "deploy", "rollback", "config", "scale", "node_add", "node_remove", "disruption", "xid", "driver", "model_version", "prompt",
    "data_pipeline", "trained", "alert_silence", "ecc", "signal",
))  # fmt: skip
SLI: Final = f"""
select (floor(epoch(s.ts) / $bucket) * $bucket)::DOUBLE as epoch, if(a.model = $model, '', a.model || ' ') || a.subject as name, (sum(coalesce(s.events, 0)) / nullif(sum(s.n), 0))::DOUBLE as value,
  any_value(1 - t.objective)::DOUBLE as allowed
from (select distinct model, subject from alert where incident_id in {FAMILY} and kind = 'slo') as a
join summary s on s.measure = a.model || '/slo/' || a.subject and s.ts >= $start::TIMESTAMPTZ and s.ts < $end::TIMESTAMPTZ
left join slo_status t on t.model = a.model and t.slo = a.subject group by 1, 2 order by 2, 1
"""
EVIDENCE: Final = f"""
select (floor((epoch(f.window_end) - 1) / $bucket) * $bucket)::DOUBLE as epoch, if(f.model = $model, '', f.model || ' ') || f.subject as name, max(f.evidence_nats / nullif(f.threshold_nats, 0))::DOUBLE as value,
  1.0::DOUBLE as allowed
from finding f where f.monitor_id in (select key from alert where incident_id in {FAMILY} and kind <> 'slo') and f.evidence_nats is not null
  and f.window_end > $start::TIMESTAMPTZ and f.window_end <= $end::TIMESTAMPTZ group by 1, 2 order by 2, 1
"""
TRAFFIC: Final = """
select (floor(epoch(ts) / $bucket) * $bucket)::DOUBLE as epoch, coalesce(sum(attempts) filter (last), 0)::DOUBLE * 60 / $bucket as requests,
  coalesce(sum(attempts) filter (last and status = 'error'), 0)::DOUBLE * 60 / $bucket as failed
from traffic_1m where ($model = 'site' or model_id = $model) and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ group by 1 order by 1
"""
GPUS: Final = """
select (floor(epoch(ts) / $coarse) * $coarse)::DOUBLE as epoch, coalesce(cluster, '–') as name, (sum(util_mean * devices) / nullif(sum(devices), 0))::DOUBLE as value
from gpu_5m where ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ and ($model = 'site' or cluster in (
  select cluster from traffic_1m where model_id = $model and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ))
group by 1, 2 order by 2, 1
"""
QUEUE: Final = """
select (floor(epoch(ts) / $coarse) * $coarse)::DOUBLE as epoch, coalesce(cluster, '–') as name, max(queue_max)::DOUBLE as value
from queue_5m where list_contains(string_split($names, chr(31)), model_id) and ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ
group by 1, 2 order by 2, 1
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a lane: instants in epoch seconds, ascending."""

    name: str
    at: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Lane:
    """One measure over time; `allowed` is where it starts to be too much."""

    title: str
    unit: str  # share | rate | count | times
    lines: tuple[Line, ...]
    allowed: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at an instant, or lasted until another."""

    row: str  # changes | alerts | actions | people
    kind: str
    words: str
    start: datetime
    end: datetime | None = None
    state: str = "info"


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the timeline shows."""

    start: datetime
    end: datetime
    since: datetime
    until: datetime
    low: datetime | None
    high: datetime | None
    lanes: tuple[Lane, ...]
    events: tuple[Event, ...]
    queries: tuple[Query, ...]


def told(read: Reader, row: Row, now: datetime) -> Story:
    """The story of an incident.

    Args:
        read: answers SQL.
        row: the incident, as `incident.found` gives it.
        now: the present; an open incident lasts until then.
    """
    start, end = incident.around(row, now)
    bucket = next((b for b in BUCKETS_S if (end - start).total_seconds() / b <= MOST), BUCKETS_S[-1])
    aliases = catalogue.catalogue(read).models.get(row["model"], {}).get("aliases") or ()
    params: dict[str, Value] = {
        "id": row["incident_id"], "model": row["model"], "start": start, "end": end, "bucket": bucket,
        "coarse": max(bucket, COARSEST_SOURCE_S), "names": "\x1f".join((row["model"], *aliases)),
    }  # fmt: skip
    whole, coarse = (
        end.timestamp() - bucket,
        end.timestamp() - max(bucket, COARSEST_SOURCE_S),
    )  # the last bucket is not full
    made = [
        _lane("bad share", "share", _full(read(SLI, params), whole)), _lane("evidence ÷ needed", "times", read(EVIDENCE, params)),
        _traffic(_full(read(TRAFFIC, params), whole)), _lane("GPU busy", "share", _full(read(GPUS, params), coarse)),
        _lane("queue", "count", _full(read(QUEUE, params), coarse)),
    ]  # fmt: skip
    asked = [SLI, EVIDENCE, TRAFFIC, GPUS, QUEUE]
    shown = [(lane, sql) for lane, sql in zip(made, asked, strict=True) if lane is not None]
    alerts, steps = (read(sql, params).to_dicts() for sql in (incident.ALERTS, incident.STEPS))
    return Story(
        start, end, row["since"], max(row["resolved_at"] or now, row["since"]), row["since_low"], row["since_high"],
        tuple(lane for lane, _ in shown), (*_bars(alerts, end), *_marks(steps, start, end)),
        tuple(Query(sql, params) for sql in (*(sql for _, sql in shown), incident.ALERTS, incident.STEPS)),
    )  # fmt: skip


def _full(frame: pl.DataFrame, last: float) -> pl.DataFrame:
    """Without a bucket that began after `last` and is not over; all of them where nothing else is left."""
    whole = frame.filter(pl.col("epoch") <= last)
    return whole if whole.height else frame


def _lane(title: str, unit: str, frame: pl.DataFrame) -> Lane | None:
    """The lines of a frame of `epoch`, `name`, `value`; the ones that rise highest, None without a value."""
    frame = frame.filter(pl.col("value").is_finite())
    if frame.is_empty():
        return None
    names = frame.group_by("name").agg(pl.col("value").max()).sort(["value", "name"], descending=[True, False])
    chosen = names["name"].to_list()[:SERIES]
    lines = tuple(_line(str(n), frame.filter(pl.col("name") == n), "value") for n in chosen)
    allowed = frame["allowed"].drop_nulls() if "allowed" in frame.columns else None
    return Lane(title, unit, lines, float(allowed[0]) if allowed is not None and allowed.len() else None)


def _traffic(frame: pl.DataFrame) -> Lane | None:
    lines = tuple(_line(name, frame, name) for name in ("requests", "failed"))
    return Lane("requests a minute", "rate", lines) if frame.height > 1 else None


def _line(name: str, frame: pl.DataFrame, column: str) -> Line:
    return Line(name, tuple(frame["epoch"].to_list()), tuple(frame[column].to_list()))


def _bars(alerts: Sequence[Row], end: datetime) -> list[Event]:
    """Alerts as bars; one that fires lasts until the end of what is shown."""
    return [
        Event("alerts", a["severity"], f"{a['severity']} on {a['subject']}: {a['summary']}", a["starts_at"],
              max(a["ends_at"] or end, a["starts_at"]), a["severity"] if a["severity"] in ("page", "ticket") else "info")
        for a in alerts
    ]  # fmt: skip


def _marks(steps: Sequence[Row], start: datetime, end: datetime) -> list[Event]:
    """Changes, actions and what people did as marks; alerts and the incident itself are drawn otherwise."""
    made = []
    for step in steps:
        kind = step["kind"]
        row = "changes" if kind in CHANGES else {"action": "actions", "person": "people", "told": "people"}.get(kind)
        if row is None or not start <= step["ts"] <= end:
            continue
        state = (
            "page"
            if kind in ("xid", "ecc")
            else "ticket"
            if kind == "signal"
            else "unknown"
            if kind == "told"
            else "info"
        )
        made.append(Event(row, kind, str(step["words"]), step["ts"], None, state))
    return made
