"""Evidence of counts for a higher share: where it comes from, where sums start anew, what is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import excess, scatter

POISSON = np.array(scatter.POISSON)


def nats(x: float, ratio: float, n: float = 1000.0, m0: float = 10.0) -> float:
    return float(excess.nats(np.array(x), np.array(n), np.array(m0), POISSON, ratio))


def test_what_is_normal_speaks_against_a_rise_and_what_is_risen_for_it() -> None:
    assert nats(10, 2.0) < 0 < nats(20, 2.0) < nats(40, 2.0)


def test_of_a_share_that_cannot_rise_nothing_is_learnt() -> None:
    assert nats(10, 2.0, n=10, m0=10) == 0.0
    assert nats(3, 2.0, m0=0.0) == 0.0


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_sums_start_anew_where_they_fell_below_nothing(gained: list[float]) -> None:
    before, held = excess.reflected(np.array([gained]))
    total = 0.0
    for i, gain in enumerate(gained):
        assert before[0, i] == pytest.approx(total + gain, abs=1e-9)
        total = max(0.0, total + gain)
        assert held[0, i] == pytest.approx(total, abs=1e-9)


def test_a_rise_in_the_history_would_have_been_seen_and_dependence_halves_it() -> None:
    x = np.full((1, 60), 10.0)
    x[0, 40:] = 30.0
    known = [POISSON.reshape(1), np.array([50.0]), np.array([1.0]), np.array([0.0])]
    alone, quiet = excess.replayed(x, np.full((1, 60), 1000.0), np.full((1, 60), 10.0), known)
    known[2], known[3] = np.array([2.0]), np.array([0.5])
    together, _ = excess.replayed(x, np.full((1, 60), 1000.0), np.full((1, 60), 10.0), known)

    assert quiet[0, :40].all()
    assert not quiet[0, 41:].any()
    assert alone[0, -1] > 100 > alone[0, 39]
    assert 0.4 < together[0, -1] / alone[0, -1] < 0.7


def test_more_windows_and_more_events_find_a_smaller_rise_and_none_is_found_beyond_a_share_of_one() -> None:
    found = [
        excess.smallest(n, 0.01, scatter.POISSON, 1.0, 9.0, windows)
        for n, windows in ((1e3, 12), (1e3, 288), (1e5, 288))
    ]

    assert found == sorted(f for f in found if f is not None)[::-1]
    assert excess.smallest(10.0, 0.6, scatter.POISSON, 1.0, 20.0, 1.0) is None
