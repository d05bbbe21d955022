"""Do devices idle in one place while another is saturated?

In a 5-minute window a group (cluster and product) is idle when at least half its devices are, and
saturated when at least 80 % of them are. An idle group beside a saturated one in three of four
windows is reported, until that is so in at most one of four. Of several pairs the one of the same
product with most idle devices is told.

Source: METHODS section 7; a counted fact, not a test.
Assumes: devices of one group do the same kind of work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from detectors.identity import finding_id
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

IDLE_SHARE: Final = 0.5
SATURATED_SHARE: Final = 0.8
K, M = 3, 4  # windows of the last ones in which it must be so; METHODS section 7, "persistence k of m windows"
_STEP: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Group:
    """Devices of one product in one cluster, in one window."""

    cluster: str
    sku: str
    devices: int
    util: float
    idle: int
    saturated: int


@dataclass(frozen=True, slots=True)
class Pair:
    """An idle group beside a saturated one."""

    idle: Group
    busy: Group

    @property
    def key(self) -> str:
        """What stays the same from window to window."""
        return "|".join((self.idle.cluster, self.idle.sku, self.busy.cluster, self.busy.sku))

    @property
    def rank(self) -> tuple[bool, int, str]:
        """The pair worth telling most comes last."""
        return self.idle.sku == self.busy.sku, self.idle.idle, self.key


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """Only the windows to judge are wanted: the state remembers the ones before."""
    return window.start


def detect(evidence: Evidence) -> Detected:
    """Judge every 5-minute window.

    Args:
        evidence: frame `gpu_5m`: ts, cluster, sku, devices, util_mean, idle_devices, saturated_devices.

    Returns:
        One finding a monitor and window, and the last windows of every pair.
    """
    groups: dict[datetime, list[Group]] = {}
    for row in evidence.frames["gpu_5m"].iter_rows(named=True):
        groups.setdefault(row["ts"], []).append(_group(row))
    findings, state = [], {}
    for monitor in evidence.monitors:
        memory = dict(evidence.state.get(monitor.monitor_id, {}))
        for start in _windows(evidence.window):
            pairs = _pairs(groups.get(start, ()))
            memory = _remember(memory, pairs, start)
            findings.append(_finding(monitor, start, pairs, memory, known=start in groups))
        state[monitor.monitor_id] = memory
    return Detected(tuple(findings), state)


def _windows(window: Window) -> Iterator[datetime]:
    step = int(_STEP.total_seconds())
    first = -(-int(window.start.timestamp()) // step) * step
    for at in range(first, int(window.end.timestamp()) - step + 1, step):
        yield datetime.fromtimestamp(at, UTC)


def _group(row: dict[str, Any]) -> Group:
    return Group(
        row["cluster"] or "?", row["sku"] or "?", int(row["devices"] or 0), float(row["util_mean"] or 0.0),
        int(row["idle_devices"] or 0), int(row["saturated_devices"] or 0),
    )  # fmt: skip


def _pairs(groups: Sequence[Group]) -> list[Pair]:
    """Idle groups beside saturated ones, the one worth telling most last."""
    idle = [g for g in groups if g.devices and g.idle >= IDLE_SHARE * g.devices]
    busy = [g for g in groups if g.devices and g.saturated >= SATURATED_SHARE * g.devices]
    return sorted((Pair(i, b) for i in idle for b in busy if i != b), key=lambda p: p.rank)


def _remember(memory: Json, pairs: Sequence[Pair], start: datetime) -> dict[str, Any]:
    """Of every pair: in which of the last windows it was so, since when, and whether it is reported."""
    now = {p.key: p for p in pairs}
    result = {}
    for key in sorted({*memory, *now}):
        past = memory.get(key, {"hits": [], "since": None, "on": False, "rank": []})
        hits = [*past["hits"], key in now][-M:]
        if not any(hits):
            continue
        on = sum(hits) >= K or (past["on"] and sum(hits) > 1)
        rank = list(now[key].rank) if key in now else past["rank"]
        result[key] = {"hits": hits, "since": past["since"] or start.isoformat(), "on": on, "rank": rank}
    return result


def _finding(monitor: Monitor, start: datetime, pairs: Sequence[Pair], memory: Json, *, known: bool) -> Finding:
    on = [key for key in memory if memory[key]["on"]]
    told = max(on, key=lambda key: tuple(memory[key]["rank"])) if on else None
    pair = next((p for p in pairs if p.key == told), pairs[-1] if pairs and not told else None)
    onset = datetime.fromisoformat(memory[told]["since"]) if told else None
    state = "alarm" if told else "ok" if known else "unknown"
    share = 100.0 * pair.idle.idle / pair.idle.devices if pair else None
    return Finding(
        finding_id=finding_id(monitor.monitor_id, start + _STEP), monitor_id=monitor.monitor_id, detector="imbalance",
        model=monitor.model, kind="imbalance", subject=monitor.feature, window_start=start, window_end=start + _STEP,
        state=state, severity=monitor.severity, evidence_nats=None, threshold_nats=None, effect=share,
        unit="%" if pair else None, ci_low=None, ci_high=None, onset=onset, onset_low=onset,
        onset_high=onset + _STEP if onset else None, n=pair.idle.devices + pair.busy.devices if pair else None,
        note=_note(pair, told, known=known), details=_details(pair, memory, told), made_at=start + _STEP,
    )  # fmt: skip


def _note(pair: Pair | None, told: str | None, *, known: bool) -> str:
    if pair is not None:
        i, b = pair.idle, pair.busy
        product = "" if i.sku == "?" else f" {i.sku}"
        where = (i.cluster, b.cluster) if i.cluster != b.cluster else (f"{i.cluster} {i.sku}", f"{b.cluster} {b.sku}")
        return f"{where[1]} is {b.util:.0%} busy while {where[0]} is {i.util:.0%} busy ({i.idle} of {i.devices}{product} idle)".replace(
            "%", " %"
        )
    if told:
        return "idle devices beside saturated ones in most of the last windows"
    return "no devices idle beside saturated ones" if known else "no GPU samples in this window"


def _details(pair: Pair | None, memory: Json, told: str | None) -> dict[str, Any]:
    if pair is None:
        return {"hits": memory[told]["hits"] if told else []}
    sides = {name: {"cluster": g.cluster, "sku": g.sku, "devices": g.devices, "util": g.util, "idle": g.idle,
                    "saturated": g.saturated} for name, g in (("idle", pair.idle), ("busy", pair.busy))}  # fmt: skip
    return {**sides, "hits": memory[pair.key]["hits"] if pair.key in memory else []}
