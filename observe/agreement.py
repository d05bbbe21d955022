"""How well scores agree with what happened, from counts on bins alone: shares, AUC, reliability, delays of labels.

Counts add up, so each of these is known of any stretch of time. Intervals are of independent rows; where rows
depend on each other they are too narrow (`bench.performance` shows how much).

Source: E. B. Wilson (1927) for shares; Mann and Whitney (1947) for AUC, Hanley and McNeil (1982) for its standard
error; DeGroot and Fienberg (1983) for reliability; Kaplan and Meier (1958) for delays that are not over yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[Any]

_Z: Final = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Measured:
    """A value with its 95 % interval; None where nothing is known."""

    value: float
    low: float
    high: float


def share(events: float, n: float, at_once: int = 1) -> Measured | None:
    """A share of independent trials with Wilson's interval, wide enough for `at_once` shares to hold together.

    >>> found = share(9, 100)
    >>> round(found.value, 2), round(found.low, 3), round(found.high, 3)
    (0.09, 0.048, 0.162)
    """
    if n <= 0:
        return None
    z = NormalDist().inv_cdf(1 - 0.025 / at_once)
    p, spread = events / n, z * z / n
    middle = (p + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(p * (1 - p) / n + spread / (4 * n))
    return Measured(p, max(0.0, middle - half), min(1.0, middle + half))


def mean(total: float, squares: float, n: float) -> Measured | None:
    """A mean of independent values from their sum and the sum of their squares."""
    if n < 2:
        return None
    centre = total / n
    half = _Z * sqrt(max(0.0, squares / n - centre**2) / n)
    return Measured(centre, centre - half, centre + half)


def auc(positive: Counts, negative: Counts) -> tuple[Measured, float] | None:
    """The chance that a positive scores above a negative, and by how much binning can be wrong; None without both.

    Rows that share a bin count half: the exact value lies within `error` of this one.

    Args:
        positive: rows of the class by bin of the score, ascending, (K,).
        negative: the others on the same bins, (K,).

    >>> found, error = auc(np.array([0, 1, 3]), np.array([3, 1, 0]))
    >>> round(found.value, 3), round(error, 3)
    (0.969, 0.031)
    """
    m, n = float(positive.sum()), float(negative.sum())
    if not (m and n):
        return None
    below = np.concatenate([[0.0], np.cumsum(negative)[:-1]])
    value = float((positive * (below + negative / 2)).sum() / (m * n))
    error = float((positive * negative).sum() / (2 * m * n))
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    var = (value * (1 - value) + (m - 1) * (q1 - value**2) + (n - 1) * (q2 - value**2)) / (m * n)
    half = _Z * sqrt(max(var, 0.0)) + error
    return Measured(value, max(0.0, value - half), min(1.0, value + half)), error


@dataclass(frozen=True, slots=True)
class Reliable:
    """Of groups of rows by score: how many, what was predicted and what happened; and how far these are apart."""

    n: Floats
    predicted: Floats
    happened: Floats
    low: Floats
    high: Floats
    error: float  # mean distance weighted by rows: ECE
    chance: float  # what it is on average where every group is calibrated


def reliability(rows: Counts, happened: Counts, scores: Floats, groups: int = 10) -> Reliable | None:
    """Scores held against shares, in groups of about as many rows each; None without rows.

    Args:
        rows: by bin of the score, (K,).
        happened: of them, those of the class, (K,).
        scores: a typical score of each bin, 0-1, (K,).
        groups: at most; a bin is never divided.
    """
    total = float(rows.sum())
    if total <= 0:
        return None
    middle = (np.cumsum(rows) - rows / 2) / total
    of = np.minimum((middle * groups).astype(np.int64), groups - 1)
    sums = (np.bincount(of, weights=w, minlength=groups) for w in (rows, happened, rows * scores))
    n, x, s = (w.astype(np.float64) for w in sums)
    kept = n > 0
    n, x, s = n[kept], x[kept], s[kept] / n[kept]
    bands = [found for k, m in zip(x, n, strict=True) if (found := share(float(k), float(m))) is not None]
    low, high = (np.array([getattr(b, side) for b in bands]) for side in ("low", "high"))
    apart = float((n * np.abs(x / n - s)).sum() / total)
    chance = float((n * np.sqrt(2 / np.pi * s * (1 - s) / n)).sum() / total)
    return Reliable(n, s, x / n, low, high, apart, chance)


@dataclass(frozen=True, slots=True)
class Delays:
    """When labels come: the share that has, in the end, and the delays by which half and 90 % of those have come."""

    arriving: float  # share of predictions that get a label within the longest time seen
    median_s: float | None
    p90_s: float | None


def delays(labels: Counts, predictions: Floats, age_s: Floats, edges: Sequence[float]) -> Delays | None:
    """Delays of labels where the newest windows still wait for some.

    Args:
        labels: labels by window and bin of the delay, (W, K).
        predictions: rows of each window, (W,).
        age_s: how long ago each window ended, s, (W,): later delays cannot have been seen.
        edges: of the bins, s, ascending, (K - 1,).

    Returns:
        None without predictions or labels.
    """
    upper = np.array([*edges, np.inf])
    waiting, left, came = predictions.astype(np.float64), 1.0, [0.0]
    for k in range(labels.shape[1]):
        seen = age_s >= (upper[k] if np.isfinite(upper[k]) else upper[max(k - 1, 0)])
        at_risk, arrived = float(waiting[seen].sum()), float(labels[seen, k].sum())
        left *= 1 - min(1.0, arrived / at_risk) if at_risk > 0 else 1.0
        came.append(1 - left)
        waiting = np.maximum(waiting - labels[:, k], 0.0)
    if came[-1] <= 0:
        return None
    found = [_quantile(np.array(came), q * came[-1], edges) for q in (0.5, 0.9)]
    return Delays(came[-1], found[0], found[1])


def _quantile(came: Floats, asked: float, edges: Sequence[float]) -> float | None:
    """The delay by which a share has come, interpolated inside its bin; `came` is (K + 1,)."""
    k = int(np.searchsorted(came, asked))
    bounds = [0.0, *edges]
    if not 0 < k < len(bounds):
        return bounds[-1] if k >= len(bounds) else 0.0
    step = came[k] - came[k - 1]
    inside = (asked - came[k - 1]) / step if step > 0 else 1.0
    return float(bounds[k - 1] + inside * (bounds[k] - bounds[k - 1]))
