"""Did the shape move? Four scores of pooled ranks, each with the exact variance that chance gives it.

Every value is replaced by its mid-rank in both samples together; Legendre polynomials of it, made
orthonormal over the ties that occur, measure location, spread, third and fourth. A change of the mean
of one of them is in standard deviations: a normal sample that moves by 0.1 of its own moves location by
0.098. Scores are bounded, so heavy tails neither hide a change nor feign one.

With time, rows are not exchangeable. Means over stretches of time then tell how noisy a mean truly is:
the variance of stretch means, enlarged by what neighbours share.

Source: Neyman (1937), "smooth test"; Rayner and Best (1989), "Smooth Tests of Goodness of Fit";
Hajek and Sidak (1967) for the permutation variance; Hall (1992) for the correction of skewness;
Kendall (1954) for the bias of an autocorrelation; Welch (1947) for the degrees of freedom.
Assumes: exchangeable rows inside each sample; with stretches, that stretch means are stationary and
their memory is about that of AR(1).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from detectors.exact import Counts, Pooled, Values

Floats = NDArray[np.float64]

NAMES: Final = ("location", "spread", "third", "fourth")
_BINS: Final = 1_000  # of pooled rank; a bin of ranks is a score like any other
_DEGENERATE: Final = 1e-6  # norm of a polynomial that ties leave nothing of
_LEAST_DF: Final = 4.0  # independent stretches, less one, below which nothing is said


@dataclass(frozen=True, slots=True)
class Scores:
    """Bins of pooled rank, and four orthonormal scores of each."""

    ends: Values  # largest value of each bin, ascending
    reference: Counts  # rows of each bin
    current: Counts
    basis: Floats  # shape (bins, 4); zeros where ties leave no such score


@dataclass(frozen=True, slots=True)
class Moved:
    """How far a mean moved, how surely, and how precisely it is known."""

    effect: float
    stderr: float
    p: float
    enough: bool = True  # independent stretches, to say anything


def scores(pooled: Pooled) -> Scores:
    """The bins and their scores, of finite values."""
    both = pooled.up_to_reference + pooled.up_to_current
    size = int(both[-1]) if both.size else 0
    wanted = np.searchsorted(both, np.arange(1, _BINS + 1) * (size / _BINS))
    kept = np.unique(np.minimum(wanted, both.size - 1)) if size else np.zeros(0, dtype=np.int64)
    reference = np.diff(pooled.up_to_reference[kept], prepend=0)
    current = np.diff(pooled.up_to_current[kept], prepend=0)
    return Scores(pooled.values[kept], reference, current, _basis((reference + current).astype(np.float64)))


def _basis(weights: Floats) -> Floats:
    """Legendre polynomials of mid-ranks, orthonormal under the weights, shape (K, 4)."""
    if not weights.size:
        return np.zeros((0, 4))
    share = weights / weights.sum()
    u = 2 * (np.cumsum(share) - share / 2) - 1
    columns = [np.ones_like(u)]
    found = np.zeros((u.size, 4))
    for degree in range(1, 5):
        column = special.eval_legendre(degree, u) * sqrt(2 * degree + 1)
        for _ in range(2):  # twice: the second time takes away what rounding left
            for other in columns:
                column = column - (share @ (column * other)) * other
        norm = sqrt(float(share @ column**2))
        if norm > _DEGENERATE:
            found[:, degree - 1] = column / norm
            columns.append(column / norm)
    return found


def exchangeable(found: Scores) -> tuple[Moved, ...]:
    """Each score's move if rows are exchangeable: permutation variance, corrected for skewness."""
    n, m = float(found.reference.sum()), float(found.current.sum())
    if n < 2 or m < 2:
        return (Moved(0.0, float("inf"), 1.0, enough=False),) * 4
    stderr = sqrt((1 / n + 1 / m) * (n + m) / (n + m - 1))
    moved = found.current @ found.basis / m - found.reference @ found.basis / n
    skews = ((found.reference + found.current) / (n + m)) @ found.basis**3
    tilt = (1 / m**2 - 1 / n**2) / (1 / m + 1 / n) ** 1.5
    return tuple(
        Moved(float(d), stderr, _p(float(d) / stderr, float(s) * tilt)) for d, s in zip(moved, skews, strict=True)
    )


def _p(z: float, skew: float) -> float:
    """Two-sided p-value of a sum with some skewness, Hall's monotone cubic; never smaller than half the uncorrected."""
    corrected = z - skew * z * z / 6 + skew**2 * z**3 / 108 + skew / 6
    return float(2 * special.ndtr(-min(abs(corrected), abs(z) + 0.5) if z else 0.0))


def stretch_means(of_rows: Floats, stretch: NDArray[np.int64]) -> Floats:
    """Mean over the rows of each stretch of time, shape (stretches, columns); stretches without rows are left out.

    Args:
        of_rows: shape (rows, columns).
        stretch: number of each row's stretch, 0, 1, ... in the order of time.
    """
    rows = np.bincount(stretch)
    sums = np.stack([np.bincount(stretch, column) for column in of_rows.T], axis=1)
    found: Floats = sums[rows > 0] / rows[rows > 0, None]
    return found


def dependent(reference: Floats, current: Floats, floor: float | Floats) -> tuple[Moved, ...]:
    """Each column's move, judged by the noise of stretch means, shape (stretches, columns).

    Args:
        reference: stretch means.
        current: stretch means.
        floor: standard error if rows were independent; it never gets smaller.
    """
    moved = current.mean(axis=0) - reference.mean(axis=0)
    variances, degrees = zip(*(_long_run(side) for side in (reference, current)), strict=True)
    stderr = np.maximum(np.sqrt(variances[0] + variances[1]), floor)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = (variances[0] + variances[1]) ** 2 / (variances[0] ** 2 / degrees[0] + variances[1] ** 2 / degrees[1])
        t = np.where(stderr > 0, np.abs(moved) / stderr, 0.0)
    df = np.where(np.isfinite(df), df, degrees[0] + degrees[1])
    p = 2 * special.stdtr(df, -t)
    enough = np.minimum(degrees[0], degrees[1]) >= _LEAST_DF
    return tuple(
        Moved(float(d), float(s), float(q) if ok else 1.0, bool(ok))
        for d, s, q, ok in zip(moved, stderr, p, enough, strict=True)
    )


def _long_run(means: Floats) -> tuple[Floats, Floats]:
    """Variance of the mean of all stretches, and its degrees of freedom, each of shape (columns,)."""
    n = means.shape[0]
    if n < 3:
        return np.full(means.shape[1], np.inf), np.ones(means.shape[1])
    centred = means - means.mean(axis=0)
    power = (centred**2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        memory = np.where(power > 0, (centred[1:] * centred[:-1]).sum(axis=0) / power, 0.0)
    memory = np.clip(memory + (1 + 3 * np.maximum(memory, 0.0)) / n, 0.0, 0.95)
    longer = (1 + memory) / (1 - memory)
    return power / (n - 1) / n * longer, np.maximum(1.0, n / longer - 1)
