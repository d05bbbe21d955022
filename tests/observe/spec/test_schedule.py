"""Cron fields in a time zone: each slot once, also where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observe.errors import ConfigError
from observe.spec import load
from observe.spec.schedule import OFTENEST, latest, upcoming

BERLIN = "Europe/Berlin"


def slots(cron: str, zone: str, start: datetime, n: int) -> list[datetime]:
    found = []
    for _ in range(n):
        at = upcoming(cron, zone, start)
        assert at is not None
        found.append(at)
        start = at
    return found


def test_monday_at_seven_is_at_seven_in_winter_and_in_summer() -> None:
    [before, after] = slots("0 7 * * 1", BERLIN, datetime(2026, 3, 22, tzinfo=UTC), 2)

    assert (before, after) == (datetime(2026, 3, 23, 6, tzinfo=UTC), datetime(2026, 3, 30, 5, tzinfo=UTC))


def test_a_time_that_does_not_exist_comes_right_after_the_gap() -> None:
    [at, following] = slots("30 2 * * *", BERLIN, datetime(2026, 3, 28, 12, tzinfo=UTC), 2)

    assert at == datetime(2026, 3, 29, 1, tzinfo=UTC)  # 3:00 in Berlin
    assert following == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)


def test_a_time_that_exists_twice_comes_once() -> None:
    [at, following] = slots("30 2 * * *", BERLIN, datetime(2026, 10, 24, 12, tzinfo=UTC), 2)

    assert (at, following) == (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 26, 1, 30, tzinfo=UTC))


def test_every_hour_goes_on_every_hour_while_clocks_change() -> None:
    found = slots("0 * * * *", BERLIN, datetime(2026, 10, 24, 20, tzinfo=UTC), 10)

    assert {b - a for a, b in pairwise(found)} == {timedelta(hours=1)}


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 1), timezones=st.just(UTC)),
    st.sampled_from(["0 7 * * 1", "30 2 * * *", "0 3 1 * *", "15 */5 * * *", "0 1,2,3 * * *", "0 0 L * *"]),
    st.sampled_from([BERLIN, "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
)
def test_the_newest_slot_and_the_next_one_meet(now: datetime, cron: str, zone: str) -> None:
    before, after = latest(cron, zone, now), upcoming(cron, zone, now)

    assert before is not None
    assert after is not None
    assert before <= now < after
    assert upcoming(cron, zone, before) == after
    assert latest(cron, zone, after - timedelta(seconds=1)) == before


def test_a_slot_is_not_after_itself() -> None:
    at = datetime(2026, 11, 23, 6, tzinfo=UTC)

    assert latest("0 7 * * 1", BERLIN, at) == at
    assert upcoming("0 7 * * 1", BERLIN, at) == at + timedelta(days=7)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('cron: "0 7 * *"', "has 4 fields"),
        ('cron: "0 25 * * *"', "bad hour"),
        ('cron: "*/5 * * * *"', "more often than once an hour"),
        ('cron: "0 0 30 2 *"', "bad day-of-month"),
        ('cron: "0 7 * * 1", timezone: Europe/Berln', "no time zone 'Europe/Berln'"),
        ('cron: "0 7 * * 1", last: 5m', "an hour at least"),
        ('cron: "0 7 * * 1", format: [pdf]', "not one of the choices"),
    ],
)
def test_a_mistake_in_a_schedule_is_told_with_its_place(tmp_path, written: str, told: str) -> None:  # type: ignore[no-untyped-def]
    site = tmp_path / "observe.yaml"
    site.write_text(f"apiVersion: observe/v1\nkind: Site\nreports:\n  weekly: {{model: fraud, {written}}}\n")

    with pytest.raises(ConfigError, match=told) as refused:
        load(site)

    assert "observe.yaml:4:" in str(refused.value)


def test_nothing_is_scheduled_more_often_than_it_is_looked_at() -> None:
    assert timedelta(minutes=30) <= OFTENEST
