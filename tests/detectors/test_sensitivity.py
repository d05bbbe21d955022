"""What an SLO cannot see is what its detector does not find."""

import numpy as np
import pytest

from bench import power
from bench.slo_gate import params
from detectors.lanes import tiers_of
from detectors.sensitivity import Traffic, learnt, smallest

TIERS = tiers_of(params())


def seen(rate: float, phi: float = 1.0, hours: float = 720.0) -> Traffic:
    return Traffic(np.array([rate]), np.array([0.0005]), np.array([phi]), np.array([hours]), 0.001)


def test_a_slow_burn_hides_itself_where_there_is_little_history() -> None:
    new, old = (float(smallest(TIERS, seen(100, hours=h), 1_440)[0]) for h in (48.0, 720.0))

    assert new > old
    assert learnt(seen(100, hours=48.0).column(), np.array([[2.7]]), 24.0) > learnt(
        seen(100).column(), np.array([[2.7]]), 24.0
    )


def test_more_traffic_and_more_time_find_smaller_burns() -> None:
    by_rate = [float(smallest(TIERS, seen(r), 1_440)[0]) for r in (1, 10, 100, 1_000)]

    assert by_rate == sorted(by_rate, reverse=True)
    assert float(smallest(TIERS, seen(10), 60)[0]) > by_rate[1]
    assert float(smallest(TIERS, seen(10, phi=3.0), 1_440)[0]) > by_rate[1]


def test_without_traffic_not_even_an_outage_is_found() -> None:
    assert np.isnan(smallest(TIERS, seen(0.0), 1_440)[0])
    assert np.isnan(smallest(TIERS, seen(0.02), 60)[0])
    assert smallest(TIERS, seen(1.0), 60)[0] <= 1_000


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "minutes"), [(10, 1_440), (100, 1_440), (10, 60), (100, 60)])
def test_the_detector_finds_nine_of_ten_of_the_burns_it_names(rate: float, minutes: int) -> None:
    burn = power.named(rate, 1, minutes, 7)
    found = np.mean([power.found(rate, 1, minutes, burn, seed) for seed in range(1, 41)])

    assert found >= 0.8
    assert np.mean([power.found(rate, 1, minutes, burn / 2, seed) for seed in range(1, 21)]) < 0.8
