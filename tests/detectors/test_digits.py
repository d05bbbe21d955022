"""Numbers are kept to nine significant digits as if they were written and read again."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.digits import rounded

VALUES = st.lists(st.floats(allow_nan=False) | st.integers(-(10**12), 10**12).map(lambda i: i / 1000), min_size=1)


@given(VALUES)
def test_a_number_is_what_is_read_when_it_is_written(values: list[float]) -> None:
    assert rounded(np.array(values, dtype=float)).tolist() == [float(f"{value:.9g}") for value in values]
