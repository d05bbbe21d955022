"""The disk stays bounded: old bookkeeping goes, and the oldest raw files go first beyond a size."""

from datetime import timedelta

import polars as pl
import pytest

from observe.schema import Batch
from observe.store import Passed, Store

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

    assert days.retain(noon, {}, size_bytes=cap) in (3, 4, 5)
    assert days.read("SELECT count(*) FROM predictions.m").item() < 3


def test_summaries_and_labels_are_never_dropped_for_size(days, noon) -> None:
    assert days.retain(noon, {}, size_bytes=0) == 6
    assert days.stats()["files"] == {"label": 3, "attempt_1m": 3, "attempt_1h": 3}
    assert days.read("SELECT count(*) FROM prediction").item() == 0


@pytest.fixture
def predicted(store, noon):
    """Two days of 500 predictions, sealed in two files a day, the newer one late."""
    for part in range(2):
        for day in (3, 2):
            rows = {
                "ts": [noon - day * DAY + i * timedelta(seconds=7) for i in range(250)],
                "prediction_id": [f"{day}-{part}-{i}" for i in range(250)],
            }
            store.append(
                Batch(
                    "s", f"p{day}{part}", {"prediction:m": pl.DataFrame({**rows, "x": [float(i) for i in range(250)]})}
                )
            )
        store.seal(noon)
    return store


def test_a_sample_of_each_day_stays_when_predictions_leave(predicted, noon) -> None:
    predicted.retain(noon, {"prediction": DAY, "rollup": 90 * DAY}, reservoir=40)

    found = predicted.read(
        "SELECT ts::DATE AS day, count(*) AS n, min(sampled_of) AS l, max(sampled_of) AS h, count(x) AS x FROM predictions.m GROUP BY 1 ORDER BY 1"
    )
    assert found.select("n", "l", "h", "x").rows() == [(40, 500, 500, 40)] * 2
    predicted.retain(noon + 100 * DAY, {"prediction": DAY, "rollup": 90 * DAY}, reservoir=40)
    assert predicted.read("SELECT count(*) FROM predictions.m").item() == 0


def test_the_sample_is_the_same_in_whatever_parts_a_day_leaves(predicted, noon, tmp_path, clock) -> None:
    once = Store.open(tmp_path / "other", clock)
    rows = predicted.read("SELECT * EXCLUDE (ingested_at) FROM predictions.m ORDER BY hash(prediction_id)")
    once.append(Batch("s", "all", {"prediction:m": rows}))
    once.seal(noon)
    once.retain(noon, {"prediction": DAY}, reservoir=40)
    held = predicted.stats()["lake_bytes"]
    for _ in range(8):
        held -= 1
        predicted.retain(noon, {}, size_bytes=held, reservoir=40)
        held = predicted.stats()["lake_bytes"]

    said = "SELECT prediction_id, sampled_of FROM predictions.m ORDER BY 1"
    assert predicted.read(said).rows() == once.read(said).rows()
    once.close()


def test_rows_that_are_not_counted_yet_do_not_leave_by_age(predicted, noon) -> None:
    def left(until, seen) -> int:
        predicted.retain(noon, {"prediction": HOUR}, passed={"prediction:m": Passed(until, seen)})
        return predicted.read("SELECT count(*) FROM predictions.m").item()

    assert left(noon - 2.5 * DAY, noon - HOUR) == 1000  # stored after everybody looked
    assert left(noon - 2.5 * DAY, noon) == 500
    assert left(noon, noon) == 0


@pytest.mark.slow
def test_a_size_and_a_period_hold_after_merges_and_views_go_on(store, attempts, noon, clock) -> None:
    for hours in range(96, 0, -4):
        store.append(attempts(f"h{hours}", 300, ago=hours * HOUR, trace_id=f"trace{hours}"))
        store.seal(noon)
    store.seal(noon + HOUR)
    raw = store.read(
        "SELECT sum(bytes)::BIGINT AS b FROM core.manifest WHERE table_name = 'attempt' AND dead_at IS NULL"
    )
    cap = store.stats()["lake_bytes"] - raw.item() // 2
    store.retain(noon, {"attempt": 3 * DAY, "rollup": 90 * DAY}, size_bytes=cap)

    assert store.stats()["lake_bytes"] <= cap
    assert store.read("SELECT min(ts) >= $t FROM attempt", {"t": noon - 4 * DAY}).item()
    assert store.read("SELECT sum(attempts)::BIGINT AS n FROM traffic_1m").item() == 24 * 300
    assert store.read("SELECT count(*) FROM request").item() > 0
