"""One categorical feature in two samples: which levels gained or lost, and which are new.

Source: METHODS sections 2 and 3; Pearson (1900).
Assumes: exchangeable rows inside each sample, or shares by stretch of time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import pi, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.exact import Counts, Shift
from detectors.exact_number import share_test
from detectors.exact_shares import distances, homogeneity_p, share_interval, unseen_p
from detectors.exact_verdict import ONE_SIDED_95, Bins, Feature, Least, Rows, Test

_SHOWN: Final = 10  # levels in a picture, without "other"
_TOLD: Final = 8  # levels whose change is told
_IDENTIFIER: Final = 0.5  # distinct levels per row
_FEWEST: Final = 20


@dataclass(frozen=True, slots=True)
class Levels:
    """Counts of each level in both samples, most frequent of both together first; and what was missing."""

    names: Sequence[str]
    reference: Counts
    current: Counts
    missing: tuple[int, int] = (0, 0)
    # by level and by "missing": shares by stretch of time in both samples, shape (stretches, 1)
    stretches: Mapping[str | None, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)


def levels(name: str, found: Levels, least: Least, kind: str = "category") -> Feature:
    """Everything about one categorical feature, not judged yet."""
    n, m = int(found.reference.sum()), int(found.current.sum())
    new = np.flatnonzero((found.reference == 0) & (found.current > 0))
    new = new[np.argsort(-found.current[new], kind="stable")] if n else new[:0]
    rows = (
        Rows(n + found.missing[0], found.missing[0]),
        Rows(m + found.missing[1], found.missing[1], unseen=int(found.current[new].sum())),
    )
    tests = _missing(found, rows, least)
    names = tuple(found.names[i] for i in new[:_TOLD])
    if min(n, m) < _FEWEST:
        few = () if tests and min(n, m) == 0 else (Test("shares", 0.0, "pp", 100.0, 1.0, float("inf")),)
        apart = distances(found.reference, found.current) if n and m else None
        return Feature(name, kind, *rows, tests=(*tests, *few), distances=apart, unseen=names, bins=_bins(found))
    told = Feature(
        name, kind, *rows, tests=tests, distances=distances(found.reference, found.current), bins=_bins(found),
        unseen=names, unit="pp",
    )  # fmt: skip
    if len(found.names) > 100 and min((found.reference > 0).sum() / n, (found.current > 0).sum() / m) > _IDENTIFIER:
        return _with(
            told, (), (), "nearly every value is another one: it looks like an identifier, so only missing is judged"
        )
    shares, dependence = _shares(found, least)
    asked = [*shares, *_unseen(found, new, dependence)]
    return _with(told, tuple(asked), _shifts(found, dependence), "")


def _with(feature: Feature, tests: tuple[Test, ...], shifts: tuple[Shift, ...], note: str) -> Feature:
    from dataclasses import replace

    notes = (note,) if note else ()
    if note and not feature.tests:
        return replace(feature, notes=notes, reason=note, verdict="inform")
    return replace(
        feature, tests=(*tests, *feature.tests), shifts=shifts, effect=shifts[0] if shifts else None, notes=notes
    )


def _missing(found: Levels, rows: tuple[Rows, Rows], least: Least) -> tuple[Test, ...]:
    if not any(found.missing) or not rows[0].rows or not rows[1].rows:
        return ()
    pairs = (rows[0].missing, rows[0].rows), (rows[1].missing, rows[1].rows)
    return (share_test("missing", *pairs, least, found.stretches.get(None, (None, None))),)


def _shares(found: Levels, least: Least) -> tuple[tuple[Test, ...], float]:
    """The question about all levels together, and by how much dependence enlarges the noise of a share."""
    n, m = int(found.reference.sum()), int(found.current.sum())
    p, q = found.reference / n, found.current / m
    at = int(np.argmax(np.abs(q - p)))
    pooled = (found.reference + found.current) / (n + m)
    noise = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    tv = float(np.abs(q - p).sum() / 2 - noise.sum() / 2 * sqrt(2 / pi))  # less what chance alone would make it
    effect = 100 * max(float(np.abs(q - p)[at]), tv)
    if not found.stretches:
        bound = effect + 100 * ONE_SIDED_95 * float(noise[at])
        return (
            Test("shares", effect, "pp", least.share_pp, homogeneity_p(found.reference, found.current), bound),
        ), 1.0
    by_level = [
        (share_test("shares", (int(found.reference[i]), n), (int(found.current[i]), m), least, found.stretches[name]), noise[i])
        for i, name in enumerate(found.names)
        if name in found.stretches
    ]  # fmt: skip
    widest = max((t.at_most - t.effect) / (100 * ONE_SIDED_95 * s) for t, s in by_level if s > 0) if by_level else 1.0
    worst = min((t for t, _ in by_level), key=lambda t: (t.p, -t.effect))
    p_value = min(1.0, worst.p * len(by_level))
    bound = 100 * ONE_SIDED_95 * float(noise[at]) * widest + effect
    return (Test("shares", worst.effect, "pp", least.share_pp, p_value, bound),), max(1.0, widest**2)


def _unseen(found: Levels, new: NDArray[np.int64], dependence: float) -> tuple[Test, ...]:
    if not new.size:
        return ()
    share = 100 * float(found.current[new].sum() / found.current.sum())
    return (Test("unseen", share, "pp", 0.0, unseen_p(found.reference, found.current, dependence)),)


def _shifts(found: Levels, dependence: float) -> tuple[Shift, ...]:
    """Changes in share of the levels that changed most, in pp."""
    n, m = float(found.reference.sum()), float(found.current.sum())
    p, q = found.reference / n, found.current / m
    told = []
    for i in np.argsort(-np.abs(q - p), kind="stable")[:_TOLD]:
        low, high = share_interval((float(p[i]), n / dependence), (float(q[i]), m / dependence))
        figures = (float(p[i]), float(q[i]), float(q[i] - p[i]), low, high)
        told.append(Shift(found.names[i], *(100 * x for x in figures)))
    return tuple(told)


def _bins(found: Levels) -> Bins | None:
    if not found.names:
        return None
    n, m = max(1, int(found.reference.sum())), max(1, int(found.current.sum()))
    names = list(found.names[:_SHOWN])
    shares = [found.reference[:_SHOWN] / n, found.current[:_SHOWN] / m]
    if len(found.names) > _SHOWN:
        names.append(f"{len(found.names) - _SHOWN:,} others")
        shares = [np.append(s, max(0.0, 1.0 - float(s.sum()))) for s in shares]
    return Bins((), tuple(names), *(tuple(float(x) for x in s) for s in shares))
