"""The service's own parts: how full, how far behind, how large, each with how it went.

Source: our own; views `pipeline_health` and `service_sample`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from dashboards import cards, figures, words
from dashboards.cards import Badge, Query
from dashboards.palette import palette
from dashboards.reader import Reader
from dashboards.scope import Scope
from observe.schema.damage import STILL_TOLD

PARTS = "select part, state, judged_at, age_s, value, most, unit, todo from pipeline_health"
DAMAGES = f"select count(*) as n from core.damage where {STILL_TOLD}"
TREND = """
select (floor(epoch(ts) / $bucket) * $bucket)::DOUBLE as epoch, max(queue_ratio)::DOUBLE as queue, max(rss_bytes)::DOUBLE as memory,
  max(lake_bytes + database_bytes)::DOUBLE as store, max(loop_lag_max_s)::DOUBLE as event_loop, max(hot_rows)::DOUBLE as seal,
  max(epoch(ts) - epoch(summarised_until))::DOUBLE as summarise, max(epoch(ts) - epoch(judged_until))::DOUBLE as judge,
  min(disk_free_bytes)::DOUBLE as disk
from service_sample where ts >= $start::TIMESTAMPTZ and ts < $end::TIMESTAMPTZ group by 1 order by 1
"""
NEWEST = """
select ts, last_commit_at, last_seal_at, summarised_until, judged_until, open_alerts, deliveries_waiting, child_restarts_total, stage_errors_total
from service_sample order by ts desc limit 1
"""
STALE: Final = timedelta(minutes=3)  # the service writes about itself once a minute
_MARKS: Final = {"ok": "ok", "doubt": "ticket", "wrong": "page", "unknown": "unknown"}
_SAYS: Final = {
    "queue": "The intake queue is filling", "commit": "Rows wait and do not become durable", "seal": "Rows are not sealed",
    "summarise": "Summaries are behind", "judge": "Judging is behind", "store": "The store is larger than store.size", "kept": "The store is full: raw rows leave early", "disk": "The disk is nearly full",
    "memory": "The service needs much memory", "event_loop": "Answers to senders are late", "stages": "Stages failed in the last hour",
    "children": "Processes of ours ended in the last hour", "deliveries": "Alerts wait for a receiver",
    "halves": "Halves of calls to model servers wait too long",
}  # fmt: skip


def age(parts: pl.DataFrame, now: datetime) -> timedelta | None:
    """How old the newest minute is that the service wrote about itself; None when there is none."""
    return None if parts.is_empty() else max(timedelta(0), now - parts["judged_at"][0])


def sentence(part: Mapping[str, Any]) -> str:
    """What is not fine about a part, with its number."""
    number = words.span(part["age_s"]) if part["age_s"] is not None else amount(part["value"], part["unit"])
    return f"{_SAYS.get(part['part'], part['part'])} ({number})"


def amount(value: float | None, unit: str) -> str:
    """A measured value in words.

    >>> amount(1.5e9, "bytes"), amount(0.12, "ratio"), amount(3.0, "times")
    ('1.5 GB', '12 %', '3 times')
    """
    if value is None:
        return words.UNKNOWN
    if unit == "bytes":
        return size(value)
    if unit == "ratio":
        return words.share(value)
    if unit == "s":
        return words.span(value) if value >= 60 else words.seconds(value)
    return f"{words.count(value)} {unit}"


def size(value: float | None) -> str:
    """Bytes in words.

    >>> size(900.0), size(2_340_000.0)
    ('900 B', '2.34 MB')
    """
    if value is None:
        return words.UNKNOWN
    for step, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= step:
            return f"{words.number(value / step)} {unit}"
    return f"{value:.0f} B"


def stats(read: Reader, view: Scope, parts: pl.DataFrame) -> list[Any]:
    """Eight numbers of the pipeline, in the order rows take; none when the service has written nothing."""
    if parts.is_empty():
        return []
    trend, newest = read(TREND, view.params), read(NEWEST).row(0, named=True)
    known = {r["part"]: r for r in parts.iter_rows(named=True)}
    made = _Made(view, trend, known)
    return cards.gather(
        lambda: made.stat("queue", "Intake queue", words.share(known["queue"]["value"]), f"{size(known['commit']['value'])} wait for the committer", 0.0),
        lambda: made.stat("commit", "Last commit", _ago(newest["last_commit_at"], view), "durable before a sender is answered"),
        lambda: made.stat("seal", "Not sealed yet", f"{words.count(known['seal']['value'])} rows", f"last sealed {_ago(newest['last_seal_at'], view)}", 0.0),
        lambda: made.stat("summarise", "Summaries behind", _behind(known["summarise"]), "the source furthest behind", 0.0),
        lambda: made.stat("judge", "Judging behind", _behind(known["judge"]), "the quick detector furthest behind", 0.0),
        lambda: made.stat("store", "Store", size(known["store"]["value"]), _room(known), 0.0),
        lambda: made.stat("memory", "Memory", size(known["memory"]["value"]), f"of the core; {size(known['memory']['most'])} is foreseen", 0.0),
        lambda: made.stat("event_loop", "Event loop", words.seconds(known["event_loop"]["value"]), "latest turn of the last 10 min", 0.0),
        spans=(3,) * 8,
    )  # fmt: skip


class _Made:
    """What all numbers of one view share."""

    def __init__(self, view: Scope, trend: pl.DataFrame, known: Mapping[str, Mapping[str, Any]]) -> None:
        self._view, self._trend, self._known = view, trend, known
        self._stale = view.now - next(iter(known.values()))["judged_at"] > STALE

    def stat(self, part: str, label: str, value: str, sub: str, low: float | None = None) -> Any:
        """One number with its state and how it went."""
        p, state = palette(self._view.theme), self._known[part]["state"]
        mark = (
            Badge("unknown", "stale")
            if self._stale
            else Badge(_MARKS[state], "no data" if state == "unknown" else state)
        )
        colour = p.page if mark.state == "page" else p.ticket if mark.state == "ticket" else p.series[0]
        values = self._trend[part].to_list() if part in self._trend.columns else []
        line = figures.sparkline(values, colour, low, _top(values, self._known[part]))
        return cards.stat(label, value, sub, mark, line, [Query(PARTS), Query(TREND, self._view.params), Query(NEWEST)])


def _top(values: list[float | None], part: Mapping[str, Any]) -> float:
    """Top of the scale: half of what is still fine, or the largest value; so that noise looks like noise."""
    fine = part["most"] if part["part"] in ("queue", "summarise", "judge", "memory", "event_loop") else None
    return max([1e-9, *(v for v in values if v is not None), (fine or 0.0) / 2])


def _ago(instant: datetime | None, view: Scope) -> str:
    return f"{words.span(max(timedelta(0), view.now - instant))} ago" if instant else "never"


def _behind(part: Mapping[str, Any]) -> str:
    return words.span(max(0.0, part["age_s"])) if part["age_s"] is not None else words.UNKNOWN


def _room(known: Mapping[str, Mapping[str, Any]]) -> str:
    most = known["store"]["most"]
    limit = f"of {size(most / 1.1)}; " if most else ""
    return f"{limit}{size(known['disk']['value'])} free on the disk"
