"""Histograms of latencies: a quantile lies in the bin of the exact one, and counts merge by addition."""

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from observe.schema.latency import FIRST, LAST, PER_DECADE, bin_of, middle, quantile

seconds = st.floats(1e-7, 1e6) | st.floats(0.01, 2.0)


@given(st.lists(seconds, min_size=1, max_size=60), st.floats(0, 1))
def test_a_quantile_lies_in_the_bin_of_the_exact_one(values, q) -> None:
    exact = sorted(values)[max(1, math.ceil(q * len(values))) - 1]

    found = quantile(Counter(map(bin_of, values)), q)

    assert found is not None
    assert bin_of(found) == bin_of(exact)
    if 1e-5 <= exact < 1e4:
        assert abs(math.log10(found / exact)) <= 1 / PER_DECADE


@given(st.lists(seconds), st.lists(seconds), st.floats(0, 1))
def test_counts_merge_by_addition(some, others, q) -> None:
    parts = Counter(map(bin_of, some)) + Counter(map(bin_of, others))

    assert quantile(parts, q) == quantile(Counter(map(bin_of, some + others)), q)


@given(st.integers(FIRST, LAST))
def test_the_middle_of_a_bin_lies_in_it(number) -> None:
    assert bin_of(middle(number)) == number


def test_nothing_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None
