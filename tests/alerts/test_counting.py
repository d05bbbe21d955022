"""Queries of people as counts, and series that they would count."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import counting, selectors
from observe.spec.quantity import Malformed


@pytest.mark.parametrize(
    ("written", "counted"),
    [
        ("up", "sum(increase(up[$window]))"),
        ('sum by (job) (a_total{x="[5m]"})', 'sum(increase(a_total{x="[5m]"}[$window]))'),
        ("sum(increase(a_total[{{ .window }}]))", "sum(increase(a_total[$window]))"),
        (
            "sum(rate(a[$window])) + sum(rate(b[$window]))",
            "(sum(rate(a[$window])) + sum(rate(b[$window]))) * $window_s",
        ),
        ("sum_over_time(x[{{.window}}:])", "sum_over_time(x[$window:])"),
        ('{__name__="a_total"}', 'sum(increase({__name__="a_total"}[$window]))'),
    ],
)
def test_whatever_its_form_a_query_counts_events_within_the_window(written: str, counted: str) -> None:
    assert counting.counted(written) == counted


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "an empty query"),
        ("sum(rate(a[5m]))", "a fixed range"),
        ("a_total / b_total", "no range"),
        ("sum(rate(a[$window])) + sum(increase(b[$window]))", "mixes rates and counts"),
        ("sum(rate(a[$window])", "is not closed"),
        ("a)", "too many"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_the_reason(written: str, why: str) -> None:
    with pytest.raises(Malformed, match=re.escape(why)):
        counting.counted(written)


def test_good_events_become_bad_ones_that_are_never_fewer_than_none() -> None:
    sli = counting.events("all_total", good="good_total")

    assert sli.errors == (
        "clamp_min(sum(increase(all_total[$window])) - "
        "(sum(increase(good_total[$window])) or 0 * sum(increase(all_total[$window]))), 0)"
    )


@pytest.mark.parametrize(
    "selector",
    [
        'a{b="c"}',
        'a{code=~"5..|429"}',
        'a{code!~"2..",verb!="WATCH"}',
        "a{code=~'(4|5)xx'}",
        'a{path=~".+/v[12]/.*"}',
        "a",
    ],
)
def test_a_series_that_is_made_up_is_selected(selector: str) -> None:
    parsed = selectors.parse(selector)
    assert parsed is not None
    example = parsed.example()

    assert example is not None
    assert parsed.selects("a", example)


@given(st.text(max_size=40))
def test_any_text_is_counted_or_refused(text: str) -> None:
    with suppress(Malformed):
        assert counting.counted(text)
