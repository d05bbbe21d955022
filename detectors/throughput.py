"""How much can one replica carry? Measured where requests begin to wait, else as declared.

Minutes of the past are pressed when requests wait, when the cache is nearly full, or when answers take twice as long
as in the quiet half. The share of pressed minutes may only rise with the load of a replica (isotonic regression); where it
passes one in ten, queues begin. Bursts shorter than a minute make some wait at any load: so no less is taken than a
part of what replicas did while requests waited. Of requests, written tokens and all tokens a second that unit is taken
which tells pressed minutes from the others best; when none does well, load is not why requests are slow, and the
declared figure is taken. Replicas that hardly ever have room carry what they do while requests wait.

Source: our own; pool-adjacent-violators: M. Ayer et al. (1955), "An empirical distribution function for
sampling with incomplete information", Annals of Mathematical Statistics 26.
Assumes: replicas are alike and share the load evenly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

UNITS: Final = ("requests", "tokens_out", "tokens")  # a second; the first of equals is taken
WAITING: Final = 1.0  # requests waiting at a replica, mean of a minute
CACHE_FULL: Final = 0.95  # of the KV cache
SLOWER: Final = 2.0  # times the latency of the quiet half
SHARE: Final = 0.1  # of pressed minutes: there queues begin
AROUND: Final = (0.05, 0.25)  # shares between which the true figure may lie
BUSY: Final = 0.75  # quantile of the load of pressed minutes that is a replica's limit
HEADROOM: Final = 0.7  # of that limit which is carried at least: where bursts within minutes wait at any load
TELLS: Final = 0.8  # area under the curve from which on load explains pressure
PRESSED, CALM = 10, 30  # minutes of each that are asked for
_BINS: Final = 60


@dataclass(frozen=True, slots=True)
class Carried:
    """What one replica carries, in units a second."""

    unit: str  # requests | tokens_out | tokens
    each: float
    low: float
    high: float
    basis: str  # measured | declared
    minutes: int = 0  # that were looked at
    pressed: int = 0


def measured(minutes: Mapping[str, Floats]) -> Carried | None:
    """What a replica was seen to carry; None when it was never pressed, or not by load.

    Args:
        minutes: columns of equal length, NaN where unknown: `replicas`, `waiting` (all replicas together), `kv`,
            `latency` (s), and for each unit the rate of all replicas together.
    """
    replicas = minutes["replicas"]
    flags = pressed(minutes)
    found: list[tuple[float, Carried]] = []
    for unit in UNITS:
        load = np.divide(minutes[unit], replicas, out=np.full(replicas.size, np.nan), where=replicas > 0)
        known = np.isfinite(load) & (load > 0)
        x, y = load[known], flags[known]
        if y.sum() < PRESSED or (~y).sum() < CALM:
            continue
        tells = _area(x, y)
        if tells >= TELLS:
            found.append((tells, _knee(unit, x, y)))
    return max(found, key=lambda pair: round(pair[0], 3))[1] if found else _always_full(minutes, flags)


def _always_full(minutes: Mapping[str, Floats], flags: Flags) -> Carried | None:
    """Of replicas that hardly ever have room: what they do while requests wait, in the unit in which that is steadiest."""
    replicas = minutes["replicas"]
    with np.errstate(invalid="ignore", divide="ignore"):
        waits = minutes["waiting"] / replicas >= WAITING
    if waits.sum() < PRESSED or (~flags & np.isfinite(minutes["requests"])).sum() >= CALM:
        return None
    loads = {unit: minutes[unit][waits] / replicas[waits] for unit in UNITS}
    steady = {unit: x.std() / x.mean() for unit, x in loads.items() if np.isfinite(x).all() and x.mean() > 0}
    if not steady:
        return None
    unit = min(steady, key=lambda u: round(float(steady[u]), 2))
    low, each, high = np.quantile(loads[unit], (1 - BUSY, 0.5, BUSY))
    return Carried(
        unit,
        float(each),
        float(low),
        float(high),
        "measured",
        int(np.isfinite(minutes["requests"]).sum()),
        int(flags.sum()),
    )


def declared(requests: float | None) -> Carried | None:
    """What the ModelSpec says a replica carries, requests a second."""
    return Carried("requests", requests, requests, requests, "declared") if requests else None


def pressed(minutes: Mapping[str, Floats]) -> Flags:
    """Whether requests waited, the cache was full, or answers were slow, by minute."""
    replicas = np.where(minutes["replicas"] > 0, minutes["replicas"], np.nan)
    with np.errstate(invalid="ignore"):
        waits = minutes["waiting"] / replicas >= WAITING
        full = minutes["kv"] >= CACHE_FULL
        return np.asarray(waits | full | _slow(minutes["latency"], minutes["requests"] / replicas))


def _slow(latency: Floats, load: Floats) -> Flags:
    known = np.isfinite(latency) & np.isfinite(load) & (load > 0)
    if known.sum() < CALM:
        return np.zeros(latency.size, dtype=bool)
    quiet = known & (load <= np.median(load[known]))
    with np.errstate(invalid="ignore"):
        return np.asarray(latency >= SLOWER * np.median(latency[quiet]))


def _knee(unit: str, load: Floats, flags: Flags) -> Carried:
    order = np.argsort(load, kind="stable")
    parts = np.array_split(order, min(_BINS, max(8, order.size // 10)))
    level = np.array([load[p].mean() for p in parts])
    share = rising(np.array([flags[p].mean() for p in parts]), np.array([float(p.size) for p in parts]))
    limit = float(np.quantile(load[flags], BUSY))
    low, knee, high = (_crossing(level, share, at) for at in (AROUND[0], SHARE, AROUND[1]))
    each = min(max(knee, HEADROOM * limit), limit)
    return Carried(unit, each, min(low, each), max(high, limit), "measured", int(load.size), int(flags.sum()))


def _crossing(level: Floats, share: Floats, at: float) -> float:
    """The highest load before the share passes `at`."""
    below = int(np.searchsorted(share, at, side="right"))
    return float(level[max(below - 1, 0)])


def rising(values: Floats, weights: Floats) -> Floats:
    """The nearest sequence that never falls (pool-adjacent-violators).

    >>> rising(np.array([0.0, 0.4, 0.2, 1.0]), np.ones(4)).round(2).tolist()
    [0.0, 0.3, 0.3, 1.0]
    """
    blocks: list[list[float]] = []  # mean, weight, length
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, w, n = blocks.pop()
            before = blocks[-1]
            total = before[1] + w
            blocks[-1] = [(before[0] * before[1] + mean * w) / total, total, before[2] + n]
    return np.repeat([b[0] for b in blocks], [int(b[2]) for b in blocks])


def _area(load: Floats, flags: Flags) -> float:
    """How often a pressed minute had more load than a calm one (area under the curve; ties count half)."""
    order = np.argsort(load, kind="stable")
    ranks = np.empty(load.size)
    ranks[order] = np.arange(1, load.size + 1)
    _, inverse, counts = np.unique(load, return_inverse=True, return_counts=True)
    ranks = (np.bincount(inverse, ranks) / counts)[inverse]
    n = int(flags.sum())
    return float((ranks[flags].sum() - n * (n + 1) / 2) / (n * (load.size - n)))
