"""What is wrong, doubtful or unknown about an installation: sources, pipeline, what is sent, disk, clock.

The store's views say it (`source_health`, `pipeline_health`, `telemetry_doubt`), so that a person at a
terminal is told what the Health page shows; here it becomes findings with what to do.

Source: our own. This is what `observe doctor` prints.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from observe.app.reaching_own import used
from observe.spec.quantity import write_duration

State = Literal["ok", "doubt", "wrong", "unknown"]
Ask = Callable[[str], pl.DataFrame]

SOURCES: Final = "select source, target, way, state, judged_at, last_heard, lag_s, stored_1h, errors_1h, last_error from source_health order by source, target"
PARTS: Final = "select part, state, judged_at, age_s, value, most, unit, todo from pipeline_health"
DOUBTS: Final = 'select level, source, what, n, "of", why, todo from telemetry_doubt order by level, n desc nulls last, source, what'
DELIVERIES: Final = """
select url, state, tries, error from undelivered qualify row_number() over (partition by url order by state = 'waiting', tried_at desc) = 1
order by url
"""
ACTIONS: Final = """
select target, state, count(*) as n, arg_max(error, changed_at) as error from action
where changed_at > now() - interval 7 days and mode <> 'dry_run' and ((state = 'failed' and attempts > 0) or (state = 'sent' and error is not null))
group by all order by target, state
"""
STALE: Final = timedelta(minutes=3)  # a running service writes about itself once a minute
_LOW_DISK: Final = 1 << 30  # bytes; below 256 MB nothing is taken any more
_STATES: Final[Mapping[str, State]] = {"failing": "wrong", "silent": "wrong", "never": "unknown", "ok": "ok"}
_TODO: Final = {
    "failing": "observe check --live tries it now; the error says what answered",
    "silent": "look whether its sender runs and may reach us; nothing has come for longer than it should",
    "never": "nobody has connected it yet; remove it from the site when nobody will",
}
_PARTS: Final = {
    "queue": "intake queue", "commit": "commit", "seal": "seal", "summarise": "summaries", "judge": "judging", "store": "store", "kept": "raw rows", "disk": "disk",
    "halves": "halves of calls", "memory": "memory", "event_loop": "event loop", "stages": "failed stages", "children": "child restarts", "deliveries": "alerts to send",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that was looked at: its state, what was seen, what to do when it is not fine."""

    part: str  # service | store | source | pipeline | telemetry | delivery | action
    subject: str
    state: State
    said: str
    todo: str = ""


def of_data(ask: Ask, now: datetime, *, running: bool) -> list[Seen]:
    """Everything the data itself says.

    Args:
        ask: answers one SELECT over the views.
        now: the present.
        running: whether a service should be writing about itself at this moment.
    """
    parts, sources = ask(PARTS), ask(SOURCES)
    seen = [*_alive(parts, now, running=running), *_of_parts(parts), *_of_sources(sources)]
    return [*seen, *_of_deliveries(ask(DELIVERIES)), *_of_actions(ask(ACTIONS)), *_of_doubts(ask(DOUBTS))]


def of_disk(path: Path, size_bytes: int | None = None) -> Seen:
    """Whether the disk has room for what the site allows the store."""
    free = shutil.disk_usage(path).free
    taken = used(path)
    said = f"{_bytes(taken)} used, {_bytes(free)} free"
    if size_bytes is not None:
        said += f", may take {_bytes(size_bytes)}"
    if free < _LOW_DISK:
        return Seen("store", str(path), "wrong", said, "make room: below 256 MB free nothing is taken any more")
    if size_bytes is not None and taken + free < size_bytes:
        return Seen(
            "store",
            str(path),
            "doubt",
            said,
            "the disk is full before store.size is met: lower store.size, or make room",
        )
    return Seen("store", str(path), "ok", said)


def of_clock(theirs: datetime, ours: datetime) -> Seen:
    """Whether the service's clock agrees with the one of whoever asks."""
    apart = (theirs - ours).total_seconds()
    if abs(apart) <= 5:
        return Seen("service", "clock", "ok", "agrees with the clock here")
    way = "ahead of" if apart > 0 else "behind"
    said = f"{write_duration(round(abs(apart)))} {way} the clock here"
    return Seen(
        "service", "clock", "doubt", said, "let ntpd or chrony set both clocks; windows close by the service's clock"
    )


