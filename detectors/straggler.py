"""Which device falls behind the devices that do the same work?

Two numbers tell a device from its peers, `work` and `pace` (`detectors.peers`). Their 15-minute means are
held against the device's own last five days (`detectors.usual`): a device that is always a little slower is its
own normal, and told as such. Beside it, what is more than 3.5 robust sigma behind in three of four windows is
told at once, where that never lasts so long among its peers. A device at rest is judged by that
rule only: how long its peers rest at most is learnt, what it does then is no measure of how well it works. When a quarter of a group drops together, the
group does not do the same work any more, and nobody is called a straggler.

The evidence needed is the monitor's plus ln(2 G), as G devices with two numbers share its part of the budget.

Source: METHODS section 7 ("Latency, gauges, peers").
Assumes: peers are offered the same work; two days of a device's past are mostly normal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from math import log
from typing import Any, Final

import numpy as np
import polars as pl

from detectors import peers, usual
from detectors.fleet_memory import BLOCK_S, BLOCKS, DAY, Lag, Memory
from detectors.straggling import Behind, Told, everyday, summary, told
from observe.schema import Detected, Evidence, Finding, Json, Monitor, Window

FEWEST: Final = 2 * DAY  # known blocks before a device is judged: two days
HUGE: Final = 3.5  # robust sigma behind; METHODS section 7
_HUGE_LEAST: Final[Mapping[str, float]] = {"work": -0.5, "pace": -0.15}  # share below peers that is huge as well
LEAST: Final = 3.0  # % beyond its own usual gap that matters
TOGETHER: Final = 0.25  # share of a group that drops at once: not stragglers
_RECENT: Final = 8  # blocks: two hours
_BACK: Final = 0.4  # of the gap that was told; a device nearer to its usual than this is back
_SCREEN: Final = 0.25  # sigma below the median; streams above it cannot be near an alarm
_TOLD_EVERY: Final = 4  # blocks between findings of a device that stays behind


def since(monitor: Monitor, state: Json, window: Window) -> datetime:
    """Only the windows to judge are wanted: the state remembers the days before."""
    return window.start


def detect(evidence: Evidence) -> Detected:
    """Judge every 15-minute block.

    Args:
        evidence: frame `device_5m`: ts, device_id, parent_uuid, mig_profile, cluster, node, gpu_index, sku,
            workload, util, tensor, dram, power, sm_clock, temp.

    Returns:
        One finding a monitor and block, which names the device furthest behind (`inform_only`: its class missed
        its gate), and hourly signals of severity `inform` about each device that is; state by monitor.
    """
    findings: list[Finding] = []
    state: dict[str, Json] = {}
    for monitor in evidence.monitors:
        memory = Memory.of(evidence.state.get(monitor.monitor_id, {}))
        if (at := evidence.accepted.get(monitor.monitor_id)) is not None:
            memory.accept(int(at.timestamp()))
        judge = _Judge(monitor, memory)
        for end, rows in _blocks(evidence.frames["device_5m"], evidence.window):
            findings += judge.block(end, rows)
        state[monitor.monitor_id] = memory.dumped()
    return Detected(tuple(sorted(findings, key=lambda f: (f.window_end, f.finding_id))), state)


def _blocks(rows: pl.DataFrame, window: Window) -> Iterator[tuple[int, pl.DataFrame]]:
    """Ends of the blocks that end in the window, with their rows beside their peers."""
    first, last = (int(t.timestamp()) // BLOCK_S * BLOCK_S for t in (window.start, window.end))
    seen = peers.compared(peers.groups(rows)).with_columns(pl.col("ts").dt.epoch("s").alias("at"))
    parts = seen.with_columns(((pl.col("at") // BLOCK_S + 1) * BLOCK_S).alias("end")).partition_by("end", as_dict=True)
    for end in range(first + BLOCK_S, last + 1, BLOCK_S):
        yield end, parts.get((end,), seen.clear())


class _Judge:
    """One monitor's devices, block after block."""

    def __init__(self, monitor: Monitor, memory: Memory) -> None:
        self._monitor, self._memory = monitor, memory

    def block(self, end: int, rows: pl.DataFrame) -> list[Finding]:
        """What is said about the block that ends at `end`."""
        memory = self._memory
        means = _means(rows)
        memory.push(end, means)
        huge = self._huge(rows, end)
        places = {r["device_id"]: r for r in means.iter_rows(named=True)}
        began = self._began(end, places, huge)
        self._ended(end, places)
        behind = sorted((self._behind(name, end, places) for name in memory.lags), key=lambda b: b.rank)
        judged = self._counts(places)
        findings = [summary(self._monitor, end, Told(behind, judged, began))]
        for b in behind:
            if (end - b.lag.at) % (_TOLD_EVERY * BLOCK_S) == 0:
                findings.append(told(self._monitor, end, b))
        if not behind and end % (DAY * BLOCK_S) == 0:  # a quiet finding would end the alarm of its monitor
            findings += everyday(self._monitor, end, memory, places)
        return findings

    def _counts(self, places: Mapping[str, Mapping[str, Any]]) -> Mapping[str, int]:
        """Devices by what can be said of them."""
        known = self._memory.known()
        counts: dict[str, int] = defaultdict(int, devices=len(places))
        for device, row in places.items():
            enough = any(known.get(f"{device}|{kind}", 0) >= FEWEST for kind in peers.KINDS)
            what = "too_few" if row["peers"] < peers.FEWEST else "judged" if enough else "learning"
            counts[what] += 1
        counts["groups"] = len({row["group"] for row in places.values() if row["peers"] >= peers.FEWEST})
        return counts

    # --- huge drops, at once -----------------------------------------------------------------------

    def _huge(self, rows: pl.DataFrame, end: int) -> dict[str, int]:
        """Streams that are hugely behind for longer than peers ever are, with when that began (epoch s)."""
        runs, found = self._memory.runs, {}
        for kind in peers.KINDS:
            hit = (pl.col(f"{kind}_least") < -HUGE) & (pl.col(f"{kind}_ratio") < _HUGE_LEAST[kind])
            part = rows.filter(pl.col(kind).is_not_null()).select("at", "device_id", "group", hit.alias("hit"))
            for at, device, group, is_hit in part.iter_rows():
                name = f"{device}|{kind}"
                began = runs.take(name, f"{group}|{kind}", at, is_hit=bool(is_hit), told=name in self._memory.lags)
                if began is not None:
                    found[name] = began
        runs.forget(end)
        return {name: began for name, began in found.items() if runs.is_on(name)}

    # --- evidence ----------------------------------------------------------------------------------

    def _needed(self) -> float:
        return self._monitor.threshold_nats + log(max(len(self._memory.z.names), 1))

    def _evidence(self) -> dict[str, tuple[float, int]]:
        """Nats and first block of the drop, of streams whose newest block is known and low; the others have none."""
        if not self._memory.z.names:
            return {}
        z = self._memory.z.values
        known = ~np.isnan(z)
        known[:, -DAY:] = False
        recent = z[:, -_RECENT:]
        few = known.sum(axis=1) < FEWEST - DAY
        low = ~np.isnan(z[:, -1]) & ~few
        low[[i for i, name in enumerate(self._memory.z.names) if name in self._memory.lags]] = False
        rows = np.flatnonzero(low)
        middle = np.nanmedian(z[rows], axis=1)
        spread = np.nanstd(z[rows], axis=1)
        rows = rows[np.nanmean(recent[rows], axis=1) < middle - _SCREEN * spread]
        found = usual.learn(z[rows], known[rows])
        drop = usual.drop(found, known[rows])
        steady = found.rho < usual.WANDERS
        names = self._memory.z.names
        return {names[i]: (float(drop.nats[j]), int(drop.start[j])) for j, i in enumerate(rows) if steady[j]}

    def _began(self, end: int, places: Mapping[str, Mapping[str, Any]], huge: Mapping[str, int]) -> Mapping[str, int]:
        """Raise lags; returns groups of which so many dropped at once that none is called a straggler."""
        together: dict[str, int] = {}
        fresh = self._fresh(end, huge)
        for (group, size), names in self._grouped(fresh, places).items():
            devices = {n.rpartition("|")[0] for n in names}
            if len(devices) > max(1.0, TOGETHER * size):
                together[group] = len(devices)
                continue
            for name in names:
                if self._matters(name, fresh[name], end):
                    self._memory.lags[name] = fresh[name]
        return together

    def _fresh(self, end: int, huge: Mapping[str, int]) -> dict[str, Lag]:
        """Streams that dropped and are not told yet."""
        need = self._needed()
        found = {
            name: Lag(end, end - (BLOCKS - column) * BLOCK_S, nats, huge=False)
            for name, (nats, column) in self._evidence().items()
            if nats >= need
        }
        for name, onset in huge.items():
            found.setdefault(name, Lag(end, onset, None, huge=True))
        return {name: lag for name, lag in sorted(found.items()) if name not in self._memory.lags}

    @staticmethod
    def _grouped(fresh: Mapping[str, Lag], places: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, int], list[str]]:
        """Streams with a sample in this block, by group and its size."""
        grouped: dict[tuple[str, int], list[str]] = defaultdict(list)
        for name in fresh:
            if (row := places.get(name.rpartition("|")[0])) is not None:
                grouped[row["group"], row["peers"]].append(name)
        return grouped

    def _matters(self, name: str, lag: Lag, end: int) -> bool:
        lag.gap = gap = self._memory.gap(name, lag.onset, end)[0]
        least = self._monitor.min_effect or LEAST
        return gap - 100 * self._memory.usual_gap(name) <= -least

    def _ended(self, end: int, places: Mapping[str, Mapping[str, Any]]) -> None:
        """Take devices from the list that are back at their usual, or gone for a day."""
        for name, lag in list(self._memory.lags.items()):
            now, _, n = self._memory.gap(name, end - _RECENT * BLOCK_S, end)
            usual_gap = 100 * self._memory.usual_gap(name)
            if name.rpartition("|")[0] in places:
                lag.seen = end
            enough = n >= _RECENT // 2 and end - lag.at >= _RECENT * BLOCK_S
            if (enough and now - usual_gap > _BACK * (lag.gap - usual_gap)) or end - lag.seen >= DAY * BLOCK_S:
                del self._memory.lags[name]
                self._memory.forget(name, lag.onset, end)

    def _behind(self, name: str, end: int, places: Mapping[str, Mapping[str, Any]]) -> Behind:
        device, _, kind = name.rpartition("|")
        lag, row = self._memory.lags[name], places.get(device)
        effect, half, _ = self._memory.gap(name, lag.onset, end)
        return Behind(device, kind, lag, effect, half, 100 * self._memory.usual_gap(name), self._needed(), row)


def _means(rows: pl.DataFrame) -> pl.DataFrame:
    """Means of one block, one row a device, by device."""
    numbers = [*peers.KINDS, *(f"{k}_ratio" for k in peers.KINDS)]
    numbers += [c for m in peers.METRICS for c in (m.column, f"{m.column}_peers")]
    kept = ["cluster", "node", "gpu_index", "sku", "group", "workload", "peers"]
    rows = rows.with_columns(pl.when(~pl.col("resting")).then(pl.col(c)).alias(c) for c in ("work", "work_ratio"))
    return (
        rows.sort("device_id", "at")
        .group_by("device_id", maintain_order=True)
        .agg(*(pl.col(c).last() for c in kept), *(pl.col(c).mean() for c in numbers))
    )
