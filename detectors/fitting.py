"""What normal looks like for a stream, learnt from its history once a day, as plain numbers.

Source: METHODS section 4; noise and baseline always come from hourly windows, also for streams judged
more often ("Cadence"): their memory per window is `rho^(window/hour)`, and of sampling noise they have what neighbouring
windows show, which hours do not tell from wander.
Assumes: windows under alarm are left out of the history (n = 0). From a history of 13 days on its newest
two days, and whatever came since a shift is suspected, only move the filter: what has just begun is not
learnt as normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import adjacent, baseline, budget, lasting, replay, surprise
from detectors.digits import rounded
from detectors.evidence import Seen
from detectors.medians import medians
from detectors.net import UNKNOWN, Net, learn
from detectors.noise import Noise
from detectors.slots import HELD_S, HOUR_S
from observe.schema import Json

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_UPPER: Final = np.triu_indices(baseline.COLUMNS)


@dataclass(frozen=True, slots=True)
class History:
    """Windows of S streams: mean score, rows and mean location (T, S), middle of each window (T,) in epoch s."""

    y: Floats
    n: Floats
    epoch: Ints
    window_s: int
    a: Floats | None = None  # location beside another score

    def net(self, known: Net) -> History:
        """The same less what the location does."""
        return (
            self if self.a is None else replace(self, y=np.where(self.n > 0, known.of(self.y, self.a, self.n), self.y))
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """One stream's normal state."""

    at: int  # when it was made, event time, epoch s
    beta: Floats  # (10,)
    cov: Floats  # (10, 10)
    phi: float
    rho: float  # per judged window
    tau2: float
    hourly_rho: float
    knots: Floats  # (33,)
    limit: float  # largest surprise the history vouches for
    vif: float
    penalty: tuple[float, float]  # nats, up and down
    suspect: int | None  # when the history itself came close to an alarm, epoch s
    scale: float  # standard deviation of innovations, inflation included
    used: int  # judged windows with rows that it was learnt from
    known: int  # judged windows with rows in the history
    unit: float  # mean surprise of a settled shift of one sigma
    se: float  # typical standard error of the baseline, sigma
    x: float  # filter after the last window of the history
    p: float
    rows: float = 0.0  # of a typical window
    net: tuple[float, float, float, float] = UNKNOWN  # what location does, and where that is known
    common: float = 0.0  # variance of the location's window means (of a pair: its own), sigma squared: what rows of a window have in common

    @property
    def effective(self) -> float:
        """Independent windows the history is worth."""
        return float(self.known * (1 - self.rho) / (1 + self.rho))

    def dumped(self) -> Json:
        """As plain JSON, without the filter, which moves on."""
        upper = self.cov[_UPPER]
        return {
            "at": self.at, "beta": _plain(self.beta), "cov": _plain(upper), "phi": self.phi, "rho": self.rho, "tau2": self.tau2,
            "hourly_rho": self.hourly_rho, "knots": _plain(self.knots), "limit": self.limit, "vif": self.vif, "penalty": list(self.penalty),
            "suspect": self.suspect, "scale": self.scale, "used": self.used, "known": self.known, "unit": self.unit, "se": self.se,
            "rows": self.rows, "net": list(self.net), "common": self.common,
        }  # fmt: skip

    @classmethod
    def loaded(cls, found: Json) -> Fit:
        """The inverse of `dumped`."""
        return loaded([found])[0]


