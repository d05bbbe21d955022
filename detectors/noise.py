"""How a stream wanders and scatters: sampling noise phi/n, process noise tau2 with memory rho.

`r_t = w_t + v_t`, `w_t = rho w_(t-1) + eta`, `var(w) = tau2`, `var(v) = phi/n_t`; the three numbers
maximise a Huber(3) likelihood of the scalar Kalman filter, from a grid of 4 memories x 3 shares by
Nelder-Mead, for many streams at the same time. Windows without rows only propagate.

Source: METHODS section 4; Durbin and Koopman (2012), "Time series analysis by state space methods",
chapter 2; Nelder and Mead (1965).
Assumes: residuals have a constant mean; at least a few dozen windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from detectors import likelihood
from detectors.likelihood import HUBER, Residuals, huber
from detectors.tridiagonal import Rows, factors, innovations

Floats = NDArray[np.float64]

RHO_MAX: Final = 0.995  # more memory than this cannot be told from a random walk in 28 d
GAIN: Final = 4.0  # nats of likelihood that memory must earn; METHODS section 4
PHI_MIN: Final = 0.02  # the score's variance is 1 for unrelated rows; a constant series would give 0
NEVER: Final = 1e12  # 1/n of a window without rows
_RHOS: Final = (0.1, 0.5, 0.8, 0.95)
_SHARES: Final = (0.2, 0.5, 0.85)
_ROUNDS: Final = 60
_SCALES: Final = 30  # steps towards a Huber scale at most
_SETTLED: Final = 1e-14  # share by which a scale still moves when it has been found
_STEPS: Final = (0.4, 0.8, 0.8)  # first simplex: log phi, logit rho, log tau2
_BOUNDS: Final = ((-12.0, 12.0), (-5.0, 5.0), (-24.0, 8.0))  # of trial points
_TOLERANCES: Final = (0.5, 0.03)  # twice the nats left on the table: of a first answer, of a refined one


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise of S streams: `phi` (variance of one row's score), `rho` (per window), `tau2` (sigma squared); (S,) each."""

    phi: Floats
    rho: Floats
    tau2: Floats

    def some(self, at: Any) -> Noise:
        """Of some streams, or any part that numpy takes."""
        return Noise(self.phi[at], self.rho[at], self.tau2[at])


def inverse(n: Floats) -> Floats:
    """1/n, and `NEVER` where there were no rows."""
    return np.where(n > 0, 1.0 / np.maximum(n, 1e-9), NEVER)


def whiten(columns: Floats, rows: Rows, noise: Noise) -> Floats:
    """Innovations of any columns, each over its standard deviation; 0 behind the last window of a stream.

    Args:
        columns: packed, shape (C, S, T).
        rows: of the S streams.
        noise: of the S streams.
    """
    one = noise.some(None)
    given = factors(rows, one)
    found = innovations(rows, one.rho, given, columns)
    found /= np.sqrt(given.s)
    return found


def cost(given: Residuals, theta: Floats, streams: NDArray[np.intp]) -> Floats:
    """Twice the negative Huber log-likelihood, (C, N), of log phi, logit rho and log tau2, (3, C, N); see `likelihood`."""
    return likelihood.cost(given, _noise(theta), streams)


def fit(r: Floats, n: Floats, start: Noise | None = None) -> Noise:
    """Noise of S streams from their residuals.

    Args:
        r: residuals in sigma, shape (T, S); any value where n is 0.
        n: rows per window, shape (T, S).
        start: an earlier answer to begin from instead of the grid.

    Returns:
        The noise of each stream; rho = tau2 = 0 unless memory gains more than 4 nats.
    """
    over_n = inverse(n)
    r = np.where(n > 0, r, 0.0)
    alone, given = scatter(r, n), Residuals.of(r, n)
    theta = _grid(given, r, over_n, alone) if start is None else _theta(start, r, n)
    theta, with_memory = _descend(given, theta, start is not None)
    s = alone * over_n
    without = np.where(over_n < NEVER, np.log(s) + huber(r * r / s), 0.0).sum(axis=0)
    worth = (without - with_memory) / 2 > GAIN
    best = _noise(theta)
    return Noise(np.where(worth, best.phi, alone), np.where(worth, best.rho, 0.0), np.where(worth, best.tau2, 0.0))


def scatter(r: Floats, n: Floats) -> Floats:
    """Scale phi of streams without memory: the Huber scale of r * sqrt(n); shape (S,)."""
    seen = n > 0
    count = np.maximum(seen.sum(axis=0), 1)
    z2 = np.ascontiguousarray(
        np.where(seen, r * r * n, 0.0).T
    )  # summed stream by stream: none depends on its neighbours
    phi = np.maximum(z2.sum(axis=1) / count, PHI_MIN)
    moving = np.ones(phi.shape, dtype=bool)
    for _ in range(_SCALES):
        e2 = z2 / phi[:, None]
        scale = np.maximum(phi * np.minimum(e2, HUBER * np.sqrt(e2)).sum(axis=1) / count, PHI_MIN)
        phi, before = np.where(moving, scale, phi), phi
        moving = np.abs(phi - before) > _SETTLED * phi
        if not moving.any():
            break
    found: Floats = phi
    return found


