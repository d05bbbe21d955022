import numpy as np

from detectors import localise
from detectors.evidence import Cusum, Seen, deltas
from detectors.noise import Noise, inverse
from detectors.surprise import Filter


def trail(
    shift: float, at: int, seed: int, hours: int = 120, rho: float = 0.5, tau: float = 0.1, n: float = 1000.0
) -> localise.Trail:
    rng = np.random.default_rng(seed)
    noise = Noise(np.ones(1), np.array([rho]), np.array([tau**2]))
    filter_, w, rows = Filter.at_rest(noise), tau * rng.standard_normal(), []
    for t in range(hours):
        w = rho * w + tau * np.sqrt(1 - rho**2) * rng.standard_normal()
        y = w + rng.standard_normal() / np.sqrt(n) + shift * (t >= at)
        e, k, s = filter_.step(np.array([y]), inverse(np.array([n])), noise)
        rows.append((e[0], np.sqrt(s[0]), k[0]))
    e, s, k = np.array(rows).T
    return localise.Trail(e, s, k)


def test_onset_and_effect_of_a_shift_are_covered_by_their_intervals() -> None:
    found = [localise.shift(trail(0.4, 80, seed), 0.5, 0.0, 1.0, 1) for seed in range(100)]

    assert np.mean([f.low <= 80 <= f.high for f in found]) >= 0.93
    assert np.mean([f.ci_low <= 0.4 <= f.ci_high for f in found]) >= 0.93
    assert abs(np.mean([f.effect for f in found]) - 0.4) < 0.03


def test_a_jump_of_many_sigma_is_sized_exactly() -> None:
    found = localise.shift(trail(3.0, 100, 1), 0.5, 0.0, 1.0, 1)

    assert found.start == 100
    assert abs(found.effect - 3.0) < 0.15


def test_evidence_for_a_lasting_shift_grows_in_its_direction_only() -> None:
    seen, cusum = trail(-0.4, 60, 2), Cusum.new(deltas(0.1)[None], 0)
    one = np.ones(1)
    for t in range(120):
        cusum.step(
            Seen(seen.e[t : t + 1], seen.k[t : t + 1], seen.s[t : t + 1] ** 2, 0.01 * one, 0.5 * one, one, one > 0), t
        )

    up, down = cusum.nats()[0]
    assert down > 11.4
    assert up < 2.0


def test_sizes_below_twice_the_smallest_effect_are_not_looked_for() -> None:
    assert deltas(0.3)[~np.isnan(deltas(0.3))].tolist() == [0.8, 1.6]


def test_a_stream_without_memory_is_localised_too() -> None:
    found = localise.shift(trail(0.3, 90, 5, rho=0.0, tau=0.0), 0.0, 0.0, 1.0, 1)

    assert found.start == 90
    assert found.ci_low <= 0.3 <= found.ci_high


def test_a_feature_that_is_noisier_since_the_shift_gets_a_wider_interval() -> None:
    rng = np.random.default_rng(9)
    before, noise = rng.standard_normal(40), rng.standard_normal(60)
    ones, gain = np.full(100, 1.0), np.zeros(100)
    calm, noisy = (
        localise.shift(localise.Trail(np.concatenate([before, 3.0 + k * noise]), ones, gain), 0.0, 0.0, 1.0, 1)
        for k in (1.0, 2.0)
    )

    assert 1.6 < (noisy.ci_high - noisy.ci_low) / (calm.ci_high - calm.ci_low) < 2.6
