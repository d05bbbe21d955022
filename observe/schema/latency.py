"""Latency histograms: one fixed set of log-spaced bins, so that counts of any rows merge by addition.

Bin k holds 10^(k/24) <= x < 10^((k+1)/24) seconds: each is 10.1 % wide, 24 a decade, from 10 us
to 10,000 s; what lies outside is counted in the first and last bin. A quantile read from a histogram
lies in the bin of the exact one. The bins never change: stored rollups mean them.

Source: our own; log-spaced bins after HdrHistogram (Tene 2012) and the exponential histograms of
OpenTelemetry, whose scale 3 has steps of 9.05 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

PER_DECADE: Final = 24
FIRST: Final = -5 * PER_DECADE  # from 10 us
LAST: Final = 4 * PER_DECADE - 1  # up to 10,000 s


def bin_of(seconds: float) -> int:
    """The bin that holds a latency.

    >>> bin_of(1.0), bin_of(0.0), bin_of(math.inf)
    (0, -120, 95)
    """
    if seconds < 10 ** (FIRST / PER_DECADE):
        return FIRST
    return min(LAST, math.floor(math.log10(seconds) * PER_DECADE)) if seconds < 10 ** (LAST / PER_DECADE) else LAST


def middle(number: int) -> float:
    """The geometric middle of a bin, s.

    >>> round(middle(0), 3)
    1.049
    """
    return float(10 ** ((number + 0.5) / PER_DECADE))


def quantile(counts: Mapping[int, int], q: float) -> float | None:
    """The latency, s, below which a share `q` of the counted lies: the middle of the bin of the exact one.

    Args:
        counts: by bin.
        q: 0-1.

    >>> quantile({0: 98, 24: 2}, 0.99) == middle(24)
    True
    """
    total, below = sum(counts.values()), 0
    if not total:
        return None
    rank = max(1, math.ceil(q * total))
    for number in sorted(counts):
        below += counts[number]
        if below >= rank:
            return middle(number)
    return None


def bin_sql(column: str) -> str:
    """The bin of `column` (s) in SQL; NULL stays NULL."""
    low, high = 10 ** (FIRST / PER_DECADE), 10 ** (LAST / PER_DECADE)
    return (
        f"CASE WHEN {column} < {low!r} THEN {FIRST} WHEN {column} < {high!r} "
        f"THEN floor(log10({column}) * {PER_DECADE})::BIGINT WHEN {column} IS NOT NULL THEN {LAST} END"
    )
