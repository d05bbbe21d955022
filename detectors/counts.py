"""What share of events is normally bad, and how strongly a window speaks for a higher one.

The share is taken at its upper end, over-dispersion is a negative binomial's k (Poisson unless the
likelihood gains more than 2), leftover dependence divides the evidence. A bursty history is judged by
the trailing minimum over more than its longest natural burst.

Source: METHODS section 5; Cameron and Trivedi (2013), "Regression analysis of count data", chapter 3.
Assumes: events are rare or over-dispersed (a common share makes the test cautious); no season of the share.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from observe.schema import Json

Floats = NDArray[np.float64]

FLOOR: Final = 2e-4  # a share below this is not told from 0
RATIOS: Final = np.array([1.5, 2.0, 4.0, 8.0, 16.0])
POISSON: Final = 1e9  # k of counts without over-dispersion
KEPT: Final = 200  # windows that a start is looked for in, and the widest trailing minimum
LEAST: Final = 24  # windows with events below which nothing is learnt
_KS: Final = np.geomspace(0.05, 500.0, 25)
_GAIN: Final = 2.0  # nats that over-dispersion must earn
_ENOUGH: Final = 10.0  # bad events below which dependence is not believed
_RUNS: Final = 2  # bursts that make a history bursty
_RUN_MEAN: Final = 1.2  # windows; their mean length must exceed it


@dataclass(frozen=True, slots=True)
class Normal:
    """The learnt state of one rate stream."""

    at: int  # event time, epoch s
    share: float  # bad events of all, best guess
    upper: float  # the share that is still normal, p0
    k: float
    vif: float
    spread: float  # variance of counts over a Poisson's, dependence included
    used: int  # windows
    events: float
    trials: float
    width: int  # windows of the trailing minimum, 1 for none

    @property
    def cap(self) -> float:
        """Nats that one window can contribute at most."""
        return log(self.used + 1.0)

    @property
    def effective(self) -> float:
        """Independent windows the history is worth."""
        return self.used / self.vif

    def dumped(self) -> Json:
        """As plain JSON."""
        return asdict(self)


def learn(x: Floats, n: Floats, at: int) -> Normal | None:
    """The normal state of one stream; None with fewer than 24 windows that have events.

    Args:
        x: bad events per window, (T,), in order of time.
        n: all events per window, (T,); windows with 0 are left out.
        at: end of the history, epoch s.
    """
    x, n = x[n > 0], n[n > 0]
    if x.size < LEAST:
        return None
    width = burst_width(x, n)
    if width > 1:
        x, n = lowest(x, n, width)
    events, trials = float(x.sum()), float(n.sum())
    m = np.maximum(n * events / trials, 1e-12)
    k = dispersion(x, m) if events >= _ENOUGH else POISSON
    vif = dependence(x, m, k) if events >= _ENOUGH else 1.0
    over = max(1.0, float(np.mean((x - m) ** 2 / m))) if events >= _ENOUGH else 1.0
    upper = max(FLOOR, (events + 1 + 2 * np.sqrt((events + 1) * over * vif)) / trials)
    return Normal(
        at, float(f"{events / trials:.9g}"), float(f"{upper:.9g}"), float(f"{k:.9g}"), float(f"{vif:.9g}"),
        float(f"{over * vif:.9g}"), x.size, events, trials, width,
    )  # fmt: skip


def dispersion(x: Floats, m: Floats) -> float:
    """Over-dispersion k of a negative binomial with means m, by a grid of its likelihood; `POISSON` unless it gains more than 2 nats."""
    plain = float(np.sum(x * np.log(m) - m))  # ln x! is common to both
    ks = _KS[:, None]
    rising = gammaln(x + ks) - gammaln(ks)
    likelihood = (rising + ks * np.log(ks / (ks + m)) + x * np.log(m / (ks + m))).sum(axis=1)
    best = int(likelihood.argmax())
    return float(_KS[best]) if likelihood[best] - plain > _GAIN else POISSON


def dependence(x: Floats, m: Floats, k: float) -> float:
    """By how much dependence between windows inflates the variance of a sum; at least 1."""
    e = (x - m) / np.sqrt(m + m * m / k)
    e = e - e.mean()
    g0, g1, g2 = (float(e[lag:] @ e[: e.size - lag]) / e.size for lag in (0, 1, 2))
    if g0 <= 0 or g1 / g0 <= 2 / np.sqrt(e.size):
        return 1.0
    return float(1.0 + 2.0 * (g1 / g0) / (1.0 - min(max(g2 / g1, 0.0), 0.98)))


def burst_width(x: Floats, n: Floats) -> int:
    """Windows of the trailing minimum that outlasts this history's natural bursts; 1 where there are none."""
    middle = float(np.median(x / n))
    m = np.maximum(middle, np.sum(np.minimum(x, np.quantile(x, 0.9))) / n.sum()) * n
    clear = x > 4 * m + 5 * np.sqrt(m + 1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], clear, [False]]).astype(np.int64)))
    lengths = edges[1::2] - edges[::2]
    if lengths.size < _RUNS or lengths.mean() <= _RUN_MEAN:
        return 1
    return int(min(np.ceil(1.5 * lengths.max()) + 1, KEPT))


def lowest(x: Floats, n: Floats, width: int) -> tuple[Floats, Floats]:
    """Events and trials of the window with the lowest share among the last `width`, for every window."""
    if x.size < width:
        return x[:0], n[:0]
    share = np.lib.stride_tricks.sliding_window_view(x / n, width)
    at = share.argmin(axis=1) + np.arange(share.shape[0])
    return x[at], n[at]


def nats(x: Floats, n: Floats, upper: Floats, k: Floats) -> Floats:
    """Log likelihood ratio of each raised share against the normal one.

    Args:
        x: bad events in one window, (S,).
        n: all events, (S,).
        upper: normal share, (S,).
        k: over-dispersion, (S,).

    Returns:
        (S, 5) nats by `RATIOS`; a share never exceeds 1.
    """
    m0 = (n * upper)[:, None]
    m1 = np.minimum(m0 * RATIOS, np.maximum(n[:, None], m0))
    x, k = x[:, None], k[:, None]
    found: Floats = np.where(
        m0 > 0,
        x * np.log(np.maximum(m1, 1e-300) / np.maximum(m0, 1e-300)) + (x + k) * np.log1p((m0 - m1) / (m1 + k)),
        0.0,
    )
    return found


def smallest_found(normal: Normal, threshold: float, windows: float) -> float | None:
    """The smallest ratio of shares found within `windows` windows with 90 %; None beyond 100 or a share of 1."""
    n = normal.trials / normal.used
    for ratio in np.geomspace(1.1, 100.0, 60):
        p = normal.upper * ratio
        if p > 1:
            return None
        m0, m1 = n * normal.upper, n * p
        gain = m1 * log(ratio) + (m1 + normal.k) * np.log1p((m0 - m1) / (m1 + normal.k))
        spread = np.sqrt(windows * m1) * log(ratio)
        if (windows * gain - 1.2816 * spread) / normal.vif >= threshold + log(RATIOS.size):
            return float(ratio)
    return None
