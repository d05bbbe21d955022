"""OpenSLO's time windows: rolling ones and those of a calendar, there and back; what cannot be kept is refused in place."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from promises import AVAILABILITY, FOREIGN, fields

from alerts import openslo, openslo_window, openslo_written, pyrra, rules, sloth
from alerts.promise import Promise
from observe.app.ruling import ruled
from observe.errors import ConfigError
from observe.spec.periods import NOMINAL_S, Calendar, as_json, period

SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: foo}
spec:
  service: shop
  indicator: {spec: {ratioMetric: {bad: {metricSource: {type: Prometheus, spec: {query: e_total}}}, total: {metricSource: {type: Prometheus, spec: {query: x_total}}}}}}
  timeWindow: WINDOW
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
"""
BERLIN = 'startTime: "2026-01-01 00:00:00", timeZone: Europe/Berlin'


def at(zone_and_start: str = BERLIN) -> str:
    return f"calendar: {{{zone_and_start}}}"


def read(window: str, notes: list[str] | None = None) -> Promise:
    [root] = fields(SLO.replace("WINDOW", window), notes if notes is not None else [])
    [promise] = openslo.promises(root, openslo.objects([root]))
    return promise


CALENDARS = (
    ("1d", "2026-03-29 00:00:00", "day"), ("24h", "2026-01-01T00:00:00", "day"), ("1w", "2026-01-05 00:00:00", "week"),
    ("7d", "2026-01-05", "week"), ("1M", "2020-02-01 00:00:00", "month"), ("1Q", "2026-10-01 00:00:00", "quarter"),
    ("3M", "2026-01-01 00:00:00", "quarter"),
)  # fmt: skip


@pytest.mark.parametrize(("duration", "start", "unit"), CALENDARS)
def test_a_period_of_the_calendar_is_kept_as_one(duration: str, start: str, unit: str) -> None:
    notes: list[str] = []
    found = read(f'[{{duration: {duration}, calendar: {{startTime: "{start}", timeZone: Asia/Tokyo}}}}]', notes)

    assert (found.calendar, found.window_s) == ({"unit": unit, "time_zone": "Asia/Tokyo"}, NOMINAL_S[unit])
    assert notes == []


