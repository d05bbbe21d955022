"""How counts scatter beyond a Poisson's: within a window (over-dispersion) and between windows (dependence).

Over-dispersion is a negative binomial's k, by its likelihood; dependence falls geometrically from window to window.

Source: METHODS section 5; Cameron and Trivedi (2013), "Regression analysis of count data", chapter 3.
Assumes: dependence between windows is positive and falls off geometrically.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]

POISSON: Final = 1e9  # k of counts without over-dispersion
_KS: Final = np.geomspace(0.05, 500.0, 13)
_THIN: Final = 2_700  # windows that over-dispersion is read from
_GAIN: Final = 2.0  # nats that over-dispersion must earn


def dispersion(x: Floats, m: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Over-dispersion k of negative binomials with means m (S, T), by a grid of its likelihood; `POISSON` unless it gains more than 2 nats."""
    every = max(1, x.shape[1] // _THIN)
    x, m, seen = x[:, ::every], m[:, ::every], seen[:, ::every]
    x, m = np.where(seen, x, 0.0), np.where(seen, m, 1e-12)
    lm = np.log(m)
    plain = (x * lm - m).sum(axis=1)  # ln x! is common to both
    whole = x.astype(np.int64)
    table = int(whole.max(initial=0)) <= 200_000
    values = np.arange(whole.max(initial=0) + 1, dtype=np.float64) if table else x
    found = np.empty((_KS.size, len(x)))
    for j, k in enumerate(_KS):
        rising = gammaln(values + k) - gammaln(k)
        rising = rising[whole] if table else rising
        lk = np.log(k + m)
        found[j] = (rising + k * (np.log(k) - lk) + x * (lm - lk)).sum(axis=1)
    best = found.argmax(axis=0)
    result: Floats = np.where((found.max(axis=0) - plain) * every > _GAIN, _KS[best], POISSON)
    return result


def dependence(x: Floats, m: Floats, k: Floats, seen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """By how much dependence between windows inflates the variance of a long sum, at least 1, and its fall a window, (S,)."""
    e = np.where(seen, (x - m) / np.sqrt(m + m * m / k[:, None]), 0.0)
    size = np.maximum(seen.sum(axis=1), 1)
    e = np.where(seen, e - (e.sum(axis=1) / size)[:, None], 0.0)
    g0, g1, g2 = (np.einsum("st,st->s", e[:, lag:], e[:, : e.shape[1] - lag]) / size for lag in (0, 1, 2))
    sure = (g0 > 0) & (g1 > 2 / np.sqrt(size) * g0)
    g0, g1 = np.where(sure, g0, 1.0), np.where(sure, g1, 0.0)
    fall = np.clip(g2 / np.where(sure, g1, 1.0), 0.0, 0.95)
    result: Floats = np.where(sure, 1.0 + 2.0 * (g1 / g0) / (1.0 - fall), 1.0)
    return result, fall


def inflation(age: Floats, vif: Floats, fall: Floats) -> Floats:
    """By how much dependence inflates the variance of a sum of `age` windows: 1 for one, `vif` for many; any shape.

    >>> inflation(np.array([1.0, 2.0, 1e6]), np.array(3.0), np.array(0.5)).round(2).tolist()
    [1.0, 1.5, 3.0]
    """
    age = np.maximum(age, 1.0)
    found: Floats = 1 + (vif - 1) * (1 - (1 - fall**age) / (age * (1 - fall)))
    return found
