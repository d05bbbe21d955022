"""Medians of many streams at once.

Source: our own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def medians(values: Floats, seen: NDArray[np.bool_]) -> Floats:
    """The median of each row's values that are seen, (S,) of (S, T); 0 where none is.

    >>> medians(np.array([[3.0, 1.0, 2.0, 9.0]]), np.array([[True, True, True, False]])).tolist()
    [2.0]
    """
    count = seen.sum(axis=1)
    rising = np.sort(np.where(seen, values, np.inf), axis=1)
    at = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, seen.shape[1] - 1)], axis=1)
    found: Floats = np.where(count > 0, np.take_along_axis(rising, at, axis=1).mean(axis=1), 0.0)
    return found
