"""How long a replica takes."""

import numpy as np

from detectors.warmup import ASSUMED_S, cold_start

STEPS = np.repeat([2.0, 3.0, 4.0, 5.0, 6.0], 60)  # one more each hour


def test_it_is_the_time_from_being_asked_for_to_being_scraped() -> None:
    asked = [(60 * hour - 4, hour + 2) for hour in (1, 2, 3)]

    assert cold_start(asked, 0, STEPS, 90.0).seconds == 240.0
    assert cold_start(asked, 0, STEPS, 90.0).basis == "measured"


def test_too_few_scalings_leave_what_is_declared_then_what_is_assumed() -> None:
    assert cold_start([(56, 3)], 0, STEPS, 90.0).seconds == 90.0
    assert cold_start([], 0, STEPS, None) == cold_start([(9999, 3)], 0, STEPS, None)
    assert (cold_start([], 0, STEPS, None).seconds, cold_start([], 0, STEPS, None).basis) == (ASSUMED_S, "assumed")
