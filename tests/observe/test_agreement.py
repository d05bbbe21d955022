"""Figures of agreement from counts are those of the rows they count."""

import numpy as np
import pytest

from observe.agreement import auc, delays, mean, reliability, share


def test_auc_from_bins_holds_the_exact_one_within_its_error() -> None:
    rng = np.random.default_rng(1)
    good, bad = rng.beta(3, 2, 400), rng.beta(2, 3, 600)
    exact = float((good[:, None] > bad[None, :]).mean())
    bins = np.linspace(0, 1, 21)
    found = auc(np.histogram(good, bins)[0], np.histogram(bad, bins)[0])

    assert found is not None
    assert abs(found[0].value - exact) <= found[1]
    assert found[0].low < exact < found[0].high


def test_auc_needs_both_classes() -> None:
    assert auc(np.array([0, 0]), np.array([3, 4])) is None


def test_scores_that_mean_what_they_say_are_no_further_off_than_chance() -> None:
    rng = np.random.default_rng(2)
    p = rng.uniform(size=20_000)
    at, happened = (p * 50).astype(int), rng.uniform(size=p.size) < p
    rows, hits = np.bincount(at, minlength=50), np.bincount(at, weights=happened, minlength=50)
    found = reliability(rows, hits, (np.arange(50) + 0.5) / 50)
    wrong = reliability(rows, hits, np.clip((np.arange(50) + 0.5) / 50 + 0.1, 0, 1))

    assert found is not None
    assert wrong is not None
    assert found.error < 2 * found.chance
    assert wrong.error == pytest.approx(0.1, abs=0.02)


def test_delays_count_with_labels_that_are_still_to_come() -> None:
    rng = np.random.default_rng(3)
    edges = [3_600.0 * h for h in (1, 6, 12, 24, 48)]
    ages = np.array([12.0, 24.0, 48.0, 96.0]) * 3_600
    labels = np.zeros((4, 6))
    for i, age in enumerate(ages):
        late = rng.exponential(20 * 3_600, 8_000)
        late = late[:6_400][late[:6_400] < age]  # a fifth never gets one
        labels[i] = np.bincount(np.searchsorted(edges, late, side="right"), minlength=6)
    found = delays(labels, np.full(4, 8_000.0), ages, edges)

    assert found is not None
    assert found.arriving == pytest.approx(0.8, abs=0.05)
    assert found.median_s == pytest.approx(20 * 3_600 * np.log(2), rel=0.2)


def test_slices_at_once_have_wider_intervals_than_one() -> None:
    one, ten = share(40, 50), share(40, 50, at_once=10)

    assert one is not None
    assert ten is not None
    assert ten.low < one.low < 0.8 < one.high < ten.high


def test_a_mean_of_nothing_is_not_known() -> None:
    assert (mean(0.0, 0.0, 0), share(0, 0)) == (None, None)
