"""A child makes the summaries; the core answers its questions and commits what it hands over."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from running import until

from observe import summaries
from observe.app.children import Child, Supervisor
from observe.app.summarising import Summarising
from observe.clock import EventClock
from observe.errors import SourceError
from observe.schema import Batch
from observe.spec import Config, Model, Monitoring, Site
from observe.store import Store

T0 = datetime(2026, 3, 2, tzinfo=UTC)
NOW = T0 + timedelta(hours=30)
WATCHED = Monitoring.model_validate({"metadata": {"name": "m"}, "drift": {"source": "predictions"}})
CONFIG = Config(Site(), {"m": Model("m", monitoring=WATCHED)})


def filled(path: Path) -> Store:
    store = Store.open(path, EventClock(NOW), threads=1, memory="500MB")
    n = 12_000
    rows = pl.DataFrame({
        "ts": pl.Series([T0 + timedelta(seconds=9 * i) for i in range(n)], dtype=pl.Datetime("us", "UTC")),
        "prediction_id": [f"p{i}" for i in range(n)], "x": [float(i * i % 97) for i in range(n)],
    })  # fmt: skip
    store.append(Batch("test", "one", {"prediction:m": rows}))
    return store


@contextmanager
def child(store: Store, on_restart: Callable[[str], object] = lambda name: None) -> Iterator[tuple[Summarising, Child]]:
    summing = Summarising(store, patience_s=60)
    process = Child("summarise", ["observe.app.summarising"], pass_fds=summing.channel, stuck=lambda: summing.stuck)
    supervisor = Supervisor([process], on_restart)
    supervisor.start()
    try:
        until(lambda: process.process)
        yield summing, process
    finally:
        supervisor.stop()


def written(store: Store) -> pl.DataFrame:
    return store.read("select * exclude (ingested_at) from summary order by all")


@pytest.mark.slow
def test_a_child_makes_the_same_summaries_as_this_process(tmp_path: Path) -> None:
    here, there = filled(tmp_path / "here"), filled(tmp_path / "there")
    summaries.close(here, CONFIG, NOW)
    with child(there) as (summing, _):
        made = summing.close(CONFIG, NOW)
        again = summing.close(CONFIG, NOW)

    assert made.rows > 300
    assert again.rows == 0
    assert written(there).equals(written(here))
    for store in (here, there):
        store.close()


@pytest.mark.slow
def test_a_past_written_in_small_steps_over_many_calls_is_the_same(tmp_path: Path) -> None:
    whole, stepwise = filled(tmp_path / "whole"), filled(tmp_path / "stepwise")
    summaries.close(whole, CONFIG, NOW)
    calls = 0
    while summaries.close(stepwise, CONFIG, NOW, summaries.Pace(cells=2_000, windows=15, steps=3)).rows:
        calls += 1

    assert calls > 5
    assert written(stepwise).equals(written(whole))
    for store in (whole, stepwise):
        store.close()


def test_a_child_that_falls_in_a_call_is_told_and_the_next_makes_what_is_missing(tmp_path: Path) -> None:
    store, told = filled(tmp_path), threading.Event()
    with child(store, lambda name: told.wait(60)) as (summing, process):  # the next one waits until this is told
        assert process.process
        fallen = process.process
        fallen.kill()
        fallen.wait()
        with pytest.raises(SourceError, match="summarise process"):
            summing.close(CONFIG, NOW)
        told.set()
        until(lambda: process.process is not fallen)
        made = summing.close(CONFIG, NOW)

    assert made.rows == written(store).height > 300
    store.close()
