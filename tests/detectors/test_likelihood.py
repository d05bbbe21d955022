"""Candidates that go abreast are told what those are told that go one after the other."""

import numpy as np
import pytest

from detectors import likelihood
from detectors.likelihood import Residuals
from detectors.noise import Noise


@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_both_ways_through_the_windows_say_the_same(gaps: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    n = np.round(10 ** rng.uniform(1, 4.7, (300, 5)))
    n[rng.uniform(size=n.shape) < gaps] = 0.0
    given = Residuals.of(rng.standard_t(3, n.shape) * 0.2, n)
    noise = Noise(rng.uniform(0.5, 2, (3, 4)), rng.uniform(0, 0.99, (3, 4)), 10 ** rng.uniform(-6, -1, (3, 4)))
    streams = np.array([0, 1, 3, 4])

    in_turn = likelihood.cost(given, noise, streams)
    monkeypatch.setattr(likelihood, "_MANY", 1)
    abreast = likelihood.cost(given, noise, streams)

    assert np.allclose(abreast, in_turn, rtol=1e-12, atol=1e-9)
