"""The simulated service: who waits, who pays, and what a policy is shown."""

import numpy as np
import pytest

from observe.app.queueing import Minutes, Server, Sight, simulate
from observe.app.sizing import Utilisation, constant
from observe.app.traces import Trace

ALONE = Server(prefill_per_s=1000.0, decode_s=0.01, slots=2, slowed=0.0, overhead_s=0.0, cold_start_s=60.0)


def trace(*at: float, tokens_in: int = 1000, tokens_out: int = 100) -> Trace:
    n = len(at)
    return Trace("test", np.array(at), np.full(n, tokens_in), np.full(n, tokens_out))


def test_a_free_replica_answers_after_it_has_read_the_prompt() -> None:
    assert simulate(trace(0.0, 5.0), ALONE, constant(1), 1).ttft.tolist() == pytest.approx([1.0, 1.0])


def test_prompts_are_read_one_after_another_and_slots_bound_how_many_are_answered() -> None:
    ran = simulate(trace(0.0, 0.0, 0.0, tokens_out=1000), ALONE, constant(1), 1)

    assert ran.ttft.tolist() == pytest.approx([1.0, 2.0, 12.0])  # the third waits for the first to be done, at 11 s


def test_two_replicas_share_the_queue() -> None:
    assert simulate(trace(0.0, 0.0), ALONE, constant(2), 2).ttft.tolist() == pytest.approx([1.0, 1.0])


def test_a_replica_serves_only_after_its_cold_start_and_is_paid_for_from_its_beginning() -> None:
    at = tuple(float(t) for t in range(0, 240))
    ran = simulate(trace(*at, tokens_in=1500), ALONE, lambda s: 2 if s.at >= 15 else 1, 1)
    ends = ran.at[-1] + ran.ttft[-1]

    assert ran.changes == ((0.0, 1), (15.0, 2))
    assert ran.replica_s == pytest.approx(2 * ends - 15, abs=4)
    assert ran.ttft[74] > ran.ttft[10]  # it falls behind until the second one is there


def test_what_leaves_finishes_what_it_has_begun() -> None:
    ran = simulate(trace(14.0, tokens_out=3000), ALONE, constant(0), 1)

    assert ran.ttft.tolist() == pytest.approx([1.0])
    assert ran.replica_s == pytest.approx(45.0)  # until 14 + 1 + 30 s


def test_a_policy_sees_finished_requests_by_minute_the_queue_and_what_is_ready() -> None:
    sights: list[Sight] = []

    def watch(sight: Sight) -> int:
        sights.append(sight)
        return 1

    simulate(trace(*np.arange(0, 300, 2.0), tokens_in=500, tokens_out=10), ALONE, watch, 1)
    last = sights[-1]

    assert (last.ready, last.asked, last.waiting) == (1, 1, 0)
    assert last.minutes.requests[1:4] == pytest.approx([0.5, 0.5, 0.5])
    assert last.minutes.tokens_out[1:4] == pytest.approx([5.0, 5.0, 5.0])
    assert last.use == pytest.approx(0.25, abs=0.05)


def test_the_autoscaler_goes_by_use_over_target_and_waits_before_it_goes_down() -> None:
    minutes = Minutes()
    up = Utilisation(0.5, 1, 20)
    down = Utilisation(0.5, 1, 20)
    for i in range(20):
        down(Sight(15.0 * i, 8, 8, 0, 0.5, minutes))
    told = [down(Sight(300 + 15.0 * i, 8, 8, 0, 0.1, minutes)) for i in range(30)]

    assert up(Sight(15.0, 4, 4, 0, 0.9, minutes)) == 8
    assert told[:15] == [8] * 15
    assert told[-1] == 2
