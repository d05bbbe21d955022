import numpy as np
import pytest
from streams import HISTORY_H, START, evidence, level_monitors, levels, raised, wander

from detectors import baseline, lasting, level

HOURS = 28 * 24
EPOCH = int(START.timestamp()) + 1800 + 3600 * np.arange(HOURS)
ROWS = np.full((HOURS, 1), 1000.0)


def lifted(means: np.ndarray, most: float = 0.2) -> tuple[float, float, float]:
    """Memory before and after, and by how much the past was lifted."""
    y = means + np.random.default_rng(9).standard_normal(means.shape) / np.sqrt(1000)
    base = baseline.fit(y, ROWS, EPOCH)
    found, lift = lasting.without(y, ROWS, EPOCH, base, np.array([most]))
    return float(base.noise.rho[0]), float(found.noise.rho[0]), float(lift.size[0])


def step(size: float, at: int = 300) -> np.ndarray:
    return np.where(np.arange(HOURS)[:, None] >= at, size, 0.0)


def test_a_small_step_is_taken_out_and_the_memory_it_feigned_is_gone() -> None:
    before, after, size = lifted(wander(np.random.default_rng(1), HOURS, 1, tau=0.03) + step(0.15))

    assert before > 0.9
    assert after < 0.7
    assert size == pytest.approx(0.15, abs=0.02)


def test_a_step_of_a_size_that_is_looked_for_stays() -> None:
    before, after, size = lifted(wander(np.random.default_rng(1), HOURS, 1, tau=0.03) + step(0.3))

    assert (after, size) == (before, 0.0)


@pytest.mark.parametrize("rho", [0.9, 0.99, 1.0])
def test_wander_with_a_long_memory_stays_what_it_is(rho: float) -> None:
    rng = np.random.default_rng(2)
    walk = wander(rng, HOURS, 1, rho=rho) if rho < 1 else np.cumsum(rng.standard_normal((HOURS, 1)) * 0.005, axis=0)

    before, after, size = lifted(walk)

    assert (after, size) == (before, 0.0)


def test_the_level_after_a_late_step_is_known_less_well() -> None:
    y = wander(np.random.default_rng(1), HOURS, 2, tau=0.03)
    y[300:, 0] += 0.15
    y[-30:, 1] += 0.15
    base = baseline.fit(y, np.repeat(ROWS, 2, axis=1), EPOCH)

    cov = lasting.without(y, np.repeat(ROWS, 2, axis=1), EPOCH, base, np.array([0.2, 0.2]))[0].cov

    assert cov[1, 0, 0] > 2 * cov[0, 0, 0]


def test_a_shift_that_matters_is_found_a_fortnight_after_one_that_does_not() -> None:
    hours = HISTORY_H + 48
    means = wander(np.random.default_rng(3), hours, 1, tau=0.03)
    means[HISTORY_H - 12 * 24 :] += 0.08
    means[HISTORY_H + 12 :] += 0.4

    found = level.detect(
        evidence(level_monitors(1), levels(means, 1000, seed=4), HISTORY_H * 3600, hours * 3600)
    )  # fmt: skip

    assert [f.state for f in found.findings][:12] == ["ok"] * 12
    assert len(raised(found)) == 1
    assert (found.findings[-1].effect or 0) == pytest.approx(0.4, abs=0.06)
