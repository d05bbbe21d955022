"""What do bad requests share that good ones do not, and did not share before the incident?

Every value of every dimension is asked: is it more common among bad requests than among good ones (Fisher's exact
test, one-sided; Benjamini and Hochberg over all values), by how much at least (Katz's log-normal interval of the
ratio, its level divided by the number of values), and more so than before the onset? A value that always was as
common among bad requests is left out. Values that name the same requests are one.

Source: Fisher (1922); Benjamini and Hochberg (1995); Katz et al. (1978) for the ratio of two shares.
Assumes: requests are independent given the cause; bursts of one client make p-values too small, which is why the
lower bound and the time before decide, not p alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, inf, lgamma, log, sqrt
from statistics import NormalDist
from typing import Final

LEAST_BAD: Final = 5  # bad requests of a value before it is asked about
LEAST_LIFT: Final = 1.3  # at its lower bound
Q: Final = 0.01  # false discovery rate of what is told
MOST: Final = 8  # values told
FEWEST_BEFORE: Final = 20  # bad requests before the onset, from which their own mix is believed
Z_NEWER: Final = 2.5  # standard errors by which a lift must exceed that of before
LEVEL: Final = 0.05
ORDER: Final = (
    "prompt version", "deployment", "served by", "provider", "cluster", "namespace", "error kind", "error class", "prompt tokens",
    "cached tokens", "cache hit", "retried", "team", "API key", "route", "streaming", "tag", "finish reason",
)  # fmt: skip  # of dimensions that say the same, the first is named
PLACES: Final = frozenset({"prompt version", "deployment", "served by", "provider", "cluster", "namespace", "route"})
ANY: Final = "*"
SAYS: Final[Mapping[str, str]] = {
    "deployment": "ran on deployment", "cluster": "ran in cluster", "namespace": "ran in namespace", "provider": "went to provider",
    "served by": "were served by", "prompt version": "used prompt version", "team": "came from team", "API key": "came with API key",
    "error kind": "failed by", "error class": "failed with", "retried": "were retried:", "cache hit": "hit the cache:",
    "streaming": "were streamed:",
}  # fmt: skip
OTHERS: Final = "(others)"  # values of a dimension too rare to be asked about, together
OF_BAD: Final = frozenset({"error kind", "error class"})  # good requests have none: compared with bad ones before


@dataclass(frozen=True, slots=True)
class Count:
    """Requests of one value, since the onset and before it."""

    dimension: str
    value: str
    bad: int
    good: int
    bad_before: int = 0
    good_before: int = 0
    same: str = ""  # equal for values that the same requests have


@dataclass(frozen=True, slots=True)
class Totals:
    """Requests of all values."""

    bad: int = 0
    good: int = 0
    bad_before: int = 0
    good_before: int = 0


@dataclass(frozen=True, slots=True)
class Mix:
    """One value: how common it is among bad and good requests."""

    dimension: str
    value: str
    bad: int
    bad_total: int
    good: int
    good_total: int
    lift: float
    low: float
    p_adjusted: float
    is_new: bool  # more so than before the onset
    also: tuple[tuple[str, str], ...] = ()  # dimensions and values of the same requests
    high: float = inf  # upper bound of the lift

    @property
    def is_elsewhere(self) -> bool:
        """Whether bad requests are clearly no more common here than good ones."""
        return self.tells and self.high < LEAST_LIFT

    @property
    def tells(self) -> bool:
        """Whether there are enough requests, with and without it, to see where bad ones gather."""
        return self.bad_total >= 2 * LEAST_BAD and self.good < 0.97 * self.good_total

    @property
    def gathers(self) -> bool:
        """Whether bad requests gather here."""
        return self.bad >= LEAST_BAD and self.low > LEAST_LIFT and self.p_adjusted <= Q and self.is_new

    def words(self) -> str:
        """The comparison in words."""
        among = "bad ones before" if self.dimension in OF_BAD else "good ones"
        said = SAYS.get(self.dimension, f"have {self.dimension}")
        return f"{share(self.bad, self.bad_total)} of bad requests against {share(self.good, self.good_total)} of {among} {said} {self.value}"

    def as_json(self) -> dict[str, object]:
        """As an explanation keeps it."""
        return {
            "dimension": self.dimension, "value": self.value, "bad": self.bad, "bad_total": self.bad_total, "good": self.good,
            "good_total": self.good_total, "lift": round(self.lift, 3), "low": round(self.low, 3),
            "p_adjusted": float(f"{self.p_adjusted:.3g}"), "also": [f"{d} {v}" for d, v in self.also],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mixes:
    """All values that were asked about."""

    every: tuple[Mix, ...] = ()
    totals: Totals = Totals()
    levels: Mapping[str, int] = field(default_factory=dict)  # values by dimension

    def named(self, dimension: str, value: str) -> list[Mix]:
        """The mixes of a value; dimension `name` is whichever place or version has it, a pod is its deployment's.

        Value `*` is any where bad requests gather, the first of `ranked`.
        """
        if value == ANY:
            return [m for m in self.ranked if m.dimension == dimension][:1]
        return [m for m in self.every if any(_is(d, v, dimension, value) for d, v in ((m.dimension, m.value), *m.also))]

    def values(self, dimension: str) -> int:
        """How many values a dimension has."""
        return self.levels.get(dimension, 0)

    @property
    def ranked(self) -> list[Mix]:
        """What differs clearly, what explains most bad requests first."""
        told = [m for m in self.every if m.gathers]
        return sorted(told, key=lambda m: (-(m.bad / m.bad_total) * log(m.low), _order(m.dimension), m.value))[:MOST]


def share(part: int, whole: int) -> str:
    """A part as people say it."""
    if not whole:
        return "none"
    percent = 100.0 * part / whole
    return f"{percent:.0f} %" if percent == 0 or percent >= 1 else "under 1 %"


def compare(counts: Iterable[Count], totals: Totals) -> Mixes:
    """Every value held against good requests and against the time before."""
    given = list(counts)
    known, levels = _known(given), dict[str, int]()
    for c in given:
        levels[c.dimension] = levels.get(c.dimension, 0) + (c.bad + c.good > 0)
    asked = [(c, also, _sides(c, known[c.dimension])) for c, also in _merged(given) if c.bad or c.good]
    adjusted = benjamini_hochberg([_p(s) for _, _, s in asked])
    z = _z(LEVEL / max(len(asked), 1))
    rows = zip(asked, adjusted, strict=True)
    made = [
        _mix(c, also, s, p, (z, _is_new(c, s, known[c.dimension]))) for (c, also, s), p in rows if c.value != OTHERS
    ]
    return Mixes(tuple(made), totals, levels)


def _known(counts: Sequence[Count]) -> dict[str, Totals]:
    """Requests whose value is known, by dimension: a failed request often does not say what it never had."""
    made: dict[str, Totals] = {}
    for c in counts:
        t = made.get(c.dimension, Totals())
        made[c.dimension] = Totals(
            t.bad + c.bad, t.good + c.good, t.bad_before + c.bad_before, t.good_before + c.good_before
        )
    return made


def _order(dimension: str) -> int:
    return ORDER.index(dimension) if dimension in ORDER else len(ORDER)


def _is(dimension: str, value: str, asked: str, name: str) -> bool:
    if asked != "name":
        return (dimension, value) == (asked, name)
    return dimension in PLACES and (value == name or (dimension == "deployment" and name.startswith(f"{value}-")))


def _merged(counts: Iterable[Count]) -> list[tuple[Count, tuple[tuple[str, str], ...]]]:
    """Each set of requests once, under the dimension that says most, with what else it is called."""
    sets: dict[object, list[Count]] = {}
    for c in counts:
        sets.setdefault(c.same or (c.dimension, c.value), []).append(c)
    made = []
    for alike in sets.values():
        alike.sort(key=lambda c: (_order(c.dimension), c.value))
        made.append((alike[0], tuple((c.dimension, c.value) for c in alike[1:])))
    return made


@dataclass(frozen=True, slots=True)
class _Sides:
    bad: int
    bad_total: int
    good: int
    good_total: int


def _sides(c: Count, totals: Totals) -> _Sides:
    if c.dimension in OF_BAD:
        return _Sides(c.bad, totals.bad, c.bad_before, totals.bad_before)
    return _Sides(c.bad, totals.bad, c.good, totals.good)


def _p(s: _Sides) -> float:
    """Fisher's exact test, one-sided: as common among bad ones as this, or more, by chance."""
    if s.bad < LEAST_BAD or s.bad * s.good_total <= s.good * s.bad_total:
        return 1.0
    return hypergeometric_tail(s.bad, s.bad_total + s.good_total, s.bad + s.good, s.bad_total)


