"""Medians of many streams are those of each stream alone."""

import numpy as np

from detectors.medians import medians


def test_a_median_is_that_of_what_is_seen() -> None:
    rng = np.random.default_rng(1)
    values, seen = rng.standard_normal((40, 25)), rng.uniform(size=(40, 25)) < np.linspace(0.05, 1, 40)[:, None]

    plain = [float(np.median(own[known])) if known.any() else 0.0 for own, known in zip(values, seen, strict=True)]

    assert medians(values, seen).tolist() == plain
