"""How far are served rows from the rows of a training file, and is that more than days differ among themselves?

Every question is a difference of two means: four scores of a number, shares of levels, of levels the file does not
have, of missing values. What is served comes as whole weeks of days, so the scatter of their means beside others of
their kind (weekdays, weekends), enlarged by what neighbours share, says how noisy a mean of them is; seasons inside a
day and a week are on both sides, serial dependence is in the scatter. The file has no
time axis: its mean is taken to be as noisy as that of as many served days as it covers. Scores are of ranks in both
together, in standard deviations; they have no tails, and two distributions that do not overlap are 3 apart, or more.

A second, coarse test is valid from the first day on: it takes days to wander by a quarter of a standard deviation
(or as much as they did, if that was more), so that only gross differences pass. Of both the smaller p counts, doubled.

Source: METHODS section 9 ("served mean against file mean with the served series' long-run variance"); Cochran (1977),
ratio estimators; Kish (1965), effective size of unequal weights; Kendall (1954), bias of an autocorrelation; Student.
Assumes: but for weekends, day means are stationary over two weeks, their memory about that of AR(1) and of hours, not
days; the file's rows are of at least as many days as `Training.days` says, weekends among them as in any week. For
the coarse test: day means wander by .25 of the standard deviation of a row, or as much as they did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, log, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from detectors import scores
from observe.schema import OWN_LEVELS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

WEEK: Final = 7  # days
GROUPS: Final = 32  # of bins, that numbers are compared in
FEWEST_DAYS: Final = 5.0  # effective ones, from which their own scatter is believed
WANDER: Final = 0.25  # of the standard deviation of a row: how far days wander while that is not known
_TESTS: Final = 2  # of each question
_Z95: Final = 1.959963984540054
_LEAST_P: Final = 1e-300
MISSING: Final = "missing"
UNSEEN: Final = "unseen"


@dataclass(frozen=True, slots=True)
class Days:
    """Served rows by day, oldest first: rows by group (D, G), rows without a value (D,), and which day (D,)."""

    at: NDArray[np.int64]  # start, epoch s
    counts: Floats
    bad: Floats

    @property
    def n(self) -> Floats:
        """Rows with a value, (D,)."""
        found: Floats = self.counts.sum(axis=1)
        return found

    @property
    def weekend(self) -> Bools:
        """Which are Saturdays and Sundays, (D,)."""
        found: Bools = (self.at // 86_400 + 3) % WEEK >= 5  # 1970-01-01 was a Thursday
        return found


@dataclass(frozen=True, slots=True)
class Training:
    """Rows of the file by the same groups, and how many days they are taken to be of."""

    counts: Floats  # (G,)
    bad: float
    days: float

    @property
    def n(self) -> float:
        """Rows with a value."""
        return float(self.counts.sum())


@dataclass(frozen=True, slots=True)
class Gap:
    """What one question found: served less file, in σ or pp, with its 95 % interval."""

    name: str  # location | spread | third | fourth | share:<level> | unseen | missing
    effect: float
    low: float
    high: float
    unit: str
    least: float
    p: float
    before: float | None = None  # the share in the file, 0-1
    now: float | None = None
    daily: tuple[float, ...] = ()  # day by day, in `unit`; NaN on days without rows

    @property
    def size(self) -> float:
        """As a multiple of the least that matters."""
        return abs(self.effect) / self.least

    @property
    def may_be(self) -> float:
        """The same of the larger end of the interval."""
        return max(abs(self.low), abs(self.high)) / self.least


def groups(bins: int) -> NDArray[np.int64]:
    """Which group each bin of a number belongs to, (K,)."""
    return np.arange(bins) * min(GROUPS, bins) // bins


def numeric(training: Training, served: Days, least_sigma: float, least_pp: float) -> list[Gap]:
    """What is asked of a number: location, spread, two shapes, and the share of missing values."""
    return [*_scored(training, served, least_sigma), *_missing(training, served, least_pp)]


def categorical(training: Training, served: Days, levels: Sequence[str], least_pp: float) -> list[Gap]:
    """What is asked of levels: the largest one by one, those the file does not have together, missing values."""
    found = list(_missing(training, served, least_pp))
    if training.n <= 0 or served.n.sum() <= 0:
        return found
    unseen = training.counts == 0
    unseen[len(levels) :] = False  # "other" of the served may be known to the file
    own = [i for i in range(min(len(levels), OWN_LEVELS)) if not unseen[i]]
    asked = [(f"{scores.SHARE}{levels[i]}", np.arange(training.counts.size) == i) for i in own]
    rest = ~unseen & (np.arange(training.counts.size) >= OWN_LEVELS)
    asked += [(f"{scores.SHARE}{scores.OTHER}", rest)] if rest.any() else []
    for name, chosen in [*asked, *([(UNSEEN, unseen)] if unseen.any() else [])]:
        events = served.counts[:, chosen].sum(axis=1)
        file = float(training.counts[chosen].sum()), training
        found.append(_share(name, events, (served.n, served.weekend), file, least_pp))
    return found


def evidence(gaps: Sequence[Gap]) -> float:
    """Nats against "no question differs": of the smallest p, corrected for how many there are."""
    if not gaps:
        return 0.0
    return max(0.0, -log(min(1.0, len(gaps) * max(min(g.p for g in gaps), _LEAST_P))))


def matters(gaps: Sequence[Gap], nats: float) -> list[Gap]:
    """The questions whose own evidence suffices, corrected, and whose difference matters; the largest first."""
    proven = [g for g in gaps if evidence([g]) - log(len(gaps)) >= nats and g.size >= 1.0]
    return sorted(proven, key=lambda g: (-g.size, g.name))


def _scored(training: Training, served: Days, least: float) -> Iterator[Gap]:
    total = served.n.sum()
    if training.n <= 0 or total <= 0:
        return
    before, now = training.counts / training.n, served.counts.sum(axis=0) / total
    basis = scores.shapes((before + now) / 2 * (training.n + total))
    days = served.counts / np.where(served.n > 0, served.n, np.nan)[:, None]
    for name, column in zip(scores.SHAPES, basis.T, strict=True):
        if column.any():
            daily, file = days @ column, float(before @ column)
            found = _compared(daily, (served.n, served.weekend), file, training, 1.0)
            if name == "location":
                found = Compared(_in_sigma(found.effect), _in_sigma(found.low), _in_sigma(found.high), found.p)
            yield _gap(name, found, "σ", least, daily - file)


def _in_sigma(apart: float) -> float:
    """By how many of its own standard deviations a normal distribution moved, from how far it is apart in ranks of both.

    >>> round(_in_sigma(0.485), 2)
    0.5
    """
    return apart / sqrt(1 - min(apart**2 / 4, 0.99))


def _missing(training: Training, served: Days, least: float) -> Iterator[Gap]:
    rows = served.n + served.bad
    if rows.sum() > 0 and training.n + training.bad > 0:
        whole = Training(np.array([training.n + training.bad]), 0.0, training.days)
        yield _share(MISSING, served.bad, (rows, served.weekend), (training.bad, whole), least)


def _share(name: str, events: Floats, served: tuple[Floats, Bools], file: tuple[float, Training], least: float) -> Gap:
    """A share of rows, in pp; `served` is rows by day and weekends, `file` how many events it has and among which rows."""
    rows = served[0]
    daily = events / np.where(rows > 0, rows, np.nan)
    before, now = file[0] / file[1].n, float(events.sum() / rows.sum())
    p = (before + now) / 2
    found = _compared(daily, served, before, file[1], p * (1 - p))
    scaled = Compared(100 * found.effect, 100 * found.low, 100 * found.high, found.p)
    return _gap(name, scaled, "pp", least, 100.0 * (daily - before), (before, now))


def _gap(
    name: str, found: Compared, unit: str, least: float, daily: Floats, shares: tuple[float, float] | None = None
) -> Gap:
    before, now = shares or (None, None)
    told = tuple(float(d) for d in daily)
    return Gap(name, found.effect, found.low, found.high, unit, least, found.p, before, now, told)


@dataclass(frozen=True, slots=True)
class Compared:
    """A difference of means with its 95 % interval and p-value."""

    effect: float
    low: float
    high: float
    p: float


def _compared(daily: Floats, served: tuple[Floats, Bools], file: float, training: Training, var: float) -> Compared:
    """Served less file.

    Args:
        daily: mean of each day, (D,), in the order of time; NaN where there are no rows.
        served: rows of each day, (D,), at least one positive, and whether it is of a weekend.
        file: mean of the file.
        training: its rows and days.
        var: of one row.
    """
    if var <= 0:
        return Compared(0.0, 0.0, 0.0, 1.0)  # both have one value, the same
    kept = served[0] > 0
    daily, rows, weekend = daily[kept], served[0][kept], served[1][kept]
    weight = rows / rows.sum()
    mean, days = float(weight @ daily), float(1 / (weight @ weight))
    sampling = var / float(rows.sum()), var / training.n
    scatter, longer, free = _scatter(daily, weight, weekend, days)
    effect, p_fine, half = mean - file, 1.0, inf
    if days >= FEWEST_DAYS and daily.size >= WEEK:
        stderr = sqrt(max(scatter * longer / days, sampling[0]) + max(scatter * longer / training.days, sampling[1]))
        p_fine, half = (
            float(2 * special.stdtr(free, -abs(effect) / stderr)),
            float(special.stdtrit(free, 0.975)) * stderr,
        )
    wide = max(WANDER**2 * var, scatter * longer)
    stderr = sqrt(wide / days + wide / training.days + sum(sampling))
    p_coarse = float(2 * special.ndtr(-abs(effect) / stderr))
    half = min(half, _Z95 * stderr)
    return Compared(effect, effect - half, effect + half, min(1.0, _TESTS * min(p_fine, p_coarse)))


def _scatter(daily: Floats, weight: Floats, weekend: Bools, days: float) -> tuple[float, float, float]:
    """Scatter of day means beside others of their kind (weekdays, weekends).

    Returns:
        Variance of one day's mean; by how much dependence lengthens that of a mean of them; degrees of freedom.
    """
    off, kinds = daily.copy(), [kind for kind in (weekend, ~weekend) if kind.any()]
    for kind in kinds:
        off[kind] -= weight[kind] @ daily[kind] / weight[kind].sum()
    power, left = float(weight**2 @ off**2), days - len(kinds)
    if left <= 0.5 or power <= 0:
        return 0.0, 1.0, 1.0
    scaled = weight * off
    memory = float(scaled[1:] @ scaled[:-1]) / power
    memory = min(max(memory + (1 + 3 * max(memory, 0.0)) / days, 0.0), 0.95)
    longer = (1 + memory) / (1 - memory)
    return power * days * days / left, longer, max(1.0, days / longer - len(kinds))
