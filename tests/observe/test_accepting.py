"""What somebody accepts as the new normal reaches the monitors it concerns."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from observe.app.accepting import accepted, checked
from observe.app.evidence import SLOW
from observe.clock import EventClock
from observe.errors import UsageError
from observe.schema import Alert, Command, Finding, ReferenceWindow
from observe.spec.normal import LEARNING
from observe.store import Store

T = datetime(2026, 11, 3, 12, tzinfo=UTC)
MOVED, OTHER = "fraud/level/amount/location", "fraud/level/items/location"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data", EventClock(T))
    with opened.change() as tx:
        tx.insert([found(h) for h in (-3, -2)])
        tx.insert([alert(MOVED, "inc-1"), alert(OTHER, "inc-2")])
    yield opened
    opened.close()


def found(hour: int) -> Finding:
    end = T + timedelta(hours=hour)
    return Finding(
        f"fnd-{hour}", MOVED, "level", "fraud", "drift", "amount", end - timedelta(hours=1), end, "alarm", "ticket", 20.0, 12.0,
        0.5, "sigma", 0.4, 0.6, T - timedelta(hours=9), T - timedelta(hours=10), T - timedelta(hours=8, minutes=hour), 100, "", {}, end,
    )  # fmt: skip


def alert(key: str, incident: str) -> Alert:
    return Alert(
        f"alr-{incident}", key, incident, "fnd--2", "fraud", "drift", key.split("/")[2], "ticket", "firing",
        T - timedelta(hours=3), None, "", {}, {}, T - timedelta(hours=3),
    )  # fmt: skip


def say(store: Store, target: str, **parameters: str) -> None:
    with store.change() as tx:
        tx.insert([Command(T, "cmd-1", "ann", "operator", "accept_normal", target, None, parameters, "")])


@pytest.mark.parametrize("target", [MOVED, "inc-1", "alr-inc-1"])
def test_learning_begins_at_the_newest_onset_of_what_was_accepted(store: Store, target: str) -> None:
    say(store, target)

    assert accepted(store, [MOVED, OTHER]) == {MOVED: T - timedelta(hours=8, minutes=-2)}


def test_a_monitor_that_never_alarmed_learns_from_the_moment_it_was_accepted(store: Store) -> None:
    say(store, OTHER)

    assert accepted(store, [MOVED, OTHER]) == {OTHER: T}


def test_a_person_may_say_since_when_it_is_normal(store: Store) -> None:
    say(store, "inc-1", since="2026-11-01T00:00:00Z")

    assert accepted(store, [MOVED]) == {MOVED: datetime(2026, 11, 1, tzinfo=UTC)}


def test_nothing_is_accepted_before_somebody_says_so(store: Store) -> None:
    assert accepted(store, [MOVED, OTHER]) == {}


def test_what_can_be_accepted_are_the_monitors_that_are_shown_what_was() -> None:
    assert set(LEARNING) == set(SLOW)


def test_a_monitor_that_never_alarmed_can_be_accepted_and_one_of_a_burn_cannot(store: Store) -> None:
    quiet, burn = "fraud/level/n/location", "fraud/burn/ttft"
    with store.change() as tx:
        tx.insert([replace(found(0), monitor_id=quiet, finding_id="fnd-q", state="ok")])
        tx.insert([replace(found(0), monitor_id=burn, finding_id="fnd-b", state="ok", detector="burn", kind="slo")])

    assert checked(store, quiet, {}, T) == {}
    with pytest.raises(UsageError, match="fraud/burn/ttft is about burn: only alarms of drift, performance and skew"):
        checked(store, burn, {}, T)


@pytest.mark.parametrize(
    ("state", "by", "told"),
    [("accepted", "ada", "ref-1 is accepted by ada"), ("withdrawn", None, "ref-1 is withdrawn; only a proposed")],
)
def test_a_reference_is_accepted_once_and_while_it_is_proposed(
    store: Store, state: str, by: str | None, told: str
) -> None:
    proposed = ReferenceWindow(
        "ref-1", "fraud", "inc-1", None, "ev-1", "v43", T - timedelta(hours=5), T, None, "human", "proposed", None, "", T
    )  # fmt: skip
    with store.change() as tx:
        tx.insert([proposed])
    assert checked(store, "ref-1", {}, T) == {}

    with store.change() as tx:
        tx.insert([replace(proposed, state=state, settled_by=by, changed_at=T + timedelta(seconds=1))])
    with pytest.raises(UsageError, match=told):
        checked(store, "ref-1", {}, T)
