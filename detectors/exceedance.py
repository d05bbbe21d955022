"""How often is a value above the reference's p99? The tail of a histogram as a rate.

A p99 itself is a poor thing to watch: it is one order statistic. The share of rows above a fixed value, the p99 of
the reference, is a count of many, and a count can be judged like errors are.

Source: METHODS section 7.
Assumes: bins of equal mass on the reference; the edge nearest to p99 stands for it, and the true share is learnt.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from observe.schema import Binning

QUANTILE: Final = 0.99


def bins(binning: Binning, quantile: float = QUANTILE) -> list[int]:
    """The bins above the edge nearest to a quantile of the reference, at least the last; none of a categorical one.

    Args:
        binning: edges and the reference's rows by bin.
        quantile: 0-1.
    """
    if binning.kind != "numeric" or len(binning.reference) < 2:
        return []
    rows = np.asarray(binning.reference, dtype=np.float64)
    below = np.concatenate([[0.0], np.cumsum(rows)])[:-1] / max(float(rows.sum()), 1.0)  # mass under each lower edge
    first = int(np.abs(below[1:] - quantile).argmin()) + 1
    return list(range(first, rows.size))
