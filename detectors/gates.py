"""Which class a level stream belongs to, and whether that class has been shown to keep its false alarms.

A class is a cadence, a band of memory, a band of rows per window and a family of scores. The table is data:
what was measured, when, and whether it met its gate. A class that missed is shown and never alarms anybody.

Source: METHODS sections 4 (States) and 10; `bench/RESULTS.md`.
Assumes: streams of one class behave alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from detectors.budget import RANDOM_WALK
from detectors.slots import HOUR_S


@dataclass(frozen=True, slots=True)
class Class:
    """Some streams, and what was measured of them; the first row of `TABLE` that fits counts."""

    name: str
    scores: frozenset[str]  # families: location | spread | shape | share | pair
    hourly: bool
    rho: float  # memory per hour, up to
    rows: float  # per window, from
    met: bool
    figure: str
    date: str

    def holds(self, score: str, window_s: int, rho: float, rows: float) -> bool:
        """Whether a stream belongs to it."""
        return (
            family(score) in self.scores
            and (window_s >= HOUR_S) == self.hourly
            and rho <= self.rho
            and rows >= self.rows
        )


_LOCATION: Final = frozenset({"location"})
_OTHERS: Final = frozenset({"spread", "shape", "share", "pair"})
TABLE: Final[tuple[Class, ...]] = (
    Class("hourly location", _LOCATION, True, RANDOM_WALK, 0.0, True, "0.27 alarms in 30 d on the hardest stream", "2026-11-20"),
    Class("hourly spread, shape, shares, pairs", _OTHERS, True, RANDOM_WALK, 0.0, True, "0 alarms in 600 stream runs of 10 d; the upper bound, 1.5 in 30 d, still needs a longer run", "2026-11-21"),
    Class("quick, large effects", _LOCATION | _OTHERS, False, RANDOM_WALK, 0.0, True, "effects of 1 sigma and more only", "2026-11-20"),
)  # fmt: skip


def family(score: str) -> str:
    """Scores that behave alike.

    >>> family("third"), family("share:visa")
    ('shape', 'share')
    """
    if score in {"third", "fourth"}:
        return "shape"
    return score.partition(":")[0]


def missed(score: str, window_s: int, rho: float, rows: float, table: tuple[Class, ...] = TABLE) -> str | None:
    """Why alarms of a stream are only shown; None where its class met its gate.

    Args:
        score: see `Monitor.score`.
        window_s: cadence, s.
        rho: memory per hour.
        rows: typical rows of a window.
        table: what was measured.
    """
    for row in table:
        if row.holds(score, window_s, rho, rows):
            return None if row.met else f"{row.name} missed their gate on {row.date} ({row.figure}): shown only"
    return "streams of this kind have not been measured: shown only"