def loaded(found: Sequence[Json]) -> list[Fit]:
    """The inverse of `Fit.dumped`, of many at once."""
    if not found:
        return []
    beta, upper, knots = (np.array([state[name] for state in found]) for name in ("beta", "cov", "knots"))
    cov = np.zeros((len(found), baseline.COLUMNS, baseline.COLUMNS))
    cov[:, _UPPER[0], _UPPER[1]] = cov[:, _UPPER[1], _UPPER[0]] = upper.reshape(len(found), -1)
    return [
        Fit(**{
            **state, "beta": beta[i], "cov": cov[i], "knots": knots[i],
            "penalty": tuple(state["penalty"]), "net": tuple(state["net"]), "x": 0.0, "p": 0.0,
        })
        for i, state in enumerate(found)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of S streams beside their histories."""

    delta: Floats  # shift sizes looked for, (S, 5)
    at: int  # end of the history, epoch s
    since: Ints  # from when on a shift is suspected, epoch s, (S,); `at` for none
    score: Sequence[str]


def fit(hours: History, own: History, asked: Asked) -> list[Fit | None]:
    """Learn S streams.

    Args:
        hours: hourly windows of at most 28 d.
        own: the same period in the windows that are judged.
        asked: sizes, end, suspicions and scores of the streams.

    Returns:
        A fit for each stream, None where there are fewer than 24 hours with rows.
    """
    enough = np.flatnonzero((hours.n > 0).sum(axis=0) >= baseline.LEAST)
    result: list[Fit | None] = [None] * hours.n.shape[1]
    if enough.size:
        some, same = _some(hours, enough), own is hours
        until = held_from(some, asked.at, asked.since[enough])
        net = Net.none(enough.size)
        if some.a is not None:
            named = [asked.score[i] for i in enough.tolist()]
            net = learn(named, some.y, some.a, _learnt_from(some, until), some.epoch)
        net_hours = some.net(net)
        net_own = net_hours if same else _some(own, enough).net(net)
        learnt = _Learnt(net_hours, net_own, asked.delta[enough], until, net)
        for stream, found in zip(enough.tolist(), learnt.fits(asked.at, _common(some, until)), strict=True):
            result[stream] = found
    return result


def held_from(hours: History, at: int, since: Ints) -> Ints:
    """From when on windows are not learnt from, epoch s, (S,): the first 13 d are, whatever came then.

    Args:
        hours: of S streams.
        at: end of the history, epoch s.
        since: from when on a shift is suspected, epoch s, (S,).
    """
    first = hours.epoch[(hours.n > 0).argmax(axis=0)]
    held: Ints = np.minimum(np.maximum(np.minimum(at - HELD_S, since), first + baseline.LONG_S), at)
    return held


def _learnt_from(hours: History, until: Ints) -> Floats:
    """Rows of the windows that may be learnt from."""
    return np.where(hours.epoch[:, None] < until, hours.n, 0.0)


def _common(hours: History, until: Ints) -> Floats:
    """Variance of the location's hourly means, (S,); of the score's own where there is no location, as of a pair."""
    if hours.a is None:
        return np.zeros(hours.n.shape[1])
    means = np.where(hours.a.any(axis=0), hours.a, hours.y)
    seen = _learnt_from(hours, until) > 0
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, means, 0.0).sum(axis=0) / count
    found: Floats = np.where(seen, (means - mean) ** 2, 0.0).sum(axis=0) / count
    return found


def _some(history: History, streams: NDArray[np.intp]) -> History:
    beside = None if history.a is None else history.a[:, streams]
    return History(history.y[:, streams], history.n[:, streams], history.epoch, history.window_s, beside)


class _Learnt:
    """Everything that is computed for all streams at once."""

    def __init__(self, hours: History, own: History, delta: Floats, until: Ints, net: Net) -> None:
        self.own, self.net = own, net
        rows = _learnt_from(hours, until)
        whole = baseline.fit(hours.y, rows, hours.epoch)
        self.base, lift = lasting.without(hours.y, rows, hours.epoch, whole, np.nanmin(delta, axis=1))
        self.hourly_rho = self.base.noise.rho
        self.noise = _per_window(self.base.noise, own.window_s)
        if own is not hours:
            self.noise = adjacent.with_scatter(self.noise, own.y, _learnt_from(own, until))
        self.r = own.y + lift.of(own.epoch) - baseline.along(own.epoch, self.base.beta, baseline.combined)
        self.se = baseline.along(own.epoch, self.base.cov, baseline.deviation)
        self.e, self.k, self.s, self.filter = surprise.innovations(self.r, own.n, self.noise)
        self.seen = (own.n > 0) & (own.epoch[:, None] < until)
        self.used, self.known = self.seen.sum(axis=0), (own.n > 0).sum(axis=0)
        self.z = np.zeros_like(self.e)
        streams = range(own.n.shape[1])
        self.knots = np.stack([surprise.knots(self.e[self.seen[:, i], i]) for i in streams])
        self.limit = np.array([surprise.vouched(int(u)) for u in self.used])
        for i in streams:
            grid = self.limit[i] * np.linspace(-1, 1, surprise.KNOTS)
            self.z[:, i] = np.interp(self.e[:, i], self.knots[i], grid)
        self.vif = np.array([surprise.vif(self.z[self.seen[:, i], i]) for i in streams])
        seen = Seen(self.z, self.k, self.s, self.se, self.noise.rho, self.vif, self.seen)
        least = np.array([budget.harmless(float(used)) for used in self.used])
        self.highest, self.when = replay.highest(seen, delta, least)

    def fits(self, at: int, common: Floats) -> list[Fit]:
        """Of all streams, from histories that end at `at`, by the variance of their location's means."""
        rho, seen = self.noise.rho, self.seen
        settled = (1 - rho) / (1 - rho + rho * self.k) / np.sqrt(self.s)
        unit, se, rows = (medians(part.T, seen.T) for part in (settled, self.se, self.own.n))
        more = np.stack([budget.penalty(high, float(used)) for high, used in zip(self.highest, self.used, strict=True)])
        e = np.clip(self.e, -surprise.JUMP, surprise.JUMP) ** 2
        spread = np.sqrt(np.array([e[seen[:, i], i].mean() for i in range(len(rho))]) * self.vif)
        suspect = np.where(more.max(axis=1) > 0, self.own.epoch[self.when], -1)
        named = {
            "phi": self.noise.phi, "rho": rho, "tau2": self.noise.tau2, "hourly_rho": self.hourly_rho, "limit": self.limit,
            "vif": self.vif, "scale": np.maximum(spread, 0.5), "unit": unit, "se": se, "x": self.filter.x, "p": self.filter.p, "common": common,
        }  # fmt: skip
        plain = rounded(np.column_stack(list(named.values()))).tolist()
        known = self.net
        pairs = rounded(np.column_stack([more, known.c1, known.c2, known.low, known.high])).tolist()
        beta, cov, knots = (rounded(part) for part in (self.base.beta, self.base.cov, self.knots))
        return [
            Fit(
                at=at, beta=beta[i], cov=cov[i], knots=knots[i], penalty=(up, down), net=(c1, c2, low, high),
                suspect=int(suspect[i]) if suspect[i] >= 0 else None, used=int(self.used[i]), known=int(self.known[i]),
                rows=float(rows[i]), **dict(zip(named, plain[i], strict=True)),
            )
            for i, (up, down, c1, c2, low, high) in enumerate(pairs)
        ]  # fmt: skip


def _per_window(noise: Noise, window_s: int) -> Noise:
    """Hourly noise as noise per judged window: the process is the same, its memory is per window."""
    rho = np.where(noise.rho > 0, noise.rho ** (window_s / HOUR_S), 0.0)
    return Noise(noise.phi, rho, noise.tau2)


def _plain(values: Floats) -> list[float]:
    found: list[float] = values.tolist()
    return found
