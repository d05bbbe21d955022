"""Which streams of a feature are watched, and how a feature's share of the budget is weighted over them.

A numeric feature has four hourly means (location, spread, third and fourth score) and a quick one that looks for
large shifts of the location only; a categorical one the shares of its largest levels and of the others together,
as an hourly mean where an hour has at least 50 rows of the level (and 50 others), else as a rate. Both have rates
of missing values, categorical ones also of values that are no known level. A pair of features has its correlation.

Weights, so that the question asked most often keeps most of a feature's share: location 4, spread 2, the shares of
all levels together 2, missing, unseen and quick 1 each, third, fourth and a pair's correlation 0.5 each. They are
relative: the budget divides its drift part by the sum of them, so the parts always sum to the promise.

Source: METHODS sections 1.4, 3 and 4 (Cadence).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from observe.schema import OWN_LEVELS, Json, Monitor
from observe.spec.drift import Drift, Feature
from observe.spec.quantity import Effect

LEVEL_WINDOW_S: Final = 3_600  # level streams keep their budget at one hour; METHODS section 4, Cadence
RATE_WINDOW_S: Final = 300
FAST_EFFECT: Final = Effect(1.0, "sigma")  # what the second, quick stream of a feature looks for
USUAL_EFFECT: Final = Effect(0.1, "sigma")  # where what was declared is in a unit that the feature does not have
WEIGHTS: Final[Mapping[str, float]] = {
    "location": 4.0, "location_fast": 1.0, "spread": 2.0, "third": 0.5, "fourth": 0.5, "pair": 0.5,
    "shares": 2.0, "missing": 1.0, "unseen": 1.0, "error": 4.0, "exceedance": 1.0,
}  # fmt: skip
OTHER: Final = "(other)"  # all levels that are too small for a stream of their own
_ENOUGH: Final = 50.0  # rows of a level in an hour from which its share is a mean; METHODS section 3
_PLAIN: Final = re.compile(r"[\w.+:-]{1,40}")
_SIDES: Final = 2
_LATENCIES: Final = frozenset({"ttft_s", "duration_s", "tpot_s"})  # columns of attempts whose p99 is watched

Part = Literal["slo", "drift", "fleet"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A monitor that has not got its share yet."""

    part: Part
    sides: int  # one-sided streams it consists of
    monitor: Monitor
    newborn: bool = False
    weight: float = 1.0  # of all its sides together


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of a categorical feature in its reference, the largest first, and how many rows an hour had."""

    names: tuple[str, ...]
    rows: tuple[int, ...]  # of each level, then of all other values
    per_hour: float

    def share(self, names: Sequence[str]) -> float:
        """Share of some levels, 0-1."""
        own = dict(zip(self.names, self.rows, strict=False))
        return sum(own[name] for name in names) / max(sum(self.rows), 1)


def of_feature(
    model: str, drift: Drift, feature: Feature, kind: str, levels: Levels | None
) -> Iterator[tuple[Monitor, int, float]]:
    """Monitors of one feature or pair, each with its sides and its weight.

    Args:
        model: whose.
        drift: what is said about its drift.
        feature: named as its measure is.
        kind: numeric | categorical | pair.
        levels: of a categorical feature, where they are known.
    """
    if kind == "pair":
        yield _level(model, drift, feature, kind, "pair"), _SIDES, WEIGHTS["pair"]
        return
    yield rate(model, feature.name, "missing", _measure(model, drift, feature)), 1, WEIGHTS["missing"]
    if kind == "numeric":
        for score in ("location", "spread", "third", "fourth", "location_fast"):
            yield _level(model, drift, feature, kind, score), _SIDES, WEIGHTS[score]
        if drift.source == "attempts" and feature.name in _LATENCIES:
            yield rate(model, feature.name, "exceedance", _measure(model, drift, feature)), 1, WEIGHTS["exceedance"]
        return
    yield rate(model, feature.name, "unseen", _measure(model, drift, feature)), 1, WEIGHTS["unseen"]
    if levels is not None:
        shares = tuple(_shares(model, drift, feature, levels))
        for monitor in shares:
            yield monitor, _SIDES if monitor.detector == "level" else 1, WEIGHTS["shares"] / len(shares)


def rate(model: str, feature: str, score: str, measure: str, name: str = "") -> Monitor:
    """The rate of events of one kind; `name` where the score does not read well in an id."""
    return Monitor(
        f"{model}/rate/{feature}/{name or score}", model, "rate", measure, feature, score, RATE_WINDOW_S, "ticket",
        0.0, 0.0, None, "ratio",
    )  # fmt: skip


def _shares(model: str, drift: Drift, feature: Feature, levels: Levels) -> Iterator[Monitor]:
    for rank, name in enumerate([*levels.names[:OWN_LEVELS], OTHER], 1):
        p = levels.share(levels.names[OWN_LEVELS:] if name == OTHER else [name])
        score, shown = f"share:{name}", f"share:{name if name == OTHER or _PLAIN.fullmatch(name) else f'#{rank}'}"
        if levels.per_hour * min(p, 1 - p) >= _ENOUGH:
            yield _level(model, drift, feature, "categorical", score, shown)
        elif 0 < p < 0.5:  # one that is nearly everything rises no more: the others show its fall
            yield rate(model, feature.name, score, _measure(model, drift, feature), shown)


def _level(model: str, drift: Drift, feature: Feature, kind: str, score: str, name: str = "") -> Monitor:
    fast, effect = score == "location_fast", _meant(feature.min_effect or drift.min_effect, kind)
    if fast:
        effect = _larger(effect, FAST_EFFECT)
    return Monitor(
        f"{model}/level/{feature.name}/{name or score}", model, "level", _measure(model, drift, feature),
        feature.name.replace("*", " × ") if kind == "pair" else feature.name, "location" if fast else score,
        int(drift.window_s) if fast else LEVEL_WINDOW_S, "ticket", 0.0, 0.0, effect.value, effect.unit,
        {"sides": _SIDES, "kind": kind, "reference": _reference(drift), "user_unit": feature.unit or "", "fast": fast},
    )  # fmt: skip


def _measure(model: str, drift: Drift, feature: Feature) -> str:
    return f"{model}/{drift.source}/{feature.name}"


def _meant(effect: Effect, kind: str) -> Effect:
    """What matters of a feature of this kind: per cent are of a number's median, pp of a level's share."""
    return effect if effect.unit in {"sigma", {"numeric": "%", "categorical": "pp"}.get(kind)} else USUAL_EFFECT


def _larger(effect: Effect, floor: Effect) -> Effect:
    return effect if effect.unit == floor.unit and effect.value > floor.value else floor


def _reference(drift: Drift) -> Json:
    reference = drift.reference
    given: dict[str, Any] = {"kind": reference.kind, "last_s": reference.last_s}
    for name, instant in (("from", reference.start), ("to", reference.end)):
        given[name] = instant.isoformat() if instant else None
    return given
