"""Each who is spoken to has a lane of its own; a fault in one is counted, and none is spoken to twice at once."""

import threading
from collections.abc import Iterator

import pytest

from observe.app.lanes import Lanes
from observe.telemetry import Telemetry


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    made = Lanes("deliver", 4, lambda: None, Telemetry())
    yield made
    made.stop()


def test_one_that_hangs_is_busy_and_holds_up_no_other(lanes: Lanes) -> None:
    released, told = threading.Event(), threading.Event()
    hanging = lanes.submit("slow", lambda: released.wait(10))
    lanes.submit("quick", told.set).result(10)

    assert (told.is_set(), lanes.is_busy("slow"), lanes.is_busy("quick"), lanes.is_busy("new")) == (
        True,
        True,
        False,
        False,
    )
    released.set()
    hanging.result(10)
    assert not lanes.is_busy("slow")


def test_a_fault_of_a_job_is_counted_and_its_lane_is_free_again() -> None:
    telemetry = Telemetry()
    lanes = Lanes("act", 1, lambda: None, telemetry)
    lanes.submit("ops", lambda: 1 / 0).result(10)

    assert not lanes.is_busy("ops")
    assert telemetry.stage_errors.labels("act")._value.get() == 1
    lanes.stop()
    assert (lanes.stopping, lanes.begun) == (True, True)


def test_it_looks_again_after_a_look_that_failed() -> None:
    looks: list[int] = []
    twice = threading.Event()

    def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise ValueError("not yet")
        twice.set()

    telemetry = Telemetry()
    lanes = Lanes("act", 1, look, telemetry)
    lanes.start()
    assert twice.wait(20)
    lanes.stop()
    assert telemetry.stage_errors.labels("act")._value.get() == 1
