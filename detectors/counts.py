"""What share of events is normally bad, learnt from its history.

The share goes with the hour of the day and the weekend (`profile`), is taken at its upper end, and
over-dispersion is a negative binomial's k (Poisson unless the likelihood gains more than 2). Dependence
between windows divides the evidence, and what evidence is worth is read off the stream's own history
(`worth`): that is what keeps the budget on streams which no model here describes.

Source: METHODS section 5; Cameron and Trivedi (2013), "Regression analysis of count data", chapter 3.
Assumes: events are rare or over-dispersed (a common share makes the test cautious); history is like the future.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import bursts, excess, profile, scatter, worth
from detectors.worth import Line, Worth
from observe.schema import Json

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FLOOR: Final = 2e-4  # a share below this is not told from 0
KEPT: Final = 200  # windows that a start is looked for in
SLOW: Final = 0.15  # memory over two hours from which a share wanders; four standard errors of 28 d
LEAST_EFFECTIVE: Final = 30.0  # independent windows before a stream may alarm
LEAST: Final = 24  # windows with events below which nothing is learnt
_LAG: Final = 2  # hours
_ENOUGH: Final = 10.0  # bad events below which neither season nor dependence is believed
_TOGETHER: Final = 64  # streams learnt at once, for memory
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_BURSTY_CAP: Final = (
    4.0  # nats that one window of a history with clear bursts can contribute: length counts, not height
)


@dataclass(frozen=True, slots=True)
class Normal:
    """The learnt state of one rate stream."""

    at: int  # event time, epoch s
    share: float  # bad events of all, best guess
    upper: float  # the share that is still normal, p0
    k: float
    vif: float  # by which dependence inflates the variance of a long sum
    fall: float  # of dependence from one window to the next
    wobble: float  # relative variance of one window's share beyond a Poisson's, dependence over a day included
    used: int  # windows
    events: float
    trials: float
    width: int  # windows of the trailing minimum, 1 for none
    cap: float  # nats that one window can contribute at most
    slow: float  # memory of the share over two hours, correlation
    hours: tuple[float, ...]  # factors on the share by hour of the day (UTC); none without a season
    weekend: float  # factor on Saturday and Sunday
    lines: tuple[Line, ...]  # of `worth.Worth`
    suspect: int | None  # when the history may contain an incident, epoch s

    @property
    def effective(self) -> float:
        """Independent windows the history is worth."""
        return self.used / self.vif

    @property
    def missed(self) -> str | None:
        """Why alarms of this stream are only shown: its class missed its gate; None where it met it."""
        if self.slow > SLOW:
            return f"a share that wanders for hours (memory {self.slow:.2f} over two hours) missed the gate: shown only"
        return None

    @property
    def worth(self) -> Worth:
        """What evidence is worth by the history."""
        return Worth(self.lines, self.suspect)

    def factors(self, ts: Ints, window_s: int) -> Floats:
        """Factors on the share of the windows that start at `ts`, (T,)."""
        hours = np.array(self.hours or [1.0] * profile.HOURS)[None]
        found: Floats = profile.at(hours, np.array([self.weekend]), ts, window_s)[0]
        return found

    def dumped(self) -> Json:
        """As plain JSON."""
        return {**asdict(self), "hours": list(self.hours), "lines": [list(line) for line in self.lines]}

    @classmethod
    def loaded(cls, state: Json) -> Normal:
        """The inverse of `dumped`."""
        return cls(**{**state, "hours": tuple(state["hours"]), "lines": tuple(map(tuple, state["lines"]))})


def learn(x: Floats, n: Floats, ts: Ints, window_s: int, at: int) -> list[Normal | None]:
    """The normal state of many streams; None with fewer than 24 windows that have events.

    Args:
        x: bad events per window, (S, T), in order of time.
        n: all events per window, (S, T); 0 where there were none.
        ts: starts of windows, epoch s, (T,), evenly spaced.
        window_s: length of a window, s.
        at: end of the history, epoch s.
    """
    found: list[Normal | None] = [None] * len(x)
    some = np.flatnonzero(x.any(axis=1))
    for i in np.flatnonzero(~x.any(axis=1)).tolist():
        found[i] = _spotless(n[i], at)
    for low in range(0, some.size, _TOGETHER):
        part = some[low : low + _TOGETHER]
        for i, normal in zip(part.tolist(), _learn(x[part], n[part], ts, window_s, at), strict=True):
            found[i] = normal
    return found


def _spotless(n: Floats, at: int) -> Normal | None:
    """What follows from a history without any bad event, which most are."""
    used, trials = float((n > 0).sum()), float(n.sum())
    if used < LEAST:
        return None
    return Normal(
        at=at, share=0.0, upper=_few(max(FLOOR, 3.0 / max(trials, 1e-12))), k=scatter.POISSON, vif=1.0, fall=0.0, wobble=0.0,
        used=int(used), events=0.0, trials=trials, width=1, cap=_few(log(used + 1.0)), slow=0.0, hours=(), weekend=1.0,
        lines=worth.PLAIN.lines, suspect=None,
    )  # fmt: skip


def _learn(x: Floats, n: Floats, ts: Ints, window_s: int, at: int) -> list[Normal | None]:
    totals = np.stack([(n > 0).sum(axis=1), x.sum(axis=1), n.sum(axis=1)])
    some = totals[1] >= _ENOUGH
    season = profile.learn(x, n, ts)
    hours, weekend = np.where(some[:, None], season.hours, 1.0), np.where(some, season.weekend, 1.0)
    f = profile.at(hours, weekend, ts, window_s)
    share = totals[1] / np.maximum((n * f).sum(axis=1), 1e-12)
    mean = n * f * share[:, None]
    wobble = np.where(some, _wobble(x, mean, ts), 0.0)
    judged = _judged(x, n, f)
    error = np.where(some, np.sqrt((season.error**2).mean(axis=1)), 0.0)
    k, vif, fall, upper = _spread(judged, ts)
    upper *= 1 + error
    slow = np.where(some & (judged.width == 1), _slow(judged.ordinary - mean, mean, ts), 0.0)
    cap = np.log(totals[0] + 1.0)
    cap = np.where(judged.bursty, np.minimum(cap, _BURSTY_CAP), cap)
    evidence, quiet = excess.replayed(judged.x, judged.n, judged.n * judged.f * upper[:, None], (k, cap, vif, fall))
    found: list[Normal | None] = []
    for i, (used, events, trials) in enumerate(totals.T.tolist()):
        if used < LEAST:
            found.append(None)
            continue
        own = worth.read(evidence[i], quiet[i], used)
        season_ = () if (hours[i] == 1.0).all() else tuple(_few(v) for v in hours[i])
        found.append(
            Normal(
                at=at,
                share=_few(share[i]),
                upper=_few(upper[i]),
                k=_few(k[i]),
                vif=_few(vif[i]),
                fall=_few(fall[i]),
                wobble=_few(wobble[i]),
                used=int(used),
                events=events,
                trials=trials,
                width=int(judged.width[i]),
                cap=_few(cap[i]),
                slow=_few(slow[i]),
                hours=season_,
                weekend=_few(weekend[i]),
                lines=tuple((_few(a), _few(b), _few(c), d) for a, b, c, d in own.lines),
                suspect=None if own.suspect is None else int(ts[own.suspect]),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class _Judged:
    """Histories as they are judged: the lowest of the last windows where there are bursts; (S, T) or (S,) each."""

    x: Floats
    n: Floats
    f: Floats
    ordinary: Floats  # x without what is clearly a burst
    width: Ints
    bursty: NDArray[np.bool_]


def _judged(x: Floats, n: Floats, f: Floats) -> _Judged:
    x, n, f, ordinary = x.copy(), n.copy(), f.copy(), x.copy()
    width, bursty = np.ones(len(x), dtype=np.int64), np.zeros(len(x), dtype=bool)
    for i in range(len(x)):
        limit = bursts.limit(x[i], n[i] * f[i])
        burst = x[i] > limit
        width[i] = bursts.width(burst, int((n[i] > 0).sum()))
        bursty[i] = burst.sum() >= bursts.RUNS
        if width[i] > 1:
            x[i], n[i], f[i] = bursts.lowest(x[i], n[i], f[i], int(width[i]))
            limit = bursts.limit(x[i], n[i] * f[i])
        ordinary[i] = np.minimum(x[i], limit)
    return _Judged(x, n, f, ordinary, width, bursty)


def _spread(judged: _Judged, ts: Ints) -> tuple[Floats, Floats, Floats, Floats]:
    """Over-dispersion, dependence, its fall and the share's upper end of ordinary windows, (S,) each."""
    x, seen, weighted = judged.ordinary, judged.n > 0, judged.n * judged.f
    events, all_ = x.sum(axis=1), np.maximum(weighted.sum(axis=1), 1e-12)
    some = events >= _ENOUGH
    m = np.maximum(weighted * (events / all_)[:, None], 1e-12)
    k = np.where(some, scatter.dispersion(x, m, seen), scatter.POISSON)
    vif, fall = scatter.dependence(x, m, k, seen)
    vif = np.where(some, vif, 1.0)
    over = np.where(seen, (x - m) ** 2 / m, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    variance = (events + 1) * np.where(some, np.maximum(1.0, over) * vif, 1.0)
    variance = np.maximum(variance, np.where(some, (_sums(x - m, ts, _DAY_S) ** 2).sum(axis=1), 0.0))
    return k, vif, fall, np.maximum(FLOOR, (events + 1 + 2 * np.sqrt(variance)) / all_)


def _wobble(x: Floats, m: Floats, ts: Ints) -> Floats:
    """Relative variance of one window's share beyond a Poisson's, as hours or days show it, (S,); 0 unless one of them does."""
    found = np.zeros(len(x))
    for block_s in (_HOUR_S, _DAY_S):
        mean, windows = _sums(m, ts, block_s), _sums((m > 0).astype(np.float64), ts, block_s)
        seen, total = (_sums(x - m, ts, block_s) ** 2).sum(axis=1), x.sum(axis=1)
        beyond = (seen - total) / np.maximum((mean**2 / np.maximum(windows, 1.0)).sum(axis=1), 1e-12)
        sure = seen > total * (1 + 2 * np.sqrt(2 / mean.shape[1]))
        found = np.maximum(found, np.where(sure, beyond, 0.0))
    return found


def _slow(left: Floats, m: Floats, ts: Ints) -> Floats:
    """Correlation of what hours have left over with what was left two hours before, (S,)."""
    mean = _sums(m, ts, _HOUR_S)
    e = np.where(mean > 1e-6, _sums(left, ts, _HOUR_S) / np.sqrt(np.maximum(mean, 1e-6)), 0.0)
    e = e - e.mean(axis=1, keepdims=True)
    if e.shape[1] <= 2 * _LAG:
        return np.zeros(len(e))
    found: Floats = (e[:, _LAG:] * e[:, :-_LAG]).sum(axis=1) / np.maximum((e**2).sum(axis=1), 1e-12)
    return found


def _sums(values: Floats, ts: Ints, block_s: int) -> Floats:
    """Sums of (S, T) by blocks of `block_s` seconds, (S, B)."""
    first = np.flatnonzero(np.concatenate([[True], np.diff(ts // block_s) > 0]))
    found: Floats = np.add.reduceat(values, first, axis=1)
    return found


def _few(value: float) -> float:
    return float(f"{value:.9g}")


def smallest_found(normal: Normal, threshold: float, windows: float) -> float | None:
    """The smallest ratio of shares found within `windows` windows with 90 %; None beyond 100 or a share of 1."""
    n, needed = normal.trials / normal.used, normal.worth.needed(threshold)
    return excess.smallest(n, normal.upper, normal.k, normal.vif, needed, windows)
