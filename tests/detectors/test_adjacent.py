import numpy as np
import pytest
from streams import wander

from detectors import adjacent
from detectors.noise import Noise

T = 4_000
WANDER = Noise(np.array([0.02]), np.array([0.944]), np.array([0.01]))


def drawn(rows: float, tau: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(3)
    return wander(rng, T, 1, rho=0.944, tau=tau) + rng.standard_normal((T, 1)) / np.sqrt(rows)


@pytest.mark.parametrize("rows", [20.0, 83.0, 400.0])
def test_sampling_noise_is_found_beneath_quick_wander(rows: float) -> None:
    found = adjacent.with_scatter(WANDER, drawn(rows), np.full((T, 1), rows))

    assert found.phi[0] == pytest.approx(1.0, abs=0.2)
    assert (found.rho, found.tau2) == (WANDER.rho, WANDER.tau2)


def test_noise_that_hours_know_better_is_kept() -> None:
    hours = Noise(np.array([5.0]), WANDER.rho, WANDER.tau2)

    assert adjacent.with_scatter(hours, drawn(83.0), np.full((T, 1), 83.0)).phi[0] == 5.0


def test_windows_without_rows_and_a_few_jumps_do_not_matter() -> None:
    y, n = drawn(83.0), np.full((T, 1), 83.0)
    y[::50] += 4.0
    n[::7], y[::7] = 0.0, np.nan

    assert adjacent.with_scatter(WANDER, y, n).phi[0] == pytest.approx(1.0, abs=0.2)


def test_a_day_of_neighbours_is_needed() -> None:
    n = np.zeros((T, 1))
    n[:200] = 83.0

    assert adjacent.with_scatter(WANDER, drawn(83.0), n).phi[0] == 0.02
