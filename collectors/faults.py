"""GPU faults as events: what changed for the worse is a fault, what stands is not a new one.

A device seen for the first time only sets the state, whatever it says: it may have stood there for
weeks. So a restart repeats nothing as long as the caller keeps the state.

Source: dcgm-exporter #500, #190 (the XID gauge keeps the last code until the driver restarts and hides
repeats), its collectors `xid_total` and `gpu_health`; NVIDIA, "GPU Memory Error Management", for
row remapping; DCGM `dcgmHealthWatchResults_t`: 0 pass, 10 warn, 20 fail.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from collectors import xid
from collectors.mapping import load

if TYPE_CHECKING:
    import polars as pl

Json = Mapping[str, Any]

MAX_DEVICES: Final = 20_000  # whose state one target may fill; beyond it only those of the newest page are kept
_WINDOW_MS: Final = 600_000  # a gauge may tell an XID this long before or after a count tells the same one
_COUNTS: Final = ("DCGM_EXP_XID_ERRORS_TOTAL", "DCGM_EXP_XID_ERRORS_COUNT")
_HEALTH: Final = "DCGM_EXP_GPU_HEALTH_STATUS"
_PLACE: Final = ("ts", "device_id", "cluster", "node", "namespace")
_NAMES: Final = (
    "ts", "event_id", "kind", "object_kind", "object_name", "namespace", "cluster", "node", "before", "after", "severity", "message",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Rise:
    """A column whose rise is a fault; `says` may use `{n}`, by how much it rose."""

    column: str
    severity: str
    says: str


_RISES: Final = (
    _Rise("ecc_dbe_total", "error", "{n:g} new uncorrected ECC errors"),
    _Rise("remapped_uncorr", "warning", "{n:g} more memory rows remapped after uncorrected errors"),
    _Rise("row_remap_pending", "warning", "a row remap waits for a reset of the GPU"),
    _Rise("row_remap_failure", "error", "a row remap failed: the board has no spare rows left there"),
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a page says of one device at one instant; `counts` are XIDs by code, `health` by watched part."""

    place: Mapping[str, Any]
    values: Mapping[str, Any]
    counts: Mapping[str, float]
    health: Mapping[str, float]


def faults(
    previous: Json, tables: Mapping[str, pl.DataFrame], at: datetime, most: int = MAX_DEVICES
) -> tuple[pl.DataFrame | None, dict[str, Json]]:
    """Change events for what became worse since the last page.

    Args:
        previous: state by device_id, as returned for the page before; plain JSON.
        tables: `gpu_sample` and `metric_sample` of one target.
        at: instant for rows without one.
        most: devices whose state is kept.

    Returns:
        Rows of `change_event` in order of time, or None without any; and the state now. Devices that
        the page does not name keep theirs.
    """
    state = dict(previous)
    events: list[dict[str, Any]] = []
    pages = list(_pages(tables))
    for seen in pages:
        device = seen.place["device_id"]
        before = state.get(device)
        state[device] = _after(before or {}, seen)
        if before is not None:
            events += _worse(before, seen, at, state[device])
    if len(state) > most:
        state = {seen.place["device_id"]: state[seen.place["device_id"]] for seen in pages}
    return (_frame(events) if events else None), state


def _frame(events: list[dict[str, Any]]) -> pl.DataFrame:
    from observe.schema import TABLES
    from observe.schema.exchange import frame

    return frame(TABLES["change_event"], {name: [event[name] for event in events] for name in _NAMES})


def _pages(tables: Mapping[str, pl.DataFrame]) -> Iterator[_Seen]:
    samples = tables.get("gpu_sample")
    if samples is None:
        return
    counts, health = _told(tables.get("metric_sample"))
    columns = ["xid_last", "state", *(rise.column for rise in _RISES)]
    wanted = [c for c in (*_PLACE, *columns) if c in samples.columns]
    for row in samples.select(wanted).sort("ts", maintain_order=True).iter_rows(named=True):
        device = row["device_id"]
        place = {name: row.get(name) for name in _PLACE}
        values = {name: row[name] for name in columns if row.get(name) is not None}
        yield _Seen(place, values, counts.get(device, {}), health.get(device, {}))