def hypergeometric_tail(k: int, total: int, marked: int, drawn: int) -> float:
    """Probability of at least k marked ones among so many drawn without replacement.

    >>> round(hypergeometric_tail(2, 4, 2, 2), 6)
    0.166667
    """
    import numpy as np

    first = _log_choose(marked, k) + _log_choose(total - marked, drawn - k) - _log_choose(total, drawn)
    i = np.arange(k, min(marked, drawn), dtype=np.float64)
    ratios = (marked - i) * (drawn - i) / ((i + 1) * (total - marked - drawn + i + 1))
    logs = first + np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    return min(1.0, float(np.exp(logs).sum()))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """P-values adjusted for the false discovery rate, in the order given.

    >>> [round(p, 3) for p in benjamini_hochberg([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    made, least = [1.0] * len(ps), 1.0
    for rank, i in sorted(enumerate(sorted(range(len(ps)), key=ps.__getitem__), 1), reverse=True):
        least = min(least, ps[i] * len(ps) / rank)
        made[i] = least
    return made


def _z(level: float) -> float:
    return -NormalDist().inv_cdf(level / 2)


def _ratio(part: int, whole: int, other: int, others: int) -> tuple[float, float]:
    """Log of the ratio of two shares and its standard error, half a request added to each part."""
    a, b = (part + 0.5) / (whole + 1.0), (other + 0.5) / (others + 1.0)
    spread = (1 / (part + 0.5) - 1 / (whole + 1.0)) + (1 / (other + 0.5) - 1 / (others + 1.0))
    return log(a / b), sqrt(max(spread, 1e-12))


def _mix(c: Count, also: tuple[tuple[str, str], ...], s: _Sides, p: float, told: tuple[float, bool]) -> Mix:
    lift, spread = _ratio(s.bad, s.bad_total, s.good, s.good_total)
    low, high = exp(lift - told[0] * spread), exp(lift + told[0] * spread)
    return Mix(c.dimension, c.value, s.bad, s.bad_total, s.good, s.good_total, exp(lift), low, p, told[1], also, high)


def _is_new(c: Count, s: _Sides, totals: Totals) -> bool:
    """Whether bad requests have it more often than the bad ones before had, if there were enough of those."""
    if c.dimension in OF_BAD or totals.bad_before < FEWEST_BEFORE:
        return True
    lift, spread = _ratio(s.bad, s.bad_total, s.good, s.good_total)
    was, error = _ratio(c.bad_before, totals.bad_before, c.good_before, totals.good_before)
    return lift - was > Z_NEWER * sqrt(spread**2 + error**2)
