"""A minute of the service: what it says of itself, and what was pushed to it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from observe.app.doctor import of_data
from observe.app.intake import Intake
from observe.app.vitals import Vitals
from observe.clock import EventClock
from observe.errors import StoreError
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SITE = "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\ncollectors:\n  spend: {type: spendlogs, targets: ['http://gateway:4000']}\n"
RUNS = (
    "select collector, target, ok, offered, stored, rejected, lag_s from collector_run order by ts, collector, ok desc"
)


class Minutes:
    def __init__(self, folder: Path) -> None:
        (folder / "observe.yaml").write_text(SITE)
        self.clock, self.telemetry = EventClock(NOON), Telemetry()
        config = load(folder / "observe.yaml")
        self.store = Store.open(folder / "data", self.clock)
        self.intake = Intake(self.store, self.clock, self.telemetry, config)
        self.vitals = Vitals(config, self.store, self.clock, self.telemetry, self.intake)

    def push(self, *ids: str, at: datetime = NOON) -> None:
        rows = [{"prediction_id": i, "ts": at.isoformat(), "x": 1.0} for i in ids]
        labels = {"model": "fraud", "content_type": "application/json"}
        self.intake.take("predictions", "predictions/fraud", json.dumps(rows).encode(), labels, "").wait()


@pytest.fixture
def minutes(tmp_path: Path) -> Iterator[Minutes]:
    made = Minutes(tmp_path)
    yield made
    made.store.close()


def test_what_was_pushed_in_a_minute_is_one_run_a_source(minutes: Minutes) -> None:
    minutes.push("a", "b")
    minutes.vitals.take()
    minutes.push("b", "c", "")
    minutes.vitals.take()
    minutes.vitals.take()

    assert minutes.store.read(RUNS).rows() == [
        ("predictions/fraud", "push", True, 2, 2, "{}", 0.0),
        ("predictions/fraud", "push", True, 3, 1, '{"duplicate": 1, "missing_key": 1}', 0.0),
    ]


def test_a_clock_that_runs_ahead_is_a_lag_below_zero(minutes: Minutes) -> None:
    minutes.push("a", at=NOON + timedelta(seconds=40))
    minutes.vitals.take()

    assert minutes.store.read("select lag_s, state from source_health").rows() == [(-40.0, "ok")]
    assert minutes.store.read("select what from telemetry_doubt").rows() == [("its clock runs ahead by 40 s",)]


def test_bodies_refused_whole_are_a_run_that_failed(minutes: Minutes) -> None:
    minutes.telemetry.refused.labels("/v1/traces", "401").inc(3)
    minutes.telemetry.refused.labels("/api/v1/sql", "400").inc()
    minutes.vitals.take()
    told = minutes.store.read("select source, state, last_error from source_health where way = 'push'").rows()

    assert told == [("otlp", "failing", "bodies refused whole: 3 with 401; the sender was told why")]


def test_what_a_failed_write_did_not_tell_the_next_one_does(minutes: Minutes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise StoreError("the disk is full")

    minutes.push("a")
    with monkeypatch.context() as broken:
        broken.setattr(minutes.store, "change", full)
        with pytest.raises(StoreError):
            minutes.vitals.take()
    minutes.vitals.take()

    assert [(offered, stored) for _, _, _, offered, stored, *_ in minutes.store.read(RUNS).rows()] == [(1, 1)]


def test_a_minute_says_how_late_the_loop_was_at_worst_and_how_full_everything_is(minutes: Minutes) -> None:
    minutes.telemetry.loop_lag.observe(0.003)
    minutes.telemetry.loop_lag.observe(0.07)
    minutes.vitals.take()
    minutes.telemetry.loop_lag.observe(0.003)
    minutes.vitals.take()
    rows = minutes.store.read(
        "select loop_lag_max_s, queue_ratio, rss_bytes > 1e7, disk_free_bytes > 0, database_bytes > 0 from service_sample"
    )

    assert rows.rows() == [(0.1, 0.0, True, True, True), (0.005, 0.0, True, True, True)]


def half(side: str, call: str) -> bytes:
    kind = f"org.kubeflow.serving.inference.{side}"
    data = {"instances": [[1.0]]} if side == "request" else {"predictions": [1]}
    named = {
        "id": call,
        "type": kind,
        "source": "s",
        "time": NOON.isoformat(),
        "inferenceservicename": "iris",
        "data": data,
    }
    return json.dumps([{"specversion": "1.0", **named}]).encode()


def test_halves_that_wait_for_the_other_are_counted_by_side_with_their_oldest(minutes: Minutes) -> None:
    for side, call in (("request", "a"), ("request", "b"), ("response", "b"), ("response", "c"), ("request", "d")):
        minutes.intake.take("cloudevents", "cloudevents", half(side, call), {}, "").wait()
        minutes.clock.set(minutes.clock.now() + timedelta(seconds=10))
    minutes.telemetry.tell_halves(minutes.intake.pairing.waiting())
    minutes.vitals.take()
    told = minutes.telemetry.exposition().decode()
    row = minutes.store.read("select requests_waiting, responses_waiting, halves_oldest_s from service_sample").row(0)

    assert row == (2, 1, 50.0)
    assert 'observe_halves_waiting{side="request"} 2.0' in told
    assert 'observe_halves_oldest_seconds{side="response"} 20.0' in told


def test_raw_rows_that_left_for_room_say_how_long_they_were_here(minutes: Minutes) -> None:
    minutes.push("a", "b")
    minutes.vitals.take()
    minutes.clock.set(NOON + timedelta(minutes=15))
    minutes.store.seal(minutes.clock.now())
    minutes.store.retain(minutes.clock.now(), {}, size_bytes=1)
    minutes.vitals.take()
    kept = "select part, state, value from pipeline_health where part = 'kept'"

    assert minutes.store.read(kept).rows() == [("kept", "wrong", 900.0)]
    assert "raw rows" in {s.subject for s in of_data(minutes.store.read, minutes.clock.now(), running=True)}
    minutes.clock.set(NOON + timedelta(days=2))
    minutes.vitals.take()
    assert minutes.store.read(kept).is_empty()


def test_halves_that_wait_beyond_their_minute_are_a_doubt_of_the_pipeline(minutes: Minutes) -> None:
    minutes.intake.take("cloudevents", "cloudevents", half("request", "a"), {}, "").wait()
    minutes.clock.set(NOON + timedelta(seconds=100))
    minutes.vitals.take()

    part = "select state, age_s, value, unit from pipeline_health where part = 'halves'"
    assert minutes.store.read(part).row(0) == ("doubt", 100.0, 1.0, "calls")