def _told(long: pl.DataFrame | None) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """XID counts and health by device, of the rows of the long form that tell them."""
    import polars as pl

    counts: dict[str, dict[str, float]] = defaultdict(dict)
    health: dict[str, dict[str, float]] = defaultdict(dict)
    if long is None:
        return counts, health
    rows = long.filter(pl.col("metric").is_in((*_COUNTS, _HEALTH))).select("metric", "labels", "value")
    for metric, text, value in rows.iter_rows():
        labels = json.loads(text)
        device = load().label(labels, "uuid")
        if device and metric == _HEALTH:
            health[device][labels.get("health_watch", "")] = value
        elif device and labels.get("xid", "0") != "0":
            counts[device][f"{metric}/{labels['xid']}"] = value
    return counts, health


def _after(before: Json, seen: _Seen) -> dict[str, Any]:
    """The state of a device once this page is known; a count that is not on the page is 0 again."""
    kept = {k: v for k, v in before.items() if k not in ("counts", "health")}
    return {**kept, **seen.values, "counts": dict(seen.counts), "health": {**before.get("health", {}), **seen.health}}


def _worse(before: Json, seen: _Seen, at: datetime, state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from _xids(before, seen, at, state)
    for rise in _RISES:
        old, new = before.get(rise.column), seen.values.get(rise.column)
        if old is not None and new is not None and new > old:
            says = rise.says.format(n=new - old)
            yield _event(seen, at, ("ecc", rise.column, rise.severity), (f"{old:g}", f"{new:g}"), says)
    if seen.values.get("state") == "lost" and before.get("state", "ok") != "lost":
        says = "GPU lost: the driver no longer answers for it"
        yield _event(seen, at, ("disruption", "lost", "error"), (before.get("state", "ok"), "lost"), says)
    for part, value in seen.health.items():
        old = before.get("health", {}).get(part)
        if old is not None and value > old and value >= 10:
            grade = ("disruption", f"health/{part}", "error" if value >= 20 else "warning")
            yield _event(seen, at, grade, (f"{old:g}", f"{value:g}"), f"DCGM health of {part} turned bad")


def _xids(before: Json, seen: _Seen, at: datetime, state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """XIDs that are new by their counts, else by a changed gauge; one that both tell is one event."""
    now = int((seen.place["ts"] or at).timestamp() * 1000)
    told = {code: by for code, by in before.get("told", {}).items() if abs(now - by[1]) <= _WINDOW_MS}
    new = _risen(before, seen)
    for code in new:
        if told.get(str(code), ("",))[0] == "gauge":  # the gauge was first: that one is known
            new[code] -= 1
        told[str(code)] = ["count", now]
    old, gauge = before.get("xid_last"), seen.values.get("xid_last")
    if old is not None and gauge not in (None, 0, old) and told.get(str(gauge), ("",))[0] != "count":
        new[int(gauge)] = 1
        told[str(gauge)] = ["gauge", now]
    state["told"] = told
    for code, n in sorted(new.items()):
        if n > 0:
            says = f"XID {code}: {xid.meaning(code)}" + (f", {n} times" if n > 1 else "")
            yield _event(seen, at, ("xid", str(code), xid.severity(code)), (str(old or 0), str(code)), says)


def _risen(before: Json, seen: _Seen) -> dict[int, int]:
    """How often XIDs occurred since the last page, by code, as the greater of the two counts tells."""
    new: dict[int, int] = {}
    for name, count in seen.counts.items():
        code = name.rpartition("/")[2]
        risen = int(count - before.get("counts", {}).get(name, 0.0))
        if risen > 0 and code.isdecimal():
            new[int(code)] = max(new.get(int(code), 0), risen)
    return new


def _event(
    seen: _Seen, at: datetime, grade: tuple[str, str, str], values: tuple[str, str], says: str
) -> dict[str, Any]:
    """One row; `grade` is kind, what exactly, severity; `values` before and after."""
    place = seen.place
    ts, device, (kind, what, severity) = place["ts"] or at, place["device_id"], grade
    ms = int(ts.timestamp() * 1000)
    return {
        "ts": ts, "event_id": f"xid/{device}/{ms}/{what}" if kind == "xid" else f"{kind}/{what}/{device}/{ms}", "kind": kind,
        "object_kind": "GPU", "object_name": device, "namespace": place["namespace"], "cluster": place["cluster"],
        "node": place["node"], "before": values[0], "after": values[1], "severity": severity,
        "message": f"{says} on {place['node'] or device}",
    }  # fmt: skip
