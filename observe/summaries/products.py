"""Pairs of numeric features: which are watched, and the sum of the products of their scores in every window.

The mean of `a_i a_j` over the rows of a window is the correlation of the two features' normal scores there.
Watched are the pairs that correlate most in the reference, those with the model's score first; at most ten.
Scores are rounded to 2**-10, so that sums of products are exact and add up whatever the order of rows.

Source: METHODS sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

from observe.summaries.bins import Floats, Ints, place

if TYPE_CHECKING:
    import polars as pl

    from observe.schema import Binning

MOST: Final = 10  # pairs of a model
_WITH_SCORE: Final = 5  # of them with the prediction, where it is watched
PREDICTION: Final = "score"
_FINE: Final = 2.0**10


@lru_cache(maxsize=4_096)
def normal_scores(reference: tuple[int, ...]) -> Floats:
    """Mid-rank normal score of each bin, (K,), mean 0 and variance 1 under the reference; zeros where nothing varies.

    >>> normal_scores((1, 2, 1)).round(2).tolist()
    [-1.41, 0.0, 1.41]
    """
    counts = np.asarray(reference, dtype=np.float64)
    if counts.sum() == 0:
        return np.zeros_like(counts)
    p, edge = counts / counts.sum(), 0.5 / (counts.sum() + 1.0)
    ranks = np.clip(np.cumsum(p) - p / 2, edge, 1 - edge)
    a = np.array([NormalDist().inv_cdf(u) for u in ranks.tolist()])
    a -= p @ a
    scale = float(np.sqrt(p @ a**2))
    return np.round(a / scale * _FINE) / _FINE if scale > 1e-9 else np.zeros_like(a)


def strongest(
    rows: pl.DataFrame, binnings: Sequence[Binning], known: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Pairs worth watching, strongest first, names of a pair in order.

    Args:
        rows: some rows of the reference, one column for each binning, named as its feature.
        binnings: numeric ones.
        known: pairs that are watched already.
    """
    table = {b.feature: scored(rows[b.feature], b) for b in sorted(binnings, key=lambda b: b.feature)}
    found = []
    for one, other in combinations(table, 2):
        product = table[one] * table[other]
        product = product[np.isfinite(product)]
        if product.any() and (one, other) not in known:
            found.append((round(abs(float(product.mean())), 3), one, other))
    found.sort(key=lambda pair: (-pair[0], pair[1:]))
    first = [pair for pair in found if PREDICTION in pair[1:]][:_WITH_SCORE]
    ordered = [*first, *(pair for pair in found if pair not in first)]
    return [(one, other) for _, one, other in ordered[: max(0, MOST - len(known))]]


def scored(values: pl.Series, binning: Binning) -> Floats:
    """Score of every row, NaN where it has no finite value; (n,)."""
    x = values.cast(float).fill_null(np.nan).to_numpy()
    finite = np.isfinite(x)
    a = np.asarray(
        normal_scores(binning.reference)[place(np.ascontiguousarray(np.where(finite, x, 0.0)), binning.edges or ())]
    )
    return np.where(finite, a, np.nan)


def sums(
    rows: pl.DataFrame, w: Ints, size: int, pairs: Sequence[Binning], binnings: Mapping[str, Binning]
) -> Iterator[tuple[Binning, Floats, Ints]]:
    """Of each pair the sum of products and the rows that have both, by window.

    Args:
        rows: one column for each feature of the pairs.
        w: window of each row, 0..size-1.
        size: windows.
        pairs: binnings of kind `pair`.
        binnings: of their features, by name; a pair without both is left out.
    """
    whole = [b for b in pairs if all(name in binnings for name in b.levels or ())]
    table = {name: scored(rows[name], binnings[name]) for name in sorted({n for b in whole for n in b.levels or ()})}
    for pair in whole:
        one, other = pair.levels or ("", "")
        product = table[one] * table[other]
        both = np.isfinite(product)
        total = np.bincount(w[both], weights=product[both], minlength=size).astype(np.float64)
        yield pair, total, np.bincount(w[both], minlength=size)
