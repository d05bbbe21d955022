"""What is remembered of many level streams between two calls: arrays inside, plain JSON outside.

Source: our own. The trail of recent windows is as long as the oldest evidence that still counts, at
most 200, so that an alarm can be localised without its history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors import localise, surprise
from detectors.baseline import COLUMNS
from detectors.evidence import Cusum, deltas
from detectors.fitting import Fit, loaded
from detectors.net import UNKNOWN, Net
from detectors.noise import Noise
from detectors.slots import DAY_S
from observe.schema import Json

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VERSION: Final = 2
_BEFORE: Final = 12  # windows kept before the oldest evidence, for the early end of the onset's interval
_LEAST: Final = 24  # windows kept in any case
_SUSPECTED: Final = 3.0  # nats of one signature from which a shift may be under way
_SUSPECTED_S: Final = 14 * DAY_S  # and is held back from learning for so long at most


@dataclass(slots=True)
class Alarm:
    """A latched alarm: when it was raised, its direction and what is known of the shift; epoch s and sigma."""

    at: int
    sign: int
    onset: int
    low: int
    high: int
    effect: float
    ci_low: float
    ci_high: float
    nats: float = 0.0  # how well the shift explains what was seen, at its best
    calm: int | None = None  # since when every window was calm, see `budget.calm`


class Memory:
    """State of S streams of one cadence."""

    def __init__(self, min_effects: Sequence[float], states: Sequence[Json], window_s: int) -> None:
        count = len(states)
        self.window_s = window_s
        self.until = np.zeros(count, dtype=np.int64)  # end of the last judged window, 0 before the first
        self.tried = np.zeros(count, dtype=np.int64)  # when a fit was last attempted
        self.accepted = np.zeros(count, dtype=np.int64)  # from when on the level is the new normal, 0 for never
        self.fits: list[Fit | None] = [None] * count
        self.fitted = np.zeros(count, dtype=bool)  # which streams have one
        self.alarms: list[Alarm | None] = [None] * count
        self.masks: list[list[list[int]]] = [[] for _ in states]  # past alarms, left out of histories
        self.beta, self.cov = np.zeros((count, COLUMNS)), np.zeros((count, COLUMNS, COLUMNS))
        self.noise = Noise(np.ones(count), np.zeros(count), np.zeros(count))
        self.knots = np.tile(np.linspace(-1.0, 1.0, surprise.KNOTS), (count, 1))
        self.net = Net.none(count)
        self.apart = np.zeros(count, dtype=np.int64)  # windows that the location has been where it never was
        self.limit, self.vif, self.penalty = np.ones(count), np.ones(count), np.zeros((count, 2))
        self.filter = surprise.Filter(np.zeros(count), np.zeros(count), np.full(count, np.inf))
        self.cusum = Cusum.new(np.stack([deltas(m) for m in min_effects]) if count else np.zeros((0, 5)), 0)
        self.trail = np.zeros((3, count, 2 * localise.KEPT))  # e, standard deviation, gain, by window
        self._newest = localise.KEPT - 1  # where the newest window of all streams stands
        self.kept = np.zeros(count, dtype=np.int64)
        self._said: list[Json | None] = [None] * count  # fits as plain JSON: as they came, or as they were told
        known = {i: s for i, s in enumerate(states) if s.get("v") == VERSION and "apart" in s}  # not those of a rate
        for i, state in known.items():
            self._load(i, state)
        learnt = {i: state for i, state in known.items() if "fit" in state}
        self._load_fits(learnt)
        self._load_evidence(learnt)
        self._load_trails(learnt)

    def learn(self, i: int, fit: Fit, *, fresh: bool) -> None:
        """Take over a new fit; `fresh` also moves the filter to where the history left it."""
        self.fits[i], self._said[i], self.fitted[i] = fit, None, True
        self.beta[i], self.cov[i], self.knots[i] = fit.beta, fit.cov, fit.knots
        self.noise.phi[i], self.noise.rho[i], self.noise.tau2[i] = fit.phi, fit.rho, fit.tau2
        self.limit[i], self.vif[i], self.penalty[i] = fit.limit, fit.vif, fit.penalty
        self.filter.jump[i] = surprise.jump(fit.knots)
        self.net.c1[i], self.net.c2[i], self.net.low[i], self.net.high[i] = fit.net
        if fresh:
            self.filter.x[i], self.filter.p[i] = fit.x, fit.p

    def suspected(self, streams: Sequence[int], end: int) -> Ints:
        """From when on a shift may be under way that is not proven yet, epoch s; `end` where nothing speaks for one."""
        z = np.nan_to_num(self.cusum.z[streams].reshape(len(streams), -1), nan=-np.inf)
        best = z.argmax(axis=1)[:, None]
        start = np.take_along_axis(self.cusum.start[streams].reshape(len(streams), -1), best, axis=1)[:, 0]
        held = np.maximum(start, end - _SUSPECTED_S)
        return np.where(np.take_along_axis(z, best, axis=1)[:, 0] >= _SUSPECTED, held, end)

    def forget(self, i: int, at: int) -> None:
        """Drop the evidence of one stream."""
        self.cusum.z[i], self.cusum.response[i], self.cusum.start[i] = 0.0, 0.0, at

    def accept(self, i: int, at: int, end: int) -> None:
        """Take what comes after `at` as the new normal: its alarm ends, nothing before is learnt from."""
        self.accepted[i], self.tried[i] = at, 0
        self.masks[i].append([0, at])
        self.fits[i], self.fitted[i], self.kept[i], self.apart[i] = None, False, 0, 0
        for part, rest in zip((self.net.c1, self.net.c2, self.net.low, self.net.high), UNKNOWN, strict=True):
            part[i] = rest
        self.alarms[i] = None
        self.forget(i, end)

    def push(self, e: Floats, root: Floats, k: Floats, active: NDArray[np.bool_], end: int) -> None:
        """Remember one window of the active streams; (S,) each."""
        at = self._newest = self._newest + 1
        if at == self.trail.shape[2]:  # the newest go to the front, so that windows need not move one by one
            at = self._newest = localise.KEPT - 1
            self.trail[:, :, :at] = self.trail[:, :, -at:]
        if not active.all():
            idle = ~active
            self.trail[:, idle, 1 : at + 1] = self.trail[:, idle, :at]
        self.trail[:, active, at] = np.stack([np.round(e, 3), np.round(root, 6), np.round(k, 4)])[:, active]
        oldest = np.where(self.cusum.z > 0, self.cusum.start, end).min(axis=(1, 2, 3))
        wanted = np.maximum((end - oldest) // self.window_s + _BEFORE, _LEAST)
        kept = np.minimum(np.minimum(self.kept + 1, wanted), localise.KEPT)
        self.kept = np.where(active, kept, self.kept)

    def recent(self, i: int) -> localise.Trail:
        """The remembered windows of one stream, oldest first."""
        e, s, k = self._trail(i)
        return localise.Trail(e, s, k)

    def _trail(self, i: int) -> Floats:
        return self.trail[:, i, self._newest + 1 - int(self.kept[i]) : self._newest + 1]

    def dumped(self) -> list[Json]:
        """The state of every stream as plain JSON."""
        evidence = self._evidence_said()
        x, p = self.filter.x.tolist(), self.filter.p.tolist()
        counted = (a.tolist() for a in (self.until, self.tried, self.accepted, self.apart))
        found: list[Json] = []
        for i, (until, tried, accepted, apart) in enumerate(zip(*counted, strict=True)):
            fit, alarm = self.fits[i], self.alarms[i]
            state: dict[str, Any] = {
                "v": VERSION, "until": until, "tried": tried, "masks": self.masks[i], "accepted": accepted, "apart": apart,
            }  # fmt: skip
            if fit is not None:
                e, s, k = self._trail(i).tolist()
                state |= {
                    "fit": self._fit_said(i, fit), "x": x[i], "p": p[i], **evidence[i], "trail": {"e": e, "s": s, "k": k},
                    "alarm": None if alarm is None else {name: getattr(alarm, name) for name in Alarm.__slots__},
                }  # fmt: skip
            found.append(state)
        return found

    def _evidence_said(self) -> list[dict[str, Any]]:
        """Evidence of each stream on the sizes it looks for."""
        used = ~np.isnan(self.cusum.delta)
        found: list[dict[str, Any]] = [{} for _ in used]
        for own in np.unique(used, axis=0):
            streams = np.flatnonzero((used == own).all(axis=1))
            for part, name in ((self.cusum.z, "z"), (self.cusum.response, "response"), (self.cusum.start, "start")):
                for i, values in zip(streams.tolist(), part[streams][:, :, own].tolist(), strict=True):
                    found[i][name] = values
        return found

    def _fit_said(self, i: int, fit: Fit) -> Json:
        """A fit as plain JSON, made once."""
        said = self._said[i]
        if said is None:
            said = self._said[i] = fit.dumped()
        return said

    def _load(self, i: int, state: Json) -> None:
        self.until[i], self.tried[i] = state["until"], state["tried"]
        self.masks[i] = [list(m) for m in state["masks"]]
        self.accepted[i], self.apart[i] = state["accepted"], state["apart"]
        if state.get("alarm"):
            self.alarms[i] = Alarm(**state["alarm"])

    def _load_fits(self, learnt: Mapping[int, Json]) -> None:
        """As `learn` does, of all at once."""
        if not learnt:
            return
        rows, fits = list(learnt), loaded([state["fit"] for state in learnt.values()])
        for i, fit, state in zip(rows, fits, learnt.values(), strict=True):
            self.fits[i], self._said[i], self.fitted[i] = fit, state["fit"], True
        for held, name in (
            (self.beta, "beta"), (self.cov, "cov"), (self.knots, "knots"), (self.noise.phi, "phi"), (self.noise.rho, "rho"),
            (self.noise.tau2, "tau2"), (self.limit, "limit"), (self.vif, "vif"), (self.penalty, "penalty"),
        ):  # fmt: skip
            held[rows] = [getattr(fit, name) for fit in fits]
        self.net.c1[rows], self.net.c2[rows], self.net.low[rows], self.net.high[rows] = np.array(
            [f.net for f in fits]
        ).T
        self.filter.jump[rows] = [surprise.jump(fit.knots) for fit in fits]
        self.filter.x[rows], self.filter.p[rows] = np.array([(s["x"], s["p"]) for s in learnt.values()]).T

    def _load_evidence(self, learnt: Mapping[int, Json]) -> None:
        """Evidence of streams that look for as many sizes as before; where that was changed it starts anew."""
        used = ~np.isnan(self.cusum.delta)
        sizes = used.sum(axis=1)
        for many in np.unique(sizes).tolist():
            streams = [i for i, state in learnt.items() if sizes[i] == many == len(state["z"][0])]
            where, shape = used[streams], (len(streams), 2, many)
            for part, name in ((self.cusum.z, "z"), (self.cusum.response, "response"), (self.cusum.start, "start")):
                values = np.array([learnt[i][name] for i in streams], dtype=part.dtype).reshape(*shape, *part.shape[3:])
                held = np.swapaxes(part[streams], 1, 2)  # (streams, 5, 2, ...): a mask takes sizes of streams
                held[where] = np.swapaxes(values, 1, 2).reshape(-1, 2, *part.shape[3:])
                part[streams] = np.swapaxes(held, 1, 2)

    def _load_trails(self, learnt: Mapping[int, Json]) -> None:
        self.kept[list(learnt)] = lengths = [len(state["trail"]["e"]) for state in learnt.values()]
        for length in {*lengths} - {0}:
            streams = [i for i, own in zip(learnt, lengths, strict=True) if own == length]
            trails = [[learnt[i]["trail"][name] for i in streams] for name in ("e", "s", "k")]
            self.trail[:, streams, self._newest + 1 - length : self._newest + 1] = trails
