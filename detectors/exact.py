"""Two samples of one number, compared exactly: KS, Wasserstein-1 and shifts of quantiles with intervals.

The smaller sample is placed into the larger one by binary search; counts up to each distinct value then
give both distribution functions at once, and from them every distance. Integers stay integers: values
beyond 2^53 are told apart. Infinities are ordered, so KS sees them; Wasserstein and quantiles are of
finite values, since no distance to infinity is finite.

Source: METHODS section 2 (exact path); Kolmogorov (1933), Smirnov (1939) for KS; Vallender (1974) for
Wasserstein-1 as the area between distribution functions; Wilks (1948) for intervals of quantiles from
order statistics; Zou and Donner (2008) for the interval of a difference of two of them.
Assumes: nothing about the distribution. P-values and intervals assume exchangeable rows inside each
sample, or the effective sizes that are handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

Values = NDArray[Any]  # one-dimensional: float64 without NaN, int64 or uint64
Counts = NDArray[np.signedinteger[Any]]

QUANTILES: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
_BLOCK: Final = 1 << 15  # values worked on at once: they stay in the processor's cache
Z95: Final = 1.959963984540054  # of a two-sided 95 % interval


@dataclass(frozen=True)
class Sample:
    """Finite values in ascending order, and how many are infinite."""

    values: Values
    below: int = 0  # -inf
    above: int = 0  # +inf

    @classmethod
    def of(cls, values: Values) -> Sample:
        """Sort once; infinities are counted. NaN must be taken out before."""
        ordered = np.sort(values)
        if ordered.dtype.kind != "f" or not ordered.size:
            return cls(ordered)
        low, high = np.searchsorted(ordered, [-np.inf, np.inf], "right")[0], np.searchsorted(ordered, np.inf)
        return cls(ordered[low:high], int(low), int(ordered.size - high))

    @property
    def n(self) -> int:
        """How many values, infinite ones too."""
        return int(self.values.size) + self.below + self.above


@dataclass(frozen=True)
class Pooled:
    """Two samples on one line: the distinct finite values, and how many of either sample are at or below each."""

    reference: Sample
    current: Sample
    values: Values  # ascending, distinct
    up_to_reference: Counts
    up_to_current: Counts

    @classmethod
    def of(cls, reference: Sample, current: Sample) -> Pooled:
        """Merge two sorted samples in linear time beside one binary search of the smaller one.

        >>> Pooled.of(Sample.of(np.array([1, 2])), Sample.of(np.array([2, 3]))).up_to_current.tolist()
        [0, 1, 2]
        """
        one, other = reference.values, current.values
        if one.dtype != other.dtype:
            one, other = one.astype(np.float64), other.astype(np.float64)
        swapped = one.size > other.size
        small, large = (other, one) if swapped else (one, other)
        at = np.searchsorted(large, small) + np.arange(small.size)
        is_small = np.zeros(one.size + other.size, dtype=bool)
        is_small[at] = True
        line = np.empty(is_small.size, dtype=one.dtype)
        line[at], line[~is_small] = small, large
        last = np.append(line[1:] != line[:-1], True) if line.size else is_small
        size = np.int32 if line.size < 2**31 else np.int64
        of_small: Counts = np.cumsum(is_small, dtype=size)
        both: Counts = np.arange(1, line.size + 1, dtype=size)
        of_large: Counts = both - of_small
        if not last.all():
            line, of_small, of_large = line[last], of_small[last], of_large[last]
        pair = (of_large, of_small) if swapped else (of_small, of_large)
        return cls(reference, current, line, *pair)

    @cached_property
    def ks(self) -> float:
        """The largest distance between both distribution functions, 0-1; 0 where a sample is empty."""
        a, b = self.reference, self.current
        if not a.n or not b.n:
            return 0.0
        widest = [abs(a.below / a.n - b.below / b.n), abs(a.above / a.n - b.above / b.n)]
        for start in range(0, self.values.size, _BLOCK):
            widest.append(self._apart(start, (a.n, b.n), (a.below, b.below)).max())
        return float(max(widest))

    @cached_property
    def wasserstein(self) -> float | None:
        """The mean distance the finite values moved, in their unit; None where a sample has none."""
        sizes = self.reference.values.size, self.current.values.size
        if not all(sizes):
            return None
        areas = []
        for start in range(0, self.values.size - 1, _BLOCK):
            between = gaps(self.values[start : start + _BLOCK + 1])
            between *= self._apart(start, sizes)[: between.size]
            areas.append(float(between.sum()))
        return float(sum(areas))

    def _apart(self, start: int, sizes: tuple[int, int], below: tuple[int, int] = (0, 0)) -> NDArray[np.float64]:
        """Distance between both distribution functions at a block of distinct values."""
        block = slice(start, start + _BLOCK)
        apart: NDArray[np.float64] = (self.up_to_reference[block] + below[0]) / sizes[0]
        apart -= (self.up_to_current[block] + below[1]) / sizes[1]
        return np.abs(apart, out=apart)

    def ks_p(self) -> float:
        """P-value of KS by its limit, `scipy.stats.kstwobign`: a little too large for small samples and for ties."""
        a, b = self.reference.n, self.current.n
        return float(special.kolmogorov(sqrt(a * b / (a + b)) * self.ks)) if a and b else 1.0


def gaps(values: Values) -> NDArray[np.float64]:
    """Distances between neighbours of ascending values; of integers exact before they become floats.

    >>> gaps(np.array([-(2**63), 2**63 - 1])).tolist()
    [1.8446744073709552e+19]
    """
    if values.dtype.kind == "i":
        values = values.astype(np.int64).view(np.uint64)  # differences modulo 2^64 are the true ones
    with np.errstate(over="ignore"):
        found: NDArray[np.float64] = (values[1:] - values[:-1]).astype(np.float64, copy=False)
    return found


@dataclass(frozen=True, slots=True)
class Shift:
    """How far one figure of a distribution moved, with an interval of 95 %, in the unit of the values."""

    of: str  # median, p10, …, mean
    reference: float
    current: float
    shift: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    @property
    def clarity(self) -> float:
        """The shift in half-widths of its interval."""
        width = (self.high - self.low) / 2
        return abs(self.shift) / width if width > 0 else (float("inf") if self.shift else 0.0)


def _rank(p: float, n: int) -> int:
    return min(n - 1, max(0, ceil(p * n) - 1))


def _quantile(values: Values, p: float, n_effective: float) -> tuple[Any, Any, Any]:
    """The quantile and its interval, as values that occurred; an interval that leaves the sample ends at its end."""
    n, reach = values.size, Z95 * sqrt(p * (1 - p) / max(1.0, n_effective))
    low, high = max(0, floor(n * (p - reach)) - 1), min(n - 1, ceil(n * (p + reach)))
    return values[_rank(p, n)], values[low], values[high]


def quantile_shift(pooled: Pooled, p: float, effective: tuple[float, float]) -> Shift:
    """Shift of the quantile `p`, current minus reference.

    Args:
        pooled: both samples, neither without finite values.
        p: 0-1.
        effective: how many independent values each sample is worth.
    """
    a, a_low, a_high = _quantile(pooled.reference.values, p, effective[0])
    b, b_low, b_high = _quantile(pooled.current.values, p, effective[1])
    shift = _difference(b, a)
    down = float(np.hypot(_difference(b, b_low), _difference(a_high, a)))
    up = float(np.hypot(_difference(b_high, b), _difference(a, a_low)))
    name = "median" if p == 0.5 else f"p{p * 100:g}"
    return Shift(name, float(a), float(b), shift, shift - down, shift + up)


def _difference(a: Any, b: Any) -> float:
    """`a - b`, exact for integers of any size."""
    return float(int(a) - int(b)) if isinstance(a, np.integer) else float(a - b)


def mean_shift(pooled: Pooled, effective: tuple[float, float]) -> Shift:
    """Shift of the mean of finite values; its interval is Welch's, with the normal quantile.

    Whole numbers are taken from one of them before they become floats: beyond 2^53 floats cannot tell neighbours apart.
    """
    means, variances = [], []
    centre = _centre(pooled)
    for sample, n in zip((pooled.reference, pooled.current), effective, strict=True):
        values = _from(sample.values, centre)
        with np.errstate(over="ignore", invalid="ignore"):
            means.append(float(values.mean()))
            variances.append(float(values.var()) / max(1.0, n - 1))
    half = Z95 * sqrt(sum(variances)) if np.isfinite(variances).all() else float("inf")
    shift = means[1] - means[0]
    return Shift("mean", centre + means[0], centre + means[1], shift, shift - half, shift + half)


def _centre(pooled: Pooled) -> int:
    """A value in the middle of whole numbers, from which all others are less than 2^63 away; else 0."""
    values = pooled.values
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8 or not values.size:
        return 0
    middle = int(values[values.size // 2])
    return middle if max(int(values[-1]) - middle, middle - int(values[0])) < 2**63 else 0


def _from(values: Values, centre: int) -> NDArray[np.float64]:
    """Values less `centre`, exact for whole numbers before they become floats."""
    if centre == 0:
        return values.astype(np.float64)
    whole = (values - np.array(centre, dtype=values.dtype)).astype(values.dtype)  # modulo 2^64 it is the true one
    found: NDArray[np.float64] = whole.view(np.int64).astype(np.float64)
    return found


def edges(reference: Sample, parts: int = 10) -> Values:
    """Upper ends of bins that hold equal shares of the reference; a value that fills a bin has one of its own.

    >>> edges(Sample.of(np.array([5, 5, 5, 5]))).tolist()  # below 5, 5 itself; above 5 is the last bin
    [4, 5]
    """
    values = reference.values
    if not values.size:
        return values
    ends = values[[_rank(k / parts, values.size) for k in range(1, parts)]]
    kept, times = np.unique(ends, return_counts=True)
    alone = np.unique(np.append(kept[times > 1], values[:1][values[0] == kept[0]]))
    before = np.nextafter(alone, -np.inf) if alone.dtype.kind == "f" else alone[alone > np.iinfo(alone.dtype).min] - 1
    found: Values = np.unique(np.concatenate([kept, before.astype(kept.dtype)]))
    return found


def counts(sample: Sample, ends: Values) -> Counts:
    """How many values lie in each bin, shape (len(ends) + 1,); infinities in the outer ones."""
    upto = np.searchsorted(sample.values, ends, "right")
    found = np.diff(np.concatenate([[0], upto, [sample.values.size]]))
    found[0] += sample.below
    found[-1] += sample.above
    whole: Counts = found.astype(np.int64)
    return whole
