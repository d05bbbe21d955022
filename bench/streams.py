"""The streams of METHODS section 10, and the oracle that knows everything about them but when the change comes.

A stream is a latent mean in reference sigma (AR(1) wander, season, weekend) seen through multinomial
counts on 64 equal-mass bins. The oracle runs the exact filter with the true noise and season and sums
the exact likelihood ratio of the true change from every start: no detector can be much faster.

Source: METHODS section 10.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from detectors import scores
from detectors.noise import Noise
from detectors.surprise import innovations

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 64
HOUR_S = 3600
_AT_ONCE = 256  # windows whose shares stay in the processor's cache


@dataclass(frozen=True)
class Stream:
    """One kind of series: rows per hour, memory per hour, wander and season in sigma."""

    rows: str = "1000"
    rho: float = 0.5
    tau: float = 0.1
    season: float = 0.0
    weekend: float = 0.0
    heavy: bool = False  # values t3
    innovations: bool = False  # innovations t3
    gaps: bool = False


STREAMS = {
    "iid": Stream(rho=0.0, tau=0.0),
    "ar.5": Stream(),
    "ar.9": Stream(rho=0.9),
    "season": Stream(tau=0.03, season=0.3, weekend=-0.1),
    "lognormal": Stream(innovations=True),
    "t3": Stream(heavy=True, innovations=True),
    "traffic": Stream(rows="cycle", tau=0.05),
    "lowtraffic": Stream(rows="20"),
    "t3.9": Stream(rho=0.9, innovations=True),
    "sink": Stream("cycle", 0.7, 0.07, 0.2, 0.1, heavy=True, innovations=True, gaps=True),
}


@dataclass(frozen=True)
class World:
    """Streams as generated: latent mean without any change, the season in it, rows; (T, S) each, `step_s` a window."""

    kind: Stream
    step_s: int
    mean: Floats
    season: Floats
    n: Ints

    @classmethod
    def of(cls, kind: Stream, step_s: int, steps: int, count: int, rng: np.random.Generator) -> "World":
        """`count` streams of `steps` windows that begin on a Monday at midnight."""
        per_hour = HOUR_S // step_s
        n = _rows(kind, steps, count, per_hour, rng)
        h = np.arange(steps)[:, None] / per_hour
        phase = rng.uniform(0, 24, count)
        season = kind.season * np.cos(2 * np.pi * (h - phase) / 24) + kind.weekend * (h // 24 % 7 >= 5)
        return cls(kind, step_s, season + _wander(kind, steps, count, per_hour, rng), season, n)

    def noise(self) -> Noise:
        """The true noise of every stream."""
        count = self.n.shape[1]
        rho = self.kind.rho ** (self.step_s / HOUR_S) if self.kind.rho else 0.0
        return Noise(np.ones(count), np.full(count, rho), np.full(count, self.kind.tau**2))


def _wander(kind: Stream, steps: int, count: int, per_hour: int, rng: np.random.Generator) -> Floats:
    heavy = kind.innovations
    eta = rng.standard_t(3, (steps, count)) / np.sqrt(3) if heavy else rng.standard_normal((steps, count))
    rho = kind.rho ** (1 / per_hour) if kind.rho else 0.0
    eta *= kind.tau * np.sqrt(1 - rho**2)
    w = np.zeros((steps, count))
    w[0] = kind.tau * rng.standard_normal(count)
    for t in range(1, steps):
        w[t] = rho * w[t - 1] + eta[t]
    return w


def _rows(kind: Stream, steps: int, count: int, per_hour: int, rng: np.random.Generator) -> Ints:
    if kind.rows != "cycle":
        n = np.full((steps, count), max(1, int(kind.rows) // per_hour))
    else:  # 10 an hour at night, 50,000 by day
        h = np.arange(steps)[:, None] / per_hour
        swing = (1 - np.cos(2 * np.pi * (h - rng.uniform(0, 24, count)) / 24)) / 2
        n = np.round(10 * 5000**swing / per_hour).astype(np.int64)
    if kind.gaps:  # 2 % of windows are lost, and one stretch of 6 h in a fortnight
        n = np.where(rng.uniform(size=n.shape) < 0.02, 0, n)
        for i in range(count):
            for start in np.flatnonzero(rng.uniform(size=steps) < 1 / (14 * 24 * per_hour)):
                n[start : start + 6 * per_hour, i] = 0
    return n


def counts(world: World, mean: Floats, scale: Floats | float, rng: np.random.Generator, stream: int) -> Ints:
    """Rows per bin of one stream, (T, 64), when its values have this mean and scale, (T,)."""
    wide, n = np.broadcast_to(np.asarray(scale, dtype=float), mean.shape), world.n[:, stream]
    parts = [slice(first, first + _AT_ONCE) for first in range(0, len(mean), _AT_ONCE)]
    return np.concatenate([rng.multinomial(n[part], _shares(world.kind, mean[part], wide[part])) for part in parts])


def _shares(kind: Stream, mean: Floats, scale: Floats | float) -> Floats:
    below = np.empty((len(mean), BINS + 1))
    below[:, 0], below[:, -1] = 0.0, 1.0
    x = _edges(kind.heavy) - mean[:, None]
    x /= np.broadcast_to(np.asarray(scale, dtype=float), mean.shape)[:, None]
    if kind.heavy:
        stdtr(3, np.multiply(x, np.sqrt(3), out=x), out=below[:, 1:-1])
    else:
        ndtr(x, out=below[:, 1:-1])
    p = np.diff(below, axis=1)
    return np.clip(p, 0, 1, out=p)


@cache
def _edges(heavy: bool) -> Floats:
    """Inner edges of the bins, (1, BINS - 1)."""
    inner = np.arange(1, BINS)[None] / BINS
    return np.asarray(stdtrit(3, inner) / np.sqrt(3) if heavy else ndtri(inner))


def seen(kind: Stream, mean: Floats) -> Floats:
    """What the location score is on average when values have this mean, sigma, (T,): the same for normal values, more for t3."""
    return np.asarray(_shares(kind, mean, 1.0) @ scores.weights(np.ones(BINS) * 1000))


def seen_spread(kind: Stream, scale: float) -> float:
    """What the spread score is on average when values have this scale."""
    return float((_shares(kind, np.zeros(1), scale) @ scores.shapes(np.ones(BINS) * 1000)[:, 1])[0])


def abrupt(size: float) -> Callable[[Floats], Floats]:
    """A shift of `size` sigma at once; the argument is hours since it began."""
    return lambda h: size * (h >= 0)


def ramp(size: float, hours: float = 72.0) -> Callable[[Floats], Floats]:
    """A shift that grows to `size` sigma over `hours`."""
    return lambda h: size * np.clip((h + 1) / hours, 0.0, 1.0)


def oracle(world: World, y: Floats, first: int, shape: Callable[[Floats], Floats], threshold: float) -> Floats:
    """Window in which the oracle alarms, (S,), infinite when it does not.

    Args:
        world: what is true, in hourly windows.
        y: mean score per window, change included, (T, S).
        first: first judged window; starts of a change are looked for from there on.
        shape: of the change, sigma by hours since its start.
        threshold: nats.
    """
    noise = world.noise()
    e, k, s, _ = innovations(np.where(world.n > 0, y - world.season, 0.0), world.n.astype(float), noise)
    windows, count = len(y) - first, y.shape[1]
    followed, nats = np.zeros((windows, count)), np.zeros((windows, count))
    found = np.full(count, np.inf)
    for t in range(windows):
        begun = slice(0, t + 1)
        gap = shape(np.arange(t, -1, -1.0))[:, None] - followed[begun]
        m = gap / np.sqrt(s[first + t])
        nats[begun] += np.where(world.n[first + t] > 0, m * e[first + t] - m * m / 2, 0.0)
        followed[begun] = noise.rho * (followed[begun] + k[first + t] * gap)
        found = np.where(np.isinf(found) & (nats[begun].max(axis=0) >= threshold), t + first, found)
    return found


def location(world: World, mean: Floats, rng: np.random.Generator) -> Floats:
    """Sums of the location score, (T, S)."""
    a = scores.weights(np.ones(BINS) * 1000)
    return np.stack([counts(world, mean[:, i], 1.0, rng, i) @ a for i in range(mean.shape[1])], axis=1)
