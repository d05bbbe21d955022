"""Bursts that are normal for a stream: what is one, how long they last, and the minimum that outlasts them.

A history in which clear bursts come again and again is judged by the trailing minimum of its share over
more windows than a natural burst lasts; how long that is, the tail of its bursts' lengths says.

Source: METHODS section 5; the tail as in `worth`.
Assumes: lengths of natural bursts fall off exponentially; they leave calm windows between them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import worth
from detectors.worth import Worth

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

WIDEST: Final = 48  # windows of the trailing minimum
RUNS: Final = 2  # bursts that make a history bursty
_RUN_MEAN: Final = 1.2  # windows; their mean length must exceed it
_RARE: Final = 13.0  # nats: a natural burst may outlast the minimum once in 30 d on 60 streams of 5-minute windows


def limit(x: Floats, m: Floats) -> Floats:
    """The count beyond which a window is clearly a burst, (T,).

    Args:
        x: bad events by window, (T,).
        m: all events, weighted by the share's factors, (T,).
    """
    seen = m > 0
    if not seen.any():
        return np.zeros(x.size)
    some = x[seen]
    share = max(float(np.median(some / m[seen])), float(np.minimum(some, np.quantile(some, 0.9)).sum() / m[seen].sum()))
    found: Floats = 4 * share * m + 5 * np.sqrt(share * m + 1)
    return found


def width(burst: Bools, used: int) -> int:
    """Windows of the trailing minimum that outlasts the bursts of one stream, (T,); 1 where there are none.

    >>> width(np.tile([False] * 97 + [True] * 3, 80), 8000)
    7
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], burst, [False]]).astype(np.int64)))
    lengths = edges[1::2] - edges[::2]
    if lengths.size < RUNS or lengths.mean() <= _RUN_MEAN:
        return 1
    longest = Worth(worth.tail(np.sort(lengths)[::-1].astype(np.float64), float(used)), None).needed(_RARE, least=0.0)
    return int(min(np.ceil(longest) + 1, WIDEST))


def lowest(x: Floats, n: Floats, f: Floats, wide: int) -> tuple[Floats, Floats, Floats]:
    """Events, trials and factor of the window with the lowest share among the last `wide`, for every window; no trials before."""
    share = np.where(n > 0, x / np.maximum(n * f, 1e-12), np.inf)
    padded = np.concatenate([np.full(wide - 1, np.inf), share])
    at = np.lib.stride_tricks.sliding_window_view(padded, wide).argmin(axis=1) + np.arange(x.size) - wide + 1
    whole = (np.arange(x.size) >= wide - 1) & (n > 0)
    at = np.maximum(at, 0)
    return np.where(whole, x[at], 0.0), np.where(whole, n[at], 0.0), f[at]
