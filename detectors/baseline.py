"""What a stream should be at this hour: intercept, weekend and daily harmonics, with how well they are known.

`y_t = x_t' beta + w_t + v_t` is fitted by generalised least squares on Kalman-whitened columns with
Huber(2.5) weights, turn by turn with the noise model. The covariance of beta comes from whitening at
the upper end of rho, so an uncertain memory widens it. Every coefficient has a prior of 0 +- 1 sigma:
an hour or a weekend the history never saw is known to a sigma, and no better.

Source: METHODS section 4.
Assumes: season is daily with a weekend step; hours are UTC; the score is in reference sigma.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.noise import Noise, whiten
from detectors.noise import fit as fit_noise
from detectors.slots import DAY_S
from detectors.tridiagonal import Rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COLUMNS: Final = 10  # intercept, weekend, 4 daily harmonics
LONG_S: Final = 13 * DAY_S  # from here on 4 harmonics, before 3
LEAST: Final = 24  # windows with rows below which nothing is fitted
_NOTHING: Final = 1e-10  # correlation of coefficients that is nothing but rounding
_HUBER: Final = 2.5
_AT_ONCE: Final = 32  # streams whose arrays stay in the processor's cache
_PRIOR: Final = 1.0  # 1/sigma^2 of every coefficient


@dataclass(frozen=True, slots=True)
class Baseline:
    """S fitted streams: coefficients (S, 10), their covariance (S, 10, 10), noise, and windows used (S,)."""

    beta: Floats
    cov: Floats
    noise: Noise
    used: Floats


def design(epoch: Ints) -> Floats:
    """The ten columns at instants: intercept, weekend, cosine and sine of 1..4 cycles a day; shape (T, 10).

    Args:
        epoch: middle of each window, seconds since 1970, shape (T,).
    """
    day = 2 * np.pi * (epoch % DAY_S) / DAY_S
    weekend = ((epoch // DAY_S + 4) % 7) % 6 == 0  # 1970-01-01 was a Thursday; Sunday is 0
    waves = [f(k * day) for k in (1, 2, 3, 4) for f in (np.cos, np.sin)]
    return np.stack([np.ones(len(epoch)), weekend.astype(np.float64), *waves], axis=1)


def fit(y: Floats, n: Floats, epoch: Ints) -> Baseline:
    """Baselines and noise of S streams that share their windows.

    Args:
        y: mean score per window in sigma, shape (T, S); any value where n is 0.
        n: rows per window, shape (T, S); 0 where a window is to be left out.
        epoch: middle of each window, seconds since 1970, shape (T,).

    Returns:
        A baseline for every stream, also for those with too few windows (see `used`).
    """
    y = np.where(n > 0, y, 0.0)
    columns, long = _Columns.of(y, n, epoch), _long(n, epoch)
    beta = columns.coefficients(_first_noise(y, n))
    noise = fit_noise(y - along(epoch, beta, combined), n)
    beta = columns.coefficients(noise)
    noise = _freed(fit_noise(y - along(epoch, beta, combined), n, noise), n)
    beta = columns.coefficients(noise)
    cov = columns.covariance(upper(noise, (n > 0).sum(axis=0)))
    cov[~long, 8:, :] = cov[~long, :, 8:] = 0.0  # harmonics that were not asked for are 0, not unknown to a sigma
    return Baseline(beta, cov, noise, (n > 0).sum(axis=0).astype(np.float64))


def upper(noise: Noise, used: Floats | Ints) -> Noise:
    """The noise at the upper end of rho, with the same innovations: what the baseline's error is judged by."""
    t = np.maximum(used, 2)
    rho = np.minimum(noise.rho + np.sqrt((1 - noise.rho**2) / t) + (1 + 3 * noise.rho) / t, 0.999)
    rho = np.where(noise.tau2 > 0, rho, 0.0)
    return Noise(noise.phi, rho, noise.tau2 * (1 - noise.rho**2) / (1 - rho**2))


def expected(beta: Floats, cov: Floats, row: Floats) -> tuple[Floats, Floats]:
    """Baseline and its standard error for one window; (S,) each, in sigma."""
    return combined(row[None], beta)[0], deviation(row[None], cov)[0]


def combined(x: Floats, beta: Floats) -> Floats:
    """Baselines at the rows of x; column by column, so that a stream's answer never depends on its neighbours.

    Args:
        x: design, (T, 10).
        beta: coefficients, (S, 10).

    Returns:
        (T, S), in sigma.
    """
    total = np.zeros((len(x), len(beta)))
    for p in range(x.shape[1]):
        total += x[:, p, None] * beta[None, :, p]
    return total


