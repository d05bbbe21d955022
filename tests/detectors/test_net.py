"""What the location does to higher scores is fitted as a regression on all columns is."""

import numpy as np

from detectors import baseline, net
from detectors.net import Net

HOURS = 24 * 28


def test_streams_that_share_their_season_are_fitted_as_each_stream_alone_on_all_columns() -> None:
    rng, epoch = np.random.default_rng(1), 1800 + 3600 * np.arange(HOURS)
    n = np.round(10 ** rng.uniform(1, 4, (HOURS, 3)))
    n[rng.uniform(size=n.shape) < 0.05] = 0.0
    a = 0.3 * rng.standard_normal((HOURS, 3))
    y = 0.4 * a + 0.2 * a * a + rng.standard_t(3, a.shape) * 0.1

    found = net.learn(["spread", "location", "third"], y, a, n, epoch)

    for i in (0, 2):
        assert np.allclose([found.c1[i], found.c2[i]], alone(y[:, i], a[:, i], n[:, i], epoch), rtol=1e-9)
    assert (found.c1[1], found.c2[1]) == (Net.none(1).c1[0], Net.none(1).c2[0])
    assert abs(found.c1[0] - 0.4) < 0.1


def alone(y: np.ndarray, a: np.ndarray, n: np.ndarray, epoch: np.ndarray) -> np.ndarray:
    """Huber weights around a regression with a prior, written down as it is meant."""
    y, a, n, season = y[n > 0], a[n > 0], n[n > 0], baseline.design(epoch[n > 0])
    x = np.column_stack([season, a, a * a - 1 / n])
    wander = (1.4826 * np.median(np.abs(y - np.median(y)))) ** 2
    weight = 1 / (1 / n + wander)
    robust, prior = np.ones_like(y), np.diag([1.0] * 10 + [16.0] * 2)
    for _ in range(3):
        w = weight * robust
        beta = np.linalg.solve(x.T @ (w[:, None] * x) + prior, x.T @ (w * y))
        robust = np.minimum(1.0, 2.5 / np.maximum(np.abs(y - x @ beta) * np.sqrt(weight), 1e-12))
    return np.asarray(beta[-2:])
