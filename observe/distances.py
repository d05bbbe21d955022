"""How far two sets of counts over the same bins are apart: the customary measures, and bounds where bins hide values.

They say how far, never whether: none of them knows season, memory or how many rows are worth one
independent one, so no verdict is made from them. Counts tell the distribution functions at the edges
of bins exactly and nothing between, so KS and Wasserstein-1 come with the range in which the exact ones lie.

Source: Kullback and Leibler (1951), symmetrised, for PSI; Lin (1991) for Jensen-Shannon; Hellinger (1909);
Pearson (1900) for chi-square; Kolmogorov (1933), Smirnov (1939) for KS; Vallender (1974) for Wasserstein-1
as the area between distribution functions. The bounds are our own, from monotony inside a bin.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[Any]  # one-dimensional, whole numbers of whatever type

_HALF: Final = 0.5  # added to counts in PSI where a bin is empty: its logarithm has no value at 0
_GAMMA: Final = 0.5772156649015329  # Euler's: the largest of n exponential values is ln(n) + gamma means away


@dataclass(frozen=True, slots=True)
class Bounded:
    """A value read off bins, and between what the exact one lies."""

    value: float
    low: float
    high: float


def psi(reference: Counts, current: Counts) -> float:
    """Population stability index, nats: 0 where shares agree, no upper end.

    >>> round(psi(np.array([50, 50]), np.array([60, 40])), 4)
    0.0405
    """
    add = _HALF if ((reference == 0) != (current == 0)).any() else 0.0
    kept = (reference > 0) | (current > 0)
    p, q = reference[kept] + add, current[kept] + add
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """The root of the divergence in nats: 0 to 0.83, the root of ln 2."""
    p, q = _shares(reference, current)
    middle = (p + q) / 2
    return sqrt(max(0.0, (_entropy(p, middle) + _entropy(q, middle)) / 2))


def hellinger(reference: Counts, current: Counts) -> float:
    """Hellinger's distance, 0-1."""
    p, q = _shares(reference, current)
    return float(np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2))


def total_variation(reference: Counts, current: Counts) -> float:
    """The share of rows that would have to change their bin to make both alike, 0-1."""
    p, q = _shares(reference, current)
    return float(np.abs(p - q).sum() / 2)


def chi_square(reference: Counts, current: Counts) -> tuple[float, int]:
    """Pearson's statistic and degrees of freedom of homogeneity, without a correction; bins empty on both sides count nothing."""
    table = np.stack([reference, current]).astype(np.float64)
    table = table[:, table.sum(axis=0) > 0]
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    return float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1


def ks(reference: Counts, current: Counts) -> tuple[Bounded, int]:
    """The largest gap between both distribution functions at an edge, 0-1, and the bin below that edge.

    >>> ks(np.array([50, 50]), np.array([20, 80]))
    (Bounded(value=0.3, low=0.3, high=0.8), 0)
    """
    (low_a, high_a), (low_b, high_b) = _functions(reference), _functions(current)
    gaps = np.abs(high_a - high_b)
    at = int(np.argmax(gaps))
    most = float(np.maximum(high_a - low_b, high_b - low_a).max())
    return Bounded(_plain(gaps[at]), _plain(gaps[at]), _plain(most)), at


def wasserstein(cuts: Floats, reference: Counts, current: Counts, *, alone: bool = False) -> Bounded:
    """The mean distance that values moved, in their unit.

    Inside a bin values are taken as spread evenly, beyond the first and last edge as thinning out
    exponentially; the range holds however they lie.

    Args:
        cuts: ends of bins, one more than bins, ascending; the outer ones are the smallest and largest value of both.
        reference: counts, shape (K,).
        current: counts, shape (K,).
        alone: whether each bin of the reference holds one value only, its lower end.

    >>> wasserstein(np.array([0.0, 1.0, 2.0]), np.array([4, 0]), np.array([0, 4]), alone=True).value
    1.0
    """
    width = np.diff(cuts)
    (low_a, high_a), (low_b, high_b) = _functions(reference), _functions(current)
    if alone:
        low_a = high_a
    down, up = low_a - high_b, high_a - low_b  # the gap lies between them everywhere in the bin
    most = np.maximum(np.abs(down), np.abs(up))
    least = np.maximum(np.maximum(down, -up), 0.0)
    if alone:
        area = width * np.abs(high_a - high_b)
    else:
        area = width * _even(low_a - low_b, high_a - high_b)
        rows = reference + current
        for end, gap in ((0, high_a[0] - high_b[0]), (-1, low_a[-1] - low_b[-1])):
            area[end] = abs(gap) * width[end] / max(1.0, log(1.0 + float(rows[end])) + _GAMMA)
    low, high = float((width * least).sum()), float((width * most).sum())
    return Bounded(min(max(float(area.sum()), low), high), low, high)


def merged(reference: Counts, counts: Counts, parts: int = 10) -> Floats:
    """Counts on coarser bins that hold about equal shares of the reference, shape (parts,); 10 is customary for PSI."""
    p = reference / max(float(reference.sum()), 1.0)
    group = np.clip(((np.cumsum(p) - p / 2) * parts).astype(np.int64), 0, parts - 1)
    found = np.bincount(group, weights=counts.astype(np.float64), minlength=parts)
    return found.astype(np.float64)


def _shares(reference: Counts, current: Counts) -> tuple[Floats, Floats]:
    return reference / reference.sum(), current / current.sum()


def _entropy(p: Floats, middle: Floats) -> float:
    held = p > 0
    return float((p[held] * np.log(p[held] / middle[held])).sum())


def _functions(counts: Counts) -> tuple[Floats, Floats]:
    """Share of rows below each bin, and up to its end."""
    upto = np.cumsum(counts, dtype=np.float64) / counts.sum()
    return np.concatenate([[0.0], upto[:-1]]), upto


def _even(left: Floats, right: Floats) -> Floats:
    """Mean of the absolute value of a line from `left` to `right`."""
    total = np.abs(left) + np.abs(right)
    crossing = np.divide(left**2 + right**2, 2 * total, out=np.zeros_like(total), where=total > 0)
    return np.where(left * right < 0, crossing, total / 2)


def _plain(value: float) -> float:
    """Without what rounding of sums left in the last digits."""
    return round(float(value), 12)
