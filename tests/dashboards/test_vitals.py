"""The overview's four numbers: what their small lines draw."""

import duckdb
import polars as pl

from dashboards import vitals

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
