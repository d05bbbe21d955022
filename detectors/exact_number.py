"""One numeric feature in two samples: what moved, by how much in its unit, and how surely.

Source: METHODS sections 2 and 3.
Assumes: exchangeable rows inside each sample, or stretches of time much longer than most of its memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import exact_scores
from detectors.exact import QUANTILES, Counts, Pooled, Sample, Shift, Values, counts, edges, mean_shift, quantile_shift
from detectors.exact_scores import Moved, Scores
from detectors.exact_shares import Distances, distances, share_p
from detectors.exact_verdict import ONE_SIDED_95, Bins, Feature, Least, Rows, Test

_FEWEST: Final = 20  # finite values in either sample for a word about their distribution
_BINS_SHOWN: Final = 36
_TAIL_SHOWN: Final = 0.005  # of either end that lies in the outer bins of a picture


@dataclass(frozen=True, slots=True)
class Stretches:
    """Which stretch of time each row lies in: numbers 0, 1, ... in the order of time."""

    of_values: NDArray[np.int64]  # of each value that is there
    rows: Counts  # by stretch
    missing: Counts
    nan: Counts

    def share(self, counted: Counts) -> NDArray[np.float64]:
        """Shares by stretch, shape (stretches, 1)."""
        kept = self.rows > 0
        found: NDArray[np.float64] = (counted[kept] / self.rows[kept])[:, None]
        return found


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers: its values without missing ones and NaN, in the order of the rows, and what was left out."""

    values: Values
    missing: int = 0
    nan: int = 0
    stretches: Stretches | None = None

    @property
    def rows(self) -> int:
        """All rows."""
        return int(self.values.size) + self.missing + self.nan

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Which values are finite."""
        return np.isfinite(self.values) if self.values.dtype.kind == "f" else np.ones(self.values.size, dtype=bool)


def number(
    name: str, reference: Column, current: Column, least: Least, kind: str = "number", unit: str = ""
) -> Feature:
    """Everything about one numeric feature, not judged yet.

    Args:
        name: of the feature.
        reference: its values before.
        current: its values now; of the same dtype, else both are compared as floats.
        least: the smallest changes that matter.
        kind: what it is called, `number` or `time`.
        unit: of its values.
    """
    samples = Sample.of(reference.values), Sample.of(current.values)
    pooled = Pooled.of(*samples)
    quality = _quality(reference, current, least)
    rows = _rows(reference, samples[0]), _rows(current, samples[1])
    if min(s.values.size for s in samples) < _FEWEST:
        return Feature(
            name, kind, *rows, tests=_few(quality, pooled, reference, current), ks=pooled.ks, ks_p=pooled.ks_p(),
            wasserstein=pooled.wasserstein, distances=_distances(samples), unit=unit,
        )  # fmt: skip
    least, notes = _usable(least, samples[0])
    scores = exact_scores.scores(pooled)
    moved, effective = _moved(scores, reference, current)
    shifts = tuple(quantile_shift(pooled, p, effective) for p in QUANTILES if p == 0.5 or min(effective) * (1 - p) >= 1)
    mean = mean_shift(pooled, effective)
    tests = _tests(pooled, moved, (*shifts, mean), least, dependent=reference.stretches is not None)
    return Feature(
        name, kind, *rows, tests=(*tests, *quality), ks=pooled.ks, ks_p=pooled.ks_p(), wasserstein=pooled.wasserstein,
        distances=_distances(samples), effect=_telling(moved, shifts, mean), unit=unit, shifts=(*shifts, mean),
        bins=_bins(samples), notes=notes,
    )  # fmt: skip


def _rows(column: Column, sample: Sample) -> Rows:
    return Rows(column.rows, column.missing, column.nan, sample.below + sample.above)


def _usable(least: Least, reference: Sample) -> tuple[Least, tuple[str, ...]]:
    """Per cent of a median of 0 is nothing: sigma then."""
    if least.unit != "%" or reference.values[(reference.values.size - 1) // 2] != 0:
        return least, ()
    return Least(share_pp=least.share_pp), ("the reference's median is 0, so 0.1σ is asked for instead of per cent",)


def _few(quality: tuple[Test, ...], pooled: Pooled, *columns: Column) -> tuple[Test, ...]:
    """Too few values: missing ones are judged, the distribution by a question that is never answered with `no drift`."""
    infinite = pooled.ks == 0 and not any(c.finite.any() for c in columns)  # and as many of either sign
    if quality and (infinite or any(c.missing + c.nan == c.rows for c in columns)):
        return quality
    return (*quality, Test("ks", 100 * pooled.ks, "pp", 100.0 + 1e-9, 1.0, float("inf")))


def _moved(scores: Scores, reference: Column, current: Column) -> tuple[tuple[Moved, ...], tuple[float, float]]:
    """How the four scores moved, and how many independent rows each sample is worth."""
    plain = exact_scores.exchangeable(scores)
    n, m = float(scores.reference.sum()), float(scores.current.sum())
    if reference.stretches is None or current.stretches is None:
        return plain, (n, m)
    means = [
        exact_scores.stretch_means(
            scores.basis[np.minimum(np.searchsorted(scores.ends, c.values[c.finite]), scores.ends.size - 1)],
            c.stretches.of_values[c.finite],
        )
        for c in (reference, current)
        if c.stretches is not None
    ]
    moved = exact_scores.dependent(means[0], means[1], plain[0].stderr)
    inflation = max(1.0, (moved[0].stderr / plain[0].stderr) ** 2) if moved[0].enough else max(n, m)
    return moved, (n / inflation, m / inflation)


def _tests(
    pooled: Pooled, moved: Sequence[Moved], shifts: Sequence[Shift], least: Least, *, dependent: bool
) -> tuple[Test, ...]:
    """The questions about the distribution; KS is one only where rows are exchangeable, as its p-value assumes."""
    asked = list(zip(exact_scores.NAMES, moved, strict=True))
    if not dependent:
        asked.append(("ks", Moved(pooled.ks, moved[0].stderr / 2, pooled.ks_p())))
    ks_bound = 100 * (pooled.ks + ONE_SIDED_95 * moved[0].stderr / 2)
    found = []
    for name, m in asked:
        bound = abs(m.effect) + ONE_SIDED_95 * m.stderr if name in {"location", "spread"} or not m.enough else 0.0
        if least.unit == "sigma" and name != "ks":
            found.append(Test(name, abs(m.effect), "sigma", least.number, m.p, bound))
        elif least.unit == "sigma":
            found.append(Test(name, 100 * pooled.ks, "pp", least.ks_pp, m.p))
        elif least.unit == "pp":
            found.append(Test(name, 100 * pooled.ks, "pp", least.number, m.p, ks_bound))
        else:
            found.append(Test(name, _percent(shifts), "%", least.number, m.p, _percent_bound(shifts)))
    return tuple(found)


def _percent(shifts: Sequence[Shift]) -> float:
    """The largest clear shift of p10, median and p90, in % of the reference's median."""
    by_name = {s.of: s for s in shifts}
    clear = [abs(s.shift) for name, s in by_name.items() if name in {"p10", "median", "p90"} and s.clear]
    return 100 * max(clear, default=0.0) / abs(by_name["median"].reference)


