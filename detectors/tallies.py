"""What is remembered of many rate streams between two calls: arrays inside, plain JSON outside.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import counts, excess, profile, scatter
from detectors.counts import Normal
from detectors.memory import Alarm
from detectors.worth import PLAIN, worths
from observe.schema import Json

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

VERSION: Final = 2
_BACK: Final = 9.0  # nats that end an alarm, METHODS section 6
_WAY: Final = (
    0.75  # from normal to what the alarm told; less takes days longer, all of it ends where a part of a rise stays
)


class Tallies:
    """State of S streams of one cadence."""

    def __init__(self, states: Sequence[Json]) -> None:
        count = len(states)
        self.until = np.zeros(count, dtype=np.int64)  # end of the last judged window, 0 before the first
        self.tried = np.zeros(count, dtype=np.int64)  # when learning was last attempted
        self.begun = np.zeros(count, dtype=np.int64)  # from when on history counts: a person took the new normal
        self.normals: list[Normal | None] = [None] * count
        self.alarms: list[Alarm | None] = [None] * count
        self.ready = np.zeros(count, dtype=bool)  # learnt from enough history
        self.learnt, self.alarmed = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        self.masks: list[list[list[int]]] = [[] for _ in states]  # past alarms, left out of histories
        self.upper, self.k = np.full(count, 0.5), np.full(count, scatter.POISSON)
        self.vif, self.fall, self.cap = np.ones(count), np.zeros(count), np.ones(count)
        self.hours, self.weekend = np.ones((count, profile.HOURS)), np.ones(count)
        self.lines = np.tile(np.array(PLAIN.lines), (count, 1, 1))  # what evidence is worth
        self.width = np.ones(count, dtype=np.int64)  # of the trailing minimum
        self.factor = np.ones(count)  # of the share, in the window taken in last
        self.z = np.zeros((count, excess.RATIOS.size))  # sums of log likelihood ratios
        self.age = np.zeros((count, excess.RATIOS.size))  # windows in them
        self.back = np.zeros(count)  # nats since an alarm that the share is normal again
        self.trail = np.zeros((2, count, counts.KEPT))  # bad events and all events, newest last
        self.kept = np.zeros(count, dtype=np.int64)
        for i, state in enumerate(states):
            if state.get("v") == VERSION and "begun" in state:  # not that of a level
                self._load(i, state)

    def learn(self, i: int, normal: Normal) -> None:
        """Take over what a stream has learnt; what its evidence was worth before, it is at most worth afterwards."""
        before, worth = self.normals[i], float(self.worth_of(self.evidence())[i])
        self._take(i, normal)
        if before is None or before.effective < counts.LEAST_EFFECTIVE or before.width != normal.width:
            self.z[i] = 0.0
        else:
            self.limit(i, normal.worth.needed(worth))

    def _take(self, i: int, normal: Normal) -> None:
        self.normals[i], self.learnt[i], self.ready[i] = normal, True, normal.effective >= counts.LEAST_EFFECTIVE
        self.upper[i], self.k[i], self.cap[i] = normal.upper, normal.k, normal.cap
        self.vif[i], self.fall[i] = normal.vif, normal.fall
        self.width[i] = normal.width
        self.hours[i], self.weekend[i] = normal.hours or 1.0, normal.weekend
        self.lines[i] = normal.lines

    def forget(self, i: int, at: int) -> None:
        """Begin anew at `at`: no alarm, no evidence, nothing learnt from before."""
        self.end(i)
        self.begun[i], self.normals[i], self.learnt[i], self.ready[i], self.masks[i] = at, None, False, False, []

    def end(self, i: int, calm: int = 0) -> None:
        """End a stream's alarm; it learns at its next window, and no later rise began before the `calm` last windows."""
        self.kept[i] = min(int(self.kept[i]), calm)
        self.alarms[i], self.alarmed[i], self.tried[i], self.z[i], self.back[i] = None, False, 0, 0.0, 0.0

    def push(self, x: Floats, n: Floats, active: Bools) -> None:
        """Remember one window of the active streams; (S,) each."""
        which = slice(None) if active.all() else active
        self.trail[:, which, :-1] = self.trail[:, which, 1:]
        self.trail[0, which, -1], self.trail[1, which, -1] = x[which], n[which]
        self.kept = np.where(active, np.minimum(self.kept + 1, counts.KEPT), self.kept)

    def recent(self, i: int) -> Floats:
        """Bad events and all events of one stream's remembered windows, oldest first, (2, K)."""
        return self.trail[:, i, counts.KEPT - int(self.kept[i]) :]

    def step(self, x: Floats, n: Floats, active: Bools, start: int, window_s: int) -> Floats:
        """Take one window in and return the evidence for a risen share, nats, (S,)."""
        self.factor = profile.at(self.hours, self.weekend, np.array([start]), window_s)[:, 0]
        x, n, f = self._lowest(x, n, start, window_s)
        m0 = n * self.upper * f
        moved = active & self.learnt & (n > 0)
        for j, ratio in enumerate(excess.RATIOS):
            gained = np.minimum(excess.nats(x, n, m0, self.k, float(ratio)), self.cap)
            self.age[:, j] = np.where(moved, np.where(self.z[:, j] > 0, self.age[:, j] + 1, 1.0), self.age[:, j])
            self.z[:, j] = np.where(moved, np.maximum(self.z[:, j], 0.0) + gained, self.z[:, j])
        return self.evidence()

    def evidence(self) -> Floats:
        """Evidence when the size of the rise is not known: the mean over ratios, nats, (S,)."""
        z = self.z / scatter.inflation(self.age, self.vif[:, None], self.fall[:, None])
        top = z.max(axis=1)
        found: Floats = top + np.log(np.exp(z - top[:, None]).mean(axis=1))
        return found

    def limit(self, i: int, most: float) -> None:
        """Let one stream hold no more than `most` nats of evidence."""
        np.minimum(self.z[i], most * scatter.inflation(self.age[i], self.vif[i], self.fall[i]), out=self.z[i])

    def returned(self, i: int, x: float, n: float) -> bool:
        """Whether what came since an alarm says that the share is normal again; takes one window in, after `step`.

        Small ratios fall slowly where there are few rows: whether a share is 1.5 times what it was cannot be seen there for
        months. That it is nearer to normal than to what the alarm told can: asked is three quarters of the way there, by factors.
        Twice the nats are kept, so that one bad row of a normal day does not begin the calm day anew.
        """
        normal, alarm = self.normals[i], self.alarms[i]
        if normal is None or alarm is None or n <= 0:
            return bool(self.back[i] >= _BACK * self.vif[i])
        m0 = n * self.upper[i] * self.factor[i]
        told = max(alarm.ci_low, alarm.effect**0.5)  # of bursts the interval may say next to nothing
        ratio = float(max(told * (normal.share + 1 / normal.trials) / self.upper[i], 1.0)) ** _WAY
        if ratio > 1:
            [lost] = excess.nats(np.array([x]), np.array([n]), np.array([m0]), self.k[i : i + 1], ratio)
            self.back[i] += np.clip(-lost, -self.cap[i], self.cap[i])
        self.back[i] = np.clip(self.back[i], 0.0, 2 * _BACK * self.vif[i])
        return bool(self.back[i] >= _BACK * self.vif[i])

    def _lowest(self, x: Floats, n: Floats, start: int, window_s: int) -> tuple[Floats, Floats, Floats]:
        """The window with the lowest share of the last few where history is bursty, else the window itself."""
        bursty = np.flatnonzero((self.width > 1) & (n > 0))
        if not bursty.size:
            return x, n, self.factor
        widest = int(self.width[bursty].max())
        past = self.trail[:, bursty, -widest:]
        age = np.arange(widest)[::-1]
        f = profile.at(self.hours[bursty], self.weekend[bursty], start - window_s * age, window_s)
        share = np.where(past[1] > 0, past[0] / np.maximum(past[1] * f, 1e-12), np.inf)
        share[age[None, :] >= self.width[bursty, None]] = np.inf
        at, row = share.argmin(axis=1), np.arange(bursty.size)
        x, n, factor = x.copy(), n.copy(), self.factor.copy()
        x[bursty], n[bursty], factor[bursty] = past[0, row, at], past[1, row, at], f[row, at]
        n[bursty] = np.where(self.kept[bursty] >= self.width[bursty], n[bursty], 0.0)
        return x, n, factor

    def worth_of(self, evidence: Floats) -> Floats:
        """What evidence is worth by each stream's history, nats, (S,)."""
        return worths(evidence, self.lines)

    def dumped(self, i: int) -> Json:
        """The state of one stream as plain JSON."""
        normal, alarm = self.normals[i], self.alarms[i]
        x, n = self.recent(i).tolist()
        return {
            "v": VERSION, "until": int(self.until[i]), "tried": int(self.tried[i]), "begun": int(self.begun[i]),
            "masks": self.masks[i], "fit": normal.dumped() if normal else None, "z": self.z[i].tolist(),
            "age": self.age[i].tolist(), "back": float(self.back[i]),
            "trail": {"x": x, "n": n},
            "alarm": None if alarm is None else {name: getattr(alarm, name) for name in Alarm.__slots__},
        }  # fmt: skip

    def _load(self, i: int, state: Json) -> None:
        self.until[i], self.tried[i], self.begun[i] = state["until"], state["tried"], state["begun"]
        self.z[i], self.age[i], self.back[i] = state["z"], state["age"], state.get("back", 0.0)
        self.masks[i] = [list(m) for m in state["masks"]]
        trail = np.array([state["trail"]["x"], state["trail"]["n"]])
        self.kept[i] = trail.shape[1]
        if trail.size:
            self.trail[:, i, counts.KEPT - trail.shape[1] :] = trail
        if state["fit"]:
            self._take(i, Normal.loaded(state["fit"]))
        if state["alarm"]:
            self.alarms[i], self.alarmed[i] = Alarm(**state["alarm"]), True
