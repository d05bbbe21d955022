"""What an SLO cannot see: the smallest burn that would be found within an hour or a day.

A burn is found when the errors of a tier's long window reach its factor and its gate at some time while it
lasts. How many errors a burn brings in nine of ten cases follows from the traffic and the burst factor; a long window
that fits several times into the time has several chances. A burn that is not found at once teaches the
burst factor as its hours close, which raises the gate: with little history a slow burn hides itself, and that is counted in.

Source: our own; METHODS section 6 ("Report power"). Checked against the detector itself: `bench/power.py`.
Assumes: the traffic of the last hour (day) goes on; errors come at one rate, in bursts of phi; before the
burn as many failed as usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.errorbudget import HOUR, PRIOR_HOURS, Floats, gate_nats
from detectors.lanes import Tier

FOUND: Final = 0.9  # share of such burns that is found
_LOOKS: Final = (15, 60, 120, 240, 480, 960)  # minutes after its start at which a burn is looked at, and at its end
_COARSE, _FINE = 24, 16  # steps of the search


@dataclass(frozen=True, slots=True)
class Traffic:
    """What an SLO has to go by, at any number of instants; arrays are (instants,)."""

    rate: Floats  # requests a minute
    usual: Floats  # bad share before a burn
    phi: Floats  # burst factor
    hours: Floats  # that it was read off
    budget: float  # allowed bad share

    def column(self) -> Traffic:
        """The same as (instants, 1), to be held against burns (instants, burns)."""
        return Traffic(self.rate[:, None], self.usual[:, None], self.phi[:, None], self.hours[:, None], self.budget)


def smallest(tiers: Sequence[Tier], seen: Traffic, minutes: int) -> Floats:
    """Burn rate, in multiples of the allowed one, that is found within `minutes` in nine of ten cases.

    Args:
        tiers: that can fire.
        seen: the traffic.
        minutes: how long the burn lasts.

    Returns:
        (instants,); NaN where not even a total outage is found.
    """
    most, column = 1 / seen.budget, seen.column()
    coarse = np.broadcast_to(np.geomspace(1.0, most, _COARSE), (seen.rate.size, _COARSE))
    some, first = _first(found(tiers, column, minutes, coarse))
    below = np.take_along_axis(coarse, np.maximum(first - 1, 0)[:, None], axis=1)
    above = np.take_along_axis(coarse, first[:, None], axis=1)
    fine = below * (above / below) ** np.linspace(0.0, 1.0, _FINE)
    _, nearest = _first(found(tiers, column, minutes, fine))
    return np.where(some, np.take_along_axis(fine, nearest[:, None], axis=1)[:, 0], np.nan)


def _first(held: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Whether any of a row holds, and which first; the last where none does."""
    some: NDArray[np.bool_] = np.any(held, axis=1)
    first: NDArray[np.intp] = np.where(some, held.argmax(axis=1), held.shape[1] - 1)
    return some, first


def found(tiers: Sequence[Tier], seen: Traffic, minutes: int, burns: Floats) -> NDArray[np.bool_]:
    """Whether burns (instants, burns) are found in nine of ten cases; `seen` is a column."""
    held = np.zeros(burns.shape, dtype=np.bool_)
    for lasted in (*(look for look in _LOOKS if look < minutes), minutes):
        phi = learnt(seen, burns, max(0.0, lasted / HOUR - 1.0))  # looked at just before an hour closes
        for tier in tiers:
            held |= _holds(tier, seen, burns, phi, lasted)
    return held


def _holds(tier: Tier, seen: Traffic, burns: Floats, phi: Floats, lasted: int) -> NDArray[np.bool_]:
    """Whether a tier fires by the time a burn has lasted so many minutes."""
    z = NormalDist().inv_cdf(1 - (1 - FOUND) ** (1 / max(1.0, lasted / tier.long)))
    burning, allowed = seen.rate * min(tier.long, lasted), seen.rate * tier.long * seen.budget
    total = burns * seen.budget >= 1 - 1e-9  # a total outage: as many errors as requests
    bad = np.where(total, burning, burns * seen.budget * burning)
    bad = bad - z * np.sqrt(np.where(total, 1.0, seen.phi) * bad) + seen.rate * max(0, tier.long - lasted) * seen.usual
    bad = np.floor(np.maximum(bad, 0.0) + 1e-9)
    convincing = gate_nats(bad, np.broadcast_to(allowed, bad.shape), phi) > tier.gate
    held: NDArray[np.bool_] = (bad >= tier.factor * allowed) & (bad >= 1) & convincing
    return held


def learnt(seen: Traffic, burns: Floats, hours: float) -> Floats:
    """The burst factor once so many hours of a burn have closed that did not fire."""
    past, usual = seen.hours, np.maximum(seen.usual / seen.budget, 1e-6)
    mean = (past * usual + hours * burns) / np.maximum(past + hours, 1e-9)
    between = seen.rate * HOUR * seen.budget * (past * (usual - mean) ** 2 + hours * (burns - mean) ** 2)
    within = seen.phi * (past * usual + hours * burns)
    told = np.where(mean > 0, (between + within) / np.maximum(mean, 1e-9), 0.0)
    prior = PRIOR_HOURS * seen.phi
    return np.maximum(np.where(hours > 0, (prior + told) / (PRIOR_HOURS + past + hours), seen.phi), 1.0)
