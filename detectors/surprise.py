"""How surprising is this window? Innovations of the Kalman filter, made Gaussian by the history's own quantiles.

`e_t = (r_t - rho x)/sqrt(S_t)`; beyond |e| > 4 the level is let jump where the history has such jumps
(elsewhere a jump is news, and a filter that follows it at once forgets it). A signed quantile map with
a Pareto tail turns e into a Gaussian z that never exceeds what T0 windows can vouch for.

Source: METHODS section 4; Hill (1975), "A simple general approach to inference about the tail of a
distribution", Annals of Statistics 3.
Assumes: the history was normal for the most part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from detectors import stretches
from detectors.noise import NEVER, Noise, inverse

Floats = NDArray[np.float64]

JUMP: Final = 4.0  # standard deviations beyond which the level of a jumpy stream is let jump
KNOTS: Final = 33  # of the quantile map
_TAIL: Final = 0.05  # share of the history, at each end, behind the Pareto tail
_LEAST_TAIL: Final = 10
_NU: Final = (3.0, 12.0)  # tail index, clipped
_LAGS: Final = 12
_LOOK: Final = 8  # windows after which a run looks whether it goes where an earlier one went


@dataclass(slots=True)
class Filter:
    """Level x, its variance p and the innovation beyond which it is let jump, of S streams; (S,) each."""

    x: Floats
    p: Floats
    jump: Floats

    @classmethod
    def at_rest(cls, noise: Noise) -> Filter:
        """Nothing seen yet."""
        return cls(np.zeros_like(noise.tau2), noise.tau2.copy(), np.full_like(noise.tau2, JUMP))

    def step(self, r: Floats, over_n: Floats, noise: Noise) -> tuple[Floats, Floats, Floats]:
        """Take in one window.

        Args:
            r: residuals in sigma, (S,); any value where there were no rows.
            over_n: `inverse(n)`, (S,).
            noise: of the streams.

        Returns:
            e (0 without rows), gain K, innovation variance S; (S,) each.
        """
        seen = over_n < NEVER
        v = noise.phi * over_n
        s = self.p + v
        d = np.where(seen, r, 0.0) - self.x
        e = np.where(seen, d / np.sqrt(s), 0.0)
        p = np.where(np.abs(e) > self.jump, np.where(noise.tau2 > 0, d * d - v, self.p), self.p)
        k = np.where(seen, p / (p + v), 0.0)
        rho2 = noise.rho**2
        self.x = noise.rho * (self.x + k * d)
        self.p = rho2 * np.where(seen, k * v, p) + noise.tau2 * (1 - rho2)
        return e, k, s


def innovations(r: Floats, n: Floats, noise: Noise) -> tuple[Floats, Floats, Floats, Filter]:
    """The filter's run over a history.

    Args:
        r: residuals in sigma, (T, S).
        n: rows per window, (T, S).
        noise: of the streams.

    Returns:
        e, K, S of shape (T, S) each, and the filter as it stands after the last window.
    """
    found, over_n, count = Filter.at_rest(noise), inverse(n), stretches.many(*r.shape)
    first = len(r) % count
    begun = _through(found, r[:first], over_n[:first], noise, 1) if first else []
    rest = _through(found, r[first:], over_n[first:], noise, count)
    e, k, s = (np.concatenate(parts) for parts in zip(begun, rest, strict=True)) if first else rest
    return e, k, s, found


def _through(filter_: Filter, r: Floats, over_n: Floats, noise: Noise, count: int) -> list[Floats]:
    """e, K and S of some windows in `count` stretches of the same length; the filter goes on to their end."""
    run = _Run(stretches.cut(r, count, 0.0), stretches.cut(over_n, count, 0.0), noise, count)
    filter_.x, filter_.p = stretches.run(np.stack([filter_.x, filter_.p]), count, run.advance)
    return [stretches.joined(part, len(r), count) for part in (run.e, run.k, run.s)]


class _Run:
    """`Filter.step` over stretches side by side, (L, columns) each, without what costs more than the numbers."""

    def __init__(self, r: Floats, over_n: Floats, noise: Noise, count: int) -> None:
        self._noise = noise.some(np.tile(np.arange(noise.rho.size), count))
        self._r, self._over_n = r, over_n
        self._full = (over_n.max(axis=1, initial=0.0) < NEVER).tolist()
        self.e, self.k, self.s = (np.empty(r.shape) for _ in range(3))
        self._met = np.full((2, len(r) // _LOOK + 1, r.shape[1]), np.nan)  # states after every `_LOOK` windows
        self._ended = np.empty((2, r.shape[1]))

    def advance(self, which: NDArray[np.intp], begun: Floats) -> Floats:
        """As `stretches.Advance`: until states are those of an earlier run, as then all that follows is."""
        at: Any = slice(None) if which.size == self._ended.shape[1] else which
        noise = self._noise.some(at)
        rho2, fresh = noise.rho**2, noise.tau2 * (1 - noise.rho**2)
        x, p = begun
        for t in range(len(self._r)):
            x, p = self._step(t, at, (x, p), noise)
            x *= noise.rho
            p *= rho2
            p += fresh
            if t % _LOOK == 0:
                met = self._met[:, t // _LOOK]
                if np.array_equal(met[0, at], x) and np.array_equal(met[1, at], p):
                    return self._ended[:, at]
                met[0, at], met[1, at] = x, p
        self._ended[0, at], self._ended[1, at] = x, p
        return self._ended[:, at]

    def _step(self, t: int, at: Any, begun: tuple[Floats, Floats], noise: Noise) -> tuple[Floats, Floats]:
        """Level and variance as one window leaves them; its e, K and S are kept."""
        (x, p), v = begun, noise.phi * self._over_n[t, at]
        unseen = None if self._full[t] else self._over_n[t, at] >= NEVER
        s, d = p + v, self._r[t, at] - x
        if unseen is not None:
            d[unseen] = -x[unseen]
        e = np.sqrt(s)
        np.divide(d, e, out=e)
        if unseen is not None:
            e[unseen] = 0.0
        if e.size and max(e.max(), -e.min()) > JUMP:
            p = np.where((np.abs(e) > JUMP) & (noise.tau2 > 0), d * d - v, p)
        k = p / (p + v)
        if unseen is not None:
            k[unseen] = 0.0
        v *= k
        if unseen is not None:
            v[unseen] = p[unseen]
        d *= k
        d += x
        self.e[t, at], self.k[t, at], self.s[t, at] = e, k, s
        return d, v


def jump(knots_: Floats) -> float:
    """The innovation beyond which a stream's level is let jump: infinite where its history has no such jumps.

    Args:
        knots_: (33,) from `knots`.
    """
    return JUMP if max(-knots_[0], knots_[-1]) > JUMP else np.inf


def vouched(count: int) -> float:
    """The largest surprise that `count` windows of history can vouch for, in standard deviations."""
    return float(-ndtri(1.0 / (count + 1.0)))


def knots(e: Floats) -> Floats:
    """Innovations that correspond to z = `vouched` * linspace(-1, 1, 33), ascending.

    Args:
        e: innovations of the history, shape (T0,), at least 2.
    """
    z = vouched(e.size) * np.linspace(-1.0, 1.0, KNOTS)
    e = np.sort(e)
    rank = (np.arange(e.size) + 0.5) / e.size
    found = np.interp(ndtr(z), rank, e)
    size = max(_LEAST_TAIL, round(_TAIL * e.size))
    if e.size >= 4 * size:
        share = size / e.size
        upper, lower = ndtr(-z) < share, ndtr(z) < share
        found[upper] = _pareto(e, size, ndtr(-z[upper]) / share)
        found[lower] = -_pareto(-e[::-1], size, ndtr(z[lower]) / share)
    rising: Floats = np.maximum.accumulate(found) + 1e-6 * np.arange(KNOTS)
    return rising


def _pareto(e: Floats, size: int, share: Floats) -> Floats:
    """Upper quantiles beyond the `size` largest of ascending e; `share` of the tail lies above each."""
    u = max(float(e[-size - 1]), 0.3)
    nu = 1.0 / max(float(np.mean(np.log(np.maximum(e[-size:], u) / u))), 1e-3)
    tail: Floats = u * share ** (-1.0 / min(max(nu, _NU[0]), _NU[1]))
    return tail


def gaussian(e: Floats, knots_: Floats, limit: Floats) -> Floats:
    """Surprise z of innovations by each stream's quantile map, clipped to +-limit.

    Args:
        e: (S,) innovations.
        knots_: (S, 33) from `knots`.
        limit: (S,) largest |z| each history can vouch for.
    """
    i = np.clip((e[:, None] >= knots_).sum(axis=1) - 1, 0, KNOTS - 2)
    low = np.take_along_axis(knots_, i[:, None], axis=1)[:, 0]
    high = np.take_along_axis(knots_, i[:, None] + 1, axis=1)[:, 0]
    part = np.clip((e - low) / (high - low), 0.0, 1.0)
    z: Floats = limit * (2.0 * (i + part) / (KNOTS - 1) - 1.0)
    return z


def vif(z: Floats) -> float:
    """By how much leftover dependence inflates a sum of surprises: max over 12 lags, at least 1.

    Args:
        z: Gaussian surprises of the history in order, (T0,).
    """
    t = z.size
    if t <= 2 * _LAGS:
        return 1.0
    c = z - z.mean()
    acf = np.array([c[k:] @ c[:-k] for k in range(1, _LAGS + 1)]) / max(float(c @ c), 1e-12)
    k = np.arange(1, _LAGS + 1)
    return max(1.0, float(np.max(1.0 + 2.0 * np.cumsum(acf) - 4.0 * np.sqrt(k / t))))
