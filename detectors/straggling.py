"""What is said of devices that fall behind their peers.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from detectors.fleet_memory import BLOCK_S, DAY, Lag, Memory
from detectors.identity import finding_id
from detectors.peers import METRICS
from observe.schema import Finding, Monitor

MET = (
    False  # whether the false alarms kept to the budget; docs/detectors/straggler.md: missed on 2026-11-21, shown only
)
_NAMED: Final = 20  # devices listed in a finding
_ALWAYS: Final = -5.0  # % below its peers from which a usual gap is told
_SAYS: Final = {"work": "less work", "pace": "slower"}


@dataclass(frozen=True, slots=True)
class Behind:
    """A device that is behind, now."""

    device: str
    kind: str
    lag: Lag
    effect: float  # % of its peers, below zero
    half: float  # of its 95 % interval
    usual: float  # %
    needed: float  # nats
    row: Mapping[str, Any] | None  # of the newest block

    @property
    def rank(self) -> tuple[bool, float, str, str]:
        """Sorts the device furthest behind first."""
        return self.row is None, self.effect - self.usual, self.device, self.kind

    @property
    def where(self) -> str:
        """Cluster, node and device, as far as they are known."""
        return place(self.device, self.row or {})

    @property
    def says(self) -> str:
        """How far behind, beside how many, by what."""
        if self.row is None:
            return f"{self.where}: no samples; it was {abs(self.effect):.0f} % below its peers"
        usually = f", usually {abs(self.usual):.0f} % below" if self.usual <= -1 else ""
        more = "hotter" if self.kind == "pace" and self.row.get("sm_clock") is None else _SAYS[self.kind]
        return f"{self.where}: {abs(self.effect):.0f} % {more} than its {self.row['peers'] - 1} peers{usually}{_numbers(self.row, self.kind)}"


@dataclass(frozen=True, slots=True)
class Told:
    """What one block says."""

    behind: Sequence[Behind]  # the furthest first
    counts: Mapping[str, int]
    together: Mapping[str, int]  # groups of which many dropped at once


def place(device: str, row: Mapping[str, Any]) -> str:
    """Where a device is, readable: `eu node-3 GPU 5 (GPU-0c2f1a)`."""
    index = row.get("gpu_index")
    parts = [row.get("cluster"), row.get("node"), f"GPU {index}" if index is not None else None]
    known = " ".join(str(p) for p in parts if p)
    return f"{known} ({device[:12]})" if known else device


def _numbers(row: Mapping[str, Any], kind: str) -> str:
    shown = []
    for m in METRICS:
        own, theirs = row.get(m.column), row.get(f"{m.column}_peers")
        if m.kind == kind and own is not None and theirs is not None:
            scale = 100 if m.unit == "%" else 1
            shown.append(f"{m.says} {scale * own:.0f} {m.unit} beside {scale * theirs:.0f}")
    return f" ({', '.join(shown[:3])})" if shown else ""


def summary(monitor: Monitor, end: int, said: Told) -> Finding:
    """The block's one finding; it names the device furthest behind."""
    if said.behind:
        worst = said.behind[0]
        devices = len({b.device for b in said.behind})
        more = f"; {devices} devices are behind" if devices > 1 else ""
        details = {**_details(worst), "devices": sorted({b.device for b in said.behind})[:_NAMED], **_counts(said)}
        return _finding(monitor, end, worst, worst.says + more, details)
    c = said.counts
    state = "unknown" if not c["devices"] else "ok" if c["judged"] else "learning" if c["learning"] else "too_few"
    return _bare(monitor, end, state, _quiet(c, said.together), _counts(said))


def _quiet(c: Mapping[str, int], together: Mapping[str, int]) -> str:
    if not c["devices"]:
        return "no GPU samples in this block"
    parts = [f"{c['judged']} devices in {c['groups']} groups keep up with their peers"] if c["judged"] else []
    parts += [f"{c['learning']} devices are still learnt (two days)"] if c["learning"] else []
    parts += [f"{c['too_few']} have fewer than 3 peers: not compared"] if c["too_few"] else []
    parts += [
        f"{n} devices of {g.replace('|', ' ').strip()} dropped together: not the same work any more"
        for g, n in together.items()
    ]
    return "; ".join(parts)


def _counts(said: Told) -> dict[str, Any]:
    return {"counts": dict(said.counts), "together": dict(said.together)}


