"""A shift of a mean score in the unit of its user."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from streams import binning

from detectors import effects, scores

TENS = replace(binning("m/predictions/f0"), reference=(100,) * 10, edges=tuple(range(1, 10)))


def spread_of(ratio: float) -> float:
    """Mean spread score of normal values that spread so many times as wide, on ten bins."""
    below = np.array([0.0, *ndtr(ndtri(np.arange(1, 10) / 10) / ratio), 1.0])
    return float(np.diff(below) @ scores.shapes(np.full(10, 100.0))[:, 1])


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.2, 2.0])
def test_a_width_is_told_as_it_is_though_the_outer_bins_hold_all_that_lies_beyond(ratio: float) -> None:
    assert effects.told("spread", TENS, 0.0, spread_of(ratio)) == pytest.approx(ratio, abs=0.002)


def test_windows_of_a_wider_feature_scatter_more_and_those_of_a_narrower_one_are_not_trusted_more() -> None:
    assert effects.noisier("spread", TENS, spread_of(1.4)) == pytest.approx(1.4**2, rel=0.01)
    assert effects.noisier("spread", TENS, spread_of(0.7)) == 1.0
    assert effects.noisier("location", TENS, 0.5) == 1.0
