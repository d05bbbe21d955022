"""Identities are remembered for a while, exactly."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from observe.store.seen import Seen, row_hashes

START = datetime(2026, 11, 20, tzinfo=UTC)
hashes = st.lists(st.integers(0, 40), max_size=30).map(lambda xs: np.array(xs, dtype=np.uint64))


@given(st.lists(hashes, max_size=12))
def test_fresh_is_what_a_set_would_say(groups: list[np.ndarray]) -> None:
    seen, known = Seen(timedelta(hours=2)), set()
    for group in groups:
        fresh = []
        for value in group.tolist():
            fresh.append(value not in known)
            known.add(value)
        mask = seen.fresh(group)
        seen.add(group[mask], START)

        assert mask.tolist() == fresh


def test_what_came_within_the_time_is_known_and_later_forgotten() -> None:
    seen, one = Seen(timedelta(hours=2)), np.array([7], dtype=np.uint64)
    seen.add(one, START)
    for minutes in range(5, 121, 5):
        seen.add(np.array([1000 + minutes], dtype=np.uint64), START + timedelta(minutes=minutes))

    assert seen.holds(one).all()
    seen.add(np.array([1], dtype=np.uint64), START + timedelta(hours=2, minutes=20))
    assert not seen.holds(one).any()


def test_hashes_depend_on_values_not_on_neighbours() -> None:
    frame = pl.DataFrame({"source": ["a", "a", "b", None], "id": ["x", "y", "x", "x"]})

    together = row_hashes(frame, ["source", "id"])

    assert len(set(together.tolist())) == 4
    assert [row_hashes(frame[i : i + 1], ["source", "id"])[0] for i in range(4)] == together.tolist()
