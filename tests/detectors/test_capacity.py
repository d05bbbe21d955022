"""What a device costs, by the names that prices go under."""

import pytest

from detectors.capacity import price


@pytest.mark.parametrize("order", [1, -1])
def test_the_price_that_names_a_product_most_closely_wins_whatever_comes_first(order: int) -> None:
    prices = dict([("h100", 2.4), ("h100-80gb", 2.9), ("l4", 0.7)][::order])

    assert price("NVIDIA H100 80GB HBM3", prices) == 2.9
    assert price("NVIDIA H100 NVL 94GB", prices) == 2.4
    assert price("NVIDIA A100", prices) == 0.0
