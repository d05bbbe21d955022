"""Counts on reference bins become means: scores with mean 0 and variance 1 on the reference.

`u_k = F(k-) + p_k/2`, `a_k = Phi^-1(u_k)`, standardised, is the location. The score of a window is
`SUM(count_k * a_k) / n`; it is bounded, so heavy tails are harmless, and it is the shift of the window in
reference sigma. Spread, third and fourth are the next orthonormal polynomials of `a_k` under the reference:
a change that keeps mean and variance shows in the last two. A level's share is `(1{c} - p)/sqrt(p(1 - p))`.

Source: METHODS section 3; van der Waerden (1952), "Order tests for the two-sample problem"; Neyman (1937),
"Smooth test for goodness of fit".
Assumes: the reference counts describe the normal state of the feature.
"""

from __future__ import annotations

from functools import lru_cache
from math import erfc, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from observe.schema import OWN_LEVELS, Binning

Floats = NDArray[np.float64]

GROUPS: Final = 10  # bins are merged to tenths of the reference for PSI, the customary number
SHAPES: Final = ("location", "spread", "third", "fourth")  # scores of a numeric feature, by degree
SHARE: Final = "share:"  # a score of a categorical feature: the share of the level that follows
OTHER: Final = "(other)"  # the levels of the reference that are too rare for a stream of their own
_DEGENERATE: Final = 0.02  # sigma; a polynomial that varies less than this beside lower ones says nothing of its own
_USUAL: Final = 0.1  # sigma that matter where what was written says nothing
_OUTER: Final = 2.326  # normal scores of the outermost percentiles
_SMOOTH: Final = 0.5  # rows added to every tenth, so that an empty one has a logarithm


def weights(reference: Floats) -> Floats:
    """Score of each bin, shape (K,), mean 0 and variance 1 under the reference; all 0 where one bin holds everything.

    Args:
        reference: counts of the reference, shape (K,), at least one of them positive.

    >>> weights(np.array([1.0, 2.0, 1.0])).round(3).tolist()
    [-1.414, 0.0, 1.414]
    """
    p = reference / reference.sum()
    edge = 0.5 / (reference.sum() + 1.0)
    a: Floats = ndtri(np.clip(np.cumsum(p) - p / 2, edge, 1 - edge))
    a = a - p @ a
    scale = float(np.sqrt(p @ a**2))
    found: Floats = a / scale if scale > 1e-9 else np.zeros_like(a)
    return found


def shapes(reference: Floats) -> Floats:
    """Orthonormal polynomials of `weights`, degree 1 to 4, shape (K, 4); a column of zeros where bins are too few for it.

    Args:
        reference: counts of the reference, shape (K,), at least one of them positive.

    >>> shapes(np.array([1.0, 2.0, 1.0])).round(3)[:, 1].tolist()
    [1.0, -1.0, 1.0]
    """
    p, a = reference / reference.sum(), weights(reference)
    basis = [np.ones_like(a), a]
    for degree in (2, 3, 4):
        column = a**degree
        for _ in range(2):  # twice: the second time takes away what rounding left
            for other in basis:
                column = column - (p @ (column * other)) * other
        scale = float(np.sqrt(p @ column**2))
        basis.append(column / scale if scale > _DEGENERATE else np.zeros_like(a))
    found: Floats = np.stack(basis[1:], axis=1)
    return found


def level(reference: Floats, chosen: Floats) -> Floats:
    """Score of each bin for the share of some levels, shape (K,), mean 0 and variance 1 under the reference.

    Args:
        reference: counts of the reference, shape (K,).
        chosen: 1 for the bins whose share it is, else 0, shape (K,).

    >>> level(np.array([1.0, 3.0]), np.array([1.0, 0.0])).round(3).tolist()
    [1.732, -0.577]
    """
    p = float(reference @ chosen / reference.sum())
    found: Floats = (chosen - p) / np.sqrt(p * (1 - p)) if 0 < p < 1 else np.zeros_like(chosen)
    return found


