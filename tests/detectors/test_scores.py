import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import binning

from detectors import scores


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=60).filter(lambda c: sum(x > 0 for x in c) >= 2))
def test_scores_have_mean_0_and_variance_1_on_their_reference(counts: list[int]) -> None:
    reference = np.array(counts, dtype=float)
    p = reference / reference.sum()

    a = scores.weights(reference)

    assert abs(p @ a) < 1e-9
    assert abs(p @ a**2 - 1) < 1e-9
    assert (np.diff(a) >= -1e-12).all()


@given(st.lists(st.integers(1, 10_000), min_size=5, max_size=60))
def test_scores_of_any_degree_are_orthonormal_on_their_reference(counts: list[int]) -> None:
    reference = np.array(counts, dtype=float)
    columns = scores.shapes(reference)
    p = reference / reference.sum()

    some = np.diag(columns.any(axis=0).astype(float))  # a few values may not have all four
    assert np.abs(p @ columns).max() < 1e-6
    assert np.abs((columns * p[:, None]).T @ columns - some).max() < 1e-6


def test_two_values_have_a_location_and_nothing_else() -> None:
    columns = scores.shapes(np.array([30.0, 70.0]))

    assert columns.any(axis=0).tolist() == [True, False, False, False]


@given(st.lists(st.integers(0, 1_000), min_size=12, max_size=12).filter(lambda c: sum(c[8:11]) > 0 and sum(c[:8]) > 0))
def test_the_share_of_rare_levels_together_is_a_score_too(counts: list[int]) -> None:
    reference, levels = np.array(counts, dtype=float), tuple("abcdefghijk")
    p = reference / reference.sum()

    a = scores.level(reference, scores.chosen("share:(other)", levels))

    assert abs(p @ a) < 1e-9
    assert abs(p @ a**2 - 1) < 1e-9
    assert len(set(a[:8])) == 1


def test_one_bin_that_holds_everything_scores_nothing() -> None:
    assert scores.weights(np.array([0.0, 7.0, 0.0])).tolist() == [0.0, 0.0, 0.0]


def test_a_window_that_looks_like_its_reference_has_no_psi() -> None:
    assert scores.psi(np.full(10, 1000.0), np.full(10, 1000.0)) == 0.0
    assert scores.psi(np.array([5000.0] + [500.0] * 9), np.full(10, 1000.0)) > 0.25


def test_a_shift_in_sigma_reads_as_a_median_in_user_units() -> None:
    q = binning("fraud/predictions/amount").quantiles
    assert q is not None

    assert scores.at_sigma(q, 0.42) == pytest.approx(44.0, abs=0.2)


def test_a_smallest_effect_in_percent_of_the_median_becomes_sigma() -> None:
    q = binning("fraud/predictions/amount").quantiles

    assert scores.in_sigma(q, 42, "%") == pytest.approx(0.42, abs=0.02)
    assert scores.in_sigma(q, 0.3, "sigma") == 0.3
    assert scores.in_sigma(tuple(float(k) for k in range(-50, 51)), 10, "%") == 0.1  # per cent of nothing


def test_a_feature_with_one_value_is_constant() -> None:
    from dataclasses import replace

    b = binning("m/predictions/f0")

    assert scores.constant(b) is None
    assert scores.constant(replace(b, quantiles=(2.0,) * 101)) == 2.0
