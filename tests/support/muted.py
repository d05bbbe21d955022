"""A store with one incident of two alerts, and everything people may mute of it."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from delivered import T0, alert, incident

from observe.access import Principal
from observe.app.people import written
from observe.clock import EventClock
from observe.store import Store

NAMES = ("*", "inc-1", "chat", "alr-1", "alr-2", "chat/burn/ttft1", "chat/burn/ttft2", "fraud")


def opened(folder: Path) -> tuple[Store, EventClock]:
    """The store and its clock."""
    clock = EventClock(T0)
    store = Store.open(folder / "data", clock)
    with store.change() as tx:
        tx.insert([incident("1", alerts=("alr-1", "alr-2"))])
        tx.insert([alert("1"), alert("2", incident_id="inc-1")])
    return store, clock


def say(store: Store, verb: str, what: str, seconds: float, until: float = 0) -> None:
    """Mute for so long, or unmute, so many seconds after the beginning."""
    at = T0 + timedelta(seconds=seconds)
    parameters = {"until": (at + timedelta(seconds=until)).isoformat()} if verb == "mute" else {}
    with store.change() as tx:
        written(
            tx,
            at,
            Principal("ada", "operator"),
            {"verb": verb, "object": what, "reason": "because", "parameters": parameters},
        )


def said(plan: Sequence[tuple[int, int, int]]) -> list[tuple[str, str, float, float]]:
    """Commands of a random plan: which name, when, for how long; 0 is an unmute."""
    return [("mute" if n else "unmute", NAMES[i], float(at), float(n)) for i, at, n in sorted(plan, key=lambda p: p[1])]