def told(monitor: Monitor, end: int, behind: Behind) -> Finding:
    """One device that is behind, as a signal: it never alerts by itself."""
    return _finding(monitor, end, behind, behind.says, _details(behind), f"{behind.device}|{behind.kind}")


def everyday(monitor: Monitor, end: int, memory: Memory, places: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Devices that are always behind, once a day: their own normal, shown and never alarmed."""
    found: list[Finding] = []
    for name, (mean, blocks) in sorted(memory.normal.items(), key=lambda item: (item[1][0], item[0])):
        device, _, kind = name.rpartition("|")
        if 100 * mean > _ALWAYS or len(found) == _NAMED:
            break
        if blocks < DAY or name in memory.lags or device not in places:
            continue
        gap, half, n = memory.gap(name, end - DAY * BLOCK_S, end)
        if n < DAY // 2 or gap + half > _ALWAYS / 2:
            continue
        row = places[device]
        note = f"{place(device, row)}: always {abs(100 * mean):.0f} % {'less work' if kind == 'work' else 'slower'} than its {row['peers'] - 1} peers"
        start = datetime.fromtimestamp(end - DAY * BLOCK_S, UTC)
        found.append(Finding(
            finding_id=finding_id(monitor.monitor_id, _at(end), name), monitor_id=monitor.monitor_id,
            detector="straggler", model=monitor.model, kind="gpu", subject=_subject(device, row), window_start=start,
            window_end=_at(end), state="inform_only", severity="inform", evidence_nats=None, threshold_nats=None,
            effect=100 * mean, unit="%", ci_low=gap - half, ci_high=gap + half, onset=None, onset_low=None,
            onset_high=None, n=n, note=note, details={"device": device, "number": kind, **_where(row)}, made_at=_at(end),
        ))  # fmt: skip
    return found


def _at(end: int) -> datetime:
    return datetime.fromtimestamp(end, UTC)


def _subject(device: str, row: Mapping[str, Any]) -> str:
    return "/".join(str(p) for p in (row.get("cluster"), row.get("node"), device) if p)


def _where(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row.get(key) for key in ("cluster", "node", "gpu_index", "sku", "workload", "peers")}


def _details(b: Behind) -> dict[str, Any]:
    row = b.row or {}
    numbers = {
        m.column: [row.get(m.column), row.get(f"{m.column}_peers")] for m in METRICS if row.get(m.column) is not None
    }
    return {
        "device": b.device,
        "number": b.kind,
        "huge": b.lag.huge,
        "usual": b.usual,
        "numbers": numbers,
        **_where(row),
    }


def _finding(monitor: Monitor, end: int, b: Behind, note: str, details: dict[str, Any], part: str = "") -> Finding:
    onset, step = _at(b.lag.onset), timedelta(seconds=BLOCK_S)
    state: Any = "alarm" if part or MET else "inform_only"
    return Finding(
        finding_id=finding_id(monitor.monitor_id, _at(end), part), monitor_id=monitor.monitor_id, detector="straggler",
        model=monitor.model, kind="gpu", subject=_subject(b.device, b.row or {}), window_start=_at(end) - step,
        window_end=_at(end), state=state, severity=monitor.severity if MET and not part else "inform",
        evidence_nats=b.lag.nats, threshold_nats=b.needed, effect=b.effect, unit="%", ci_low=b.effect - b.half,
        ci_high=b.effect + b.half, onset=onset, onset_low=onset - step, onset_high=onset + step,
        n=b.row["peers"] if b.row else None, note=note, details=details, made_at=_at(end),
    )  # fmt: skip


def _bare(monitor: Monitor, end: int, state: Any, note: str, details: dict[str, Any]) -> Finding:
    return Finding(
        finding_id=finding_id(monitor.monitor_id, _at(end)), monitor_id=monitor.monitor_id, detector="straggler",
        model=monitor.model, kind="gpu", subject=monitor.feature, window_start=_at(end - BLOCK_S), window_end=_at(end),
        state=state, severity=monitor.severity, evidence_nats=None, threshold_nats=None, effect=None, unit=None,
        ci_low=None, ci_high=None, onset=None, onset_low=None, onset_high=None, n=details["counts"].get("devices"),
        note=note, details=details, made_at=_at(end),
    )  # fmt: skip