def _noise(theta: Floats) -> Noise:
    return Noise(np.maximum(np.exp(theta[0]), PHI_MIN), RHO_MAX * expit(theta[1]), np.exp(theta[2]))


def _logit(rho: Floats) -> Floats:
    found: Floats = logit(np.clip(rho / RHO_MAX, 0.01, 0.99))
    return found


def _level(r: Floats, seen: NDArray[np.bool_]) -> Floats:
    """A robust variance of the residuals, shape (S,)."""
    count = seen.sum(axis=0)
    values = np.sort(np.where(seen, np.abs(r), np.inf), axis=0)
    at = np.stack([np.maximum(count - 1, 0) // 2, count // 2])
    middle = np.where(count > 0, np.take_along_axis(values, at, axis=0).mean(axis=0), 0.0)
    found: Floats = np.maximum((1.4826 * middle) ** 2, 1e-10)
    return found


def _theta(start: Noise, r: Floats, n: Floats) -> Floats:
    tau2 = np.where(start.tau2 > 0, start.tau2, 0.3 * _level(r, n > 0))
    rho = np.where(start.tau2 > 0, start.rho, 0.5)
    return np.stack([np.log(start.phi), _logit(rho), np.log(tau2)])


def _grid(given: Residuals, r: Floats, over_n: Floats, alone: Floats) -> Floats:
    """The best of 4 memories x 3 shares of process noise, shape (3, S)."""
    level = _level(r, over_n < NEVER)
    seen = np.where(over_n < NEVER, over_n, 0.0)
    mean_over_n = seen.sum(axis=0) / np.maximum((seen > 0).sum(axis=0), 1)
    points = []
    for rho in _RHOS:
        for share in _SHARES:
            phi = np.clip((1 - share) * level / np.maximum(mean_over_n, 1e-12), PHI_MIN, np.maximum(alone, PHI_MIN))
            points.append(np.stack([np.log(phi), _logit(np.full_like(phi, rho)), np.log(share * level)]))
    theta = np.stack(points, axis=1)
    best = cost(given, theta, np.arange(theta.shape[2])).argmin(axis=0)
    return np.take_along_axis(theta, best[None, None, :], axis=1)[:, 0, :]


def _descend(given: Residuals, theta: Floats, refined: bool) -> tuple[Floats, Floats]:
    """Nelder-Mead on every stream at once."""
    simplex = np.repeat(theta[:, None, :], 4, axis=1)  # (3, 4, S)
    for i, step in enumerate(_STEPS):
        simplex[i, i + 1] += step
    alive = np.arange(theta.shape[1])
    value = cost(given, simplex, alive)
    for _ in range(_ROUNDS):
        _round(given, simplex, value, alive)
        alive = np.flatnonzero(value.max(axis=0) - value.min(axis=0) > _TOLERANCES[refined])
        if not alive.size:
            break
    best = value.argmin(axis=0)
    return np.take_along_axis(simplex, best[None, None, :], axis=1)[:, 0, :], value.min(axis=0)


def _round(given: Residuals, simplex: Floats, value: Floats, alive: NDArray[np.intp]) -> None:
    """One step of Nelder-Mead for the streams that are alive: the second trial point is only asked for where it matters."""
    order = np.argsort(value[:, alive], axis=0, kind="stable")
    points = np.take_along_axis(simplex[:, :, alive], order[None], axis=1)
    f = np.take_along_axis(value[:, alive], order, axis=0)
    centre, worst = points[:, :3].mean(axis=1), points[:, 3].copy()
    away = centre - worst
    trial, best = _inside(centre + away), f[0]
    g = cost(given, trial[:, None], alive)[0]
    inside, further = g >= f[2], g < best
    limit = np.where(inside & (g < f[3]), g, f[3])  # of an outer contraction the reflection, else the worst
    second = _inside(centre + np.where(further, 2.0, np.where(g < f[3], 0.5, -0.5)) * away)
    asked = np.flatnonzero(inside | further)
    other = np.full(alive.size, np.inf)
    other[asked] = cost(given, second[:, None, asked], alive[asked])[0]
    taken = inside | (further & (other < g))
    points[:, 3], f[3] = np.where(taken, second, trial), np.where(taken, other, g)
    _shrink(given, (points, f, worst), np.flatnonzero(f[3] >= limit), alive)
    simplex[:, :, alive], value[:, alive] = points, f


def _inside(point: Floats) -> Floats:
    """A trial point within bounds, (3, S)."""
    return np.stack([np.clip(part, *bounds) for part, bounds in zip(point, _BOUNDS, strict=True)])


def _shrink(
    given: Residuals, found: tuple[Floats, Floats, Floats], streams: NDArray[np.intp], alive: NDArray[np.intp]
) -> None:
    """Where no trial point was better, all points move half way to the best; `found` is changed."""
    if not streams.size:
        return
    points, f, worst = found
    best = points[:, :1, streams]
    rest = np.concatenate([points[:, 1:3, streams], worst[:, None, streams]], axis=1)
    points[:, 1:, streams] = best + (rest - best) / 2
    f[1:, streams] = cost(given, points[:, 1:, streams], alive[streams])
