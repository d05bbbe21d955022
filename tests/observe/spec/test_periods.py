from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observe.spec.periods import period

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Apia",
)
UNITS = ("day", "week", "month", "quarter")


def calendar(unit: str, zone: str) -> dict[str, object]:
    return {"kind": "calendar", "unit": unit, "time_zone": zone, "length_s": 0.0}


@pytest.mark.parametrize(
    ("at", "hours"),
    [
        (datetime(2026, 3, 29, 12, tzinfo=UTC), 23),  # the clock jumps forward
        (datetime(2026, 10, 25, 12, tzinfo=UTC), 25),  # and back
        (datetime(2026, 6, 1, 12, tzinfo=UTC), 24),
    ],
)
def test_a_day_in_berlin_has_23_24_or_25_hours(at: datetime, hours: int) -> None:
    start, end = period(calendar("day", "Europe/Berlin"), at)

    assert end - start == timedelta(hours=hours)
    assert start.astimezone(ZoneInfo("Europe/Berlin")).time().isoformat() == "00:00:00"


def test_a_zone_that_never_changes_its_clock_has_days_of_24_hours_only() -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    days = [period(calendar("day", "Asia/Kolkata"), first + timedelta(days=i)) for i in range(365)]

    assert {end - start for start, end in days} == {timedelta(days=1)}


def test_february_has_its_leap_day_and_the_month_ends_at_local_midnight() -> None:
    start, end = period(calendar("month", "Europe/Berlin"), datetime(2028, 2, 29, 22, 59, tzinfo=UTC))
    after = period(calendar("month", "Europe/Berlin"), datetime(2028, 2, 29, 23, 0, tzinfo=UTC))

    assert (start.isoformat(), end.isoformat()) == ("2028-01-31T23:00:00+00:00", "2028-02-29T23:00:00+00:00")
    assert after[0] == end  # one minute later the next month's budget has begun


def test_a_week_begins_on_monday_and_a_quarter_in_january_april_july_october() -> None:
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday

    assert period(calendar("week", "UTC"), at)[0] == datetime(2026, 11, 16, tzinfo=UTC)
    assert period(calendar("quarter", "UTC"), at) == (
        datetime(2026, 10, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    )


def test_where_midnight_is_skipped_the_day_begins_when_the_clock_jumps() -> None:
    jump = datetime(2026, 3, 28, 22, tzinfo=UTC)  # Beirut: 00:00 becomes 01:00

    assert period(calendar("day", "Asia/Beirut"), jump)[0] == jump
    assert period(calendar("day", "Asia/Beirut"), jump - timedelta(minutes=1))[1] == jump


@given(
    st.sampled_from(ZONES),
    st.sampled_from(UNITS),
    st.datetimes(datetime(2000, 1, 2), datetime(2037, 12, 31)).map(lambda t: t.replace(tzinfo=UTC)),
)
def test_every_instant_lies_in_one_period_and_periods_leave_no_gap(zone: str, unit: str, at: datetime) -> None:
    start, end = period(calendar(unit, zone), at)

    assert start <= at < end
    assert period(calendar(unit, zone), end)[0] == end
    assert period(calendar(unit, zone), end - timedelta(microseconds=1)) == (start, end)


def test_a_rolling_period_is_the_length_before_the_instant() -> None:
    at = datetime(2026, 3, 29, 12, tzinfo=UTC)

    assert period({"kind": "rolling", "length_s": 86_400.0}, at) == (at - timedelta(days=1), at)
