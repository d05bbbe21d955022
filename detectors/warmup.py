"""How long does a replica take from being asked for to being there? Measured where it was seen, else as declared.

Source: our own.
Assumes: a replica is ready when its model server is first scraped with the number of replicas that was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

ASSUMED_S: Final = 300.0  # an image and weights of tens of GB from a registry and object store
SHORTEST_S, LONGEST_S = 30.0, 3600.0
ASKED: Final = 3  # scale-ups that must have been seen


@dataclass(frozen=True, slots=True)
class ColdStart:
    """How long it takes, and how that is known."""

    seconds: float
    basis: str  # measured | declared | assumed
    seen: int = 0


def cold_start(
    asked: Sequence[tuple[int, int]], first: int, replicas: NDArray[np.float64], declared_s: float | None
) -> ColdStart:
    """The cold start of a model.

    Args:
        asked: scale-ups of the past: minute since the epoch, replicas asked for.
        first: minute of the first of `replicas` since the epoch.
        replicas: by minute, NaN where unknown.
        declared_s: what the team says it takes, s.
    """
    took = []
    for minute, wanted in asked:
        place = minute - first
        if not 0 <= place < replicas.size:
            continue
        there = np.flatnonzero(replicas[place:] >= wanted)
        if there.size and 0 < there[0] * 60 <= LONGEST_S:
            took.append(float(there[0]) * 60)
    if len(took) >= ASKED:
        return ColdStart(max(SHORTEST_S, median(took)), "measured", len(took))
    if declared_s is not None:
        return ColdStart(min(LONGEST_S, max(SHORTEST_S, declared_s)), "declared", len(took))
    return ColdStart(ASSUMED_S, "assumed", len(took))
