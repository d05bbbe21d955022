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
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]

RHO_MAX: Final = 0.995  # more memory than this cannot be told from a random walk in 28 d
GAIN: Final = 4.0  # nats of likelihood that memory must earn; METHODS section 4
HUBER: Final = 3.0
PHI_MIN: Final = 0.02  # the score's variance is 1 for unrelated rows; a constant series would give 0
NEVER: Final = 1e12  # 1/n of a window without rows
_RHOS: Final = (0.1, 0.5, 0.8, 0.95)
_SHARES: Final = (0.2, 0.5, 0.85)
_ROUNDS: Final = 60
_BLOCK: Final = 16  # windows whose likelihood is added at a time: their arrays stay in the processor's cache
_STEPS: Final = (0.4, 0.8, 0.8)  # first simplex: log phi, logit rho, log tau2
_TOLERANCES: Final = (0.5, 0.03)  # twice the nats left on the table: of a first answer, of a refined one


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise of S streams: `phi` (variance of one row's score), `rho` (per window), `tau2` (sigma squared); (S,) each."""

    phi: Floats
    rho: Floats
    tau2: Floats


def inverse(n: Floats) -> Floats:
    """1/n, and `NEVER` where there were no rows."""
    return np.where(n > 0, 1.0 / np.maximum(n, 1e-9), NEVER)


def gains(noise: Noise, over_n: Floats) -> tuple[Floats, Floats]:
    """Kalman gain and innovation variance per window.

    Args:
        noise: of S streams.
        over_n: `inverse(n)`, shape (T, S).

    Returns:
        K and S, shape (T, S) each.
    """
    k, s = np.empty_like(over_n), np.empty_like(over_n)
    p, rho2 = noise.tau2, noise.rho**2
    q = noise.tau2 * (1 - rho2)
    v = noise.phi * over_n
    for t in range(len(over_n)):
        np.add(p, v[t], out=s[t])
        np.divide(p, s[t], out=k[t])
        p = rho2 * (k[t] * v[t]) + q
    return k, s


def whiten(columns: Floats, noise: Noise, over_n: Floats) -> Floats:
    """Innovations of any columns, each over its standard deviation; 0 where there were no rows.

    Args:
        columns: shape (T, C, S).
        noise: of S streams.
        over_n: `inverse(n)`, shape (T, S).

    Returns:
        (T, C, S) whitened columns.
    """
    k, s = gains(noise, over_n)
    d = np.empty(np.broadcast_shapes(columns.shape, (1, 1, over_n.shape[1])))
    x = np.zeros(d.shape[1:])
    for t in range(len(d)):
        np.subtract(columns[t], x, out=d[t])
        x += k[t] * d[t]
        x *= noise.rho
    return np.where((over_n < NEVER)[:, None, :], d / np.sqrt(s)[:, None, :], 0.0)


def cost(r: Floats, over_n: Floats, theta: Floats) -> Floats:
    """Twice the negative Huber log-likelihood.

    Args:
        r: residuals, shape (T, S).
        over_n: `inverse(n)`, shape (T, S).
        theta: log phi, logit rho, log tau2; shape (3, C, S) for C candidates.

    Returns:
        (C, S), smaller is better.
    """
    noise = _noise(theta)
    s, d = (np.empty((_BLOCK, *theta.shape[1:])) for _ in range(2))
    v = np.empty(theta.shape[1:])
    x, k, p = np.zeros(theta.shape[1:]), np.empty(theta.shape[1:]), noise.tau2.copy()
    rho, rho2 = noise.rho, noise.rho**2
    q = noise.tau2 * (1 - rho2)
    seen = (over_n < NEVER)[:, None, :]
    found = np.zeros(theta.shape[1:])
    for first in range(0, len(r), _BLOCK):
        size = min(_BLOCK, len(r) - first)
        for t in range(size):
            st, dt = s[t], d[t]
            np.multiply(noise.phi, over_n[first + t], out=v)
            np.add(p, v, out=st)
            np.divide(p, st, out=k)
            np.subtract(r[first + t], x, out=dt)
            np.multiply(k, v, out=p)
            k *= dt
            x += k
            x *= rho
            p *= rho2
            p += q
        found += _block_cost(s[:size], d[:size], seen[first : first + size])
    return found


def _block_cost(s: Floats, d: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Twice the negative Huber log-likelihood of a few windows; overwrites its arguments."""
    if not seen.all():
        np.copyto(s, 1.0, where=~seen)
        np.copyto(d, 0.0, where=~seen)
    found: Floats = np.log(np.multiply.reduce(s, axis=0))  # one logarithm for the block: its product stays in range
    np.sqrt(s, out=s)
    np.abs(d, out=d)
    d /= s
    np.minimum(d, HUBER, out=s)
    d *= 2.0
    d -= s
    d *= s
    found += d.sum(axis=0)
    return found


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
    alone = scatter(r, n)
    theta = _grid(r, over_n, alone) if start is None else _theta(start, r, n)
    theta, with_memory = _descend(r, over_n, theta, start is not None)
    s = alone * over_n
    without = np.where(over_n < NEVER, np.log(s) + _huber(r * r / s), 0.0).sum(axis=0)
    worth = (without - with_memory) / 2 > GAIN
    best = _noise(theta)
    return Noise(np.where(worth, best.phi, alone), np.where(worth, best.rho, 0.0), np.where(worth, best.tau2, 0.0))


def scatter(r: Floats, n: Floats) -> Floats:
    """Scale phi of streams without memory: the Huber scale of r * sqrt(n); shape (S,)."""
    seen = n > 0
    count = np.maximum(seen.sum(axis=0), 1)
    z2 = np.where(seen, r * r * n, 0.0)
    phi = np.maximum(z2.sum(axis=0) / count, PHI_MIN)
    for _ in range(30):
        e2 = z2 / phi
        phi = np.maximum(phi * np.minimum(e2, HUBER * np.sqrt(e2)).sum(axis=0) / count, PHI_MIN)
    found: Floats = phi
    return found


def _huber(e2: Floats) -> Floats:
    return np.where(e2 <= HUBER**2, e2, 2 * HUBER * np.sqrt(e2) - HUBER**2)


def _noise(theta: Floats) -> Noise:
    return Noise(np.maximum(np.exp(theta[0]), PHI_MIN), RHO_MAX * expit(theta[1]), np.exp(theta[2]))


def _logit(rho: Floats) -> Floats:
    found: Floats = logit(np.clip(rho / RHO_MAX, 0.01, 0.99))
    return found


def _level(r: Floats, seen: NDArray[np.bool_]) -> Floats:
    """A robust variance of the residuals, shape (S,)."""
    values = np.where(seen, np.abs(r), np.nan)
    values[0] = np.where(np.isnan(values).all(axis=0), 0.0, values[0])
    found: Floats = np.maximum((1.4826 * np.nanmedian(values, axis=0)) ** 2, 1e-10)
    return found


def _theta(start: Noise, r: Floats, n: Floats) -> Floats:
    tau2 = np.where(start.tau2 > 0, start.tau2, 0.3 * _level(r, n > 0))
    rho = np.where(start.tau2 > 0, start.rho, 0.5)
    return np.stack([np.log(start.phi), _logit(rho), np.log(tau2)])


def _grid(r: Floats, over_n: Floats, alone: Floats) -> Floats:
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
    best = cost(r, over_n, theta).argmin(axis=0)
    return np.take_along_axis(theta, best[None, None, :], axis=1)[:, 0, :]


def _descend(r: Floats, over_n: Floats, theta: Floats, refined: bool) -> tuple[Floats, Floats]:
    """Nelder-Mead on every stream at once; all four trial points of a round are evaluated together."""
    simplex = np.repeat(theta[:, None, :], 4, axis=1)  # (3, 4, S)
    for i, step in enumerate(_STEPS):
        simplex[i, i + 1] += step
    value = cost(r, over_n, simplex)
    alive = np.arange(theta.shape[1])
    for _ in range(_ROUNDS):
        _round(r[:, alive], over_n[:, alive], simplex, value, alive)
        alive = np.flatnonzero(value.max(axis=0) - value.min(axis=0) > _TOLERANCES[refined])
        if not alive.size:
            break
    best = value.argmin(axis=0)
    return np.take_along_axis(simplex, best[None, None, :], axis=1)[:, 0, :], value.min(axis=0)


def _round(r: Floats, over_n: Floats, simplex: Floats, value: Floats, alive: NDArray[np.intp]) -> None:
    order = np.argsort(value[:, alive], axis=0, kind="stable")
    points = np.take_along_axis(simplex[:, :, alive], order[None], axis=1)
    f = np.take_along_axis(value[:, alive], order, axis=0)
    centre, worst = points[:, :3].mean(axis=1), points[:, 3]
    away = centre - worst
    trial = np.stack([centre + away, centre + 2 * away, centre + away / 2, centre - away / 2], axis=1)
    trial[0] = np.clip(trial[0], -12.0, 12.0)
    trial[1] = np.clip(trial[1], -5.0, 5.0)
    trial[2] = np.clip(trial[2], -24.0, 8.0)
    g = cost(r, over_n, trial)
    pick = np.where(g[0] < f[0], np.where(g[1] < g[0], 1, 0), np.where(g[0] < f[2], 0, np.where(g[0] < f[3], 2, 3)))
    found = np.take_along_axis(g, pick[None], axis=0)[0]
    shrink = found >= np.where(pick == 2, g[0], f[3])
    points[:, 3] = np.take_along_axis(trial, pick[None, None], axis=1)[:, 0]
    f[3] = found
    if shrink.any():
        small = (
            points[:, :1, shrink]
            + (np.concatenate([points[:, 1:3, shrink], worst[:, None, shrink]], axis=1) - points[:, :1, shrink]) / 2
        )
        points[:, 1:, shrink] = small
        f[1:, shrink] = cost(r[:, shrink], over_n[:, shrink], small)
    simplex[:, :, alive], value[:, alive] = points, f
