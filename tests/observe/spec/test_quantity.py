"""Quantities with units."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observe.spec import quantity
from observe.spec.quantity import Effect, Malformed, Rate


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (quantity.parse_duration, "800ms", 0.8),
        (quantity.parse_duration, "5m", 300.0),
        (quantity.parse_duration, "1h30m", 5400.0),
        (quantity.parse_duration, "30d", 2_592_000.0),
        (quantity.parse_duration, "2w", 1_209_600.0),
        (quantity.parse_size, "100GB", 100_000_000_000),
        (quantity.parse_size, "64MiB", 67_108_864),
        (quantity.parse_rate, "1 per 90d", Rate(1, 7_776_000.0)),
        (quantity.parse_price, "2.90 USD/h", 2.9),
        (quantity.parse_percent, "99.9%", 0.999),
        (quantity.parse_effect, "0.1σ", Effect(0.1, "sigma")),
        (quantity.parse_effect, "0.1 sigma", Effect(0.1, "sigma")),
        (quantity.parse_effect, "10%", Effect(10.0, "%")),
        (quantity.parse_effect, "5pp", Effect(5.0, "pp")),
        (quantity.parse_times, "2x", 2.0),
        (quantity.parse_instant, "2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        (quantity.parse_instant, "2026-11-20T10:00:00+01:00", datetime(2026, 11, 20, 9, tzinfo=UTC)),
    ],
)
def test_a_quantity_is_read(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (quantity.parse_duration, "5"),
        (quantity.parse_duration, ""),
        (quantity.parse_duration, "5 minutes"),
        (quantity.parse_duration, "-5m"),
        (quantity.parse_duration, "5mm"),
        (quantity.parse_duration, "4000000d"),
        (quantity.parse_duration, "9" * 400 + "d"),
        (quantity.parse_rate, "1 per 36501d"),
        (quantity.parse_size, "9" * 400 + "B"),
        (quantity.parse_size, "100"),
        (quantity.parse_rate, "0 per 90d"),
        (quantity.parse_rate, "1 per 0d"),
        (quantity.parse_rate, "often"),
        (quantity.parse_price, "2.90"),
        (quantity.parse_price, "2.90 EUR/h"),
        (quantity.parse_percent, "99.9"),
        (quantity.parse_percent, "100.5%"),
        (quantity.parse_effect, "0%"),
        (quantity.parse_effect, "10"),
        (quantity.parse_times, "2"),
        (quantity.parse_instant, "yesterday"),
    ],
)
def test_another_form_is_refused_with_an_example(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse(text)

    assert refused.value.hint


@given(st.integers(1, 10**8))
def test_a_written_duration_reads_back(seconds: int) -> None:
    assert quantity.parse_duration(quantity.write_duration(seconds)) == seconds


@given(st.integers(1, 10**15))
def test_a_written_size_reads_back(size: int) -> None:
    assert quantity.parse_size(quantity.write_size(size)) == size
