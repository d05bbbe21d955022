import numpy as np
import pytest
from scipy.special import logit
from streams import wander

from detectors import baseline, noise
from detectors.likelihood import HUBER, Residuals
from detectors.noise import NEVER, Noise, inverse


def observed(rng: np.random.Generator, hours: int, count: int, rho: float, tau: float, n: int) -> np.ndarray:
    return wander(rng, hours, count, rho, tau) + rng.standard_normal((hours, count)) / np.sqrt(n)


def test_the_three_numbers_of_the_noise_are_found() -> None:
    r = observed(np.random.default_rng(1), 2000, 8, 0.7, 0.1, 1000)

    found = noise.fit(r, np.full(r.shape, 1000.0))

    assert abs(np.median(found.rho) - 0.7) < 0.05
    assert abs(np.median(np.sqrt(found.tau2)) - 0.1) < 0.01
    assert abs(np.median(found.phi) - 1.0) < 0.35


def test_unrelated_windows_get_no_memory() -> None:
    r = np.random.default_rng(2).standard_normal((672, 20)) / np.sqrt(300)

    found = noise.fit(r, np.full(r.shape, 300.0))

    assert (found.rho == 0).mean() >= 0.9
    assert np.abs(found.phi - 1).max() < 0.25


def test_windows_without_rows_carry_nothing_whatever_their_value() -> None:
    rng = np.random.default_rng(3)
    r, n = observed(rng, 400, 3, 0.5, 0.1, 500), np.full((400, 3), 500.0)
    n[rng.uniform(size=n.shape) < 0.2] = 0.0

    one, other = noise.fit(r, n), noise.fit(np.where(n > 0, r, 1e6), n)

    assert np.array_equal(one.rho, other.rho)
    assert np.array_equal(one.phi, other.phi)


def test_a_constant_series_is_fitted_without_a_crash() -> None:
    found = noise.fit(np.zeros((100, 2)), np.full((100, 2), 50.0))

    assert np.isfinite([found.phi, found.rho, found.tau2]).all()


def test_streams_fitted_together_are_fitted_as_alone() -> None:
    r, n = observed(np.random.default_rng(4), 300, 4, 0.6, 0.1, 800), np.full((300, 4), 800.0)

    together, alone = noise.fit(r, n), noise.fit(r[:, 2:3], n[:, 2:3])

    assert np.allclose(together.rho[2], alone.rho[0])
    assert np.allclose(together.tau2[2], alone.tau2[0])


def test_the_daily_season_and_the_weekend_are_learnt() -> None:
    epoch = 4 * 86_400 + 3600 * np.arange(672) + 1800  # a Monday
    x = baseline.design(epoch)
    truth = np.array([0.1, -0.2, 0.3, 0.1, 0, 0, 0, 0, 0, 0])
    rng = np.random.default_rng(5)
    y = (x @ truth)[:, None] + observed(rng, 672, 5, 0.5, 0.05, 1000)

    found = baseline.fit(y, np.full(y.shape, 1000.0), epoch)

    z = (found.beta - truth) / np.sqrt(np.diagonal(found.cov, axis1=1, axis2=2))
    assert np.abs(z).mean() < 1.2
    assert x[:, 1].sum() == 4 * 48


def test_an_hour_the_history_never_saw_is_known_to_no_better_than_its_prior() -> None:
    epoch = 4 * 86_400 + 3600 * np.arange(96) + 1800  # Monday to Thursday
    y = np.random.default_rng(6).standard_normal((96, 1)) * 0.02

    found = baseline.fit(y, np.full(y.shape, 1000.0), epoch)
    _, se = baseline.expected(found.beta, found.cov, baseline.design(np.array([4 * 86_400 + 5 * 86_400]))[0])

    assert se[0] > 0.9


def filtered(column: np.ndarray, over_n: np.ndarray, known: Noise) -> tuple[np.ndarray, np.ndarray]:
    """Innovations and their variances by the Kalman filter as the books have it, window by window, (T, S)."""
    x, p = np.zeros_like(known.tau2), known.tau2.copy()
    d, s = np.empty_like(column), np.empty_like(column)
    for t in range(len(column)):
        v = known.phi * over_n[t]
        s[t], d[t] = p + v, column[t] - x
        k = p / s[t]
        x, p = known.rho * (x + k * d[t]), known.rho**2 * k * v + known.tau2 * (1 - known.rho**2)
    return d, s


def gappy(seed: int) -> tuple[np.ndarray, np.ndarray, Noise]:
    """Streams of very different traffic, with gaps at the start, in the middle and at the end."""
    rng = np.random.default_rng(seed)
    n = np.round(10 ** rng.uniform(1, 4.7, (300, 6)))
    n[rng.uniform(size=n.shape) < 0.1] = 0.0
    n[:40, 1] = n[-60:, 2] = n[100:180, 3] = 0.0
    n[:, 4] = 1000.0
    known = Noise(rng.uniform(0.5, 2, 6), np.array([0.0067, 0.5, 0.9, 0.99, 0.7, 0.3]), 10 ** rng.uniform(-6, -1, 6))
    return rng.standard_normal((300, 6)) * 0.1, n, known


@pytest.mark.parametrize("seed", [11, 12])
def test_the_likelihood_is_that_of_the_filter_window_by_window(seed: int) -> None:
    r, n, known = gappy(seed)
    theta = np.stack([np.log(known.phi), logit(known.rho / noise.RHO_MAX), np.log(known.tau2)])[:, None]

    d, s = filtered(np.where(n > 0, r, 0.0), inverse(n), known)
    e = np.abs(d) / np.sqrt(s)
    plain = np.where(n > 0, np.log(s) + np.where(e <= HUBER, e**2, 2 * HUBER * e - HUBER**2), 0.0)

    assert np.allclose(noise.cost(Residuals.of(r, n), theta, np.arange(6))[0], plain.sum(axis=0), rtol=1e-10, atol=1e-9)


def test_columns_are_whitened_as_the_filter_does_window_by_window() -> None:
    column, n, known = gappy(13)
    given = Residuals.of(column, n)
    white = given.rows.dense(noise.whiten(given.r[None], given.rows, known)[0], len(n))

    d, s = filtered(np.where(n > 0, column, 0.0), inverse(n), known)

    assert np.allclose(white, np.where(inverse(n) < NEVER, d / np.sqrt(s), 0.0), rtol=1e-9, atol=1e-10)
