"""The disk stays bounded: old bookkeeping goes, and the oldest raw files go first beyond a size."""

from datetime import timedelta

import polars as pl
import pytest

from observe.schema import Batch
from observe.store import Store

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def batches(store: Store) -> list[str]:
    with store.change() as change:
        return [name for (name,) in change.execute("SELECT DISTINCT batch_id FROM core.batch ORDER BY 1")]


@pytest.fixture
def days(store, attempts, noon):
    """One file a day of attempts, labels and predictions, for three days."""
    for ago in (3, 2, 1):
        time = noon - ago * DAY
        keys = {"ts": [time], "model_id": ["m"], "prediction_id": [f"p{ago}"]}
        store.append(attempts(f"a{ago}", ago=ago * DAY))
        store.append(Batch("s", f"l{ago}", {"label": pl.DataFrame(keys)}))
        rows = {"ts": [time + HOUR], "prediction_id": [f"p{ago}"], "x": [1.0]}
        store.append(Batch("s", f"p{ago}", {"prediction:m": pl.DataFrame(rows)}))
        store.seal(noon)
    return store


def test_batches_are_forgotten_after_a_day(store, attempts, noon, clock) -> None:
    store.append(attempts("old"))
    clock.set(noon + 12 * HOUR)
    store.append(attempts("young", ago=-12 * HOUR))

    store.retain(noon + 26 * HOUR, {})

    assert batches(store) == ["young"]


def test_the_newest_batch_stays_and_tells_the_watermark(store, attempts, noon, folder, clock) -> None:
    store.append(attempts("old"))
    store.retain(noon + 3 * DAY, {})
    store.close()

    again = Store.open(folder, clock)

    assert batches(again) == ["old"]
    again.close()


def test_runs_of_collectors_are_kept_for_thirty_days(store, noon) -> None:
    with store.change() as change:
        times = [noon - ago * DAY for ago in (40, 32, 29, 0)]
        change.insert_frame("collector_run", pl.DataFrame({"ts": times, "collector": list("abcd")}))

    store.retain(noon, {})

    assert store.read("SELECT collector FROM collector_run ORDER BY ts")["collector"].to_list() == ["c", "d"]


def test_a_retain_with_nothing_to_do_commits_nothing(store, attempts, noon) -> None:
    store.append(attempts("a"))
    before = store.snapshot()

    assert store.retain(noon, {}, size_bytes=1 << 40) == 0
    assert store.snapshot() is before


def test_beyond_the_cap_the_oldest_raw_files_go_first(days, noon) -> None:
    cap = days.stats()["lake_bytes"] - 1

    assert days.retain(noon, {}, size_bytes=cap) == 1
    assert days.stats()["lake_bytes"] <= cap
    assert days.read("SELECT min(attempt_id) AS a FROM attempt").item() == "a1-0"
    assert days.read("SELECT count(*) FROM attempt").item() == 6


def test_predictions_go_by_age_among_the_others(days, noon) -> None:
    sizes = days.stats()
    cap = sizes["lake_bytes"] * 2 // 3

    assert days.retain(noon, {}, size_bytes=cap) in (2, 3, 4)
    assert days.read("SELECT count(*) FROM predictions.m").item() < 3


def test_summaries_and_labels_are_never_dropped_for_size(days, noon) -> None:
    assert days.retain(noon, {}, size_bytes=0) == 6
    assert days.stats()["files"] == {"label": 3}
    assert days.read("SELECT count(*) FROM prediction").item() == 0
