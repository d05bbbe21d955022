"""Rows of summaries in a raster of windows.

Source: our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Places:
    """Which rows of a series lie in a raster of windows, and where; good for all series with the same times."""

    at: Ints  # window of each row
    use: slice  # rows
    count: int  # windows

    def sums(self, values: Floats) -> Floats:
        """Values per row, (R,) or (R, C), added up by window."""
        used = values[self.use]
        if used.ndim == 1:
            return _added(self.at, used, self.count)
        wide = used.shape[1]
        told = used.any(axis=1)
        cells = self.at[told, None] * wide + np.arange(wide)
        return _added(cells.ravel(), used[told].ravel(), self.count * wide).reshape(self.count, wide)


def _added(at: Ints, values: Floats, count: int) -> Floats:
    return np.bincount(at, weights=values, minlength=count).astype(np.float64, copy=False)
