"""By how much do the averages of two versions differ? An interval that may be looked at every minute, for ever.

Each minute gives one difference of averages, weighted by how much it can tell (n m / (n + m)); what moves both
sides, a daily swing or a slow hour, is in both averages and cancels. The interval is an asymptotic confidence
sequence over minutes: its width comes from how the minutes' differences scatter, so requests of one minute need
not be independent of each other.

Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), "Time-uniform central limit theory and asymptotic
confidence sequences", theorem 2.2 and section 2.4 for the choice of rho.
Assumes: differences of minutes that do not depend on each other, with a variance; holds from `FEWEST` minutes on.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from math import inf, log, sqrt
from typing import Final

MISSES: Final = 0.05  # chance that the interval leaves the truth out, ever
FEWEST: Final = 30.0  # minutes (as if all told equally much) before an interval is believed
_BEST_AT: Final = 240.0  # minutes at which the interval is as narrow as it can be
_RHO2: Final = (-2 * log(MISSES) + log(-2 * log(MISSES) + 1)) / _BEST_AT


@dataclass(slots=True)
class Average:
    """Sums over minutes; all but the last two pairs carry the minute's weight."""

    weight: float = 0.0
    weight2: float = 0.0
    difference: float = 0.0  # sum of weight x difference
    difference2: float = 0.0  # sum of weight^2 x difference
    squares: float = 0.0  # sum of weight^2 x difference^2
    canary_n: float = 0.0
    canary_sum: float = 0.0
    baseline_n: float = 0.0
    baseline_sum: float = 0.0

    def add(self, n: float, total: float, m: float, old: float) -> None:
        """Take in one minute: values and their sum on the canary's side, then on the baseline's."""
        if n <= 0 or m <= 0:
            return
        weight, difference = n * m / (n + m), total / n - old / m
        self.weight += weight
        self.weight2 += weight**2
        self.difference += weight * difference
        self.difference2 += weight**2 * difference
        self.squares += (weight * difference) ** 2
        self.canary_n, self.canary_sum = self.canary_n + n, self.canary_sum + total
        self.baseline_n, self.baseline_sum = self.baseline_n + m, self.baseline_sum + old

    def estimate(self) -> tuple[float, float, float] | None:
        """Difference of the averages, canary less baseline, and its interval; None before anything was seen."""
        if self.weight <= 0:
            return None
        mean, minutes = self.difference / self.weight, self.weight**2 / self.weight2
        if minutes < FEWEST:
            return mean, -inf, inf
        scatter = self.squares - 2 * mean * self.difference2 + mean**2 * self.weight2
        error = sqrt(max(scatter, 0.0)) / self.weight * sqrt(minutes / (minutes - 1))
        grown = minutes * _RHO2 + 1
        half = error * sqrt(2 * grown / (minutes * _RHO2) * log(sqrt(grown) / MISSES))
        return mean, mean - half, mean + half

    def averages(self) -> tuple[float | None, float | None]:
        """The plain averages of the canary and of the baseline."""
        return (
            self.canary_sum / self.canary_n if self.canary_n else None,
            self.baseline_sum / self.baseline_n if self.baseline_n else None,
        )

    def dumped(self) -> list[float]:
        """As plain JSON."""
        return list(astuple(self))
