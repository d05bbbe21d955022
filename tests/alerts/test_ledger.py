"""The ledger of actions: only legal steps, and once a target has an action it is never asked again."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from acted import T0, action, after
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import ledger
from alerts.ledger import History, IllegalStep
from observe.schema.acting import OVER, Receipt

PATIENCE = timedelta(hours=1)
ANSWERS = {
    "taken": Receipt(True, status=200), "known": Receipt(True, status=409), "done": Receipt(True, done=True), "fault": Receipt(False, retry=True, status=500),
    "away": Receipt(False, retry=True, text="no answer"), "refused": Receipt(False, status=400), "lost": None, "killed": None,
}  # fmt: skip


class Receiver:
    """Whoever is asked: it does a key once, whatever it answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.did: set[str] = set()
        self.told: set[str] = set()  # keys of which it has said that it has them

    def ask(self, key: str, kind: str) -> None:
        assert key not in self.told, "asked again although it said that it has it"
        self.asked.append(key)
        if kind not in ("fault", "refused"):
            self.did.add(key)  # also where the answer was lost
        if kind in ("taken", "known", "done"):
            self.told.add(key)


step = st.one_of(
    st.tuples(st.just("approve"), st.just("")), st.tuples(st.just("deny"), st.just("")), st.tuples(st.just("wait"), st.sampled_from(["1", "5", "60", "4000", "90000"])),
    st.tuples(st.just("look"), st.sampled_from(sorted(ANSWERS))),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(step, max_size=40), st.sampled_from(["dry_run", "approval", "auto"]))
def test_no_order_of_events_makes_an_illegal_step_or_a_second_send_of_what_was_taken(steps: list, mode: str) -> None:
    history, now, receiver = History((action(mode=mode),)), T0, Receiver()
    for kind, detail in steps:
        row = None
        if kind == "wait":
            now += timedelta(seconds=int(detail))
        elif kind in ("approve", "deny"):
            row = decided(history, kind, now)
        elif (late := ledger.overdue(history, PATIENCE, now)) is not None:
            row = late
        elif ledger.is_due(history, now):
            history = history.then(ledger.attempt(history.now, now))
            receiver.ask(str(history.now.key), detail)
            answer = ANSWERS[detail]
            row = ledger.answered(history, answer, now) if answer else None
        history = history.then(row) if row is not None else history

    walked = [r.state for r in history.rows]
    assert all(b == a or b in ledger.NEXT[a] for a, b in pairwise(walked))
    assert sorted({r.changed_at for r in history.rows}) == [r.changed_at for r in history.rows]
    assert not receiver.asked or ("approved" in walked and mode != "dry_run" and "denied" not in walked)
    assert (history.now.attempts or 0) == len(receiver.asked)


def decided(history: History, kind: str, now):  # type: ignore[no-untyped-def]
    try:
        return (
            ledger.approve(history.now, "ada", now) if kind == "approve" else ledger.deny(history.now, "ada", "no", now)
        )
    except IllegalStep:
        return None


def sent(**more) -> History:  # type: ignore[no-untyped-def]
    approved = ledger.approve(action(**more), "ada", after(1))
    return History((action(**more), approved, ledger.attempt(approved, after(2))))


def test_after_kill_9_an_action_whose_answer_is_not_known_is_due_again_with_the_same_key() -> None:
    history = sent()

    assert not ledger.is_due(history, after(2.1))
    assert ledger.is_due(history, after(3.1))
    assert ledger.attempt(history.now, after(4)).key == action().key


@pytest.mark.parametrize("state", OVER)
def test_what_is_over_can_neither_be_approved_nor_denied_nor_sent(state: str) -> None:
    over = action(state=state)

    for ask in (
        lambda: ledger.approve(over, "ada", T0),
        lambda: ledger.deny(over, "ada", "no", T0),
        lambda: ledger.attempt(over, T0),
    ):
        with pytest.raises(IllegalStep):
            ask()


def test_a_target_that_is_away_for_a_day_leaves_a_dead_letter() -> None:
    history = sent(expires_at=after(7 * 86400))
    row = ledger.answered(history, Receipt(False, retry=True, text="no route"), after(86400 + 3))

    assert (row.state, row.error) == ("failed", "dead letter: not taken in 1 try: no route")


def test_what_nobody_tells_the_end_of_ends_as_unknown_not_as_fine() -> None:
    history = sent()
    taken = history.then(ledger.answered(history, Receipt(True, status=202), after(3)))
    row = ledger.overdue(taken, PATIENCE, after(3 + 3600))

    assert row is not None
    assert (row.state, row.error) == ("expired", "taken, but nothing told how it ended")


def test_waits_between_tries_grow_to_five_minutes() -> None:
    waits = [(ledger.next_try(replace(sent().now, attempts=n)) - after(2)).total_seconds() for n in (1, 2, 5, 12)]

    assert [w <= limit for w, limit in zip(waits, (1, 2, 16, 300), strict=True)] == [True] * 4
    assert waits == sorted(waits)