def deviation(x: Floats, cov: Floats) -> Floats:
    """Standard errors of the baselines at the rows of x (T, 10), by covariance (S, 10, 10); (T, S), in sigma."""
    total = np.zeros((len(x), len(cov)))
    for p in range(x.shape[1]):
        for q in range(p, x.shape[1]):
            total += (x[:, p] * x[:, q])[:, None] * cov[None, :, p, q] * (1.0 if p == q else 2.0)
    return np.sqrt(np.maximum(total, 0.0))


def along(epoch: Ints, known: Floats, what: Callable[[Floats, Floats], Floats]) -> Floats:
    """`combined` or `deviation` at many instants, (T, S): worked out once for each that comes again.

    Args:
        epoch: middle of each window, seconds since 1970, (T,).
        known: what it takes beside the design, coefficients or their covariance.
        what: `combined` or `deviation`.
    """
    _, first, again = np.unique(epoch % (7 * DAY_S), return_index=True, return_inverse=True)
    return what(design(epoch[first]), known)[again]


def _long(n: Floats, epoch: Ints) -> NDArray[np.bool_]:
    """Which streams have 13 days between their first and last window with rows."""
    seen = n > 0
    first = np.where(seen.any(axis=0), epoch[seen.argmax(axis=0)], 0)
    last = np.where(seen.any(axis=0), epoch[len(epoch) - 1 - seen[::-1].argmax(axis=0)], 0)
    found: NDArray[np.bool_] = last - first >= LONG_S - DAY_S // 24
    return found


def _first_noise(y: Floats, n: Floats) -> Noise:
    """A guess to begin with: half of a robust variance wanders with a memory of 0.7."""
    y, seen = np.ascontiguousarray(y.T), np.ascontiguousarray(n.T > 0)
    count = np.maximum(seen.sum(axis=1), 1)
    mean = y.sum(axis=1) / count
    var = np.maximum(np.where(seen, (y - mean[:, None]) ** 2, 0.0).sum(axis=1) / count, 1e-8)
    return Noise(np.ones_like(var), np.full_like(var, 0.7), var / 2)


@dataclass(frozen=True, slots=True)
class _Columns:
    """What is fitted: the ten columns and the scores of S streams in their windows with rows, (11, S, T)."""

    rows: Rows
    values: Floats
    windows: int

    @classmethod
    def of(cls, y: Floats, n: Floats, epoch: Ints) -> _Columns:
        rows = Rows.of(n)
        values = np.empty((COLUMNS + 1, *rows.at.shape))
        values[:COLUMNS] = design(epoch).T[:, rows.at]
        values[8:COLUMNS, ~_long(n, epoch)] = 0.0
        values[COLUMNS] = rows.packed(y)
        return cls(rows, values, len(n))

    def coefficients(self, noise: Noise) -> Floats:
        """Of all streams, (S, 10)."""
        return np.concatenate([_coefficients(*white) for white in self._white(noise)])

    def covariance(self, noise: Noise) -> Floats:
        """Of the coefficients, (S, 10, 10)."""
        return np.concatenate([_covariance(x) for x, _ in self._white(noise)])

    def _white(self, noise: Noise) -> Iterator[tuple[Floats, Floats]]:
        """Whitened columns (N, 10, T) and scores (N, T), some streams at a time."""
        for first in range(0, noise.rho.size, _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            some = Noise(noise.phi[part], noise.rho[part], noise.tau2[part])
            white = whiten(self.values[:, part], self.rows.some(part), some)
            found = np.zeros((white.shape[1], COLUMNS + 1, self.windows))  # as long whatever streams stand beside it
            found[:, :, : white.shape[2]] = white.transpose(1, 0, 2)
            yield found[:, :-1], found[:, -1]


def _coefficients(x: Floats, y: Floats) -> Floats:
    w = np.ones_like(y)
    for _ in range(4):
        weighted = x * w[:, None, :]
        precision = weighted @ x.transpose(0, 2, 1) + _PRIOR * np.eye(COLUMNS)
        beta = np.linalg.solve(precision, weighted @ y[:, :, None])[:, :, 0]
        e = np.abs(y - (beta[:, None, :] @ x)[:, 0])
        w = np.minimum(1.0, _HUBER / np.maximum(e, 1e-12))
    return np.asarray(beta, dtype=np.float64)


def _covariance(x: Floats) -> Floats:
    cov = np.asarray(np.linalg.inv(x @ x.transpose(0, 2, 1) + _PRIOR * np.eye(COLUMNS)), dtype=np.float64)
    root = np.sqrt(np.einsum("spp->sp", cov))
    return np.where(np.abs(cov) < _NOTHING * root[:, :, None] * root[:, None, :], 0.0, cov)


def _freed(noise: Noise, n: Floats) -> Noise:
    """Variances corrected for the coefficients that were taken from the same windows."""
    count = (n > 0).sum(axis=0)
    more = count / np.maximum(count - COLUMNS, count / 2)
    return Noise(noise.phi * more, noise.rho, noise.tau2 * more)
