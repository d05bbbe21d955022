"""Which idle devices could take a starved model."""

from dataclasses import replace

import pytest

from detectors.placement import Between, Idle, Starved, match, matches, needed_gib

CHAT = Starved("chat", "has 2, needs 4", 2, ("eu-west",), "h100-80gb", 4, "llama-3.3-70b", "bf16", 0.8, 2000.0)
H100 = Idle("us-east", "NVIDIA H100 80GB HBM3", 8, 80.0)
HERE = Between(True, "no residency is declared", 0.02, None)
PRICES = {"h100-80gb": 3.0, "l4": 0.7}


def test_the_declared_product_takes_it_as_declared_and_saves_what_new_ones_cost() -> None:
    found = match(CHAT, H100, HERE, PRICES)

    assert (found.fits, found.replicas, found.devices) == ("yes", 2, 4)
    assert (found.saved_usd_h, found.idle_usd_h) == (24.0, 24.0)
    assert (
        found.why
        == "the declared product, 4 a replica; no residency is declared; 20 ms away, 2% of the promised 800 ms"
    )


@pytest.mark.parametrize(
    ("sku", "mem", "fits", "devices"),
    [("NVIDIA H200", 141.0, "yes", 2), ("NVIDIA L40S", 45.0, "yes", 4), ("NVIDIA L4", 22.5, "yes", 8), ("Tesla T4", 4.0, "no", None),
     ("NVIDIA B200", None, "unknown", None)],
)  # fmt: skip
def test_another_product_takes_it_where_the_weights_fit(
    sku: str, mem: float | None, fits: str, devices: int | None
) -> None:
    found = match(CHAT, Idle("us-east", sku, 16, mem), HERE, PRICES)

    assert (found.fits, found.devices) == (fits, devices)


def test_memory_follows_from_parameters_and_precision() -> None:
    assert needed_gib(CHAT) == pytest.approx(70e9 * 2 * 1.2 / 2**30)
    assert needed_gib(replace(CHAT, precision="fp8")) == pytest.approx(70e9 * 1.2 / 2**30)
    assert needed_gib(replace(CHAT, model_id="house-model")) == pytest.approx(80 * 4 * 0.9)
    assert needed_gib(replace(CHAT, model_id="house-model", accelerator=None)) is None


def test_data_that_must_stay_elsewhere_is_a_no_and_what_nobody_declared_is_unknown() -> None:
    away = replace(HERE, allowed=False, said="its data must stay in eu; us-east is in us")
    unsaid = replace(HERE, allowed=None, said="where us-east is, is not declared")

    assert match(CHAT, H100, away, PRICES).fits == "no"
    assert match(CHAT, H100, unsaid, PRICES).fits == "unknown"


def test_a_round_trip_may_take_a_tenth_of_what_is_promised() -> None:
    assert match(CHAT, H100, replace(HERE, rtt_s=0.09), PRICES).fits == "no"
    assert match(replace(CHAT, latency_s=5.0), H100, replace(HERE, rtt_s=0.09), PRICES).fits == "yes"
    assert match(CHAT, H100, replace(HERE, rtt_s=None), PRICES).why.endswith("the distance is not declared")


def test_too_few_idle_devices_hold_no_replica() -> None:
    assert match(CHAT, replace(H100, idle=3), HERE, PRICES).fits == "no"


def test_egress_is_taken_from_what_is_saved() -> None:
    paid = match(replace(CHAT, tokens=1e6), H100, replace(HERE, egress_usd_gb=0.1), PRICES)

    assert paid.saved_usd_h == pytest.approx(24.0 - 1e6 * 3600 * 6 / 1e9 * 0.1)


def test_what_helps_comes_first_and_nearest_first() -> None:
    near, far, little = (
        replace(H100, cluster="near"),
        replace(H100, cluster="far"),
        replace(H100, cluster="little", idle=1),
    )
    between = {("chat", "near"): replace(HERE, rtt_s=0.005), ("chat", "far"): HERE, ("chat", "little"): HERE}

    assert [m.idle.cluster for m in matches([CHAT], [little, far, near], between, PRICES)] == ["near", "far", "little"]
