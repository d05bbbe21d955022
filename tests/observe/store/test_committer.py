"""The queue refuses when it is full; one bad batch or a full disk takes nobody else with it."""

import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic

import polars as pl
import pytest
from running import until

from observe.clock import EventClock
from observe.errors import Overloaded, StoreError
from observe.schema import Batch, Receipt
from observe.store import Store
from observe.store.committer import LINGER_S, Committer, rest
from observe.store.entry import Entry
from observe.store.spill import Spill


class Gate:
    """A writer that waits until it may go on, and refuses batches named `bad`."""

    def __init__(self) -> None:
        self.open, self.groups = threading.Event(), []

    def write(self, entries, doubt: bool) -> list[Receipt]:  # type: ignore[no-untyped-def]
        self.open.wait(10)
        self.groups.append([e.batch_id for e in entries])
        if any(e.batch_id == "bad" for e in entries):
            raise StoreError("bad")
        return [Receipt(e.batch_id, 1, {}, {}) for e in entries]


def entry(name: str, size: int = 10) -> Entry:
    return Entry("s", name, (), {}, size)


def test_a_filling_queue_answers_429_and_a_full_one_503(tmp_path: Path) -> None:
    gate = Gate()
    committer = Committer(gate.write, 100, Spill(tmp_path))
    waiting = [committer.submit(entry("a", 69)), committer.submit(entry("b", 10))]

    with pytest.raises(Overloaded) as filling:
        committer.submit(entry("c"))
    committer.queued += 20
    with pytest.raises(Overloaded) as full:
        committer.submit(entry("d"))
    committer.queued -= 20
    gate.open.set()

    assert (filling.value.http_status, full.value.http_status) == (429, 503)
    assert [f.result(10).batch_id for f in waiting] == ["a", "b"]
    committer.close()
    assert committer.queued == 0


def test_a_batch_larger_than_the_queue_is_taken_when_nothing_waits(tmp_path: Path) -> None:
    gate = Gate()
    gate.open.set()
    committer = Committer(gate.write, 100, Spill(tmp_path))

    assert committer.submit(entry("big", 1000)).result(10).batch_id == "big"
    committer.close()


def test_batches_that_wait_are_stored_together(tmp_path: Path) -> None:
    gate = Gate()
    committer = Committer(gate.write, 1000, Spill(tmp_path))
    waiting = [committer.submit(entry(str(i))) for i in range(10)]
    gate.open.set()
    for future in waiting:
        future.result(10)
    committer.close()

    assert len(gate.groups) <= 2


def test_a_bad_batch_is_refused_alone(tmp_path: Path) -> None:
    gate = Gate()
    committer = Committer(gate.write, 1000, Spill(tmp_path))
    waiting = {name: committer.submit(entry(name)) for name in ("a", "bad", "c")}
    gate.open.set()

    assert isinstance(waiting["bad"].exception(10), StoreError)
    assert [waiting[name].result(10).batch_id for name in "ac"] == ["a", "c"]
    committer.close()


def test_when_the_committer_falls_everybody_is_told_and_nothing_more_is_taken(tmp_path: Path, monkeypatch) -> None:
    def fall(entries, doubt: bool) -> list[Receipt]:  # type: ignore[no-untyped-def]
        raise MemoryError("no room")

    monkeypatch.setattr(threading, "excepthook", lambda told: None)
    committer = Committer(fall, 1000, Spill(tmp_path))
    taken = committer.submit(entry("a"))

    assert "no room" in str(taken.exception(10))
    assert isinstance(taken.safe().exception(10), StoreError)
    with pytest.raises(StoreError, match="closed"):
        committer.submit(entry("b"))


def test_a_caller_that_gives_up_does_not_stop_the_others(store, attempts) -> None:
    first, second = store.submit(attempts("a")), store.submit(attempts("b"))
    first.cancel()

    assert second.result(10).stored == {"attempt": 3}
    assert first.result(10).stored == {"attempt": 3}


def test_a_table_that_is_gone_fails_its_batches_only(store, attempts) -> None:
    with store.change() as change:
        change.execute("ALTER TABLE hot.label RENAME TO elsewhere")
    bad = pl.DataFrame({"ts": attempts("x", 1).tables["attempt"]["ts"], "model_id": "m", "prediction_id": "p"})
    waiting = [store.submit(Batch("s", "bad", {"label": bad})), store.submit(attempts("good"))]

    assert isinstance(waiting[0].exception(10), StoreError)
    assert waiting[1].result(10).stored == {"attempt": 3}
    with store.change() as change:
        change.execute("ALTER TABLE hot.elsewhere RENAME TO label")
    assert store.append(Batch("s", "bad", {"label": bad})).stored == {"label": 1}


@pytest.mark.slow
def test_a_full_disk_loses_nothing_and_heals(tmp_path: Path, noon) -> None:
    script = Path(__file__).with_name("filling.py")
    done = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    fates = dict(line.split() for line in done.stdout.splitlines())

    store = Store.open(tmp_path, EventClock(noon))
    rows = store.read(
        "SELECT split_part(attempt_id, '-', 1) AS b, count(*) AS n, count(DISTINCT attempt_id) AS d FROM attempt GROUP BY 1"
    )
    store.close()

    assert {b for b, fate in fates.items() if fate == "stored"} <= set(rows["b"])
    assert {(n, d) for b, n, d in rows.rows()} <= {(100, 100), (400, 400)}
    assert "refused" in fates.values()
    assert {fate for b, fate in fates.items() if b.startswith("after")} == {"stored"}


def test_a_crowded_committer_rests_so_that_batches_gather(tmp_path: Path) -> None:
    gate, moments = Gate(), list[float]()

    def timed(entries, doubt: bool) -> list[Receipt]:  # type: ignore[no-untyped-def]
        began = monotonic()
        receipts = gate.write(entries, doubt)
        moments.extend((began, monotonic()))
        return receipts

    committer = Committer(timed, 10_000, Spill(tmp_path))
    waiting = [committer.submit(entry("first"))]
    until(lambda: committer._writing)
    waiting += [committer.submit(entry(str(i))) for i in range(5)]
    threading.Event().wait(0.03)  # what a commit takes
    gate.open.set()
    for future in waiting:
        future.result(10)
    committer.close()

    _, ended, began, _ = moments
    assert [len(group) for group in gate.groups] == [1, 5]
    assert began - ended >= rest(0.03)  # it lingers 5 ms where nobody waits


def test_who_sends_one_batch_after_the_other_waits_for_nobody(tmp_path: Path) -> None:
    gate = Gate()
    gate.open.set()
    committer = Committer(gate.write, 10_000, Spill(tmp_path))
    for i in range(20):
        committer.submit(entry(str(i))).result(10)
        assert committer._rest_s == LINGER_S
    committer.close()

    assert len(gate.groups) == 20


def test_a_rest_grows_with_what_a_commit_took_and_has_an_end() -> None:
    assert [rest(took) for took in (0.0, 0.01, 10.0)] == [LINGER_S, 0.02, 0.04]
