"""A shift of a mean score in words and units of the user: a median, a width, a share, a correlation.

Location is told in reference sigma beside the medians it means, spread as the ratio of standard deviations
beside the interquartile ranges, a share in percentage points, a pair as its correlation, third and fourth
in sigma of the score with the shape it stands for.

Source: METHODS section 4, "After an alarm".
Assumes: the change in user units is read off the reference's quantiles, as if ranks moved by so many sigma. So a ratio is
one of normal scores: values with tails as heavy as t3's that all lie 1.2 times as far from their middle are told as 1.14.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from detectors import scores
from observe.schema import Binning, Json, Monitor

Floats = NDArray[np.float64]

SIGMA: Final = "σ"
_QUARTILE: Final = 0.6745  # sigma
_WIDTHS: Final = np.geomspace(0.05, 20.0, 241)  # of a spread, in those of the reference
_SHAPES: Final = {
    ("third", True): "the upper tail grew longer",
    ("third", False): "the lower tail grew longer",
    ("fourth", True): "more in the middle and in the far tails",
    ("fourth", False): "less in the middle and in the far tails, as with two humps",
}


def unit(score: str) -> str:
    """What the effect of a score is told in.

    >>> unit("location"), unit("spread"), unit("share:visa"), unit("pair")
    ('σ', 'ratio', 'pp', 'correlation')
    """
    if score.startswith(scores.SHARE):
        return "pp"
    return {"spread": "ratio", "pair": "correlation"}.get(score, SIGMA)


def told(score: str, binning: Binning | None, expected: float, shift: float) -> float:
    """A shift of the mean score, in the unit of the score.

    Args:
        score: see `Monitor.score`.
        binning: of the feature; without one the shift stays as it is.
        expected: mean score before the shift.
        shift: change of the mean score, sigma.
    """
    if binning is None or score in {"location", "third", "fourth", "pair"}:
        return shift
    if score == "spread":
        return _width(binning, expected + shift) / _width(binning, expected)
    return 100.0 * (_share(score, binning, expected + shift) - _share(score, binning, expected))


def least(monitor: Monitor, binning: Binning | None) -> float:
    """The smallest effect of a monitor that matters, as a shift of its mean score, sigma."""
    value = monitor.min_effect or 0.0
    if monitor.score.startswith(scores.SHARE):
        if monitor.unit != "pp" or binning is None:
            return abs(value)
        return abs(value) / 100.0 / max(_deviation(monitor.score, binning), 1e-3)
    if monitor.score == "location" or monitor.unit != "%":
        return scores.in_sigma(binning.quantiles if binning is not None else None, value, monitor.unit)
    return abs(value) / 100.0  # of a standard deviation, for a width or a shape has no median


def words(monitor: Monitor, binning: Binning | None, expected: float, shift: float) -> str:
    """What an alarm says in one line."""
    name, score = monitor.feature, monitor.score
    if score == "location":
        return f"{name} moved {signed(shift)} σ{_medians(monitor, binning, shift)}"
    if binning is None:
        return f"{name}: {score} moved {signed(shift)} σ"
    if score == "spread":
        ratio = told(score, binning, expected, shift)
        return f"{name} spreads {ratio:.2f} times as wide{_widths(monitor, binning, expected, shift)}"
    if score == "pair":
        return f"correlation of {name} {plain(expected)} → {plain(expected + shift)}"
    if score.startswith(scores.SHARE):
        before, after = (_share(score, binning, v) for v in (expected, expected + shift))
        return f"share of {_level(score)} in {name} {_percent(before)} → {_percent(after)}"
    return f"{name} changed shape: {_SHAPES[score, shift > 0]} ({score} score {signed(shift)} σ)"


def quiet(monitor: Monitor, moved: float, proven: bool = False) -> str:
    """What a window says in which nothing is to be told.

    Args:
        monitor: who asks.
        moved: this window, sigma from what was expected.
        proven: whether the evidence for a change suffices, and only its size does not.
    """
    what = monitor.feature if monitor.score == "location" else f"{monitor.feature}, {_what(monitor.score)}"
    if proven:
        return f"{what}: moved, but by less than what is to be told ({signed(moved)} σ)"
    return f"{what}: as expected ({signed(moved)} σ)"


def details(monitor: Monitor, binning: Binning | None, expected: float, shift: float) -> Json:
    """Before and after of an alarm in user units, as far as they are known."""
    if binning is None:
        return {}
    found: dict[str, Any] = {}
    if monitor.score == "location" and binning.quantiles is not None:
        before, after = scores.at_sigma(binning.quantiles, 0.0), scores.at_sigma(binning.quantiles, shift)
        found = {"median_from": before, "median_to": after, "unit_effect": after - before}
    elif monitor.score == "spread":
        found = {"spread_ratio": told("spread", binning, expected, shift)}
        if binning.quantiles is not None:
            found |= {"iqr_from": _iqr(binning, expected), "iqr_to": _iqr(binning, expected + shift)}
    elif monitor.score == "pair":
        found = {"correlation_from": expected, "correlation_to": expected + shift}
    elif monitor.score.startswith(scores.SHARE):
        shares = (_share(monitor.score, binning, v) for v in (expected, expected + shift))
        found = dict(zip(("share_from", "share_to"), shares, strict=True))
    return {name: float(f"{value:.6g}") for name, value in found.items()}


def in_units(monitor: Monitor, binning: Binning | None, shift: float) -> float | None:
    """A shift up from the reference in user units: of the median for location, else in the unit of the score."""
    if binning is None:
        return None
    if monitor.score == "location":
        q = binning.quantiles
        return None if q is None else scores.at_sigma(q, shift) - scores.at_sigma(q, 0.0)
    return told(monitor.score, binning, 0.0, shift)


def signed(value: float) -> str:
    """Two decimals with a sign."""
    return f"{value:+.2f}".replace("-", "−")


def plain(value: float) -> str:
    """Two decimals, with a sign only where negative."""
    return f"{value:.2f}".replace("-", "−")


def flat(score: str, binning: Binning) -> bool:
    """Whether the reference has too few distinct values for this score to say anything of its own."""
    return binning.kind != "pair" and _flat(score, binning.reference, binning.levels)


@lru_cache(maxsize=65_536)
def _flat(score: str, reference: tuple[int, ...], levels: tuple[str, ...] | None) -> bool:
    counts = np.asarray(reference, dtype=np.float64)
    if score in scores.SHAPES:
        return not scores.shapes(counts)[:, scores.SHAPES.index(score)].any()
    return not scores.level(counts, scores.chosen(score, levels or ())).any()


def _what(score: str) -> str:
    return f"share of {_level(score)}" if score.startswith(scores.SHARE) else {"pair": "correlation"}.get(score, score)


def _level(score: str) -> str:
    level = score.removeprefix(scores.SHARE)
    return "other levels" if level == scores.OTHER else f"`{level}`"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


@lru_cache(maxsize=16_384)
def _wider(reference: tuple[int, ...]) -> list[float]:
    """Mean spread score of the reference's normal scores spread `_WIDTHS` times as wide, rising.

    Counted on its bins: what lies beyond the outer edges is seen as no wider than these.
    """
    counts = np.asarray(reference, dtype=np.float64)
    edges = ndtri(np.clip(np.cumsum(counts)[:-1] / counts.sum(), 1e-9, 1 - 1e-9))
    below = ndtr(edges[None, :] / _WIDTHS[:, None])
    p = np.diff(np.concatenate([np.zeros((_WIDTHS.size, 1)), below, np.ones((_WIDTHS.size, 1))], axis=1), axis=1)
    mean = p @ scores.shapes(counts)[:, scores.SHAPES.index("spread")]
    rising: list[float] = (np.maximum.accumulate(mean) + 1e-12 * np.arange(_WIDTHS.size)).tolist()
    return rising


def _width(binning: Binning, spread: float) -> float:
    """How many times as wide as the reference what has this mean spread score is; asked several times a window."""
    means = _wider(binning.reference)
    at = bisect_right(means, spread)
    if not 0 < at < len(means):
        return float(_WIDTHS[0 if at == 0 else -1])
    low, high = float(_WIDTHS[at - 1]), float(_WIDTHS[at])
    return low + (spread - means[at - 1]) / (means[at] - means[at - 1]) * (high - low)


def noisier(score: str, binning: Binning | None, shift: float) -> float:
    """By how much more a window's mean score scatters after a shift, at least 1: a wider feature's squares do."""
    if score != "spread" or binning is None or shift <= 0:
        return 1.0
    return max(1.0, _width(binning, shift) ** 2)


def _iqr(binning: Binning, spread: float) -> float:
    assert binning.quantiles is not None
    at = _QUARTILE * _width(binning, spread)
    return scores.at_sigma(binning.quantiles, at) - scores.at_sigma(binning.quantiles, -at)


@lru_cache(maxsize=16_384)
def _normal(score: str, reference: tuple[int, ...], levels: tuple[str, ...]) -> float:
    counts = np.asarray(reference, dtype=np.float64)
    return float(counts @ scores.chosen(score, levels) / counts.sum())


def _p(score: str, binning: Binning) -> float:
    """The share in the reference."""
    return _normal(score, binning.reference, binning.levels or ())


def _deviation(score: str, binning: Binning) -> float:
    p = _p(score, binning)
    return math.sqrt(p * (1 - p))


def _share(score: str, binning: Binning, mean: float) -> float:
    return min(max(_p(score, binning) + _deviation(score, binning) * mean, 0.0), 1.0)


def _user(monitor: Monitor) -> str:
    given = monitor.params.get("user_unit") or ""
    return f" {given}" if given else ""


def _medians(monitor: Monitor, binning: Binning | None, shift: float) -> str:
    if binning is None or binning.quantiles is None:
        return ""
    before, after = scores.at_sigma(binning.quantiles, 0.0), scores.at_sigma(binning.quantiles, shift)
    if scores.beyond(shift):
        after = binning.quantiles[-2 if shift > 0 else 1]
        return f" (median {before:.3g} → {'above' if shift > 0 else 'below'} {after:.3g}{_user(monitor)})"
    return f" (median {before:.3g} → {after:.3g}{_user(monitor)})"


def _widths(monitor: Monitor, binning: Binning, expected: float, shift: float) -> str:
    if binning.quantiles is None:
        return ""
    before, after = _iqr(binning, expected), _iqr(binning, expected + shift)
    return f" (middle half {before:.3g} → {after:.3g}{_user(monitor)} wide)"
