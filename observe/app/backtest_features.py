"""What is told of a feature out of all its streams: its state, and the smallest change that would be found.

A number is told by its location, a category by the shares of its levels, of which the worst counts, and what
has neither by a rate.

Source: our own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from detectors import scores
from observe.app import backtest_units as units
from observe.app.backtest_walk import Past, Trail

_WORST: Final = ("alarm", "unknown", "not_identifiable", "learning", "too_few", "inform_only", "expected", "ok")
_BLIND: Final = frozenset({"not_identifiable", "learning"})  # no alarm is raised from there


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest lasting change that is found within a day with 90 %: as the detector knows it, and as people do."""

    value: float  # sigma of the score, or a ratio of rates
    in_units: (
        float | None
    )  # change of the median or mean in the feature's own unit, of a share in pp; the share that a rate rises to
    unit: str  # of the latter: median | mean | pp | correlation | % of rows
    of: str  # the score that would find it: location, share:<level>, missing, unseen, ...


def main(trails: Sequence[Trail]) -> Sequence[Trail]:
    """The streams that speak for a feature: the shares of its levels, else the one with most of the budget."""
    shares = [t for t in trails if t.monitor.score.startswith(scores.SHARE)]
    return shares or [max(trails, key=lambda t: (t.monitor.share, t.monitor.score == "unseen"))]


def state(trails: Sequence[Trail]) -> str:
    """At the end: `alarm` where any stream of a feature is alarmed, else the worst of those that speak for it."""
    return "alarm" if any(t.firing for t in trails) else worst(t.state for t in main(trails))


def worst(states: Iterable[str]) -> str:
    """The state of several streams together.

    >>> worst(["ok", "not_identifiable", "learning"])
    'not_identifiable'
    """
    return min(states, key=_WORST.index, default="unknown")


def by_state(trails: Sequence[Trail]) -> dict[str, float]:
    """The share of the time that the streams which speak for a feature were in each state, the worst of them counting."""
    told = main(trails)
    ends = [t.end for t in told if t.end is not None]
    changes = sorted((at, i, name) for i, t in enumerate(told) for at, name in t.runs)
    now: dict[int, str] = {}
    spent: Counter[str] = Counter()
    for (at, i, name), (until, *_) in pairwise([*changes, *((end, -1, "") for end in [max(ends)] if ends)]):
        now[i] = name
        spent[worst(now.values())] += round((until - at).total_seconds())
    total = spent.total()
    return {name: round(s / total, 4) for name, s in sorted(spent.items()) if s}


def by_stream(trails: Sequence[Trail]) -> dict[str, str]:
    """The newest state of each stream that speaks for a feature, by score."""
    return {t.monitor.score: t.state for t in main(trails)}


def smallest(trails: Sequence[Trail], past: Past) -> Smallest | None:
    """The largest of what the streams that speak for a feature need; None where none of them could raise an alarm."""
    found = [least for t in main(trails) if t.state not in _BLIND and (least := _smallest(t, past)) is not None]
    shares = [least for least in found if least.unit != "% of rows"]
    return max(shares or found, key=lambda least: (least.in_units or 0.0, least.value), default=None)


def _smallest(trail: Trail, past: Past) -> Smallest | None:
    score, details = trail.monitor.score, trail.details
    value, upper = details.get("min_detectable_24h"), details.get("upper")
    if value is None:
        return None
    if upper is not None:  # of a rate: the share of rows that is still normal
        return Smallest(value, min(100.0, float(f"{100 * value * upper:.3g}")), "% of rows", score)
    if score == "location":
        return Smallest(value, *_of_location(trail, past, value, details), score)
    return Smallest(value, details.get("min_detectable_24h_units"), "correlation" if score == "pair" else "pp", score)


def _of_location(trail: Trail, past: Past, value: float, details: Mapping[str, Any]) -> tuple[float | None, str]:
    binning = units.binning_of(past, trail.monitor)
    if binning is None:
        return details.get("min_detectable_24h_units"), "median"
    return units.in_units(binning, value), units.of(binning)
