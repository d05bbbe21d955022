"""What is expected in the windows to come is what is expected in each of them."""

import numpy as np

from detectors import baseline
from detectors.coming import Coming
from detectors.memory import Memory

HOUR = 3600


def test_windows_that_are_worked_out_together_are_as_each_alone_also_after_a_stream_has_learnt() -> None:
    rng = np.random.default_rng(1)
    memory = Memory([0.1, 0.1], [{}, {}], HOUR)
    memory.beta[:], memory.cov[:] = rng.standard_normal((2, 10)), np.eye(10)
    coming, ends = Coming(memory, 100 * HOUR), range(HOUR, 101 * HOUR, HOUR)

    for end in ends:
        if end == 60 * HOUR:
            memory.beta[1] += 1.0
            coming.forget()
        plain = baseline.expected(memory.beta, memory.cov, baseline.design(np.array([end - HOUR // 2]))[0])
        assert [part.tolist() for part in coming.at(end)] == [part.tolist() for part in plain]
