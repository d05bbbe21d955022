"""Onsets: of a rate of bad events, of a measured series, and how often a series moves so by itself."""

import numpy as np
import pytest

from alerts import steps

MINUTES, ONSET = 480, 430


def test_the_onset_of_a_rate_lies_in_its_interval_nine_times_of_ten() -> None:
    hits, widths = 0, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        total = rng.poisson(30, MINUTES).astype(float)
        bad = rng.binomial(total.astype(int), np.where(np.arange(MINUTES) < ONSET, 0.001, 0.25)).astype(float)
        _, low, high = steps.of_rate(bad, total, 300, 460)
        hits += low <= ONSET <= high
        widths.append(high - low)

    assert hits >= 90
    assert np.median(widths) <= 2


def test_a_rate_without_bad_events_says_nothing_about_its_onset() -> None:
    zeros = np.zeros(MINUTES)

    assert steps.of_rate(zeros, zeros + 30, 300, 460)[1:] == (300, 460)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_is_found_to_the_minute(sign: int) -> None:
    values = 10 + 0.5 * np.random.default_rng(1).standard_normal(MINUTES)
    values[ONSET - 4 :] += 5 * sign
    found = steps.of_level(values, ONSET, sign, 2.0)

    assert found is not None
    assert (found.at, round(found.before), round(found.after)) == (ONSET - 4, 10, 10 + 5 * sign)
    assert steps.of_level(values, ONSET, -sign, 2.0) is None


def test_a_series_that_only_wanders_takes_no_step() -> None:
    found = [
        steps.of_level(10 + np.random.default_rng(seed).standard_normal(MINUTES), ONSET, 1, 1.0) for seed in range(200)
    ]

    assert sum(f is not None for f in found) <= 2


def test_a_step_too_small_to_matter_is_none() -> None:
    values = np.full(MINUTES, 10.0)
    values[ONSET:] += 1

    assert steps.of_level(values, ONSET, 1, 2.0) is None


def test_a_series_of_which_little_is_known_takes_no_step() -> None:
    values = np.full(MINUTES, np.nan)
    values[ONSET - 45 :] = 99.0

    assert steps.of_level(values, ONSET, 1, 2.0) is None


def test_what_happens_every_morning_is_counted_as_chance() -> None:
    day = np.where(np.arange(288) % 288 >= 96, 100.0, 40.0)

    assert 0.8 < steps.per_day(np.tile(day, 14), 60.0) < 1.2
    assert steps.per_day(np.full(14 * 288, 40.0), 60.0) == 0.5 / 14
