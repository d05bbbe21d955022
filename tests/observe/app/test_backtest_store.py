"""Stored history with hardly any rows to fit on is refused, and hours without rows are no judged hours."""

from datetime import UTC, datetime, timedelta

import duckdb
import polars as pl
import pytest

from observe.app.backtest_plan import Options
from observe.app.backtest_store import Ask, Stored, backtest
from observe.errors import UsageError
from observe.schema import Monitor, Window

T0 = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
ASKED = Monitor("m/level/x", "m", "level", "m/p/x", "x", "location", 3_600, "ticket", 9.0, 1.0, 0.1, "sigma")


def holding(ts: list[datetime]) -> Ask:
    """A store whose summaries begin at these instants."""
    con = duckdb.connect()
    con.execute("set timezone = 'UTC'")
    con.execute("""create table summary as select unnest($ts)::timestamptz as ts, 300 as window_s, 'm/p/x' as measure, 'm' as model,
        'm/p/x@1' as binning_id, 10 as n, null::bigint as events, null::bigint[] as counts, 0 as missing, 0 as nan, 0 as inf, 0 as zero,
        null::double as low, null::double as high, null::double as value_sum, false as late""", {"ts": ts})  # fmt: skip
    return lambda sql: pl.DataFrame(con.sql(sql).pl())


def test_one_stray_row_is_no_history_to_fit_on() -> None:
    stray = T0 - timedelta(days=200)
    ask = holding([stray, *(T0 + i * HOUR for i in range(24 * 40))])
    stored = Stored("m", (ASKED,), {}, Window(stray, T0 + timedelta(days=40)))

    with pytest.raises(UsageError, match=r"rows in 1 of the 672 windows .* the first row is of 2025-06-19 00:00"):
        backtest(ask, stored, Options())


def test_days_judged_are_those_of_hours_with_rows() -> None:
    ask = holding(
        [T0 + i * HOUR / 2 for i in range(48 * 20) if i % 2 == 0 or i < 48] + [T0 + timedelta(days=59, hours=23)]
    )
    stored = Stored("m", (ASKED,), {}, Window(T0, T0 + timedelta(days=60)))

    result, _ = backtest(ask, stored, Options(fit_s=14 * 86_400.0))

    assert result.plan.filled == 24 * 6 + 1
    assert result.days == pytest.approx(6 + 1 / 24)
    assert result.plan.empty_days == pytest.approx(40 - 1 / 24)