def _percent_bound(shifts: Sequence[Shift]) -> float:
    median = next(s for s in shifts if s.of == "median")
    return 100 * max(abs(median.low), abs(median.high)) / abs(median.reference)


def _telling(moved: Sequence[Moved], shifts: Sequence[Shift], mean: Shift) -> Shift:
    """The figure that shows the change best: the median where location moved most, else the clearest quantile.

    Ties can hold every quantile in place while rows move between them; then it is the mean.
    """
    median = next((s for s in shifts if s.of == "median"), mean)
    location_led = abs(moved[0].effect) >= max(abs(m.effect) for m in moved[1:])
    chosen = median if location_led or median.clear else max(shifts, key=lambda s: s.clarity, default=mean)
    return mean if chosen.shift == 0 and mean.clear else chosen


def _distances(samples: tuple[Sample, Sample]) -> Distances:
    """Of deciles of the reference."""
    ends = edges(samples[0])
    return distances(counts(samples[0], ends), counts(samples[1], ends))


def _bins(samples: tuple[Sample, Sample]) -> Bins:
    """Equal bins over what both hold; half a per cent of either end lies in the outer ones."""
    low = min(float(s.values[int(_TAIL_SHOWN * s.values.size)]) for s in samples)
    high = max(float(s.values[-1 - int(_TAIL_SHOWN * s.values.size)]) for s in samples)
    if not high > low or not np.isfinite(high - low):
        low, high = low - 0.5, low + 0.5
    ends = np.linspace(low, high, _BINS_SHOWN + 1)
    ends[-1] = np.nextafter(high, np.inf)
    shares = []
    for sample in samples:
        found = counts(sample, np.nextafter(ends[1:-1], -np.inf))
        shares.append(tuple(float(x) for x in found / max(1, sample.n)))
    return Bins(tuple(float(e) for e in ends), (), shares[0], shares[1])


def _quality(reference: Column, current: Column, least: Least) -> tuple[Test, ...]:
    """Questions about missing values, NaN and infinities, where there are any."""
    found = []
    for name in ("missing", "nan", "infinite"):
        events = [_events(c, name) for c in (reference, current)]
        if any(events) and reference.rows and current.rows:
            stretches = [_stretched(c, name) for c in (reference, current)]
            found.append(share_test(name, (events[0], reference.rows), (events[1], current.rows), least, stretches))
    return tuple(found)


def _events(column: Column, name: str) -> int:
    if name == "infinite":
        return int(column.values.size - column.finite.sum())
    return column.missing if name == "missing" else column.nan


def _stretched(column: Column, name: str) -> NDArray[np.float64] | None:
    if column.stretches is None:
        return None
    if name == "infinite":
        where = column.stretches.of_values[~column.finite]
        return column.stretches.share(np.bincount(where, minlength=column.stretches.rows.size))
    return column.stretches.share(column.stretches.missing if name == "missing" else column.stretches.nan)


def share_test(
    name: str,
    reference: tuple[int, int],
    current: tuple[int, int],
    least: Least,
    stretches: Sequence[NDArray[np.float64] | None] = (None, None),
) -> Test:
    """Has the share of such rows changed? Any such row matters where the reference has none.

    Args:
        name: of the question.
        reference: events and rows.
        current: events and rows.
        least: the smallest changes that matter.
        stretches: shares by stretch of time, shape (stretches, 1), of both; None where rows are exchangeable.
    """
    (a, n), (b, m) = reference, current
    pooled = min((a + b) / (n + m), (n + m + 1) / (n + m + 2))  # all of few rows say less than all of many: Laplace
    moved = Moved(b / m - a / n, sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)), 1.0)
    if stretches[0] is not None and stretches[1] is not None:
        moved = exact_scores.dependent(stretches[0], stretches[1], moved.stderr)[0]
        moved = Moved(moved.effect, moved.stderr, max(moved.p, share_p(reference, current)), moved.enough)
    else:
        moved = Moved(moved.effect, moved.stderr, share_p(reference, current))
    matters = 0.0 if a == 0 else least.share_pp
    bound = 100 * (abs(moved.effect) + ONE_SIDED_95 * moved.stderr) if matters else 0.0
    return Test(name, 100 * abs(moved.effect), "pp", matters, moved.p, bound)
