"""Numbers kept to nine significant digits, so that a fit is the same whatever was fitted beside it.

Source: our own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DIGITS: Final = 9
_EXACT: Final = (
    22  # powers of ten up to this one are exact as floats, so dividing by one rounds as reading decimals does
)
_TENS: Final = 10.0 ** np.arange(_EXACT + 1)
_DOUBT: Final = 1e-5  # of a last digit: nearer to the middle of two, decimals decide


def rounded(values: Floats) -> Floats:
    """What is read when each value is written with nine significant digits; shape of `values`.

    >>> rounded(np.array([0.1234567894999, -2.5e-7, 0.0, 123456789.5])).tolist()
    [0.123456789, -2.5e-07, 0.0, 123456790.0]
    """
    size = np.abs(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = DIGITS - 1 - np.floor(np.log10(size))
        sure = np.abs(shift) <= _EXACT
        up = _TENS[np.where(sure & (shift > 0), shift, 0).astype(np.int64)]
        down = _TENS[np.where(sure & (shift < 0), -shift, 0).astype(np.int64)]
        scaled = size * up / down
        sure &= (scaled >= _TENS[DIGITS - 1]) & (scaled < _TENS[DIGITS] - 1)
        sure &= np.abs(scaled - np.floor(scaled) - 0.5) > _DOUBT
        found: Floats = np.copysign(np.rint(scaled) * down / up, values)
    for at in np.flatnonzero(~sure & (values != 0.0)).tolist():
        found.flat[at] = _written(values.flat[at])
    return found


def _written(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
