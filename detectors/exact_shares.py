"""Two sets of counts over the same levels, compared exactly: distances, tests, and shares with intervals.

Source: Pearson (1900) for chi-square; Kullback and Leibler (1951), symmetrised, for PSI; Lin (1991) for
Jensen-Shannon; Hellinger (1909); Fisher (1935) for the exact test of two shares; Newcombe (1998),
method 10, for the interval of their difference; Chernoff (1952) for sums of rare events.
Assumes: exchangeable rows inside each sample, or the effective sizes that are handed in. The number of
levels seen in one sample only is held against what chance gives for the counts of both together.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from detectors.exact import Z95
from observe import distances as apart

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_FEW: Final = 50.0  # expected events up to which the exact test is used
_RARE: Final = 5.0  # expected counts below which levels are taken together; Cochran (1954)


@dataclass(frozen=True, slots=True)
class Distances:
    """How far two distributions over the same levels or bins are apart."""

    psi: float
    js: float  # Jensen-Shannon distance, the root of the divergence in nats: 0 to 0.83
    hellinger: float  # 0-1
    tv: float  # total variation, 0-1: the largest change in share of any group of levels
    chi2: float
    chi2_df: int
    chi2_p: float


def distances(reference: Counts, current: Counts) -> Distances:
    """All of them; zero where a side has no rows.

    >>> round(distances(np.array([50, 50]), np.array([60, 40])).tv, 3)
    0.1
    """
    if not reference.sum() or not current.sum():
        return Distances(0.0, 0.0, 0.0, 0.0, 0.0, 0, 1.0)
    return Distances(
        apart.psi(reference, current), apart.jensen_shannon(reference, current), apart.hellinger(reference, current),
        apart.total_variation(reference, current), *chi_square(reference, current),
    )  # fmt: skip


def chi_square(reference: Counts, current: Counts) -> tuple[float, int, float]:
    """Pearson's statistic, degrees of freedom and p-value of homogeneity, without a correction."""
    statistic, df = apart.chi_square(reference, current)
    return statistic, df, float(special.chdtrc(df, statistic)) if df else 1.0


def homogeneity_p(reference: Counts, current: Counts) -> float:
    """P-value that both have the same shares; levels too rare for chi-square are taken together."""
    pooled, n, m = reference + current, int(reference.sum()), int(current.sum())
    if not n or not m:
        return 1.0
    rare = pooled * (min(n, m) / (n + m)) < _RARE
    if (~rare).sum() + rare.any() == 2:
        level = ~rare if rare.any() else np.arange(pooled.size) == int(np.argmax(pooled))
        return share_p((int(reference[level].sum()), n), (int(current[level].sum()), m))
    merged = [np.append(side[~rare], side[rare].sum()) for side in (reference, current)]
    return chi_square(merged[0], merged[1])[2]


def share_p(reference: tuple[int, int], current: tuple[int, int]) -> float:
    """Two-sided p-value that two shares are equal: Fisher's exact test, or the normal one where events are many.

    Args:
        reference: events and rows.
        current: events and rows.

    >>> round(share_p((3, 4), (1, 4)), 4)
    0.4857
    """
    (a, n), (b, m) = reference, current
    total, rows = a + b, n + m
    if not n or not m or total in {0, rows}:
        return 1.0
    few = min(total, rows - total) * (min(n, m) / rows)
    if few > _FEW:
        pooled = total / rows
        z = max(0.0, abs(a / n - b / m) - (1 / n + 1 / m) / 2) / sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        return float(2 * special.ndtr(-z))
    return _fisher(b, total, (n, m))


def _fisher(events: int, total: int, rows: tuple[int, int]) -> float:
    """Twice the smaller tail of the hypergeometric distribution with mid-probability excluded; at most 1.

    Only terms near the bulk are summed; what is left out is below 1e-16 of it.
    """
    n, m = rows
    low, high = max(0, total - n), min(total, m)
    mean = total * m / (n + m)
    reach = 40 * sqrt(_FEW) + abs(events - mean)
    k = np.arange(max(low, int(mean - reach)), min(high, int(mean + reach)) + 1, dtype=np.float64)
    logs = _choose(m, k) + _choose(n, total - k) - _choose(n + m, np.array(float(total)))
    chance = np.exp(logs)
    tails = chance[k <= events].sum(), chance[k >= events].sum()
    return float(min(1.0, 2 * min(tails)))


def _choose(n: int, k: Floats) -> Floats:
    found: Floats = special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0)
    return found


def unseen_p(reference: Counts, current: Counts, dependence: float = 1.0) -> float:
    """P-value that as many levels, or one as frequent, are new in current by chance alone.

    A level with t rows in both samples together lies in current alone with probability (m/N)^t. Two
    questions, Bonferroni: are there more such levels than expected, and is one of them too frequent?

    Args:
        reference: counts by level.
        current: counts by level.
        dependence: how many rows are worth one independent one, >= 1.
    """
    new = (reference == 0) & (current > 0)
    n, m = int(reference.sum()), int(current.sum())
    if not new.any() or not n or not m:
        return 1.0
    pooled = (reference + current)[reference + current > 0]
    chances = np.exp(np.maximum(1.0, pooled / dependence) * log(m / (n + m)))
    seen, expected = float(new.sum()), float(chances.sum())
    many = exp_bound(seen, expected)
    often = float(np.exp(current[new].max() / dependence * log(m / (n + m))) * pooled.size)
    return min(1.0, 2 * min(many, often))


def exp_bound(seen: float, expected: float) -> float:
    """Chernoff's bound on seeing so many independent events or more."""
    if seen <= expected:
        return 1.0
    return float(np.exp(-(seen * log(seen / expected) - seen + expected))) if expected > 0 else 0.0


def share_interval(reference: tuple[float, float], current: tuple[float, float]) -> tuple[float, float]:
    """Interval of 95 % for a difference of shares, current minus reference, each given as share and effective rows."""
    (p, n), (q, m) = reference, current
    (p_low, p_high), (q_low, q_high) = _wilson(p, n), _wilson(q, m)
    low = q - p - sqrt((q - q_low) ** 2 + (p_high - p) ** 2)
    return low, q - p + sqrt((q_high - q) ** 2 + (p - p_low) ** 2)


def _wilson(p: float, n: float) -> tuple[float, float]:
    n = max(n, 1.0)
    centre, half = p + Z95**2 / (2 * n), Z95 * sqrt(p * (1 - p) / n + Z95**2 / (4 * n * n))
    low, high = (centre - half) / (1 + Z95**2 / n), (centre + half) / (1 + Z95**2 / n)
    return min(p, max(0.0, low)), max(p, min(1.0, high))
