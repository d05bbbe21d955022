"""A source that is silent longer than it ever is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl

from detectors import silence
from observe.schema import Detected, Evidence, Json, Monitor, Window

T0 = datetime(2026, 3, 2, tzinfo=UTC)
MONITOR = Monitor("site/silence/gpus", "site", "silence", "", "gpus", "silence", 60, "ticket", 0.0, 0.1)


A, B = "http://a:9400/metrics", "http://b:9400/metrics"
KINDS = {
    "collector": pl.String,
    "target": pl.String,
    "every_s": pl.Float64,
    "last_ts": pl.Datetime("us", "UTC"),
    "now": pl.Datetime("us", "UTC"),
}


def ask_all(
    now: datetime, heard: Mapping[str, datetime | None], state: Json, every: float = 15.0, **params: bool
) -> Detected:
    rows = [{"collector": "gpus", "target": t, "every_s": every, "last_ts": ts, "now": now} for t, ts in heard.items()]
    monitor = replace(MONITOR, params={"every_s": every, **params})
    window = Window(now - timedelta(minutes=1), now)
    seen = pl.DataFrame(rows, KINDS)
    return silence.detect(Evidence((monitor,), window, pl.DataFrame(), {}, state, {"last_seen": seen}))


def ask(now: datetime, last: datetime | None, state: Json, every: float = 15.0, **params: bool) -> Detected:
    return ask_all(now, {"": last}, state, every, **params)


def ask_senders(now: datetime, heard: Mapping[str, datetime], state: Json, **params: float) -> Detected:
    """A pushed source and those behind it; every five minutes is their due."""
    kinds = {**KINDS, "sender": pl.Boolean, "removed_ts": KINDS["now"], "since": KINDS["now"]}
    shared = {"collector": "gpus", "every_s": 300.0, "now": now, "removed_ts": None, "since": None}
    rows = [{**shared, "target": "", "last_ts": max(heard.values()), "sender": False}]
    rows += [{**shared, "target": name, "last_ts": ts, "sender": True} for name, ts in heard.items()]
    monitor = replace(MONITOR, params={"every_s": 300.0, "push": True, **params})
    window = Window(now - timedelta(minutes=1), now)
    seen = pl.DataFrame(rows, kinds)
    return silence.detect(Evidence((monitor,), window, pl.DataFrame(), {}, state, {"last_seen": seen}))


def delivered(times: Sequence[datetime], until: datetime) -> list[str]:
    """States of a source of files, asked every ten minutes, that spoke at `times`."""
    state, told, now = {}, [], times[0]
    while now <= until:
        found = ask(now, max(t for t in times if t <= now), state, every=60.0, push=True, rhythm=True)
        state, now = found.state, now + timedelta(minutes=10)
        told += [f.state for f in found.findings]
    return told


def learned(hours: int, age: float) -> Json:
    state: Json = {}
    for hour in range(hours):
        now = T0 - timedelta(hours=hours - hour)
        state = ask(now, now - timedelta(seconds=age), state, every=300.0).state
    return state


def hours(state: Json, target: str = "") -> Json:
    return state[MONITOR.monitor_id]["targets"][target]["hours"]


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

    assert hours(during) == hours(before)


def test_a_silence_that_lasts_does_not_teach_how_long_it_may_last() -> None:
    state: Json = {}
    for minute in range(8 * 60):
        state = ask(T0 + timedelta(minutes=minute), T0 + timedelta(minutes=minute - minute % 3), state, 60.0).state
    last, told = T0 + timedelta(minutes=8 * 60 - 3), []
    for minute in range(8 * 60, 8 * 60 + 90):
        found = ask(T0 + timedelta(minutes=minute), last, state, 60.0)
        state, told = found.state, [*told, *(f.state for f in found.findings)]

    assert set(told[:1]) == {"ok"}
    assert told[-1] == "alarm"


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


def test_one_dead_target_among_two_is_found_and_named() -> None:
    dead = T0 - timedelta(minutes=4)
    [finding] = ask_all(T0, {A: T0 - timedelta(seconds=10), B: dead}, {}).findings

    assert (finding.state, finding.subject) == ("alarm", "gpus")
    assert finding.note == f"gpus: {B} has been silent for 4 min (usual: below 45 s)"
    assert finding.onset == dead + timedelta(seconds=15)
    assert (finding.details["target"], finding.details["silent_targets"]) == (B, [B])


def test_the_worst_of_several_dead_targets_speaks_for_all() -> None:
    [finding] = ask_all(T0, {A: T0 - timedelta(minutes=4), B: None, "c": T0 - timedelta(minutes=9)}, {}).findings

    assert finding.note == "gpus: c has been silent for 9 min (usual: below 45 s); 2 of 3 targets are silent"


def test_a_second_target_that_dies_is_told_at_once() -> None:
    at = T0 + timedelta(minutes=1)
    both = ask_all(at, {A: at, B: at}, {})
    one = ask_all(at + timedelta(minutes=1), {A: at, B: at + timedelta(minutes=1)}, both.state)
    two = ask_all(at + timedelta(minutes=2), {A: at, B: at}, one.state)

    assert [len(d.findings) for d in (both, one, two)] == [1, 1, 1]
    assert two.findings[0].details["silent_targets"] == [A, B]


def test_every_target_is_judged_by_its_own_past() -> None:
    state: Json = {}
    for hour in range(12):
        now = T0 - timedelta(hours=12 - hour)
        state = ask_all(now, {A: now, B: now - timedelta(seconds=800)}, state, every=300.0).state
    late = T0 - timedelta(seconds=1_100)

    assert ask_all(T0, {A: T0, B: late}, state, every=300.0).findings[0].state == "ok"
    assert ask_all(T0, {A: late, B: T0}, state, every=300.0).findings[0].details["silent_targets"] == [A]


def test_a_target_taken_out_is_forgotten() -> None:
    state = ask_all(T0, {A: T0, B: T0 - timedelta(hours=1)}, {}).state
    found = ask_all(T0 + timedelta(minutes=5), {A: T0 + timedelta(minutes=5)}, state)

    assert found.findings[0].state == "ok"
    assert list(found.state[MONITOR.monitor_id]["targets"]) == [A]


def test_a_pushing_source_nobody_has_connected_is_unknown_for_ever() -> None:
    first = ask(T0, None, {}, every=300.0, push=True)
    later = ask(T0 + timedelta(days=30), None, first.state, every=300.0, push=True)

    assert [d.findings[0].state for d in (first, later)] == ["unknown", "unknown"]
    assert later.findings[0].note == "gpus has never sent anything: nobody has connected it yet"


def test_a_pushing_source_that_has_stopped_is_found() -> None:
    [finding] = ask(T0, T0 - timedelta(minutes=20), {}, every=300.0, push=True).findings

    assert (finding.state, finding.note) == ("alarm", "gpus has been silent for 20 min (usual: below 15 min)")


def test_files_that_came_twice_have_no_rhythm_yet() -> None:
    assert set(delivered([T0, T0 + timedelta(hours=1)], T0 + timedelta(days=5))) == {"learning"}


def test_files_that_come_daily_are_missed_after_a_day_and_a_half() -> None:
    days = [T0 + timedelta(days=d) for d in range(5)]

    assert set(delivered(days, days[-1] + timedelta(hours=36))) == {"learning", "ok"}
    assert delivered(days, days[-1] + timedelta(hours=37))[-1] == "alarm"


def test_files_that_rest_at_the_weekend_alarm_at_most_once() -> None:
    days = [T0 + timedelta(days=d) for d in range(40) if d % 7 < 5]
    told = delivered(days, days[-1])

    assert sum(a == "alarm" != b for a, b in zip(told[1:], told, strict=False)) <= 1


def test_a_burst_of_files_is_no_rhythm() -> None:
    burst = [T0 + timedelta(minutes=10 * k) for k in range(5)]

    assert set(delivered(burst, T0 + timedelta(days=2))) == {"learning"}


def test_one_sender_that_stops_while_others_go_on_is_told_and_comes_back() -> None:
    well = ask_senders(T0, {"eu/n1": T0, "eu/n2": T0}, {})
    later = T0 + timedelta(minutes=16)
    gone = ask_senders(later, {"eu/n1": later, "eu/n2": T0}, well.state)
    back = ask_senders(later, {"eu/n1": later, "eu/n2": later}, gone.state)

    assert [d.findings[0].state for d in (well, gone, back)] == ["ok", "alarm", "ok"]
    assert gone.findings[0].note == "gpus: eu/n2 has been silent for 16 min (usual: below 15 min)"
    assert gone.state[MONITOR.monitor_id]["senders"] == ["eu/n2"]
    assert "senders" not in back.state[MONITOR.monitor_id]


def test_the_source_speaks_for_all_its_senders_when_it_is_silent_itself() -> None:
    now = T0 + timedelta(minutes=20)
    [finding] = ask_senders(now, {"eu/n1": T0, "eu/n2": T0}, {}).findings

    assert finding.note == "gpus has been silent for 20 min (usual: below 15 min)"
    assert finding.details["silent_senders"] == ["eu/n1", "eu/n2"]


def test_a_sender_is_no_longer_expected_after_a_day() -> None:
    hours_later = [T0 + timedelta(hours=h) for h in (23, 25)]
    told = [ask_senders(now, {"eu/n1": now, "eu/n2": T0}, {}).findings[0] for now in hours_later]

    assert [f.state for f in told] == ["alarm", "ok"]
    assert told[1].details["gone_senders"] == ["eu/n2"]
    assert told[1].note.endswith("; 1 of its senders went silent or were taken out: not expected any more")


def test_a_sender_whose_node_was_taken_out_is_no_longer_expected() -> None:
    now = T0 + timedelta(hours=1)
    row = {"every_s": 300.0, "now": now, "last_ts": T0, "target": "n", "sender": True}

    assert silence._is_gone({**row, "removed_ts": T0 - timedelta(minutes=10)})
    assert not silence._is_gone({**row, "removed_ts": T0 - timedelta(hours=2)})  # it came back since


def test_nobody_is_blamed_for_the_time_in_which_nobody_listened() -> None:
    restarted, now = T0 + timedelta(hours=3), T0 + timedelta(hours=3, seconds=40)
    row = {"collector": "gpus", "target": "", "every_s": 15.0, "last_ts": T0, "now": now, "since": restarted}
    before = {"silent": True, "hours": {}}
    told = [silence._judge(MONITOR, row, known).silent for known in ({}, before)]

    assert told == [False, True]


def test_of_what_nobody_declared_nothing_is_expected_after_a_week() -> None:
    now = T0 + timedelta(days=8)
    [finding] = ask_senders(now, {"n1": T0}, {}, lapses_s=7 * 86_400.0).findings

    assert (finding.state, "declared nowhere" in finding.note) == ("learning", True)
