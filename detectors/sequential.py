"""Is one side's rate higher than the other's? Evidence that may be looked at every minute, for ever.

Given the events of both sides in a minute, the canary's part of them is binomial with odds `r n_c/n_b` when its
rate is r times the baseline's, whatever the rate is and however it moves. Likelihoods of a grid of ratios are
summed; a mean of likelihood ratios over the ratios asked for is an e-process against "r <= 1": it reaches 100
with at most 1 % chance, however often one looks. Each minute counts 1/phi of itself, phi known before it.

Source: METHODS section 8; Ramdas, Gruenwald, Vovk and Shafer (2023), "Game-theoretic statistics and safe anytime-valid
inference"; Hoeffding (1963) for why the binomial is cautious where events are common; Przyborowski and Wilenski (1940).
Assumes: which side an event falls on does not depend on the other events of its minute, but for phi.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RATIOS: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)  # how many times worse a canary is looked for to be
GRID: Final[Floats] = np.unique(np.concatenate([np.geomspace(1 / 32, 32, 81), RATIOS, [1 / r for r in RATIOS], [1.0]]))
HARMLESS: Final = 1.25  # a ratio below this is as good as equal
_WORSE: Final = np.array([int(np.abs(GRID - r).argmin()) for r in RATIOS])
_BETTER: Final = np.array([int(np.abs(GRID - 1 / r).argmin()) for r in RATIOS])
_SAME: Final = int(np.abs(GRID - 1.0).argmin())
_HARMLESS: Final = int(np.abs(GRID - HARMLESS).argmin())
_OUTSIDE: Final = log(20.0)  # nats against a ratio that the 95 % interval leaves out


@dataclass(frozen=True, slots=True)
class Counts:
    """Events of all, on both sides, by minute; (T,) each."""

    canary: Floats
    canary_n: Floats
    baseline: Floats
    baseline_n: Floats


def gained(counts: Counts, phi: Floats) -> Floats:
    """Log likelihood of each ratio of `GRID` less that of 1, nats, by minute, (T, G).

    Args:
        counts: minutes in which one side had nothing at all teach nothing.
        phi: by how much events come in clumps, known before each minute, (T,), at least 1.
    """
    both = (counts.canary_n > 0) & (counts.baseline_n > 0)
    odds = np.where(both, counts.canary_n, 1.0) / np.where(both, counts.baseline_n, 1.0)
    x, y = np.where(both, (counts.canary, counts.baseline), 0.0)
    total = np.log1p(GRID * odds[:, None]) - np.log1p(odds)[:, None]
    found: Floats = (x[:, None] * np.log(GRID) - (x + y)[:, None] * total) / phi[:, None]
    return found


def gained_against(events: float, n: float, share: float) -> Floats:
    """Log likelihood of `r` times a declared share less that of the share itself, nats, (G,).

    Where the true share is at most the declared one, each ratio above 1 is a bet that loses on average.

    Args:
        events: of `n`.
        n: all.
        share: that was declared, 0-1.
    """
    asked = np.clip(GRID * share, 1e-12, 1 - 1e-9)
    found: Floats = events * np.log(asked / share) + (n - events) * (np.log1p(-asked) - np.log1p(-share))
    return found


def worse(ll: Floats) -> float:
    """Nats against "not worse than the baseline".

    Args:
        ll: sums of `gained`, (G,).
    """
    return _mean(ll[_WORSE])


def differs(ll: Floats) -> float:
    """Nats against "the same as the baseline", in both directions."""
    return _mean(ll[np.concatenate([_WORSE, _BETTER])])


def harmless(ll: Floats) -> float:
    """Nats against "at least 1.25 times as many"."""
    return float(-ll[_HARMLESS])


def interval(ll: Floats) -> tuple[float, float, float]:
    """The likeliest ratio and its 95 % confidence sequence: true at all times at once; infinite where the grid ends.

    >>> interval(np.zeros(GRID.size))[1:]
    (0.0, inf)
    """
    left = np.flatnonzero(_mean(ll) - ll < _OUTSIDE)
    low, high = int(left[0]), int(left[-1])
    best = GRID[int(ll.argmax())] if ll.any() else 1.0
    return float(best), float(GRID[low]) if low else 0.0, float(GRID[high]) if high < GRID.size - 1 else inf


def needed(ll: Floats, share: float, canary_part: float, nats: float) -> float:
    """Further requests of both sides until a canary that is as good as the baseline is known to be, on average.

    Args:
        ll: sums so far, (G,).
        share: of events among requests, 0-1.
        canary_part: of requests that the canary gets, 0-1.
        nats: wanted of `harmless`.
    """
    if not (share > 0 and 0 < canary_part < 1):
        return inf
    odds = canary_part / (1 - canary_part)
    per_event = log((1 + HARMLESS * odds) / (1 + odds)) - canary_part * log(HARMLESS)
    return max(0.0, nats - harmless(ll)) / (per_event * share)


def _mean(nats: Floats) -> float:
    top = float(nats.max())
    return top + log(float(np.exp(nats - top).mean()))


class Clumps:
    """By how much events of one side come in clumps: the mean square of what each minute strays from the last hours.

    What it says of a minute uses earlier minutes alone.
    """

    HALF: Final = 360.0  # minutes after which a minute counts half
    MARGIN: Final = 1.5  # on what is beyond 1, since it is an estimate
    PRIOR: Final = 30.0  # minutes of an ordinary side that it begins with

    def __init__(self, events: float = 0.0, n: float = 0.0, squares: float = 0.0, minutes: float = 0.0) -> None:
        self.events, self.n, self.squares, self.minutes = events, n, squares, minutes

    def phi(self) -> float:
        """At least 1."""
        found = (self.PRIOR + self.squares) / (self.PRIOR + self.minutes)
        return max(1.0, 1.0 + self.MARGIN * (found - 1.0))

    def add(self, events: float, n: float) -> None:
        """Take in one minute."""
        if n <= 0:
            return
        fade = 0.5 ** (1.0 / self.HALF)
        share = self.events / self.n if self.n > 0 else 0.0
        if share > 0:
            variance = n * share * max(1.0 - share, 1e-9) * (1.0 + n / self.n)
            self.squares = fade * self.squares + (events - n * share) ** 2 / variance
            self.minutes = fade * self.minutes + 1.0
        self.events, self.n = fade * self.events + events, fade * self.n + n
