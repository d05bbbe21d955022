"""What is remembered of streams, and what of their history is held back from learning."""

import numpy as np

from detectors.baseline import LONG_S
from detectors.fitting import History, held_from
from detectors.memory import Memory
from detectors.slots import DAY_S, HELD_S, HOUR_S

END = 100 * DAY_S


def history(days: int) -> History:
    epoch = END - HOUR_S * np.arange(24 * days, 0, -1)
    return History(np.zeros((epoch.size, 1)), np.ones((epoch.size, 1)), epoch, HOUR_S)


def held(days: int, since: int = END) -> float:
    """Newest days of a history that are not learnt from."""
    return float(END - held_from(history(days), END, np.array([since]))[0]) / DAY_S


def test_nothing_is_suspected_without_evidence() -> None:
    memory = Memory([0.1, 0.1], [{}, {}], HOUR_S)

    assert memory.suspected([0, 1], END).tolist() == [END, END]


def test_a_shift_is_suspected_from_where_the_strongest_evidence_began_for_a_fortnight_at_most() -> None:
    memory = Memory([0.1, 0.1, 0.1], [{}, {}, {}], HOUR_S)
    memory.cusum.start[:] = END - DAY_S
    memory.cusum.z[0, 0, 2, 1], memory.cusum.start[0, 0, 2, 1] = 3.5, END - 5 * DAY_S
    memory.cusum.z[1, 1, 3, 0], memory.cusum.start[1, 1, 3, 0] = 9.0, END - 40 * DAY_S
    memory.cusum.z[2, 0, 1, 0], memory.cusum.start[2, 0, 1, 0] = 2.9, END - 5 * DAY_S

    assert memory.suspected([0, 1, 2], END).tolist() == [END - 5 * DAY_S, END - 14 * DAY_S, END]


def test_the_newest_two_days_or_what_is_suspected_are_not_learnt() -> None:
    assert held(28) == HELD_S / DAY_S
    assert held(28, END - 9 * DAY_S) == 9


def test_the_first_thirteen_days_are_always_learnt() -> None:
    assert held(14, END - 9 * DAY_S) == 14 - LONG_S / DAY_S
    assert held(10, END - 9 * DAY_S) == 0


def test_the_newest_windows_are_remembered_however_many_there_were_and_who_was_idle() -> None:
    memory, seen = Memory([0.1, 0.1], [{}, {}], HOUR_S), ([0.0] * 0, [0.0] * 0)
    memory.cusum.z[:] = 1.0  # evidence since for ever, so that as much is kept as can be
    for t in range(900):
        active, value = np.array([True, t % 3 > 0]), np.array([float(t), -float(t)])
        memory.push(value, value + 1, value + 2, active, END + t * HOUR_S)
        for i in np.flatnonzero(active).tolist():
            seen[i].append(float(value[i]))

    for i in (0, 1):
        assert memory.recent(i).e.tolist() == seen[i][-200:]
        assert memory.recent(i).k.tolist() == [v + 2 for v in seen[i][-200:]]
