"""What evidence is worth: how rarely a stream's own history came as far.

A sum of log likelihood ratios that falls back to 0 has excursions whose heights fall off exponentially, by a
factor e per nat where the model is right and more slowly where it is not (other tails, memory, bursts). The
rate at which they do is measured on the stream's own history; evidence beyond its knee counts by it, and
never for more than the model says. So an alarm is "one in so many days" by the stream's own past.

Source: Lundberg's exponent of a reflected random walk (Asmussen and Albrecher 2010, "Ruin probabilities",
chapter IV); Pickands (1975) on exceedances of a high level. Putting the two together is our own.
Assumes: the tail of excursions beyond the highest ones seen goes on as it began; at most one of them was an incident.
"""

from __future__ import annotations

from math import exp, log
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PEAKS: Final = (5, 10, 20)  # highest excursions that the tail is read from; the most cautious reading counts
_PRIOR: Final = 2.0  # excursions of mean height 1 nat, as the model has them, that are added
_MARGIN: Final = 1.2  # on measured heights: with 1, memory of .7 in the logarithm of a share spent .75 a month of 1
_ONE: Final = 3.0  # times the next one's height, beyond which a single excursion is taken for an incident
_HIGH: Final = 4.0  # nats that make an excursion one at all


Line = tuple[float, float, float, float]


class Worth(NamedTuple):
    """What evidence is worth by some readings of a history's tail: the least of them and of the evidence itself counts.

    A reading says that `many` excursions beyond `knee` (worth `base` nats) were `total` nats beyond it together.
    Not knowing the mean height but from them, a further one is higher than knee + y with probability
    (1 + y/total)^-many: the predictive law of exponential heights.
    """

    lines: tuple[Line, ...]  # knee, base, total, many
    suspect: int | None  # window of an excursion that looks like an incident

    def needed(self, nats: float, least: float | None = None) -> float:
        """Evidence that is worth `nats`, at least `least` (by default `nats` themselves)."""
        return max(
            nats if least is None else least,
            *(knee + total * (exp((nats - base) / many) - 1) for knee, base, total, many in self.lines),
        )


PLAIN: Final = Worth(((0.0, 0.0, 1e9, 1e9),) * len(_PEAKS), None)


def worths(nats: Floats, lines: Floats) -> Floats:
    """What evidence of many streams is worth, nats, (S,); lines (S, 3, 4)."""
    knee, base, total, many = (lines[:, :, j] for j in range(4))
    nats = nats[:, None]
    below = nats * np.where(base < knee, base / np.maximum(knee, 1e-9), 1.0)
    above = base + many * np.log1p(np.maximum(nats - knee, 0.0) / total)
    found: Floats = np.minimum(nats, np.where(nats <= knee, below, above)).min(axis=1)
    return found


def read(evidence: Floats, quiet: NDArray[np.bool_], used: float) -> Worth:
    """The worth of evidence by one stream's history.

    Args:
        evidence: nats by window, (T,).
        quiet: windows in which no evidence was held, (T,); they part excursions.
        used: windows that were judged.
    """
    first = np.flatnonzero(np.concatenate([[True], quiet[1:] != quiet[:-1]])) if quiet.size else np.zeros(0, int)
    heights = np.maximum.reduceat(evidence, first) if first.size else evidence
    over = ~quiet[first]
    over[-1:] = False  # the last excursion may be a rise under way
    heights, begun = heights[over], first[over]
    if not heights.size:
        return PLAIN
    order = np.argsort(-heights, kind="stable")
    peaks, suspect = heights[order], None
    if peaks[0] > _ONE * ((peaks[1] if peaks.size > 1 else 0.0) + _HIGH):
        suspect, peaks = int(begun[order[0]]), peaks[1:]
    return Worth(tail(peaks, used), suspect)


def tail(heights: Floats, used: float) -> tuple[Line, ...]:
    """Readings of the tail of `heights`, highest first, of excursions in `used` windows."""
    if not heights.size:
        return PLAIN.lines
    return tuple(_line(heights, min(many, heights.size), used) for many in _PEAKS)


def _line(heights: Floats, many: int, used: float) -> Line:
    knee = float(heights[many]) if heights.size > many else 0.0
    total = float((np.maximum(heights[:many], 0.0) - max(knee, 0.0)).sum()) * _MARGIN + _PRIOR
    return max(knee, 0.0), log(used / many), total, many + _PRIOR
