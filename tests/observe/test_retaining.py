"""Rows leave when their time is over, and not before every summary has counted them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from observe import summaries
from observe.app.retaining import retain
from observe.clock import EventClock
from observe.schema import Batch
from observe.spec import Config, Model, Monitoring, Site
from observe.store import Store

T0 = datetime(2026, 3, 2, tzinfo=UTC)
NOW = T0 + timedelta(days=60)
WATCHED = Monitoring.model_validate(
    {
        "metadata": {"name": "m"},
        "drift": {"source": "predictions"},
        "slos": [{"name": "up", "good": "status = ok", "objective": "99%", "window": "30d"}],
    }
)
CONFIG = Config(Site(), {"m": Model("m", monitoring=WATCHED)})


@pytest.fixture
def clock() -> EventClock:
    return EventClock(NOW)


@pytest.fixture
def store(tmp_path: Path, clock: EventClock) -> Iterator[Store]:
    opened = Store.open(tmp_path, clock, threads=1, memory="500MB")
    yield opened
    opened.close()


def history(name: str, start: datetime) -> Batch:
    """Thirty hours of predictions and of attempts."""
    n = 12_000
    ended = pl.Series([start + timedelta(seconds=9 * i) for i in range(n)], dtype=pl.Datetime("us", "UTC"))
    ids = [f"{name}{i}" for i in range(n)]
    predictions = pl.DataFrame({"ts": ended, "prediction_id": ids, "x": [float(i * i % 97) for i in range(n)]})
    attempts = pl.DataFrame({"ts": ended, "ts_start": ended, "attempt_id": ids, "status": ["ok"] * n, "model_id": ["m"] * n, "duration_s": [1.0] * n})  # fmt: skip
    return Batch("import", name, {"prediction:m": predictions, "attempt": attempts})


def housekeeping(store: Store) -> list[int]:
    """As the core does every five minutes; raw rows that are left whole, of predictions and attempts."""
    store.seal(NOW)
    retain(store, CONFIG, EventClock(NOW))
    sql = "select (select count(*) from predictions.m where sampled_of is null), (select count(*) from attempt)"
    return list(store.read(sql).row(0))


def test_imported_history_is_summarised_before_it_leaves(store) -> None:
    store.append(history("old", T0))
    before = housekeeping(store)
    for _ in range(2):
        summaries.close(store, CONFIG, NOW)

    assert before == [12_000, 12_000]
    assert housekeeping(store) == [0, 0]
    counted = "select measure, sum(n)::bigint as n from summary where ends_with(measure, '/x') or contains(measure, '/slo/') group by 1 order by 1"
    assert store.read(counted)["n"].to_list() == [12_000, 12_000]


def test_what_comes_to_a_time_that_was_summarised_long_ago_is_counted_too(store, clock) -> None:
    store.append(history("new", NOW - timedelta(hours=40)))
    summaries.close(store, CONFIG, NOW)
    clock.set(NOW + timedelta(seconds=1))
    store.append(history("old", T0))

    assert housekeeping(store) == [24_000, 24_000]


def test_rollups_and_a_sample_outlive_the_rows(store) -> None:
    store.append(history("old", T0))
    for _ in range(2):
        summaries.close(store, CONFIG, NOW)
    housekeeping(store)

    sampled = store.read(
        "select ts::date as day, count(*) as n, max(sampled_of) as of from predictions.m group by 1 order by 1"
    )
    assert sampled.select("n", "of").rows() == [(9_600, 9_600), (2_400, 2_400)]
    assert store.read("select sum(attempts)::bigint as n from traffic_1m").item() == 12_000
