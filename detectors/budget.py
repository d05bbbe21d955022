"""How much evidence an alarm needs, and what is then the smallest change found in a day.

`h_s = ln(C W N/(B weight_s)) + penalty_s` with C = 1: the first term is the monitor's `threshold_nats`,
the penalty asks more of a stream whose own history came close to an alarm.

Source: METHODS sections 1.4 and 4.
Assumes: W judged windows in the period, shares that sum to 1 over the site's one-sided streams.
"""

from __future__ import annotations

from bisect import bisect_left
from math import log, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]

LEAST_EFFECTIVE: Final = 30.0  # independent windows before a stream may alarm
RANDOM_WALK: Final = 0.97  # with more memory per hour than this, level shifts are not identifiable
_HOUR_S: Final = 3_600
_LONGEST: Final = 10_000  # windows
_POWER: Final = 1.2816  # found with 90 %
_MIXTURE: Final = 2.1  # nats that not knowing size and signature costs, ln 8


_WINDOWS: Final = np.arange(1, _LONGEST + 1)
_REACH: Final = np.maximum.accumulate(
    _WINDOWS * ndtri(1.0 / (_WINDOWS + 1.0)) ** 2 / 2
).tolist()  # nats at most, by windows


def penalty(highest: Floats, used: float) -> Floats:
    """Extra nats for a stream whose own history reached `highest` nats in `used` windows; any shape.

    >>> penalty(np.array([5.0, 12.0]), 672.0).round(2).tolist()
    [0.0, 3.88]
    """
    more: Floats = np.maximum(0.0, highest - harmless(used))
    return more


def harmless(used: float) -> float:
    """The most nats that a history of `used` windows may have reached without asking more of its stream.

    >>> round(harmless(672.0), 2)
    8.12
    """
    return log(max(0.25 * used, 1.0)) + 3.0


def calm(window_s: int) -> float:
    """Evidence below which a window is calm, nats: 1 where windows are hours, as METHODS says.

    A day of shorter windows has more of them, and an alarm that asks for a whole day of calm ones would hardly ever end:
    chance lifts one of so many above 1.

    Args:
        window_s: length of a window, s.

    >>> calm(3600), round(calm(300), 2)
    (1.0, 3.48)
    """
    return 1.0 + max(0.0, log(_HOUR_S / window_s))


def history_needed(threshold: float, vif: float) -> int:
    """Windows of history below which even the largest surprise it vouches for cannot sum up to an alarm in as many windows.

    Args:
        threshold: evidence an alarm needs, penalty included, nats.
        vif: inflation of the evidence's variance.

    >>> history_needed(12.0, 1.0), history_needed(30.0, 4.0)
    (12, 55)
    """
    return bisect_left(_REACH, threshold * vif) + 1


def smallest_found(threshold: float, vif: float, unit: float, se: float, windows: float) -> float:
    """The smallest lasting shift, sigma, that is found within `windows` windows with 90 %.

    Args:
        threshold: evidence an alarm needs, penalty included, nats.
        vif: inflation of the evidence's variance.
        unit: mean surprise, in standard deviations, of a settled shift of one sigma.
        se: standard error of the baseline, sigma.
        windows: judged windows in a day.
    """
    need = vif * (threshold + _MIXTURE)
    b = _POWER * sqrt(windows * vif)
    mean = (b + sqrt(b * b + 2 * windows * need)) / windows
    return mean / max(unit, 1e-9) + 2 * se
