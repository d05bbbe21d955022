"""What was written lately is answered from memory as the store would answer it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from observe.app.evidence import SUMMARIES
from observe.app.explaining import SIGNALS
from observe.app.recent import Recent
from observe.app.remembering import Remembering
from observe.app.stages import FRESH
from observe.clock import EventClock
from observe.schema import Batch, Finding
from observe.schema.exchange import nouns_frame
from observe.store import Store

T0 = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LATE = "select distinct ts from attempt where ts < $until and ingested_at >= $seen"


def summaries(minute: int) -> pl.DataFrame:
    """Two measures of one window; columns that are not given are NULL or 0 where they are read."""
    return pl.DataFrame({
        "ts": [T0 + minute * MINUTE] * 2, "window_s": [60, 60], "measure": ["m/predictions/x", "m/predictions/a"],
        "model": ["m", "m"], "n": [minute, 2 * minute], "counts": [[minute, 1], None], "late": [False, minute % 3 == 2],
    })  # fmt: skip


def finding(minute: int) -> Finding:
    at = T0 + minute * MINUTE
    return Finding(
        f"fnd-{minute}", "m/gauge/gpu", "gauge", "m", "gpu" if minute % 2 else "drift", "x", at - MINUTE, at, "alarm", "inform",
        2.0, 1.0, 0.5, "pp", None, None, at, None, None, minute, "it moved", {"b": [1], "a": None}, at,
    )  # fmt: skip


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[tuple[Remembering, Store, EventClock]]:
    clock = EventClock(T0)
    store = Store.open(tmp_path / "data", clock, threads=1, memory="500MB")
    yield Remembering(store, clock), store, clock
    store.close()


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        (SUMMARIES, {"m": ["m/predictions/x", "m/predictions/a"], "from": T0 + 2 * MINUTE, "to": T0 + 6 * MINUTE}),
        (SUMMARIES, {"m": ["m/predictions/other"], "from": T0, "to": T0 + 6 * MINUTE}),
        (FRESH, {"u": T0 + 4 * MINUTE}),
        (SIGNALS, {"since": T0 + 4 * MINUTE}),
    ],
)
def test_what_waits_is_answered_as_once_it_is_stored(
    kept: tuple[Remembering, Store, EventClock], sql: str, params: dict[str, object]
) -> None:
    remembering, store, _ = kept
    for minute in range(9):
        with remembering.change() as tx:
            tx.insert_frame("summary", summaries(minute))
            tx.insert([finding(minute)])
    before = remembering.read(sql, params)

    assert store.read("select count(*) from finding").item() == 0
    remembering.flush()
    assert before.equals(store.read(sql, params))


def test_a_question_about_rows_that_were_let_go_is_the_stores(tmp_path: Path) -> None:
    recent = Recent("finding", "made_at", whole=True, most=2_000)
    for minute in range(100):
        recent.add(nouns_frame([finding(minute)]))
    newest = recent.since(T0 + 99 * MINUTE)

    assert recent.since(T0) is None
    assert newest is not None
    assert newest["finding_id"].to_list() == ["fnd-99"]


def test_rows_that_came_before_the_look_are_not_looked_for_again(
    kept: tuple[Remembering, Store, EventClock],
) -> None:
    remembering, store, clock = kept
    ts = pl.DataFrame({"ts": [T0], "attempt_id": ["a"], "status": ["ok"]})
    remembering.append(Batch("replay", "1", {"attempt": ts}))
    came, later = ({"until": T0 + MINUTE, "seen": T0 + i * MINUTE} for i in range(2))

    assert [remembering.read(LATE, seen).height for seen in (came, later)] == [1, 0]
    clock.set(T0 + 5 * MINUTE)
    remembering.append(Batch("replay", "2", {"attempt": ts.with_columns(attempt_id=pl.lit("b"))}))
    assert remembering.read(LATE, later).height == store.read(LATE, later).height == 1