def _alive(parts: pl.DataFrame, now: datetime, *, running: bool) -> Iterator[Seen]:
    """Whether what follows is told for this moment."""
    todo = (
        "look at the service's log; without this nobody knows whether the rest is fine"
        if running
        else "start it: observe up"
    )
    if parts.is_empty():
        yield Seen("pipeline", "vital signs", "unknown", "the service has written nothing about itself yet", todo)
        return
    age = max(0.0, (now - parts["judged_at"][0]).total_seconds())
    said = f"last written {_span(age)} ago" + (
        "" if running else "; the service is stopped, what follows was true then"
    )
    late = age > STALE.total_seconds()
    yield Seen(
        "pipeline", "vital signs", ("wrong" if running else "unknown") if late else "ok", said, todo if late else ""
    )


def _of_sources(sources: pl.DataFrame) -> Iterator[Seen]:
    for row in sources.iter_rows(named=True):
        name = row["source"] if row["target"] == "push" else f"{row['source']} {row['target'].removeprefix('push/')}"
        yield Seen("source", name, _STATES.get(row["state"], "unknown"), _heard(row), _TODO.get(row["state"], ""))


def _heard(row: Mapping[str, Any]) -> str:
    if row["state"] == "never":
        return "has never been heard"
    heard = row["last_heard"]
    age = f"heard {_span(max(0.0, (row['judged_at'] - heard).total_seconds()))} before" if heard else "never heard"
    state = "" if row["state"] == "ok" else f"{row['state']}: "
    said = f"{state}{age}, {row['stored_1h']:,} rows in the last hour"
    if row["errors_1h"]:
        said += f", {row['errors_1h']} {'try' if row['errors_1h'] == 1 else 'tries'} failed"
    return f"{said}: {row['last_error']}" if row["state"] == "failing" and row["last_error"] else said


def _of_parts(parts: pl.DataFrame) -> Iterator[Seen]:
    for row in parts.iter_rows(named=True):
        fine = row["state"] in ("ok", "unknown")
        yield Seen(
            "pipeline", _PARTS.get(row["part"], row["part"]), row["state"], _measured(row), "" if fine else row["todo"]
        )


def _measured(row: Mapping[str, Any]) -> str:
    value, unit = row["value"], row["unit"]
    if row["age_s"] is None and value is None:
        return "nothing to tell yet"
    number = "" if value is None else _amount(value, unit)
    if row["age_s"] is None:
        return {"disk": f"{number} free", "kept": f"kept {_span(value or 0)} only"}.get(row["part"], number)
    behind = f"{_span(max(0.0, row['age_s']))} behind"
    return f"{behind}, {number} wait" if number else behind


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return _bytes(value)
    if unit == "ratio":
        return f"{value:.1%} full"
    return f"{value:.3g} s" if unit == "s" else f"{value:,.0f} {unit}"


def _of_deliveries(rows: pl.DataFrame) -> Iterator[Seen]:
    for row in rows.iter_rows(named=True):
        said = f"{row['state']} after {row['tries']} {'try' if row['tries'] == 1 else 'tries'}: {row['error'] or 'no answer'}"
        state: State = "doubt" if row["state"] == "waiting" else "wrong"
        yield Seen(
            "delivery", row["url"], state, said, "observe check --live tries it; `alerts:` of the site file names it"
        )


def _of_actions(rows: pl.DataFrame) -> Iterator[Seen]:
    for row in rows.iter_rows(named=True):
        waits = row["state"] == "sent"
        how = "not taken yet" if waits else "failed in the last seven days"
        said = f"{row['n']} {how}: {row['error'] or 'no answer'}"
        todo = "observe actions --all tells them; observe check --live tries the target"
        yield Seen("action", row["target"], "doubt" if waits else "wrong", said, todo)


def _of_doubts(rows: pl.DataFrame) -> Iterator[Seen]:
    for row in rows.iter_rows(named=True):
        n = "" if row["n"] is None else f" ({row['n']:,} of {row['of']:,})" if row["of"] else f" ({row['n']:,})"
        state: State = "doubt" if row["level"] == "doubt" else "unknown"
        yield Seen("telemetry", row["source"], state, f"{row['what']}{n}: {row['why']}", row["todo"])


def _bytes(size: float) -> str:
    units = ("B", "kB", "MB", "GB", "TB")
    power = min(len(units) - 1, max(0, len(str(int(size))) - 1) // 3)
    return f"{size / 1000**power:.{1 if power else 0}f} {units[power]}"


def _span(seconds: float) -> str:
    """A length of time in words, no finer than is of use."""
    for size, unit in ((172_800, 86_400), (7_200, 3_600), (120, 60)):
        if seconds >= size:
            return f"{seconds / unit:.0f} { {86_400: 'd', 3_600: 'h', 60: 'min'}[unit] }"
    return f"{seconds:.0f} s"
