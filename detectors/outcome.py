"""Did it help? The share of bad events before and after an action, against the same hours of earlier days.

Difference in differences with days as units: the change from the hour before to the hour after is compared with the
same change on each of the `D` days before, which had no action. What the clock does by itself (a morning rush, a nightly
batch) is in all of them and cancels, and so is whatever memory the series has within a day, so the spread of
the D changes is an honest error of the one: `s^2 (1 + 1/D)` on `D - 1` degrees of freedom. A disturbed day is
noisier than usual: what its own Newey-West variance exceeds the usual days' is added (Welch-Satterthwaite), and
the error is never below that of independent requests. With fewer than three such days the numbers
are told and the verdict is `unknown`: nobody can say what these hours do by themselves.

Source: Card and Krueger (1994) for the difference in differences; Bertrand, Duflo and Mullainathan (2004), "How much
should we trust differences-in-differences estimates?", for units as blocks; Newey and West (1987); Welch (1947).
Assumes: without the action the disturbance would have lasted, and the change would have been an exchangeable draw of
those of the earlier days; nothing else of consequence happened in the same two windows. What ends by itself
looks like help: no interval shows that. Actions that stand at the worst half hour of a day of a wandering
series "helped" in 4 to 14 % of cases in which nothing was done, in place of 2.5 % (`bench.outcome`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan, sqrt
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Verdict = Literal["helped", "no change", "worse", "unknown"]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DAY: Final = 1440  # minutes
DAYS: Final = 14  # earlier days that are looked at, at most
LEAST_DAYS: Final = 3
LEAST: Final = 20  # events in a window, at least
BIN: Final = 5  # minutes of one bin of the variance within a day
CONFIDENCE: Final = 0.975
MATERIAL: Final = 0.1  # an improvement of less than a tenth of what was, or of the budget, is none


@dataclass(frozen=True, slots=True)
class Events:
    """Events by minute: epoch minutes, how many there were, how many of them bad; minutes may be missing or repeat."""

    minute: Ints
    total: Ints
    bad: Ints


@dataclass(frozen=True, slots=True)
class Span:
    """Epoch minutes `[start, end)`."""

    start: int
    end: int

    def earlier(self, days: int) -> Span:
        """The same hours so many days before."""
        return Span(self.start - days * DAY, self.end - days * DAY)


@dataclass(frozen=True, slots=True)
class Effect:
    """What became of a share of bad events; an interval of NaN is not known."""

    before: float
    after: float
    effect: float  # the change beyond that of the earlier days
    low: float
    high: float
    days: int  # earlier days it is compared with
    verdict: Verdict
    why: str = ""  # of `unknown`


def effect(events: Events, before: Span, after: Span, budget: float) -> Effect:
    """The change of the share of bad events from one span to the other, beyond what these hours do by themselves.

    Args:
        events: of both spans and of the same hours of earlier days.
        before: up to the action.
        after: from when it could work.
        budget: the share of bad events that is allowed; sets what matters.
    """
    mine = [_level(events, span) for span in (before, after)]
    first, second = mine
    if first is None or second is None:
        before_, after_ = (level.share if level else nan for level in mine)
        which = "before" if first is None else "after"
        return Effect(before_, after_, nan, nan, nan, 0, "unknown", f"too few events {which} it")
    usual = [
        (a, b)
        for d in range(1, DAYS + 1)
        if (a := _level(events, before.earlier(d))) is not None and (b := _level(events, after.earlier(d))) is not None
    ]
    change = second.share - first.share
    if len(usual) < LEAST_DAYS:
        why = f"{_days(len(usual))} of these hours to compare with, {LEAST_DAYS} are needed"
        return Effect(first.share, second.share, change, nan, nan, len(usual), "unknown", why)
    changes = np.array([b.share - a.share for a, b in usual])
    beyond = change - float(changes.mean())
    half = _half_width(changes, (first, second), usual)
    low, high = beyond - half, beyond + half
    found = verdict(low, high, MATERIAL * max(first.share, budget))
    why = "the interval holds both help and harm" if found == "unknown" else ""
    return Effect(first.share, second.share, beyond, low, high, len(usual), found, why)


def _days(n: int) -> str:
    return "no earlier day" if n == 0 else f"{n} earlier day{'s' if n > 1 else ''}"


def verdict(low: float, high: float, margin: float) -> Verdict:
    """What an interval of a change says, where less is better.

    Args:
        low: lower end of the interval.
        high: upper end.
        margin: an improvement of less than that is none.

    >>> verdict(-3.0, -1.0, 0.4), verdict(-0.3, 2.0, 0.4), verdict(-3.0, 2.0, 0.4)
    ('helped', 'no change', 'unknown')
    """
    if high < 0:
        return "helped"
    if low > 0:
        return "worse"
    return "no change" if low > -margin else "unknown"


# --- one window ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Level:
    """The share of bad events in one span, and its variance two ways."""

    share: float
    within: float  # Newey-West over bins
    chance: float  # of independent events


def _level(events: Events, span: Span) -> _Level | None:
    """None where there is too little, or where more than half of the bins are empty."""
    inside = (events.minute >= span.start) & (events.minute < span.end)
    bins = max(2, -(-(span.end - span.start) // BIN))
    place = np.minimum((events.minute[inside] - span.start) // BIN, bins - 1)
    total = np.bincount(place, events.total[inside], bins)
    bad = np.bincount(place, events.bad[inside], bins)
    n = float(total.sum())
    if n < LEAST or float((total > 0).mean()) < 0.5:
        return None
    share = float(bad.sum()) / n
    smoothed = (float(bad.sum()) + 0.5) / (n + 1)
    return _Level(share, _newey_west((bad - share * total) / n), smoothed * (1 - smoothed) / n)


def _newey_west(scores: Floats) -> float:
    """The variance of a sum of scores of mean zero: Bartlett weights up to the root of their number."""
    lags = max(1, int(sqrt(len(scores))))
    found = float(scores @ scores)
    for lag in range(1, lags + 1):
        found += 2 * (1 - lag / (lags + 1)) * float(scores[lag:] @ scores[:-lag])
    return max(found, 0.0)


# --- the error of a difference ------------------------------------------------------------------------


def _half_width(changes: Floats, mine: tuple[_Level, _Level], usual: Sequence[tuple[_Level, _Level]]) -> float:
    """Half of the 95 % interval; see the head of this module."""
    days = len(changes)
    spread = float(changes.var(ddof=1)) * (1 + 1 / days)
    ordinary = float(np.mean([a.within + b.within for a, b in usual]))
    excess = max(0.0, sum(level.within for level in mine) - ordinary)
    variance = max(spread + excess, sum(level.chance for level in mine))
    freedom = _freedom(spread, excess, days)
    return float(stdtrit(freedom, CONFIDENCE)) * sqrt(variance)


def _freedom(spread: float, excess: float, days: int) -> float:
    """Degrees of freedom of the sum of two variances."""
    if spread + excess <= 0:
        return float(days - 1)
    parts = ((spread, days - 1), (excess, _WITHIN_FREEDOM))
    found = (spread + excess) ** 2 / sum(v * v / df for v, df in parts)
    return found if isfinite(found) else inf


_WITHIN_FREEDOM: Final = 6.0  # of a Newey-West variance over two windows of a dozen bins
