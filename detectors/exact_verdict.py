"""Which features drifted: a change must matter, and chance must be a poor explanation over all questions at once.

Every feature asks several questions (location, spread, missing values, ...). Holm's step-down procedure
keeps the chance that even one of them is answered wrongly below one level, however they depend on each
other. A change that cannot be told from chance is `no drift` only if its interval leaves out a change
that matters; else there are too few rows to say, and that is said.

Source: Holm (1979), "A simple sequentially rejective multiple test procedure"; Schuirmann (1987), two
one-sided tests, for what may be called unchanged; METHODS sections 2 and 3.
Assumes: exchangeable rows inside each sample, unless stretches of time were handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final, Literal

import numpy as np
from scipy import special

from detectors.exact import Shift
from detectors.exact_shares import Distances

Verdict = Literal["drift", "too_few", "inform", "no_drift"]
Unit = Literal["sigma", "%", "pp"]
Reads = Literal["", "date", "instant", "utc", "clock"]  # of numbers: themselves, d or s since 1970, s since midnight

ONE_SIDED_95: Final = 1.6448536269514722
QUALITY: Final = frozenset({"missing", "nan", "infinite", "unseen"})
ORDER: Final[tuple[Verdict, ...]] = ("drift", "too_few", "inform", "no_drift")


@dataclass(frozen=True, slots=True)
class Least:
    """The smallest changes that matter: of a number in sigma, % of its median or pp; of a share in pp."""

    number: float = 0.1
    unit: Unit = "sigma"
    share_pp: float = 2.0

    @property
    def ks_pp(self) -> float:
        """The KS distance, pp, that a normal distribution has when it moves by the least shift in sigma."""
        return float(100 * (2 * special.ndtr(self.number / 2) - 1))


@dataclass(frozen=True, slots=True)
class Test:
    """One question about one feature."""

    __test__ = False  # no test of ours; pytest would collect the name

    name: str  # location, spread, third, fourth, ks, shares, unseen, missing, nan, infinite
    effect: float  # size of the change, in `unit`, >= 0
    unit: Unit
    least: float  # smallest size that matters
    p: float
    at_most: float = 0.0  # size that the data still allow, one-sided 95 %
    p_holm: float = 1.0  # p over all questions of the comparison

    @property
    def size(self) -> float:
        """The change as a multiple of the smallest that matters; where any matters, of 2 pp and at least 1."""
        return self.effect / self.least if self.least > 0 else max(1.0, self.effect / Least().share_pp)


@dataclass(frozen=True, slots=True)
class Bins:
    """Both distributions on the same bins: edges of a number (one more than bins) or names of levels; shares, 0-1."""

    edges: tuple[float, ...]
    levels: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """What a column holds."""

    rows: int
    missing: int = 0
    nan: int = 0
    infinite: int = 0
    unseen: int = 0  # in levels the reference does not have

    @property
    def values(self) -> int:
        """Rows with a finite value or a level."""
        return self.rows - self.missing - self.nan - self.infinite


@dataclass(frozen=True, slots=True)
class Feature:
    """Everything measured about one feature, and what it comes to."""

    name: str
    kind: str  # number, category, time, truth, nested, nothing
    reference: Rows
    current: Rows
    tests: tuple[Test, ...] = ()
    ks: float | None = None
    ks_p: float | None = None
    wasserstein: float | None = None
    distances: Distances | None = None
    effect: Shift | None = None  # the change in the feature's unit that tells most; None where quality drifted
    unit: str = ""  # of effect, shifts and wasserstein
    reads: Reads = ""  # what the values of effect, shifts and bins are when they are no plain numbers
    shifts: tuple[Shift, ...] = ()
    bins: Bins | None = None
    unseen: tuple[str, ...] = ()  # levels the reference does not have, most frequent first
    notes: tuple[str, ...] = ()
    verdict: Verdict = "inform"
    reason: str = ""
    size: float = 0.0  # the largest change as a multiple of the smallest that matters; of a drift, of what drifted

    @property
    def p_holm(self) -> float | None:
        """The smallest p-value of its questions over all questions of the comparison."""
        return min((t.p_holm for t in self.tests), default=None)


def judged(features: Sequence[Feature], alpha: float) -> tuple[Feature, ...]:
    """The features with verdicts, worst first; those that were decided before keep what was said.

    Args:
        features: measured, in the order of the columns.
        alpha: chance that any feature at all is called drifted while nothing changed.
    """
    every = [t.p for f in features for t in f.tests]
    corrected = iter(holm(every))
    found = [
        _verdict(replace(f, tests=tuple(replace(t, p_holm=next(corrected)) for t in f.tests)), alpha) for f in features
    ]
    return tuple(sorted(found, key=lambda f: (ORDER.index(f.verdict), -f.size, f.name)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.array(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    found = np.empty_like(p)
    found[order] = np.minimum(1.0, raised)
    return [float(x) for x in found]


def _drifts(test: Test, alpha: float) -> bool:
    return test.p_holm <= alpha and test.effect >= test.least


def _verdict(feature: Feature, alpha: float) -> Feature:
    if feature.reason:
        return replace(feature, size=inf) if feature.verdict == "drift" else feature
    feature = replace(feature, size=max((t.size for t in feature.tests if t.least), default=0.0))
    drifted = sorted((t for t in feature.tests if _drifts(t, alpha)), key=lambda t: (t.name == "ks", -t.size))
    if drifted:
        size, telling = max(t.size for t in drifted), drifted[0].name not in QUALITY
        return replace(
            feature,
            verdict="drift",
            reason=_moved(feature, drifted),
            size=size,
            effect=feature.effect if telling else None,
        )
    if not feature.tests:
        return replace(feature, verdict="too_few", reason=_rows(feature) + ": nothing can be said")
    vague = max(
        (t for t in feature.tests if t.p_holm > alpha), key=lambda t: t.at_most / (t.least or inf), default=None
    )
    if vague is not None and vague.at_most == inf and vague.effect < inf:
        return replace(
            feature, verdict="too_few", reason=_rows(feature) + ": nothing can be said of their distribution"
        )
    if vague is not None and vague.at_most >= vague.least:
        may = f"a change of {size_text(vague.at_most, vague.unit)} cannot be excluded, {size_text(vague.least, vague.unit)} would matter"
        return replace(feature, verdict="too_few", reason=f"{_rows(feature)}: {may}")
    nothing = _nothing(feature)
    return replace(feature, verdict="inform" if nothing else "no_drift", reason=nothing or _still(feature.tests, alpha))


def _nothing(feature: Feature) -> str:
    """Why nothing is known of the values, however sure it is that as many are missing; empty where there are some."""
    if feature.reference.values and feature.current.values:
        return ""
    left = feature.reference.values + feature.current.values
    where = "on either side" if not left else "in the reference" if feature.current.values else "in the current table"
    finite = "finite " if feature.reference.infinite + feature.current.infinite else ""
    return f"no {finite}value at all {where}"


def _rows(feature: Feature) -> str:
    return f"too few rows ({feature.reference.rows:,} and {feature.current.rows:,})"


_WORDS: Final = {
    "location": "the values moved by", "spread": "the spread changed by", "third": "the shape (third score) changed by",
    "fourth": "the shape (fourth score) changed by", "ks": "the shares on both sides of some value changed by",
    "shares": "shares of levels changed by", "missing": "missing values changed by",
    "nan": "NaN changed by", "infinite": "infinite values changed by",
}  # fmt: skip


def _moved(feature: Feature, drifted: Sequence[Test]) -> str:
    worst = drifted[0]
    others = [t.name for t in drifted[1:]]
    chance = f"= {worst.p_holm:.2g}" if worst.p_holm > 0 else "< 1e-300"
    told = _sentence(feature, worst) + f" (p {chance} over all features)"
    return told + (f"; also: {', '.join(others)}" if others else "")


def _sentence(feature: Feature, test: Test) -> str:
    if test.name == "unseen":
        names = ", ".join(repr(level) for level in feature.unseen[:3]) + (", …" if len(feature.unseen) > 3 else "")
        return f"{size_text(test.effect, 'pp')} of the rows are in levels the reference does not have: {names}"
    if test.least <= 0:
        return f"{size_text(test.effect, 'pp')} of the rows are {_WORDS[test.name].split()[0]}, the reference has none"
    return f"{_WORDS[test.name]} {size_text(test.effect, test.unit)}, {size_text(test.least, test.unit)} matters"


def _still(tests: Sequence[Test], alpha: float) -> str:
    moved = [t for t in tests if t.p_holm <= alpha]
    worst = max(moved or tests, key=lambda t: t.size if t.least else 0.0)
    if moved:
        return (
            f"{_WORDS.get(worst.name, worst.name)} {size_text(worst.effect, worst.unit)}, less than "
            f"{size_text(worst.least, worst.unit)}, which would matter"
        )
    bound = max(tests, key=lambda t: t.at_most / t.least if t.least else 0.0)
    return (
        f"changed by at most {size_text(bound.at_most, bound.unit)}; {size_text(bound.least, bound.unit)} would matter"
    )


def size_text(value: float, unit: Unit) -> str:
    """A size of change as people read it.

    >>> size_text(0.1234, "sigma"), size_text(2.0, "pp")
    ('0.12σ', '2 pp')
    """
    text = "∞" if value == inf else f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"
    return text + ("σ" if unit == "sigma" else f" {unit}")