def chosen(score: str, levels: tuple[str, ...]) -> Floats:
    """The bins whose share a score is, as ones among zeros, (levels + 1,); the last bin is every value unknown.

    Args:
        score: `share:<level>`, or `share:(other)` for all but the largest levels.
        levels: of the binning, the largest first.

    >>> chosen("share:visa", ("amex", "visa")).tolist()
    [0.0, 1.0, 0.0]
    """
    asked = score.removeprefix(SHARE)
    own = [float(i >= OWN_LEVELS if asked == OTHER else name == asked) for i, name in enumerate(levels)]
    return np.array([*own, 0.0])


def tenths(reference: Floats) -> Floats:
    """Which tenth of the reference each bin belongs to, as a (K, 10) matrix of zeros and ones."""
    p = reference / max(reference.sum(), 1.0)
    group = np.clip(((np.cumsum(p) - p / 2) * GROUPS).astype(np.int64), 0, GROUPS - 1)
    found: Floats = np.eye(GROUPS)[group]
    return found


@lru_cache(maxsize=16_384)
def by_tenth(reference: tuple[int, ...]) -> Floats:
    """Rows of a reference in each tenth of it, (10,); ones where there is no reference."""
    counts = np.asarray(reference, dtype=np.float64)
    found: Floats = counts @ tenths(counts) if reference else np.ones(GROUPS)
    return found


def psi(counts: Floats, reference: Floats) -> Floats:
    """Population stability index of windows against the reference on the same groups.

    Args:
        counts: rows per group, shape (..., G).
        reference: rows per group, shape (G,) or broadcastable.

    Returns:
        (...,) nats, 0 when the shares agree; groups empty on both sides count nothing.
    """
    p, q = counts + _SMOOTH, reference + _SMOOTH
    p, q = p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    found: Floats = np.where((counts == 0) & (reference == 0), 0.0, (p - q) * np.log(p / q)).sum(axis=-1)
    return found


def constant(binning: Binning) -> float | None:
    """The value a feature always had in its reference, in user units; None when it varied.

    A feature without variance is watched as a rate of "differs from its constant".
    """
    if binning.quantiles is None or binning.quantiles[0] != binning.quantiles[-1]:
        return None
    return binning.quantiles[0]


def at_sigma(quantiles: tuple[float, ...], sigma: float) -> float:
    """The reference's value `sigma` normal scores above its median, in user units.

    Args:
        quantiles: 101 reference percentiles 0..100, in user units.
        sigma: how far from the median, in normal scores.

    >>> at_sigma(tuple(float(k) for k in range(101)), 0.0)
    50.0
    """
    at = (len(quantiles) - 1) * erfc(-sigma / sqrt(2.0)) / 2.0
    k = min(int(at), len(quantiles) - 2)
    return quantiles[k] + (at - k) * (quantiles[k + 1] - quantiles[k])


def beyond(sigma: float) -> bool:
    """Whether so large a shift takes the median out of the reference's percentiles 1 to 99: ranks do not tell how far it went.

    >>> beyond(2.3), beyond(-2.4)
    (False, True)
    """
    return abs(sigma) > _OUTER


def in_sigma(quantiles: tuple[float, ...] | None, value: float, unit: str) -> float:
    """A smallest effect worth an alarm, as written by a person, in reference sigma.

    Per cent of a median of 0 is nothing: 0.1 sigma then.

    Args:
        quantiles: 101 reference percentiles 0..100; None for categorical features.
        value: the effect in `unit`.
        unit: sigma | % (of the reference median) | pp (of a share).
    """
    if unit in {"", "sigma", "σ"} or quantiles is None:
        return abs(value)
    middle = quantiles[50]
    if unit == "%" and middle == 0:
        return _USUAL
    moved = middle * (1 + abs(value) / 100) if unit == "%" else middle + abs(value) / 100
    rank = float(np.interp(moved, *_rising(quantiles))) / 100.0
    return abs(float(ndtri(min(max(rank, 0.005), 0.995)))) or 0.01


def _rising(quantiles: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Percentiles as a function of the value; where many share a value, their middle."""
    values, first, count = np.unique(np.asarray(quantiles), return_index=True, return_counts=True)
    return values, first + (count - 1) / 2.0
