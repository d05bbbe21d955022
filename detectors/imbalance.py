"""Do devices idle in one place while others are saturated?

In a 5-minute window a side is idle when devices that hold at least half of its capacity are, and
saturated when devices with at least 80 % of its capacity are. An idle side beside a saturated one in
three of four windows is reported, until that is so in at most one of four; an idle side that could not
take a tenth of what the full one does is none.

Sides of two clusters are the devices of one product, or, where the products differ, the whole clusters:
their devices are not worth the same, so each counts with its capacity (`capacity.weights`). In one cluster
the sides are two products. Of several pairs one of the same product is told before one of two clusters, that
before one of one cluster; among these the one with most idle capacity.

Source: METHODS section 7, "capacity-weighted idle beside saturation"; a counted fact, not a test.
Assumes: devices of one product do the same kind of work, and what devices of different products can do is
in proportion to their declared price, else to their memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from detectors import capacity
from detectors.capacity import Group
from detectors.identity import finding_id
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

IDLE_SHARE: Final = 0.5  # of a side's capacity
SATURATED_SHARE: Final = 0.8
WORTH: Final = 0.1  # of the saturated side's capacity: what idles must be able to take that much
K, M = 3, 4  # windows of the last ones in which it must be so; METHODS section 7, "persistence k of m windows"
_STEP: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Pair:
    """An idle side beside a saturated one."""

    idle: Group
    busy: Group

    @property
    def key(self) -> str:
        """What stays the same from window to window."""
        return "|".join((self.idle.cluster, self.idle.sku, self.busy.cluster, self.busy.sku))

    @property
    def rank(self) -> tuple[int, float, str]:
        """The pair worth telling most comes last: of one product, of two clusters, of one cluster."""
        same = self.idle.sku == self.busy.sku and not self.idle.whole
        likeness = 2 if same else 1 if self.idle.cluster != self.busy.cluster else 0
        return likeness, self.idle.idle_capacity, self.key


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """Only the windows to judge are wanted: the state remembers the ones before."""
    return window.start


def detect(evidence: Evidence) -> Detected:
    """Judge every 5-minute window.

    Args:
        evidence: frame `gpu_5m`: ts, cluster, sku, devices, util_mean, idle_devices, saturated_devices and, where
            it is known, mem_total_mib; a monitor's `params` may hold `prices`, USD an hour by accelerator type.

    Returns:
        One finding a monitor and window, and the last windows of every pair.
    """
    rows: dict[datetime, list[dict[str, Any]]] = {}
    for row in evidence.frames["gpu_5m"].iter_rows(named=True):
        rows.setdefault(row["ts"], []).append(row)
    findings, state = [], {}
    for monitor in evidence.monitors:
        memory = dict(evidence.state.get(monitor.monitor_id, {}))
        for start in _windows(evidence.window):
            held = capacity.weights(rows.get(start, ()), monitor.params.get("prices", {}))
            pairs = _pairs(capacity.groups(rows.get(start, ()), held))
            memory = _remember(memory, pairs, start) if start in rows else memory
            findings.append(_finding(monitor, start, pairs, memory, basis=held.basis if start in rows else None))
        state[monitor.monitor_id] = memory
    return Detected(tuple(findings), state)


def _windows(window: Window) -> Iterator[datetime]:
    step = int(_STEP.total_seconds())
    first = -(-int(window.start.timestamp()) // step) * step
    for at in range(first, int(window.end.timestamp()) - step + 1, step):
        yield datetime.fromtimestamp(at, UTC)


def _pairs(groups: Sequence[Group]) -> list[Pair]:
    """Idle sides beside saturated ones, the one worth telling most last."""
    sides = [*groups, *capacity.wholes(groups)]
    idle = [g for g in sides if g.idle_capacity >= IDLE_SHARE * g.capacity]
    busy = [g for g in sides if g.saturated_capacity >= SATURATED_SHARE * g.capacity]
    every = (Pair(i, b) for i in idle for b in busy if _comparable(i, b))
    return sorted((p for p in every if p.idle.idle_capacity >= WORTH * p.busy.capacity), key=lambda p: p.rank)


def _comparable(one: Group, other: Group) -> bool:
    """Whether two sides can be held against each other: not one with itself or with a part of it."""
    if one.cluster == other.cluster:
        return one.sku != other.sku and not (one.whole or other.whole)
    if one.sku == other.sku:
        return True
    return one.alone and other.alone


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


def _finding(monitor: Monitor, start: datetime, pairs: Sequence[Pair], memory: Json, *, basis: str | None) -> Finding:
    on = [key for key in memory if basis and memory[key]["on"]]  # without samples nothing is told, and nothing ends
    told = max(on, key=lambda key: tuple(memory[key]["rank"])) if on else None
    pair = next((p for p in pairs if p.key == told), pairs[-1] if pairs and not told else None)
    onset = datetime.fromisoformat(memory[told]["since"]) if told else None
    state = "alarm" if told else "ok" if basis else "unknown"
    share = 100.0 * pair.idle.idle_capacity / pair.idle.capacity if pair else None
    return Finding(
        finding_id=finding_id(monitor.monitor_id, start + _STEP), monitor_id=monitor.monitor_id, detector="imbalance",
        model=monitor.model, kind="imbalance", subject=monitor.feature, window_start=start, window_end=start + _STEP,
        state=state, severity=monitor.severity, evidence_nats=None, threshold_nats=None, effect=share,
        unit="%" if pair else None, ci_low=None, ci_high=None, onset=onset, onset_low=onset,
        onset_high=onset + _STEP if onset else None, n=pair.idle.devices + pair.busy.devices if pair else None,
        note=_note(pair, told, known=basis is not None), made_at=start + _STEP,
        details=_details(pair, memory, told) | ({"capacity": basis} if basis else {}),
    )  # fmt: skip


def _note(pair: Pair | None, told: str | None, *, known: bool) -> str:
    if pair is not None:
        i, b = pair.idle, pair.busy
        product = "" if i.sku == "?" or i.whole else f" {i.sku}"
        where = (i.cluster, b.cluster) if i.cluster != b.cluster else (f"{i.cluster} {i.sku}", f"{b.cluster} {b.sku}")
        by_capacity = ", by capacity" if i.whole or b.whole else ""
        idle = f"({i.idle} of {i.devices}{product} idle{by_capacity and f', {i.idle_capacity / i.capacity:.0%} of its capacity'})"
        said = f"{where[1]} is {b.util:.0%} busy while {where[0]} is {i.util:.0%} busy{by_capacity} {idle}"
        return said.replace("%", " %")
    if told:
        return "idle devices beside saturated ones in most of the last windows"
    return "no devices idle beside saturated ones" if known else "no GPU samples in this window"


def _details(pair: Pair | None, memory: Json, told: str | None) -> dict[str, Any]:
    if pair is None:
        return {"hits": memory[told]["hits"] if told else []}
    sides = {name: {"cluster": g.cluster, "sku": g.called, "devices": g.devices, "util": g.util, "idle": g.idle,
                    "saturated": g.saturated, "capacity": g.capacity} for name, g in (("idle", pair.idle), ("busy", pair.busy))}  # fmt: skip
    return {**sides, "hits": memory[pair.key]["hits"] if pair.key in memory else []}
