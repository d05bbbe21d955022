"""The overview's four numbers: what their small lines draw."""

from typing import Any

import duckdb
import polars as pl
import pytest
import world

from dashboards import catalogue, fleet, vitals
from dashboards.reader import SessionReader
from dashboards.scope import scope

COLUMNS = ("kind", "detector", "model", "subject", "monitor_id", "state", "window_start", "window_end")


def finding(minute: int, lasts_min: int, monitor: str, state: str) -> tuple[str, ...]:
    start, end = (f"2026-03-02 {m // 60:02}:{m % 60:02}:00+00" for m in (minute - lasts_min, minute))
    return ("drift", "level", "fraud", "amount", monitor, state, start, end)


def test_buckets_in_which_no_hour_was_judged_do_not_say_that_nothing_drifts() -> None:
    hourly = [finding(60 * h, 60, "fraud/level/amount/location", "alarm") for h in (1, 2, 3)]
    quick = [finding(m, 5, "fraud/level/amount/location_fast", "ok") for m in range(60, 181, 5)]
    found = pl.DataFrame([dict(zip(COLUMNS, row, strict=True)) for row in [*hourly, *quick]])
    asked = {"bucket": 900, "start": "2026-03-02 00:00:00+00", "end": "2026-03-02 04:00:00+00"}

    with duckdb.connect() as db:
        db.register("told", found)
        db.execute(
            "create view finding as select * replace (window_start::timestamptz as window_start, window_end::timestamptz as window_end) from told"
        )
        drifting = db.sql(vitals.TREND, params=asked).pl()["drifting"].drop_nulls().to_list()

    assert drifting == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "view", [{"range": "1h"}, {"range": "24h"}, {"range": "30d"}, {"range": "7d", "cluster": "us-east"}]
)
def test_how_busy_gpus_are_is_the_fleet_pages_number_whatever_the_range(
    read: SessionReader, view: dict[str, str]
) -> None:
    seen = scope({"now": world.NOW.isoformat(), **view})
    devices = read(fleet.DEVICES, seen.params)
    text = str(vitals.gpus(read, seen, catalogue.catalogue(read)))

    assert f"P(children='{vitals.words.share(devices['util'].mean())}', className='figure')" in text  # type: ignore[arg-type]
    assert f"{devices['idle'].sum()} idle of {devices.height} · ≈ $418 a day" in text


def test_devices_that_are_silent_now_are_not_busy_and_not_idle(read: SessionReader) -> None:
    def silent(sql: str, params: Any = None) -> pl.DataFrame:
        found = read(sql, params)
        return found.with_columns(pl.lit(None, pl.Float64).alias("util")) if sql == fleet.DEVICES else found

    text = str(vitals.gpus(silent, scope({"now": world.NOW.isoformat()}), catalogue.catalogue(read)))

    assert "24 devices are silent" in text
    assert "%" not in text.split("className='figure'", maxsplit=1)[0][-20:]
