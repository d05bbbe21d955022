"""Served days as they are remembered: whole ones, in whole weeks, and what was raised about a file."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.mismatch_told import Verdict
from detectors.served import DAY_S, KEPT, Memory

AT = 20_000 * DAY_S  # a midnight


def memory(days: int) -> Memory:
    """The last `days` days before `AT`, 100 rows each."""
    return Memory("b@1", {AT - i * DAY_S: (np.array([60.0, 40.0]), 0.0) for i in range(1, days + 1)})


@pytest.mark.parametrize(("known", "compared"), [(0, 0), (3, 3), (7, 7), (10, 7), (14, 14), (20, 14)])
def test_whole_weeks_are_compared_once_there_is_one(known: int, compared: int) -> None:
    days = memory(known).until(AT, ())

    assert days.at.tolist() == [AT - i * DAY_S for i in range(compared, 0, -1)]
    assert days.n.tolist() == [100.0] * compared


def test_days_of_an_announced_change_are_left_out() -> None:
    out = [(AT - 3 * DAY_S + 60, AT - 3 * DAY_S + 120)]

    assert AT - 3 * DAY_S not in memory(7).until(AT, out).at.tolist()


def test_what_was_raised_stays_until_another_file_is_named_or_a_person_accepts_it() -> None:
    held = memory(7)
    days = held.until(AT, ())
    held.latched(Verdict("alarm", "text in the file"), "f1", days, (AT, None))
    again = held.latched(Verdict("unknown", "no rows"), "f1", days, (AT + DAY_S, None))
    other = held.latched(Verdict("ok", ""), "f2", days, (AT + DAY_S, None))

    assert (again.state, again.onset, other.state) == ("unknown", AT - DAY_S, "ok")
    held.latched(Verdict("alarm", "text in the file"), "f2", days, (AT, None))
    accepted = held.latched(Verdict("alarm", "text in the file"), "f2", days, (AT + DAY_S, AT))
    assert (accepted.state, accepted.note) == ("inform_only", "text in the file; accepted")


def test_days_that_are_not_compared_any_more_are_forgotten() -> None:
    kept = memory(20).dumped(AT)

    assert [day for day, _, _ in kept["days"]] == [AT - i * DAY_S for i in range(KEPT, 0, -1)]
