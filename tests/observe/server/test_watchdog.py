"""What holds the event loop is counted by name."""

import asyncio
import sys
import threading
from time import sleep

from observe.server.watchdog import Watchdog, place
from observe.telemetry import Telemetry


def held(block) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Counts by place after a loop ran `block` while it was watched."""
    telemetry = Telemetry()

    async def run() -> None:
        watched = asyncio.create_task(Watchdog(telemetry).run())
        await asyncio.sleep(0.05)
        block()
        await asyncio.sleep(0.05)
        watched.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(run()))  # the browser tests keep a loop in the main thread
    thread.start()
    thread.join()
    [family] = telemetry.loop_held.collect()
    telemetry.close()
    return {s.labels["place"]: s.value for s in family.samples if s.name.endswith("_total")}


def test_a_call_that_blocks_the_loop_is_counted() -> None:
    assert sum(held(lambda: sleep(0.2)).values()) >= 1


def test_the_innermost_function_of_ours_is_named() -> None:
    from observe.spec.predicate import parse_predicate

    frames: list[str] = []

    def trace(frame, event: str, _: object) -> None:  # type: ignore[no-untyped-def]
        frames.append(place(frame))

    sys.setprofile(trace)
    parse_predicate("status = ok")
    sys.setprofile(None)

    assert "observe.spec.predicate.parse_predicate" in frames
    assert place(sys._getframe()) == ""
