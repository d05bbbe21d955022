"""A source that is silent longer than it ever is."""

from datetime import UTC, datetime, timedelta

import polars as pl

from detectors import silence
from observe.schema import Detected, Evidence, Json, Monitor, Window

T0 = datetime(2026, 3, 2, tzinfo=UTC)
MONITOR = Monitor("site/silence/gpus", "site", "silence", "", "gpus", "silence", 60, "ticket", 0.0, 0.1)


def ask(now: datetime, last: datetime | None, state: Json, every: float = 15.0) -> Detected:
    kinds = {
        "collector": pl.String,
        "every_s": pl.Float64,
        "last_ts": pl.Datetime("us", "UTC"),
        "now": pl.Datetime("us", "UTC"),
    }
    seen = pl.DataFrame([{"collector": "gpus", "every_s": every, "last_ts": last, "now": now}], kinds)
    return silence.detect(
        Evidence((MONITOR,), Window(now - timedelta(minutes=1), now), pl.DataFrame(), {}, state, {"last_seen": seen})
    )


def learned(hours: int, age: float) -> Json:
    state: Json = {}
    for hour in range(hours):
        now = T0 - timedelta(hours=hours - hour)
        state = ask(now, now - timedelta(seconds=age), state, every=300.0).state
    return state


def test_a_source_that_spoke_within_three_intervals_is_well() -> None:
    [finding] = ask(T0, T0 - timedelta(seconds=44), {}).findings

    assert (finding.state, finding.note) == ("ok", "gpus was heard 44 s ago")


def test_a_source_silent_for_longer_than_three_intervals_is_found_with_its_onset() -> None:
    [finding] = ask(T0, T0 - timedelta(minutes=9), {}).findings

    assert (finding.state, finding.note) == ("alarm", "gpus has been silent for 9 min (usual: below 45 s)")
    assert finding.onset == T0 - timedelta(minutes=9) + timedelta(seconds=15)
    assert finding.evidence_nats is None


def test_a_source_that_is_often_late_is_given_more_time() -> None:
    state = learned(12, 800.0)

    assert ask(T0, T0 - timedelta(seconds=1_100), state, every=300.0).findings[0].state == "ok"
    assert ask(T0, T0 - timedelta(seconds=1_300), state, every=300.0).findings[0].state == "alarm"


def test_an_outage_teaches_nothing() -> None:
    before = learned(12, 100.0)
    during = ask(T0, T0 - timedelta(hours=5), before, every=300.0).state

    assert during[MONITOR.monitor_id]["hours"] == before[MONITOR.monitor_id]["hours"]


def test_a_source_never_heard_is_waited_for_and_then_reported() -> None:
    first = ask(T0, None, {})
    later = ask(T0 + timedelta(seconds=60), None, first.state)

    assert (first.findings[0].state, later.findings[0].state) == ("learning", "alarm")
    assert later.findings[0].note == "gpus has never been heard"


def test_an_unchanged_state_is_told_every_five_minutes_only() -> None:
    state, told = {}, 0
    for minute in range(1, 11):
        found = ask(T0 + timedelta(minutes=minute), T0 + timedelta(minutes=minute), state)
        state, told = found.state, told + len(found.findings)

    assert told == 3
