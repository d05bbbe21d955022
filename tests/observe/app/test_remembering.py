"""A replay that keeps states and small tables in mind sees what it would read, and says the same."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from observe.app.remembering import Remembering
from observe.clock import EventClock
from observe.schema import Binning
from observe.store import Store

T0 = datetime(2026, 3, 2, tzinfo=UTC)


def binning(version: int) -> Binning:
    return Binning(
        f"b{version}", "m", "predictions", "x", "numeric", version, (1.0,), None, (1, 1), None, None, None, T0
    )


def test_what_is_written_is_read_at_once_and_a_state_only_in_the_end(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "data", clock := EventClock(T0), threads=1, memory="500MB")
    kept = Remembering(store, clock)
    numbers = [kept.read("select count(*) as n from binning").item()]
    for version in (1, 2):
        with kept.change() as tx:
            tx.insert([binning(version)])
            tx.set_state("summaries/m/slo", {"v": version}, T0 + timedelta(minutes=version))
        numbers.append(kept.read("select count(*) as n from binning").item())

    assert numbers == [0, 1, 2]
    assert kept.state(["summaries/m/slo"]) == {"summaries/m/slo": {"v": 2}}
    assert store.state(["summaries/m/slo"]) == {}
    kept.flush()
    assert store.state(["summaries/m/slo"]) == {"summaries/m/slo": {"v": 2}}
    assert store.judged_until() == {"summaries/m/slo": T0 + timedelta(minutes=2)}
    store.close()


def test_an_answer_with_other_parameters_is_asked_for_again_once_there_are_rows(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "data", clock := EventClock(T0), threads=1, memory="500MB")
    kept = Remembering(store, clock)
    sql = "select binning_id from binning where version >= $v"
    none = kept.read(sql, {"v": 1}).height
    with kept.change() as tx:
        tx.insert([binning(1), binning(2)])

    assert (none, kept.read(sql, {"v": 1}).height, kept.read(sql, {"v": 2}).height) == (0, 2, 1)
    store.close()


def write_half(kept: Remembering) -> None:
    with kept.change() as tx:
        tx.insert([binning(1)])
        tx.set_state("a", {})
        raise RuntimeError


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "data", clock := EventClock(T0), threads=1, memory="500MB")
    kept = Remembering(store, clock)
    with pytest.raises(RuntimeError):
        write_half(kept)

    assert kept.read("select * from binning").is_empty()
    assert kept.state() == {}
    store.close()
