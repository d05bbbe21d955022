"""What a loss most likely is of rows without labels: what it was in each group of scores, weighted by the groups of now.

`stratified` is CBPE where the loss is an error (a score's share of wrong answers, learnt from labelled rows, stands in
for the truth) and DLE where it is an absolute error (the mean error of predictions of that size). `powered` adds what
the labels of the same rows say, whatever came of the groups: the prediction-powered mean, with the weight of the
estimate chosen from the data.

Source: NannyML's confidence-based and direct-loss estimation for the idea; Angelopoulos et al. (2023), "Prediction-
powered inference", and Angelopoulos, Duchi and Zrnic (2023), "PPI++"; post-stratification is Neyman (1934).
Assumes: `stratified`: only the mix of scores changed, not what a score means (covariate shift, no concept drift),
and labels of the past are of all kinds of rows. `powered`: labels of the period are a random part of its rows.
Rows are independent; of dependent ones intervals are too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST: Final = 200  # labelled rows of the past below which nothing is estimated
ENOUGH: Final = 30  # labels of the period below which they are not used
_GROUPS: Final = 32
_FEWEST: Final = 50.0  # labelled rows that a group of scores has at least
_Z: Final = 1.959964


@dataclass(frozen=True, slots=True)
class Losses:
    """Labelled rows by bin of the score: how many, and sum and sum of squares of their losses; (K,) each."""

    n: Floats
    total: Floats
    square: Floats


@dataclass(frozen=True, slots=True)
class Estimated:
    """A mean loss with its 95 % interval."""

    value: float
    low: float
    high: float
    n: float  # labels it rests on
    weight: float = 1.0  # of what the scores say beside the labels, 0-1


def groups(n: Floats) -> NDArray[np.int64]:
    """Which group each bin belongs to, (K,): neighbours together, about as many labelled rows in each, 50 at least.

    >>> groups(np.array([40.0, 40.0, 0.0, 100.0])).tolist()
    [0, 1, 1, 2]
    """
    total = float(n.sum())
    count = int(max(1, min(_GROUPS, total // _FEWEST)))
    middle = (np.cumsum(n) - n / 2) / max(total, 1.0)
    of = np.minimum((middle * count).astype(np.int64), count - 1)
    _, dense = np.unique(of, return_inverse=True)
    return dense.astype(np.int64)


def stratified(past: Losses, rows: Floats) -> Estimated | None:
    """The mean loss of rows whose labels are not known.

    Args:
        past: labelled rows from before.
        rows: rows of now by bin of the score, (K,).

    Returns:
        With an interval for the mean loss that their labels would show; None with too little to go by.
    """
    if past.n.sum() < LEAST or rows.sum() <= 0:
        return None
    of = groups(past.n)
    n, g, v = _means(past, of)
    share = np.bincount(of, weights=rows, minlength=n.size) / rows.sum()
    value = float(share @ g)
    var = float(share**2 @ (v / n)) + float(share @ v) / float(rows.sum())
    return _estimated(value, var, float(past.n.sum()))


def powered(past: Losses, now: Losses, rows: Floats) -> Estimated | None:
    """The mean loss of a period of which some rows have labels, others not.

    Args:
        past: labelled rows from before the period; those of the period would make the interval too narrow.
        now: labelled rows of the period.
        rows: all rows of the period by bin of the score, (K,).

    Returns:
        None with fewer than 30 labels in the period.
    """
    labels = float(now.n.sum())
    if labels < ENOUGH:
        return None
    own, spread = _of_labels(now)
    bare = np.maximum(rows - now.n, 0.0)
    if past.n.sum() < LEAST or bare.sum() <= 0:
        return _estimated(own, spread / labels, labels, 0.0)
    of = groups(past.n)
    _, g, _ = _means(past, of)
    f = g[of]
    f_now, f_bare = float(now.n @ f) / labels, float(bare @ f) / float(bare.sum())
    var_f, var_bare = float(now.n @ f**2) / labels - f_now**2, float(bare @ f**2) / float(bare.sum()) - f_bare**2
    cov = float(now.total @ f) / labels - own * f_now
    ratio = labels / float(bare.sum())
    weight = float(np.clip(cov / ((1 + ratio) * max(var_f, 1e-12)), 0.0, 1.0))
    value = own + weight * (f_bare - f_now)
    rest = max(spread - 2 * weight * cov + weight**2 * var_f, 0.0)
    return _estimated(value, rest / labels + weight**2 * var_bare / float(bare.sum()), labels, weight)


def _of_labels(losses: Losses) -> tuple[float, float]:
    n = float(losses.n.sum())
    mean = float(losses.total.sum()) / n
    return mean, max(float(losses.square.sum()) / n - mean**2, 0.0) * n / max(n - 1, 1.0)


def _means(past: Losses, of: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Rows, mean loss and its variance by group; each holds one more row of the mean of all, so that none is certain."""
    mean, spread = _of_labels(past)
    size = int(of.max()) + 1
    sums = (np.bincount(of, weights=w, minlength=size) for w in (past.n, past.total, past.square))
    n, total, square = (w.astype(np.float64) for w in sums)
    n, total, square = n + 1, total + mean, square + mean**2 + spread
    g = total / n
    return n, g, np.maximum(square / n - g**2, 0.0)


def _estimated(value: float, var: float, n: float, weight: float = 1.0) -> Estimated:
    half = _Z * sqrt(max(var, 0.0))
    return Estimated(value, value - half, value + half, n, weight)
