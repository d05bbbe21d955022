"""Estimates without labels are right when only questions moved, and with some labels whatever moved."""

import numpy as np
import pytest

from bench.answers import Kind, answered
from bench.performance import binned
from detectors import strata
from detectors.strata import Losses

NONE = Losses(*[np.zeros(64)] * 3)


def test_an_estimate_without_labels_follows_what_is_asked() -> None:
    rng = np.random.default_rng(21)
    past, now = (answered(Kind(), np.full(hours, mean), 100, rng) for hours, mean in ((300, 0.0), (24, -1.0)))
    found = strata.stratified(binned(past, past.labelled), binned(now, now.labelled).n)

    assert found is not None
    assert abs(past.wrong.mean() - now.wrong.mean()) > 0.02
    assert found.low <= now.wrong.mean() <= found.high


def test_an_estimate_without_labels_does_not_see_a_changed_world() -> None:
    rng = np.random.default_rng(22)
    past, now = (answered(Kind(), np.zeros(hours), 100, rng, turned=t) for hours, t in ((300, 0.0), (24, 0.15)))
    found = strata.stratified(binned(past, past.labelled), binned(now, now.labelled).n)

    assert found is not None
    assert now.wrong.mean() > found.high


def test_nothing_is_estimated_from_too_few_labels() -> None:
    rng = np.random.default_rng(23)
    few = answered(Kind(), np.zeros(1), 100, rng)

    assert strata.stratified(binned(few, few.labelled), np.ones(64)) is None
    assert strata.powered(NONE, NONE, np.ones(64)) is None


@pytest.mark.slow
def test_the_prediction_powered_mean_covers_the_truth_and_is_narrower_than_labels_alone() -> None:
    rng = np.random.default_rng(24)
    past = answered(Kind(), np.zeros(400), 100, rng)
    learnt, hits, widths = binned(past, past.labelled), [], []
    for _ in range(400):
        now = answered(Kind(), np.full(24, 0.5), 100, rng, turned=0.05)
        some = rng.uniform(size=now.hour.size) < 0.2
        every = binned(now, now.labelled).n
        both, own = strata.powered(learnt, binned(now, some), every), strata.powered(NONE, binned(now, some), every)
        assert both is not None
        assert own is not None
        hits.append(both.low <= EXPECTED <= both.high)
        widths.append((both.high - both.low) / (own.high - own.low))

    assert np.mean(hits) >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / 400)
    assert np.mean(widths) < 0.97


def _expected() -> float:
    """Share of wrong answers of the shifted world with 5 % of truths turned round."""
    x = np.random.default_rng(1).standard_normal(2_000_000) + 0.5
    p = 1 / (1 + np.exp(1.5 - 3.0 * x))
    plain = float(np.minimum(p, 1 - p).mean())
    return plain + 0.05 * (1 - 2 * plain)


EXPECTED = _expected()
