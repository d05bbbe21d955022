"""The budget of a period: of a calendar too, with its interval, and of how much nothing is known."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from burning import DAY, T0, evidence, judged, monitor

from detectors import burn
from detectors.allowance import span
from detectors.errorbudget import counted
from observe.schema import Json

MONTH = {"kind": "calendar", "unit": "month", "time_zone": "Europe/Berlin", "length_s": 2592000.0}


def last(n: np.ndarray, bad: np.ndarray, **params: Any) -> dict[str, Any]:
    return dict(judged(n, bad, monitor(**params)).findings[-1].details)


def test_a_calendar_period_ends_where_the_next_begins() -> None:
    first = int(datetime(2026, 4, 1, tzinfo=UTC).timestamp()) // 60 - 120  # midnight of 1 April in Berlin, in summer

    assert span({"window": MONTH}, first).end == first
    assert span({"window": MONTH}, first + 1).start == first


def test_a_calendar_budget_starts_anew_and_counts_on_the_traffic_to_come() -> None:
    n, bad = np.full(3 * DAY, 10), np.zeros(3 * DAY, dtype=np.int64)
    bad[: 2 * DAY : 60] = 1
    day = {"kind": "calendar", "unit": "day", "time_zone": "UTC", "length_s": 86400.0}
    found = judged(n, bad, monitor(objective=0.99, window=day)).findings
    at = {(f.window_end - T0) / timedelta(minutes=1): f.details for f in found}

    assert (at[2 * DAY]["total"], at[2 * DAY]["bad"]) == (14_400, 24)
    assert at[2 * DAY]["budget_left"] == pytest.approx(1 - 24 / 144)
    assert (at[2 * DAY + 60]["total"], at[2 * DAY + 60]["bad"], at[2 * DAY + 60]["budget_left"]) == (600, 0, 1.0)
    assert at[2 * DAY + 60]["budget_events"] == pytest.approx(144, rel=0.02)
    assert at[2 * DAY]["window"] == {
        "kind": "calendar",
        "from": (T0 + timedelta(days=1)).isoformat(),
        "to": (T0 + timedelta(days=2)).isoformat(),
    }


def test_intervals_hold_what_was_counted_and_bursts_widen_them() -> None:
    low, high = counted(np.array([0.0, 5.0, 400.0]), 1.0)

    assert (low <= [0, 5, 400]).all()
    assert (high >= [3, 5, 400]).all()
    assert counted(np.array([400.0]), 9.0)[1][0] > high[2]


def test_burn_rates_come_with_bounds_and_windows_without_requests_are_not_known() -> None:
    n, bad = np.full(DAY, 60), np.zeros(DAY, dtype=np.int64)
    bad[::20], n[-30:], bad[-30:] = 1, 0, 0
    details = last(n, bad)

    assert details["burn_low"]["5m"] is None
    assert details["burn_low"]["1d"] < details["burn"]["1d"] < details["burn_high"]["1d"]
    assert details["budget_low"] < details["budget_left"] < details["budget_high"]


def test_minutes_without_a_summary_are_gaps_where_requests_usually_come() -> None:
    n = np.full(5 * DAY, 2)
    n[4 * DAY + 300 : 4 * DAY + 345] = 0  # 90 requests usually
    n[4 * DAY + 600 : 4 * DAY + 608] = 0  # 16: chance
    whole = last(n, n * 0)

    assert whole["gaps_s"] == 45 * 60
    assert last(n[:DAY], n[:DAY] * 0)["gaps_s"] == 0


def test_gaps_are_the_same_however_the_minutes_were_replayed() -> None:
    n = np.full(5 * DAY, 2)
    n[4 * DAY + 290 : 4 * DAY + 425] = 0
    state: Json = {}
    for start in range(0, 5 * DAY, 97):
        found = burn.detect(evidence(n, n * 0, monitor(), start, min(5 * DAY, start + 97), state))
        state = found.state["m/burn/slo"]

    whole = judged(n, n * 0)
    assert found.findings[-1].details == whole.findings[-1].details
    assert found.findings[-1].details["gaps_s"] == 135 * 60


def test_a_quiet_slo_says_not_before_the_end_and_what_it_sees() -> None:
    n, bad = np.full(3 * DAY, 60), np.zeros(3 * DAY, dtype=np.int64)
    bad[::40] = 1  # 0.42 x
    details = last(n, bad)

    assert (details["forecast"]["exhausted_at"], details["forecast"]["basis"]) == (None, "the last days")
    assert details["forecast"]["until"] == (T0 + timedelta(days=33)).isoformat()
    assert 1 < details["power"]["burn_24h"] < details["power"]["burn_1h"]


def test_a_burn_is_carried_on_from_its_onset() -> None:
    n, bad = np.full(2 * DAY, 60), np.zeros(2 * DAY, dtype=np.int64)
    bad[::40], bad[-90:] = 1, 6  # 100 x for 90 minutes
    said = last(n, bad)["forecast"]
    gone, low, high = (datetime.fromisoformat(said[k]) for k in ("exhausted_at", "low", "high"))

    assert said["basis"] == "since the onset"
    assert low <= gone <= high
    assert last(n, bad)["budget_left"] < 0 or gone > T0 + timedelta(days=2)
