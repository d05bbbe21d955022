"""Distances read off bins: bounds that hold, customary values, nothing claimed that bins cannot know."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.exact import Pooled, Sample
from observe import distances

SEEDS = st.integers(1, 999)
EDGES = np.quantile(np.random.default_rng(5).lognormal(3, 0.5, 4_000), np.arange(1, 64) / 64)


def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(edges, values, "right"), minlength=edges.size + 1)


def outer(edges: np.ndarray, *samples: np.ndarray) -> np.ndarray:
    both = np.concatenate([*samples, edges])
    return np.concatenate([[both.min()], edges, [both.max()]])


@given(SEEDS, st.floats(-3, 3), st.floats(0.2, 4))
def test_the_exact_ks_and_wasserstein_lie_in_the_range_that_bins_give(seed: int, shift: float, factor: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.lognormal(3, 0.5, 400), rng.lognormal(3 + shift / 3, 0.5 * factor, 300)
    exact = Pooled.of(Sample.of(a), Sample.of(b))
    cuts, counts = outer(EDGES, a, b), (binned(a, EDGES), binned(b, EDGES))
    moved, (gap, _) = distances.wasserstein(cuts, *counts), distances.ks(*counts)

    assert moved.low - 1e-9 <= (exact.wasserstein or 0.0) <= moved.high + 1e-9
    assert gap.low - 1e-9 <= exact.ks <= gap.high + 1e-9


@given(SEEDS)
def test_a_feature_of_few_values_has_its_exact_wasserstein(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.poisson(2.0, 500).clip(0, 9).astype(float), rng.poisson(3.0, 400).clip(0, 9).astype(float)
    a[:10], edges = np.arange(10), np.arange(1.0, 10.0)
    found = distances.wasserstein(outer(edges, a, b), binned(a, edges), binned(b, edges), alone=True)

    assert found.value == pytest.approx(Pooled.of(Sample.of(a), Sample.of(b)).wasserstein)


def test_a_skewed_feature_is_not_carried_away_by_its_largest_value() -> None:
    rng = np.random.default_rng(11)
    a, b = rng.lognormal(3, 1.0, 50_000), rng.lognormal(3.3, 1.0, 50_000)
    edges = np.quantile(a, np.arange(1, 256) / 256)
    exact = Pooled.of(Sample.of(a), Sample.of(b)).wasserstein
    found = distances.wasserstein(outer(edges, a, b), binned(a, edges), binned(b, edges))

    assert found.value == pytest.approx(exact, rel=0.1)
    assert found.high < inf


def test_tenths_hold_all_rows_and_equal_shares_of_the_reference() -> None:
    reference, counts = np.full(256, 40), np.arange(256)
    tenths = distances.merged(reference, reference)

    assert tenths.sum() == reference.sum()
    assert np.ptp(tenths) <= 40
    assert distances.merged(reference, counts).sum() == counts.sum()


def test_a_level_that_is_new_has_a_finite_psi() -> None:
    assert 0 < distances.psi(np.array([500, 500, 0]), np.array([480, 480, 40])) < 1
