"""What is remembered of a fleet's devices between two calls: their last days, who is behind, how long drops last.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from detectors.peers import CLIP, KINDS
from detectors.rings import Rings
from observe.schema import Json

BLOCK_S: Final = 900
DAY: Final = 86_400 // BLOCK_S  # blocks of a day
BLOCKS: Final = 5 * DAY  # that are remembered of z; a day of ratios
_VERSION: Final = 1
_WINDOW_S: Final = 300
_USUAL: Final = 2 * DAY  # blocks over which the usual gap is averaged
_HITS: Final = 4  # windows in which 3 hits are a run
_ENOUGH: Final = 3
_KEPT_DAYS: Final = 5  # of the longest runs of a group
_LEARNT: Final = 2  # days of a group before its runs are judged
_LONGER: Final = 3.0  # times the longest run of a group's last days
_DAY_S: Final = 86_400
_GONE_S: Final = 3_600  # a run ends when its device was not seen for so long


@dataclass(slots=True)
class Lag:
    """A device that is behind: since when, and why it is said."""

    at: int  # when it was said, epoch s
    onset: int
    nats: float | None
    huge: bool
    gap: float = 0.0  # % above its peers when it was said
    seen: int = 0  # end of the newest block with a sample


@dataclass(slots=True)
class Runs:
    """How long devices have been hugely behind, and how long that lasts at most in their group."""

    open: dict[str, list[Any]] = field(default_factory=dict)  # stream: [hits of late, start, group, last window]
    longest: dict[str, dict[str, int]] = field(default_factory=dict)  # group: day: windows
    since: dict[str, int] = field(default_factory=dict)  # group: when it was first seen

    def take(self, name: str, group: str, at: int, *, is_hit: bool, told: bool) -> int | None:
        """Add one window of a stream; the start of its run when that is longer than any of its peers was."""
        first = self.since.setdefault(group, at)
        hits, start = self.open.get(name, ["", 0])[:2]
        if not is_hit and not hits:
            return None
        hits = (hits + ("1" if is_hit else "0"))[-_HITS:]
        if "1" not in hits:
            self._close(name, group, at, start, told=told)
            return None
        start = start or at
        self.open[name] = [hits, start, group, at]
        lasted = (at - start) // _WINDOW_S + 1
        days = self.longest.get(group, {})
        allowed = max(_ENOUGH - 1, _LONGER * max(days.values(), default=0))
        on = hits.count("1") >= _ENOUGH and hits[-1] == "1"
        return start if on and lasted > allowed and at - first >= _LEARNT * _DAY_S else None

    def is_on(self, name: str) -> bool:
        """Whether a stream is hugely behind in most of its newest windows."""
        return name in self.open and self.open[name][0].count("1") >= _ENOUGH

    def _close(self, name: str, group: str, at: int, start: int, *, told: bool) -> None:
        self.open.pop(name, None)
        if told:
            return
        lasted = max(1, (at - start) // _WINDOW_S - _HITS + 1)
        days = self.longest.setdefault(group, {})
        day = str(at // _DAY_S)
        days[day] = max(days.get(day, 0), lasted)

    def forget(self, end: int) -> None:
        """Drop runs of devices that are not seen any more, and what is older than a few days."""
        self.open = {name: run for name, run in self.open.items() if run[3:] and run[3] >= end - _GONE_S}
        oldest = end // _DAY_S - _KEPT_DAYS
        for group, days in list(self.longest.items()):
            self.longest[group] = {d: n for d, n in days.items() if int(d) >= oldest}


class Memory:
    """State of one monitor."""

    def __init__(self) -> None:
        self.head = 0  # end of the newest block, epoch s
        self.z, self.ratio = Rings.new(BLOCKS, CLIP), Rings.new(DAY, 1.0, fine=True)
        self.lags: dict[str, Lag] = {}
        self.normal: dict[str, list[float]] = {}  # stream: [mean ratio, blocks]
        self.runs = Runs()

    @classmethod
    def of(cls, state: Json) -> Memory:
        """As `dumped` left it; empty for anything else."""
        memory = cls()
        if state.get("v") == _VERSION:
            memory.head = state["head"]
            memory.z.load(state["z"])
            memory.ratio.load(state["ratio"])
            memory.lags = {name: Lag(**lag) for name, lag in state["lags"].items()}
            memory.normal = {name: list(n) for name, n in state["normal"].items()}
            runs = state["runs"]
            memory.runs = Runs(
                {n: list(r) for n, r in runs["open"].items()}, {g: dict(d) for g, d in runs["longest"].items()},
                dict(runs["since"]),
            )  # fmt: skip
        return memory

    def dumped(self) -> Json:
        """As plain JSON."""
        if not self.head:
            return {}
        return {
            "v": _VERSION, "head": self.head, "z": self.z.dumped(), "ratio": self.ratio.dumped(),
            "lags": {name: asdict(lag) for name, lag in self.lags.items()},
            "normal": {name: [round(mean, 5), n] for name, (mean, n) in self.normal.items()}, "runs": asdict(self.runs),
        }  # fmt: skip

    def push(self, end: int, means: pl.DataFrame) -> None:
        """Take in one block; what lies between it and the one before is unknown."""
        names = [f"{device}|{kind}" for device in means["device_id"] for kind in KINDS]
        self.z.include(names)
        self.ratio.include(names)
        missed = min((end - self.head) // BLOCK_S - 1, BLOCKS) if self.head else 0
        found = {
            what: {f"{d}|{k}": v for k in KINDS for d, v in means.select("device_id", k + what).iter_rows() if v is not None}
            for what in ("", "_ratio")
        }  # fmt: skip
        for ring, what in ((self.z, ""), (self.ratio, "_ratio")):
            for _ in range(missed):
                ring.push(np.full(len(ring.names), np.nan))
            ring.push(np.array([found[what].get(name, np.nan) for name in ring.names]))
        self._learn_normal(found["_ratio"])
        self.head = end
        self.z.drop_silent()
        self.ratio.drop_silent()
        kept = set(self.z.names)
        self.normal = {name: n for name, n in self.normal.items() if name in kept}
        self.lags = {name: lag for name, lag in self.lags.items() if name in kept}

    def _learn_normal(self, ratios: Mapping[str, float]) -> None:
        for name, value in ratios.items():
            if name in self.lags:
                continue
            mean, n = self.normal.get(name, [0.0, 0])
            n = min(n + 1, _USUAL)
            self.normal[name] = [round(mean + (value - mean) / n, 5), n]

    def known(self) -> Mapping[str, int]:
        """Known blocks by stream."""
        return dict(zip(self.z.names, (~np.isnan(self.z.values)).sum(axis=1).tolist(), strict=True))

    def usual_gap(self, name: str) -> float:
        """Share above its peers that is usual of a stream, 0 while that is not known."""
        return self.normal.get(name, [0.0, 0])[0]

    def gap(self, name: str, start: int, end: int) -> tuple[float, float, int]:
        """Mean gap to the peers in %, half its 95 % interval, and blocks, between two instants of the last day."""
        if name not in self.ratio.names:
            return 0.0, 0.0, 0
        i, head = self.ratio.names.index(name), self.head
        first, last = DAY - (head - start) // BLOCK_S, DAY - (head - end) // BLOCK_S
        x = self.ratio.values[i, max(first, 0) : max(last, 0)]
        x = 100 * x[~np.isnan(x)]
        if not x.size:
            return 0.0, 0.0, 0
        return float(x.mean()), _half(x), x.size

    def forget(self, name: str, start: int, end: int) -> None:
        """Do not learn from a stretch in which a stream was behind."""
        if name in self.z.names:
            i, first = self.z.names.index(name), BLOCKS - (self.head - start) // BLOCK_S
            self.z.values[i, max(first, 0) : BLOCKS - (self.head - end) // BLOCK_S] = np.nan

    def accept(self, at: int) -> None:
        """Take what comes after `at` as normal: nobody is behind since before, and nothing before is learnt from."""
        gone = {name for name, lag in self.lags.items() if lag.at <= at}
        for name in gone:
            del self.lags[name]
            self.normal.pop(name, None)
            self.forget(name, 0, at)


def _half(x: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Half a 95 % interval of a mean of blocks that remember each other."""
    if x.size < 3:
        return float(2 * (x.max() - x.min()) + 1.0)
    c = x - x.mean()
    power = float(c @ c)
    rho = min(max(float(c[1:] @ c[:-1]) / power if power > 0 else 0.0, 0.0) + 1 / x.size, 0.9)
    n = max(x.size * (1 - rho) / (1 + rho), 2.0)
    return float(1.96 * (1 + 2 / n) * np.sqrt(power / (x.size - 1) / n))
