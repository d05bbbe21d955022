"""How many replicas a model needs, and which constraint binds."""

from dataclasses import replace
from itertools import pairwise

import pytest

from detectors.demand import Forecast
from detectors.load import Desired, Envelope, Memory, Seen, desired
from detectors.throughput import Carried

TEN = Carried("requests", 10.0, 9.0, 11.0, "measured")
ENVELOPE = Envelope(low=1, high=12, patience_s=600)
QUIET = Seen(replicas=3, rate=20.0)


def decided(seen: Seen = QUIET, high: float | None = None, envelope: Envelope = ENVELOPE, memory: Memory | None = None,
            at: float = 10_000.0) -> Desired:  # fmt: skip
    coming = None if high is None else Forecast(5, seen.rate, seen.rate, seen.rate, high, "level", 500)
    answer = desired(seen, TEN, coming, envelope, memory or Memory(), at)
    assert answer is not None
    return answer


def walked(*rates: float, envelope: Envelope = ENVELOPE, step: float = 60.0) -> list[int]:
    memory, told = Memory(), []
    for i, rate in enumerate(rates):
        answer = decided(
            Seen(replicas=told[-1] if told else 3, rate=rate), envelope=envelope, memory=memory, at=step * i
        )
        memory = answer.memory
        told.append(answer.replicas)
    return told


def test_present_load_asks_for_replicas_in_use_at_most_at_85_percent() -> None:
    answer = decided(replace(QUIET, rate=40.0))

    assert (answer.replicas, answer.binding, answer.load_units) == (5, "present load", 4.0)
    assert "40 requests/s come in; one replica carries 10" in answer.said


def test_what_is_coming_asks_before_it_is_there() -> None:
    assert (decided(high=60.0).replicas, decided(high=60.0).binding) == (8, "forecast")
    assert decided(high=60.0, envelope=replace(ENVELOPE, predictive=False)).binding != "forecast"


def test_a_range_that_nothing_has_checked_asks_for_nothing() -> None:
    unchecked = Forecast(5, 20.0, 20.0, 10.0, 40.0, "level", 0)

    answer = desired(QUIET, TEN, unchecked, ENVELOPE, Memory(), 10_000.0)

    assert answer is not None
    assert answer.replicas == 3


def test_waiting_requests_are_to_be_gone_within_a_minute() -> None:
    assert decided(replace(QUIET, waiting=1200.0)).replicas == 5


def test_a_full_cache_asks_in_proportion() -> None:
    answer = decided(replace(QUIET, kv=0.99, replicas=10))

    assert (answer.replicas, answer.binding) == (11, "kv cache")


def test_an_slo_that_burns_under_load_asks_for_one_more() -> None:
    answer = decided(replace(QUIET, rate=25.0, burning={"ttft": 16.0}))

    assert (answer.replicas, answer.binding) == (4, "slo burn")


def test_an_slo_that_burns_while_replicas_idle_asks_for_none_and_says_so() -> None:
    answer = decided(replace(QUIET, rate=5.0, burning={"ttft": 16.0}))

    assert answer.replicas == 3
    assert "more replicas would not help" in answer.notes[0]


@pytest.mark.parametrize(("rate", "gpu", "replicas"), [(12.0, 0.95, 4), (12.0, 0.85, 3), (5.0, 0.95, 3)])
def test_full_gpus_are_a_reason_for_one_more_where_replicas_have_work(rate: float, gpu: float, replicas: int) -> None:
    answer = decided(replace(QUIET, rate=rate, gpu=gpu, burning={"ttft": 16.0}))

    assert answer.replicas == replicas
    assert ("while GPUs are full" in answer.said) is (replicas == 4)


def test_a_warm_pool_stands_beside_what_is_needed() -> None:
    assert decided(envelope=replace(ENVELOPE, warm=2)).replicas == 5


def test_the_envelope_bounds_and_says_what_would_be_needed() -> None:
    answer = decided(replace(QUIET, rate=500.0))

    assert (answer.replicas, answer.binding) == (12, "maxReplicas")
    assert answer.said.startswith("59 would be needed")
    assert walked(*[0.1] * 15, envelope=replace(ENVELOPE, low=2))[-1] == 2


def test_the_price_takes_reserve_away_but_nothing_that_present_load_needs() -> None:
    paid = replace(ENVELOPE, warm=3, price_usd_h=10.0, cost_per_1k_usd=0.001)
    few = decided(replace(QUIET, tokens=11_200.0), envelope=paid)  # pays for four
    none = decided(replace(QUIET, rate=40.0, tokens=100.0), envelope=paid)

    assert (few.replicas, few.binding) == (4, "price")
    assert none.replicas == 5


def test_an_action_that_was_agreed_on_holds_a_floor() -> None:
    answer = decided(replace(QUIET, floors={"act-1": 7}))

    assert (answer.replicas, answer.binding) == (7, "action")
    assert answer.said == "act-1 asks for 7"


def test_fewer_only_when_the_whole_patience_agrees() -> None:
    told = walked(*[50.0] * 3, *[10.0] * 15)

    assert told[:3] == [6, 6, 6]
    assert told[3:12] == [6] * 9
    assert told[-1] == 2


def test_load_that_wavers_at_a_border_changes_nothing() -> None:
    told = walked(*[34.5, 33.5] * 40)

    assert set(told) == {4, 5} or set(told) == {5}
    assert sum(a != b for a, b in pairwise(told)) <= 1


def test_after_a_restart_nothing_is_taken_away_before_the_patience_is_over() -> None:
    assert decided(Seen(replicas=9, rate=5.0)).replicas == 9
    assert decided(Seen(replicas=9, rate=5.0)).binding == "patience"


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_zero_is_told_only_where_it_is_declared_and_nothing_comes(rate: float) -> None:
    told = walked(*[rate] * 20, envelope=replace(ENVELOPE, low=0))

    assert told[-1] == (0 if rate == 0 else 1)


@pytest.mark.parametrize(
    ("seen", "replicas", "binding"),
    [
        (replace(QUIET, kv=0.97), 4, "kv cache"),
        (replace(QUIET, waiting=30.0, burning={"ttft": 20.0}), 4, "slo burn"),
        (replace(QUIET, floors={"act-1": 6}), 6, "action"),
        (replace(QUIET, replicas=8, floors={"act-1": 6}), 8, "as there is"),
    ],
)
def test_without_knowing_what_a_replica_carries_only_more_is_told(seen: Seen, replicas: int, binding: str) -> None:
    answer = desired(seen, None, None, ENVELOPE, Memory(), 10_000.0)

    assert answer is not None
    assert (answer.replicas, answer.binding) == (replicas, binding)


def test_nothing_is_told_where_nothing_is_known_and_nothing_asks_for_more() -> None:
    assert desired(QUIET, None, None, ENVELOPE, Memory(), 10_000.0) is None
    assert desired(replace(QUIET, burning={"ttft": 20.0}), None, None, ENVELOPE, Memory(), 10_000.0) is None