def test_an_unquoted_start_as_the_specification_writes_it_is_read() -> None:
    found = read(
        "[{duration: 1M, calendar: {startTime: 2020-01-01 00:00:00, timeZone: America/New_York}, isRolling: false}]"
    )

    assert found.over == "calendar month (America/New_York)"


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (f"[{{duration: 2w, isRolling: false, {at()}}}]", "no calendar period of 2w is kept"),
        (f"[{{duration: 30d, {at()}}}]", "no calendar period of 30d is kept"),
        (f"[{{duration: 1Y, {at()}}}]", "no calendar period of 1Y is kept"),
        (f"[{{duration: 1M, isRolling: true, {at()}}}]", "either rolls or follows a calendar"),
        ("[{duration: 1M, isRolling: false}]", "a window that does not roll needs its calendar"),
        ("[{duration: 1M, calendar: {timeZone: UTC}}]", "startTime is missing"),
        ('[{duration: 1M, calendar: {startTime: "2026-01-01 00:00:00"}}]', "timeZone is missing"),
        (f"[{{duration: 1M, {at(BERLIN.replace('Berlin', 'Berln'))}}}]", "no time zone 'Europe/Berln'"),
        (f"[{{duration: 1M, {at(BERLIN.replace('-01 ', '-21 '))}}}]", "a month of the calendar does not begin at"),
        (f"[{{duration: 1d, {at(BERLIN.replace('00:00:00', '12:30:00'))}}}]", "a day of the calendar does not"),
        (f"[{{duration: 1w, {at()}}}]", "a week of the calendar does not begin at 2026-01-01"),
        (f"[{{duration: 1Q, {at(BERLIN.replace('-01-', '-02-'))}}}]", "a quarter of the calendar does not"),
        ('[{duration: 1M, calendar: {startTime: "2026-01-01T00:00:00Z", timeZone: UTC}}]', "has a zone of its own"),
        ("[{duration: 1M, calendar: {startTime: soon, timeZone: UTC}}]", "'soon' is no instant"),
        ("[{duration: 30d}, {duration: 7d}]", "an SLO has one time window"),
        ("{duration: 30d}", "timeWindow is a list of one window"),
    ],
)  # fmt: skip
def test_what_a_window_says_and_cannot_be_kept_is_refused_where_it_stands(window: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        read(window)

    assert error.value.mark is not None
    assert error.value.mark.file == "slo.yaml"


def test_rolling_months_are_told_in_days_and_a_missing_window_as_what_it_is_taken_for() -> None:
    notes: list[str] = []
    month = read("[{duration: 1M, isRolling: true}]", notes)
    none = fields(SLO.replace("  timeWindow: WINDOW\n", ""), notes)[0]
    [other] = openslo.promises(none, openslo.objects([none]))

    assert (month.window_s, month.calendar, other.window_s) == (30 * 86_400.0, {}, 30 * 86_400.0)
    assert notes == [
        "slo.yaml:7:27: a rolling 1M is 30d",
        "slo.yaml:5:3: no timeWindow is given: taken for the last 30d",
    ]


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia"])


@given(st.sampled_from(sorted(NOMINAL_S)), ZONES)
def test_a_calendar_period_is_written_and_read_back_the_same(unit: str, zone: str) -> None:
    ours = replace(FOREIGN, window_s=NOMINAL_S[unit], calendar={"unit": unit, "time_zone": zone})
    notes: list[str] = []
    [document] = openslo_written.documents([ours], notes)
    [root] = fields(yaml.safe_dump(document), notes)
    [back] = openslo.promises(root, openslo.objects([root]))

    assert (back.calendar, back.window_s, back.over) == (ours.calendar, ours.window_s, ours.over)
    assert notes == []


@pytest.mark.parametrize("unit", sorted(NOMINAL_S))
def test_the_written_start_begins_a_period_of_the_service(unit: str) -> None:
    """What another tool counts from is where our own budget starts anew."""
    told = openslo_window.written(NOMINAL_S[unit], {"unit": unit, "time_zone": "Europe/Berlin"})["calendar"]
    span = Calendar.model_validate({"calendar": unit, "timeZone": "Europe/Berlin"})
    at = datetime.fromisoformat(told["startTime"]).replace(tzinfo=ZoneInfo("Europe/Berlin"))

    assert period(as_json(span), at.astimezone(UTC))[0] == at


def test_sloth_and_pyrra_are_told_that_a_calendar_becomes_a_rolling_window() -> None:
    monthly = replace(AVAILABILITY, calendar={"unit": "month", "time_zone": "Europe/Berlin"})
    notes: list[str] = []
    sloth.documents([monthly], notes)
    pyrra.documents([monthly], notes)

    assert notes == [
        "chat.availability: Sloth has no calendar windows; calendar month (Europe/Berlin) becomes a rolling one",
        "chat.availability: Pyrra has no calendar windows; calendar month (Europe/Berlin) is written as 30d",
    ]


@pytest.mark.parametrize("dialect", ["sloth", "pyrra"])
def test_no_dialect_records_a_budget_over_a_calendar_period(dialect: str) -> None:
    monthly = replace(AVAILABILITY, dialect=dialect, calendar={"unit": "month", "time_zone": "Europe/Berlin"})
    names = {r.get("record", "") for r in rules.group_of(monthly)["rules"]}

    assert {f"{dialect}_objective", "slo:objective:ratio"} & names
    assert not names & {"slo:period_burn_rate:ratio", "slo:time_period:days", "pyrra_window", "pyrra_availability"}


def test_rules_of_a_file_tell_that_prometheus_keeps_no_calendar_budget(tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text(SLO.replace("WINDOW", f"[{{duration: 1M, {at()}}}]"))
    made = ruled([tmp_path / "slo.yaml"], None, "prometheus", {})
    again = ruled([tmp_path / "slo.yaml"], None, "openslo", {})

    assert any("no budget of shop.foo is recorded over calendar month (Europe/Berlin)" in note for note in made.notes)
    assert not any("no budget of" in note for note in again.notes)
    assert yaml.safe_load(again.files["shop.openslo.yml"])["spec"]["timeWindow"] == [
        {"duration": "1M", "isRolling": False, "calendar": {"startTime": "2026-01-01 00:00:00", "timeZone": "Europe/Berlin"}}
    ]  # fmt: skip


def test_a_month_is_no_window_of_pyrra() -> None:
    text = "apiVersion: pyrra.dev/v1alpha1\nkind: ServiceLevelObjective\nmetadata: {name: a}\nspec: {target: '99', window: 1M}\n"
    with pytest.raises(ConfigError, match="1M is neither"):
        pyrra.promise(fields(text, [])[0])
