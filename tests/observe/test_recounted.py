"""Late rows and the past of new features are written in slices, each once, wherever the writer is killed."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from observe import summaries
from observe.clock import EventClock
from observe.schema import Batch
from observe.spec import Config, Model, Monitoring, Site
from observe.store import Store
from observe.summaries import Pace

T0 = datetime(2026, 3, 2, tzinfo=UTC)
NOW = T0 + timedelta(hours=3, minutes=22)  # when everything late has come
RECOUNTING = Path(__file__).with_name("recounting.py")
SLOW = Pace(4_000, 12, 3)  # a few windows a transaction, three transactions a call
REFERENCE = {"from": T0.isoformat(), "to": (T0 + timedelta(hours=1)).isoformat()}
TOTALS = (
    "select measure, ts, sum(n)::BIGINT as n, sum(events)::BIGINT as events, sum(missing)::BIGINT as missing,"
    " count(*) filter (not late) as ordinary,"
    " list_sum(flatten(list(counts)))::BIGINT as counted from summary group by measure, ts order by all"
)


pytestmark = pytest.mark.slow


class Killed(Exception):
    """The writer is gone."""


class Mortal:
    """A store whose writer is killed before its `left`-th transaction from now."""

    def __init__(self, store: Store, left: int | None) -> None:
        self._store, self._left = store, left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def change(self) -> AbstractContextManager[Any]:
        if self._left == 0:
            raise Killed
        self._left = None if self._left is None else self._left - 1
        return self._store.change()


def config(*features: str) -> Config:
    monitoring = Monitoring.model_validate({
        "metadata": {"name": "m"}, "slos": [{"name": "fine", "good": "status = ok", "objective": "99%"}],
        "drift": {"source": "attempts", "features": list(features), "reference": REFERENCE},
    })  # fmt: skip
    return Config(Site(), {"m": Model("m", monitoring=monitoring)})


def attempts(name: str, seed: int, n: int = 400, hours: float = 3) -> Batch:
    """Requests of three hours, of which some have a second try a while later."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, int(hours * 3600e6), n)) + int(T0.timestamp() * 1e6)
    again = rng.random(n) < 0.2
    ts = pl.Series(np.where(again, at + 400_000_000, at)).cast(pl.Datetime("us", "UTC"))
    trace = [f"{name if i % 3 else 'old'}{i - int(a)}" for i, a in enumerate(again)]
    return Batch("t", name, {"attempt": pl.DataFrame({
        "ts": ts, "ts_start": ts - timedelta(seconds=1), "attempt_id": [f"{name}{i}" for i in range(n)], "trace_id": trace, "model_id": ["m"] * n,
        "duration_s": [1.0] * n, "status": rng.choice(["ok", "error", "cancelled"], n, p=[0.8, 0.15, 0.05]), "cost_known": [False] * n, "attempt_no": again.astype(int),
        "tokens_in": rng.integers(1, 100, n), "tokens_out": rng.integers(1, 50, n),
    })})  # fmt: skip


@contextmanager
def history(path: Path) -> Iterator[tuple[Store, EventClock]]:
    """Three hours that are summarised; then as many rows again came late, and a feature is watched that was not."""
    clock = EventClock(T0 + timedelta(hours=3, minutes=11))
    store = Store.open(path / "data", clock, threads=1, memory="500MB")
    try:
        store.append(attempts("old", 1))
        summaries.close(store, config("tokens_in"), clock.now())
        clock.set(clock.now() + timedelta(minutes=1))
        store.append(attempts("late", 2))
        clock.set(clock.now() + timedelta(minutes=10))
        yield store, clock
    finally:
        store.close()


def finish(store: Store, clock: EventClock, kill: int | None) -> int:
    """Close in calls of a few transactions, killed once before the `kill`-th; returns how many calls it took."""
    mortal: Any = Mortal(store, kill)
    for call in range(1, 500):
        try:
            behind = summaries.close(mortal, config("tokens_in", "tokens_out"), clock.now(), SLOW).behind
        except Killed:
            mortal, behind = store, frozenset({"again"})
        if not behind:
            return call
    raise AssertionError("it never ends")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """What is stored when nobody is killed and everything is written at once."""
    with history(tmp_path_factory.mktemp("whole")) as (store, clock):
        summaries.close(store, config("tokens_in", "tokens_out"), clock.now())
        return store.read(TOTALS)


def test_slices_add_up_to_what_one_transaction_says(tmp_path: Path, whole: pl.DataFrame) -> None:
    with history(tmp_path) as (store, clock):
        calls = finish(store, clock, None)
        found = store.read(TOTALS)

    assert calls > 5
    assert found.equals(whole)
    assert (found["ordinary"] <= 1).all()
    assert set(found["measure"]) >= {"m/slo/fine", "m/attempts/error", "m/attempts/tokens_in", "m/attempts/tokens_out"}


@pytest.mark.parametrize("kill", [0, 3, 8, 15])
def test_a_writer_killed_between_slices_skips_and_repeats_none(tmp_path: Path, whole: pl.DataFrame, kill: int) -> None:
    with history(tmp_path) as (store, clock):
        finish(store, clock, kill)

        assert store.read(TOTALS).equals(whole)


@pytest.mark.parametrize("moment", [1, 2, 9, 16])
def test_a_process_killed_between_slices_leaves_nothing_double_and_nothing_lost(
    tmp_path: Path, whole: pl.DataFrame, moment: int
) -> None:
    with history(tmp_path):
        pass  # closed: another process writes
    died = subprocess.run(
        [sys.executable, str(RECOUNTING), str(tmp_path), str(moment)], capture_output=True, text=True, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
    clock = EventClock(NOW)
    with closing(Store.open(tmp_path / "data", clock, threads=1, memory="500MB")) as store:
        between = store.read(TOTALS)
        finish(store, clock, None)

        assert not between.equals(whole)
        assert store.read(TOTALS).equals(whole)
        assert (
            store.read(
                "select count(*) as n from (select measure, ts from summary where not late group by all having count(*) > 1)"
            ).item()
            == 0
        )


def test_rows_that_come_between_slices_are_counted_too(tmp_path: Path) -> None:
    with history(tmp_path) as (store, clock):
        summaries.close(store, config("tokens_in", "tokens_out"), clock.now(), SLOW)
        clock.set(clock.now() + timedelta(seconds=1))
        store.append(attempts("last", 3))
        finish(store, clock, None)
        clock.set(clock.now() + timedelta(minutes=10))
        finish(store, clock, None)

        every = (
            "select count(*) as n, count(*) filter (status = 'error') as bad from attempt where status <> 'cancelled'"
        )
        sums = "select sum(n)::BIGINT as n, sum(events)::BIGINT as bad from summary where measure = 'm/attempts/error'"
        assert store.read(sums).row(0) == store.read(every).row(0)
        requests = every.replace("from attempt", "from request")
        assert store.read(sums.replace("attempts/error", "slo/fine")).row(0) == store.read(requests).row(0)
        tokens = store.read("select sum(n)::BIGINT as n from summary where measure = 'm/attempts/tokens_out'").item()
        assert tokens == store.read("select count(*) as n from attempt where status = 'ok'").item()
