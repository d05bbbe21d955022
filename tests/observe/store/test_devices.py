"""What a page repeats of a device is not written again; whatever is new is, and nothing is lost by a rollback."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from observe.schema import Batch
from observe.store.devices import Devices

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def page(after_s: float, driver: str = "580", first_s: float | None = None) -> pl.DataFrame:
    last = NOON + timedelta(seconds=after_s)
    first = last if first_s is None else NOON + timedelta(seconds=first_s)
    return pl.DataFrame(
        {"device_id": ["GPU-1", "GPU-2"], "driver": [driver, "580"], "first_seen": first, "last_seen": last}
    )


@pytest.mark.parametrize(
    ("given", "new"),
    [
        (page(15), 0),
        (page(61), 2),  # the minute is over
        (page(15, driver="590"), 1),
        (page(-5), 2),  # of a time before
        (page(15, first_s=-3600), 2),  # first seen earlier than was known
    ],
)
def test_only_news_of_a_device_are_written(given: pl.DataFrame, new: int) -> None:
    devices = Devices()
    devices.told(page(0))

    assert devices.news(given).height == new


def test_a_device_told_in_fewer_columns_is_written() -> None:
    devices = Devices()
    devices.told(page(0))

    assert devices.news(page(15).drop("driver")).height == 2


def test_a_repeated_device_counts_as_stored_and_its_last_minute_is_kept(store) -> None:  # type: ignore[no-untyped-def]
    frame = pl.DataFrame({"device_id": ["GPU-1"], "last_seen": [NOON]})
    for i, after in enumerate((0, 15, 90)):
        rows = frame.with_columns(last_seen=pl.lit(NOON + timedelta(seconds=after)))
        assert store.append(Batch("gpus", f"p{i}", {"gpu_device": rows})).stored == {"gpu_device": 1}

    [(first, last)] = store.read("select first_seen, last_seen from gpu_device").rows()
    assert (first, last) == (NOON, NOON + timedelta(seconds=90))
