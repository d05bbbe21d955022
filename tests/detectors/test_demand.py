"""What is expected until a replica is ready, and how often that was wrong."""

import numpy as np
import pytest

from detectors.demand import DAY, HIGH, Forecast, forecast, growth, learn

LAST = 30_000_000 // DAY * DAY + DAY - 1  # ends a day


def daily(days: int, seed: int = 1) -> np.ndarray:
    """Ten requests a second with a strong daily swing, counted by minute."""
    t = np.arange(days * DAY)
    return np.random.default_rng(seed).poisson(600 * (1 + 0.8 * np.sin(2 * np.pi * t / DAY))) / 60


def expected(rates: np.ndarray, lead: int) -> Forecast:
    found = forecast(rates[-15:], LAST, learn(rates, LAST, lead))
    assert found is not None
    return found


def test_a_flat_series_is_expected_to_stay() -> None:
    found = expected(np.full(600, 4.0), 5)

    assert (found.level, found.middle, found.low, found.high, found.basis) == (4.0, 4.0, 4.0, 4.0, "level")


def test_a_usual_morning_is_seen_coming() -> None:
    rates = daily(7)[: -DAY + 60]  # an hour into the rise
    last = LAST - DAY + 60
    usual = learn(rates, last, 60)
    found = forecast(rates[-15:], last, usual)

    assert found is not None
    assert found.basis == "level and usual day"
    assert found.middle == pytest.approx(10 * (1 + 0.8 * np.sin(2 * np.pi * 120 / DAY)), rel=0.08)
    assert learn(rates[-DAY:], last, 60).day is None  # one day is not a habit


def test_the_upper_end_is_passed_about_as_often_as_it_says() -> None:
    rates, lead = daily(20, seed=3), 10
    usual = learn(rates[: 14 * DAY], LAST - 6 * DAY, lead)
    missed = []
    for end in range(14 * DAY, 20 * DAY - lead, 37):
        found = forecast(rates[end - 15 : end], LAST - 20 * DAY + end, usual)
        stretches = np.convolve(rates[end - 2 : end + lead], np.ones(3) / 3, "valid")
        missed.append(found is not None and stretches.max() > found.high)

    assert np.mean(missed) == pytest.approx(1 - HIGH, abs=0.05)


def test_a_burst_of_the_past_widens_what_is_expected() -> None:
    calm, bursty = np.full(2000, 2.0), np.full(2000, 2.0)
    bursty[::20] = 40.0

    assert expected(calm, 5).high == pytest.approx(2.0)
    assert expected(bursty, 5).high > 10


def test_with_little_history_the_range_is_wide_and_said_to_be_unchecked() -> None:
    found = expected(np.full(30, 6.0), 5)

    assert (found.checked, found.low) == (0, pytest.approx(3.0, abs=0.1))
    assert found.high == pytest.approx(12.0, abs=0.1)


def test_unknown_minutes_are_not_zero() -> None:
    rates = np.full(600, 4.0)
    rates[100:200] = rates[-2:] = np.nan

    assert expected(rates, 5).level == 4.0
    assert forecast(np.full(15, np.nan), LAST, learn(rates, LAST, 5)) is None


def test_a_usual_day_never_multiplies_without_bound() -> None:
    day = np.array([1e-3, 5.0] * 48)

    assert growth(day, np.arange(DAY), 15).max() <= 3.0
