"""What one replica carries, from minutes in which requests waited."""

import numpy as np
import pytest

from detectors.throughput import declared, measured, rising


def history(limit: float, *, unit: str = "requests", seed: int = 1, n: int = 3000) -> dict[str, np.ndarray]:
    """Minutes of a queue whose replicas are full at `limit` a second; requests differ in length."""
    rng = np.random.default_rng(seed)
    replicas = rng.integers(2, 6, n).astype(float)
    offered = rng.uniform(0.2, 1.3, n) * limit * replicas
    work = rng.uniform(50, 150, n) if unit != "requests" else np.full(n, 100.0)
    carried = np.minimum(offered, limit * replicas)
    requests = carried if unit == "requests" else carried / work
    waiting = np.where(offered >= limit * replicas, 5 * replicas, 0.0)
    return {
        "replicas": replicas, "waiting": waiting, "kv": np.full(n, 0.5), "latency": np.where(waiting > 0, 3.0, 1.0),
        "requests": requests, "tokens_out": requests * work, "tokens": requests * work * rng.uniform(2, 20, n),
    }  # fmt: skip


@pytest.mark.parametrize("limit", [0.5, 8.0, 120.0])
def test_where_queues_begin_is_found(limit: float) -> None:
    found = measured(history(limit))

    assert found is not None
    assert found.basis == "measured"
    assert found.each == pytest.approx(limit, rel=0.05)
    assert found.low <= found.each <= found.high


def test_the_unit_is_the_one_that_tells_pressed_minutes() -> None:
    found = measured(history(400.0, unit="tokens_out"))

    assert found is not None
    assert found.unit == "tokens_out"
    assert found.each == pytest.approx(400.0, rel=0.08)


def test_replicas_that_never_have_room_carry_what_they_do_meanwhile() -> None:
    minutes = {name: x[:200] for name, x in history(400.0, unit="tokens_out").items()}
    full = minutes["waiting"] > 0
    found = measured({name: x[full] for name, x in minutes.items()})

    assert found is not None
    assert (found.unit, found.each) == ("tokens_out", pytest.approx(400.0, rel=0.02))


def test_never_pressed_is_not_known() -> None:
    calm = history(8.0) | {"waiting": np.zeros(3000), "latency": np.ones(3000)}

    assert measured(calm) is None


def test_pressure_that_does_not_go_with_load_says_nothing_of_capacity() -> None:
    slow = history(8.0)
    slow["waiting"] = np.where(np.random.default_rng(2).random(3000) < 0.2, 20.0, 0.0)
    slow["latency"] = np.ones(3000)

    assert measured(slow) is None


def test_what_is_declared_is_requests() -> None:
    found = declared(3.5)

    assert found is not None
    assert (found.unit, found.each, found.basis) == ("requests", 3.5, "declared")
    assert declared(None) is None


def test_a_rising_sequence_is_the_mean_of_what_falls() -> None:
    values = np.random.default_rng(3).random(40)
    fitted = rising(values, np.ones(40))

    assert (np.diff(fitted) >= 0).all()
    assert fitted.mean() == pytest.approx(values.mean())
