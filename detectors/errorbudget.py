"""How fast an error budget burns, and how much evidence there is that it burns at all.

The plain multi-window rule asks for a ratio, so two errors can page at night. The gate asks how
surprising the errors are when the budget is spent exactly as allowed: with E errors where mu were
expected, `E ln(E/mu) - E + mu - ln(E/2pi)/2` nats, one-sided. Errors that come in bursts carry less
evidence: E and mu are divided by the burst factor phi.

Source: METHODS section 6; Google SRE Workbook, "Alerting on SLOs". phi is the quasi-Poisson
dispersion of hourly errors (Wedderburn 1974), drawn towards 5 while hours are few.
Assumes: errors within a minute belong to different requests; bursts are shorter than an hour.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRIOR_PHI: Final = (
    5.0  # burst factor of an unknown service: METHODS section 6 uses 3 without history; 5 keeps bursts of 3 quiet
)
PRIOR_HOURS: Final = 8.0  # how many hours of its own an SLO needs to outweigh that
DISPERSION_HOURS: Final = 720  # hours that phi looks back
HOUR: Final = 60  # minutes
MEMORY: Final = 4_320  # minutes before now that any question looks back: the longest tier, 3 d


def gate_nats(errors: Floats, expected: Floats, phi: Floats | float = 1.0) -> Floats:
    """Evidence that the budget burns faster than allowed; 0 unless errors >= 1 and more than expected.

    Divided by a large burst factor a few errors are less than one event, and prove no more than their ratio does.

    Args:
        errors: bad events in the long window, any shape.
        expected: bad events that the budget allows there, same shape.
        phi: burst factor, >= 1.

    Returns:
        Nats, same shape, never NaN.

    >>> gate_nats(np.array([20.0, 2.0, 0.0]), np.array([60.0, 0.06, 0.0])).round(2).tolist()
    [0.0, 5.65, 0.0]
    >>> gate_nats(np.array([2.0]), np.array([0.12]), 60.0).round(2).tolist()
    [0.98]
    """
    phi = np.asarray(phi, dtype=np.float64)
    judged = (errors >= 1) & (errors > expected)
    e = np.where(judged, errors, 1.0) / phi
    mu = np.where(judged, np.maximum(expected, 1e-12), 1.0) / phi
    correction = 0.5 * np.log(np.maximum(e, 1.0) / (2 * np.pi))  # Stirling's, which holds from one event on
    nats = e * np.log(e / mu) - e + mu - correction
    return np.where(judged, np.maximum(nats, 0.0), 0.0)


def dispersion(total: Ints, bad: Ints, counted: NDArray[np.bool_]) -> Floats:
    """Burst factor known at the start of each hour, from the hours before it.

    Args:
        total: events by hour, (hours,).
        bad: bad events by hour, (hours,).
        counted: which hours are ordinary, (hours,); those of an incident say nothing about bursts.

    Returns:
        (hours + 1,) factors >= 1; the first is the prior, the last is for the hour after all of these.
    """
    use = counted & (total > 0)
    n, e = np.where(use, total, 0).astype(np.float64), np.where(use, bad, 0).astype(np.float64)
    squares = np.divide(e * e, n, out=np.zeros_like(e), where=n > 0)
    sums = np.zeros((4, total.size + 1))
    np.cumsum(np.stack([n, e, squares, use.astype(np.float64)]), axis=1, out=sums[:, 1:])
    sums[:, DISPERSION_HOURS:] -= sums[:, : max(0, sums.shape[1] - DISPERSION_HOURS)].copy()
    n, e, squares, hours = sums
    # sum of (E_h - p n_h)^2 / (p n_h) with p = E/N is  (N/E) sum(E_h^2/n_h) - E
    pearson = np.divide(squares * n, e, out=np.zeros_like(e), where=e > 0) - e
    pearson = np.where(e > 0, pearson, hours)  # no error at all is no evidence of bursts
    phi = (PRIOR_HOURS * PRIOR_PHI + np.maximum(pearson, 0.0)) / (PRIOR_HOURS + np.maximum(hours - 1.0, 0.0))
    factors: Floats = np.maximum(phi, 1.0)
    return factors


@dataclass(frozen=True, slots=True)
class Minutes:
    """Events of one SLO by minute: prefix sums, so that any window is a difference.

    `first` is the number of the first minute since the epoch; `total[i]` counts the events of the
    first i minutes; `silent[i]` is how many minutes up to and with minute i nothing was told of.
    """

    first: int
    total: Ints
    bad: Ints
    silent: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @classmethod
    def of(cls, first: int, total: Ints, bad: Ints, told: NDArray[np.bool_] | None = None) -> Minutes:
        """From events per minute; minutes that were `told` of without an event are not silent."""
        zero, at = np.zeros(1, dtype=np.int64), np.arange(total.size)
        heard = total != 0 if told is None else told
        silent = at - np.maximum.accumulate(np.where(heard, at, -1)) if total.size else at
        return cls(first, np.concatenate([zero, np.cumsum(total)]), np.concatenate([zero, np.cumsum(bad)]), silent)

    @property
    def size(self) -> int:
        """How many minutes there are."""
        return self.total.size - 1

    def within(self, ends: Ints, minutes: int, since: int = 0) -> tuple[Ints, Ints]:
        """Events and bad events of the `minutes` before each end, none from before position `since`."""
        starts = np.clip(ends - minutes, since, ends)
        return self.total[ends] - self.total[starts], self.bad[ends] - self.bad[starts]

    def burn(self, ends: Ints, minutes: int, budget: float) -> Floats:
        """Burn rate, in multiples of the allowed one; 0 where there were no events."""
        total, bad = self.within(ends, minutes)
        rate: Floats = np.divide(bad, total * budget, out=np.zeros(ends.size), where=total > 0)
        return rate


def counted(bad: Floats, phi: Floats | float, z: float = 1.96) -> tuple[Floats, Floats]:
    """Interval of how many bad events were to be expected where `bad` were counted; they come in bursts of `phi`.

    Byar's approximation of the exact Poisson interval, for bad/phi bursts.

    Source: Breslow and Day (1987), Statistical Methods in Cancer Research II, formula 2.10.

    >>> [x.round(1).tolist() for x in counted(np.array([0.0, 10.0]), 1.0)]
    [[0.0, 4.8], [3.7, 18.4]]
    """
    seen = np.maximum(bad, 0.0) / phi
    some = np.where(seen > 0, seen, 1.0)
    low = np.where(seen > 0, seen * np.maximum(0.0, 1 - 1 / (9 * some) - z / (3 * np.sqrt(some))) ** 3, 0.0)
    high = (seen + 1) * (1 - 1 / (9 * (seen + 1)) + z / (3 * np.sqrt(seen + 1))) ** 3
    return low * phi, high * phi


@dataclass(frozen=True, slots=True)
class Onset:
    """Most likely start of a burn and the starts within 3 nats of it, minutes since the epoch."""

    best: int
    low: int
    high: int


def onset(minutes: Minutes, end: int, back: int, normal: float) -> Onset:
    """When errors began to come faster than normal: the likeliest start, by the Poisson likelihood ratio.

    Args:
        minutes: the events.
        end: position up to which the burn is looked at.
        back: how many minutes before `end` it may have started.
        normal: bad share before the burn, 0-1, positive.
    """
    starts = np.arange(max(0, end - back), end)
    e = (minutes.bad[end] - minutes.bad[starts]).astype(np.float64)
    mu = np.maximum((minutes.total[end] - minutes.total[starts]) * normal, 1e-12)
    more = e > mu
    ratio = np.where(more, e * np.log(np.where(more, e, 1.0) / mu) - e + mu, 0.0)
    near = np.flatnonzero(ratio >= ratio.max() - 3.0)
    first = minutes.first + int(starts[0])
    return Onset(first + int(ratio.argmax()), first + int(near[0]), first + int(near[-1]))


def recovery(minutes: Minutes, since: int, ends: Ints, start: int, budget: float) -> Floats:
    """What each minute says for "back to the allowed rate" against "still at the incident's rate", nats.

    The incident's rate is that of all its minutes so far (3 d at most), from position `since`; minutes before
    `start` say nothing.
    """
    total, bad = minutes.within(ends, MEMORY, since)
    rate = np.maximum(np.divide(bad, total, out=np.full(ends.size, budget), where=total > 0), 1.01 * budget)
    n, e = minutes.within(ends, 1, start)
    nats: Floats = (rate - budget) * n - e * np.log(rate / budget)
    return nats
