"""How far a feature's rows are from its reference by the customary measures, beside the verdict and never part of it.

Source: METHODS section 4, "After an alarm"; the measures are those of `observe.distances`, read off the bins
that are stored. Readings of PSI as small and large: Siddiqi (2006), "Credit Risk Scorecards".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from dash import html

from dashboards import cards, distribution, moved, words
from dashboards.distribution import Seen
from dashboards.reader import Reader
from dashboards.scope import Scope
from observe import distances

Line = tuple[str, str, str]  # measure, its value, what it means
TENTHS: Final = 10  # of the reference, PSI's customary bins
_ALONE: Final = 0.9  # of the percentiles that are lower ends of bins, from which every bin holds one value
_CHANCE: Final = 0.87  # mean of KS over sqrt(1/n + 1/m) when nothing changed; Kolmogorov's limit
_WIDE: Final = 1.0  # of the value: a range wider than this is told instead of it


def apart_card(
    read: Reader, view: Scope, model: str, finding: Mapping[str, Any], span: int = 12, unit: str = ""
) -> Any:
    """PSI, KS and Wasserstein of a number, PSI, Jensen-Shannon, total variation and chi-square of a category, each in words."""
    found = distribution.seen(read, view, model, finding)
    if found is None:
        return None
    title = "How far apart, by other measures?"
    sub = f"rows since {words.clock(found.since, view.now)} UTC against the reference, from stored bins"
    if not found.enough:
        none = cards.empty("Too few rows to compare", f"From {distribution.FEWEST_ROWS} rows on.", 120)
        return cards.card(title, none, sub=sub, sql=found.queries, span=span)
    lines = levels(found) if found.bins["kind"] == "categorical" else numbers(found, unit)
    return cards.card(
        title, _table(lines), html.P(_verdict(finding), className="legend"), sub=sub, sql=found.queries, span=span
    )


def _verdict(finding: Mapping[str, Any]) -> str:
    evidence = moved.evidence(finding)
    told = f": here {evidence}" if evidence else ""
    return (
        "The verdict does not come from these. They know neither season nor memory nor how many rows are worth an independent one, "
        f"so no fixed limit of theirs keeps a false-alarm budget; the verdict is the evidence{told}."
    )


def _table(lines: Sequence[Line]) -> Any:
    rows = [
        html.Tr([html.Th(name, scope="row"), html.Td(value, className="value"), html.Td(said)])
        for name, value, said in lines
    ]
    return html.Div(html.Table(html.Tbody(rows)), className="measures")


def numbers(found: Seen, unit: str = "") -> list[Line]:
    """PSI, KS and Wasserstein-1 of a numeric feature."""
    return [_psi(found), _ks(found, unit), _wasserstein(found, unit)]


def levels(found: Seen) -> list[Line]:
    """PSI, Jensen-Shannon, total variation and chi-square of a categorical feature."""
    reference, current = found.reference, found.current
    js, tv = distances.jensen_shannon(reference, current), distances.total_variation(reference, current)
    chi2, df = distances.chi_square(reference, current)
    plain = f"grows with the rows; chance alone gives about {df} with independent ones, so it says that shares differ, not how much"
    return [
        _psi(found),
        ("Jensen-Shannon", words.number(js, 2), "0 is the same shares, 0.83 no level in common; unlike PSI it stays finite where a level is new or gone"),
        ("total variation", words.share(tv), f"of the rows would have to change their level to undo it; chance alone gives about {words.share(_tv_chance(found))}"),
        ("χ²", f"{words.number(chi2)} on {df} df", plain),
    ]  # fmt: skip


def _psi(found: Seen) -> Line:
    reference, current = found.reference, found.current
    if found.bins["kind"] != "categorical":
        reference, current = (distances.merged(found.reference, c, TENTHS) for c in (reference, current))
        where = "tenths of the reference"
    else:
        where = "levels"
    value = distances.psi(reference, current)
    kept = int(((reference > 0) | (current > 0)).sum())
    chance = (kept - 1) * _per_row(found)
    size = "little" if value < 0.1 else "some" if value < 0.25 else "much"
    said = f"how differently the rows lie on {where}: customarily {size} (below 0.1 little, above 0.25 much); chance alone gives about {words.number(chance, 1)}"
    return "PSI", words.number(value, 2), said


def _ks(found: Seen, unit: str) -> Line:
    gap, at = distances.ks(found.reference, found.current)
    edges = found.bins["edges"] or ()
    chance = words.number(_CHANCE * _per_row(found) ** 0.5, 1)
    if at >= len(edges):
        return (
            "KS",
            words.number(gap.value, 2),
            f"no gap between both distribution functions at any edge of the bins; chance alone gives about {chance}",
        )
    below = [float(c[: at + 1].sum() / c.sum()) for c in (found.reference, found.current)]
    where = f"{words.number(float(edges[at]))} {unit}".rstrip()
    exact = (
        ""
        if gap.high - gap.value < 0.01 * max(gap.value, 0.05)
        else f"; the exact one is at most {words.number(gap.high, 2)}"
    )
    said = f"the largest gap between both distribution functions: {words.share(below[0])} of rows were below {where}, now {words.share(below[1])}; chance alone gives about {chance}{exact}"
    return "KS", words.number(gap.value, 2), said


def _wasserstein(found: Seen, unit: str) -> Line:
    edges = np.asarray(found.bins["edges"] or (), dtype=float)
    if not edges.size:
        return "Wasserstein-1", words.UNKNOWN, "the reference has one value only, so there is no distance between bins"
    moved_by = distances.wasserstein(_cuts(found, edges), found.reference, found.current, alone=_alone(found, edges))
    low, value, high = (f"{words.number(v)} {unit}".rstrip() for v in (moved_by.low, moved_by.value, moved_by.high))
    told = "how far a value moved on average, were rows to keep their order"
    if moved_by.high - moved_by.low > max(_WIDE * moved_by.value, 0.02 * float(edges[-1] - edges[0])):
        return (
            "Wasserstein-1",
            f"{low} to {high}",
            f"{told}; bins are too coarse, or values too far beyond the outer ones, for more than this range",
        )
    return "Wasserstein-1", value, f"{told}; read off bins, the exact one lies between {low} and {high}"


def _cuts(found: Seen, edges: np.ndarray) -> np.ndarray:
    """All ends of bins; the outer ones are the smallest and largest value seen in the reference or since."""
    quantiles, seen = found.bins["quantiles"] or (), found.quality
    lows = [edges[0], *(q for q in quantiles[:1]), *([seen["low"]] if words.known(seen["low"]) else [])]
    highs = [edges[-1], *(q for q in quantiles[-1:]), *([seen["high"]] if words.known(seen["high"]) else [])]
    return np.concatenate([[min(lows)], edges, [max(highs)]])


def _alone(found: Seen, edges: np.ndarray) -> bool:
    """Whether each bin of the reference holds one value: nearly all its percentiles are lower ends of bins."""
    quantiles = np.asarray(found.bins["quantiles"] or (), dtype=float)
    return bool(quantiles.size and np.isin(quantiles, [quantiles[0], *edges]).mean() >= _ALONE)


def _per_row(found: Seen) -> float:
    """Variance that sampling alone gives a share's difference, per unit of p(1 - p): `1/n + 1/m`."""
    return 1.0 / float(found.reference.sum()) + 1.0 / found.rows


def _tv_chance(found: Seen) -> float:
    """Mean total variation of two samples of one distribution, rows independent."""
    p = (found.reference + found.current) / (found.reference.sum() + found.rows)
    return float(np.sqrt(2 / np.pi * p * (1 - p) * _per_row(found)).sum() / 2)
