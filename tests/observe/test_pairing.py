"""Halves of calls to model servers become predictions: whole, late, alone, and after a restart."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from observe.app.intake import Intake, Taken
from observe.app.pairing import DEADLINE, PENDING_BYTES
from observe.clock import EventClock
from observe.errors import StoreError
from observe.spec import load
from observe.store import Store
from observe.telemetry import Telemetry

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MODEL = "apiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: iris}\nmodelRef: iris\nselector: {gatewayModels: [ml/sklearn-iris]}\n"


@contextmanager
def core(folder: Path, clock: EventClock) -> Iterator[tuple[Intake, Store]]:
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / "iris.yaml").write_text(MODEL)
    (folder / "observe.yaml").write_text("apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\n")
    store = Store.open(folder / "data", clock)
    intake = Intake(store, clock, Telemetry(), load(folder / "observe.yaml"))
    intake.pairing.recall(store)
    try:
        yield intake, store
    finally:
        store.close()


@pytest.fixture
def clock() -> EventClock:
    return EventClock(NOON)


@pytest.fixture
def opened(tmp_path: Path, clock: EventClock) -> Iterator[tuple[Intake, Store]]:
    with core(tmp_path, clock) as both:
        yield both


def half(side: str, call: str = "c1", at: datetime = NOON, **more: Any) -> dict[str, Any]:
    data = {"instances": [[6.8, 2.8], [6.0, 3.4]]} if side == "request" else {"predictions": [1, 0]}
    return {
        "specversion": "1.0", "id": call, "type": f"org.kubeflow.serving.inference.{side}", "source": "http://localhost:9081/", "time": at.isoformat(),
        "inferenceservicename": "sklearn-iris", "namespace": "ml", "endpoint": "", "data": data, **more,
    }  # fmt: skip


def send(intake: Intake, *events: dict[str, Any]) -> Taken:
    taken = intake.take("cloudevents", "cloudevents", json.dumps(list(events)).encode(), {}, "")
    taken.wait()
    return taken


ROWS = "SELECT model_id, prediction_id, item_idx, prediction, score, orphan, latency_s FROM prediction ORDER BY ALL"


@pytest.mark.parametrize("order", [("request", "response"), ("response", "request")])
def test_both_halves_make_one_row_for_each_instance(opened: tuple[Intake, Store], order: tuple[str, str]) -> None:
    intake, store = opened
    times = {"request": NOON - timedelta(seconds=2), "response": NOON - timedelta(seconds=1)}
    for side in order:
        send(intake, half(side, at=times[side]))

    assert store.read(ROWS).rows() == [("iris", "c1", 0, "1", 1.0, None, 1.0), ("iris", "c1", 1, "0", 0.0, None, 1.0)]
    assert store.read("SELECT f0, f1 FROM predictions.iris ORDER BY item_idx").rows() == [(6.8, 2.8), (6.0, 3.4)]
    assert intake.pairing.pending == 0


def test_both_halves_in_one_body_are_never_stored_as_halves(opened: tuple[Intake, Store]) -> None:
    intake, store = opened
    taken = send(intake, half("request"), half("response"))

    assert taken.wait().stored == {"prediction:iris": 2}
    assert store.read("SELECT count(*) FROM prediction_half").item() == 0


def test_a_half_that_stays_alone_becomes_orphans_after_a_minute(
    opened: tuple[Intake, Store], clock: EventClock
) -> None:
    intake, store = opened
    send(intake, half("request", "asked"), half("response", "answered"))
    clock.set(NOON + DEADLINE - timedelta(seconds=1))
    intake.pairing.sweep()
    assert intake.pairing.pending == 2

    clock.set(NOON + DEADLINE)
    intake.pairing.sweep()
    send(intake, half("request", "next"))  # its commit comes after theirs
    assert [r[1:6] for r in store.read(ROWS).rows()] == [
        ("answered", 0, "1", 1.0, "response_only"), ("answered", 1, "0", 0.0, "response_only"),
        ("asked", 0, None, None, "request_only"), ("asked", 1, None, None, "request_only"),
    ]  # fmt: skip


def test_halves_that_wait_survive_a_restart(tmp_path: Path, clock: EventClock) -> None:
    with core(tmp_path, clock) as (intake, store):
        send(intake, half("request", "whole"), half("response", "whole"), half("request", "late"))
        send(intake, half("request", "early"))
        send(intake, half("response", "early"))
    with core(tmp_path, clock) as (intake, store):
        assert intake.pairing.pending == 1
        send(intake, half("response", "late"))

        assert store.read("SELECT prediction_id, count(*), count(orphan) FROM prediction GROUP BY 1 ORDER BY 1").rows() == [
            ("early", 2, 0), ("late", 2, 0), ("whole", 2, 0),
        ]  # fmt: skip


def test_a_half_sent_again_is_stored_once(opened: tuple[Intake, Store], clock: EventClock) -> None:
    intake, _ = opened
    send(intake, half("request"))
    again = send(intake, half("request"), half("request", "other"))

    assert again.reasons(again.wait()) == {"duplicate": 1}
    assert intake.pairing.pending == 2


def test_more_than_memory_may_hold_becomes_orphans_early(opened: tuple[Intake, Store]) -> None:
    intake, store = opened
    wide = {"instances": [["x" * 900_000]]}
    for i in range(PENDING_BYTES // 900_000 + 3):
        send(intake, half("request", f"c{i:02}", data=wide))

    assert intake.pairing.pending <= PENDING_BYTES // 900_000
    assert store.read("SELECT min(prediction_id), min(orphan) FROM prediction").rows() == [("c00", "request_only")]


def test_what_is_not_stored_waits_again(opened: tuple[Intake, Store]) -> None:
    intake, store = opened
    send(intake, half("request"))
    store.close()
    for event in (half("response"), half("request", "other")):
        with pytest.raises(StoreError):
            send(intake, event)

    assert list(intake.pairing._waiting) == [("iris", "c1", "request")]


def test_only_the_tick_tells_orphans_while_there_is_room(opened: tuple[Intake, Store], clock: EventClock) -> None:
    intake, store = opened
    send(intake, half("request", "old"))
    clock.set(NOON + DEADLINE)
    send(intake, half("request", "new"))

    assert intake.pairing.pending == 2
    assert store.read("SELECT count(*) FROM prediction").item() == 0


def test_calls_of_several_models_in_one_body_are_told_apart(opened: tuple[Intake, Store]) -> None:
    intake, store = opened
    other = {"inferenceservicename": "churn"}
    send(
        intake,
        *(half(side, f"c{i}", **more) for i in range(300) for more in ({}, other) for side in ("request", "response")),
    )

    found = store.read("SELECT model_id, count(*), count(DISTINCT prediction_id) FROM prediction GROUP BY 1 ORDER BY 1")
    assert found.rows() == [("churn", 600, 300), ("iris", 600, 300)]


def test_what_waits_again_in_place_of_its_like_is_counted_once(opened: tuple[Intake, Store]) -> None:
    intake, _ = opened
    send(intake, half("request"))
    [(key, waiting)] = intake.pairing._waiting.items()
    intake.pairing._undo([waiting.half], ())

    intake.pairing._drop(key)
    assert intake.pairing._bytes == 0


def test_a_half_sent_again_after_its_call_was_whole_does_not_wait(opened: tuple[Intake, Store]) -> None:
    intake, _ = opened
    for side in ("request", "response", "request", "response", "request"):
        send(intake, half(side))

    assert intake.pairing.pending == 0


def test_a_half_sent_again_while_it_waits_still_waits(opened: tuple[Intake, Store]) -> None:
    intake, store = opened
    send(intake, half("request"))
    send(intake, half("request"))
    send(intake, half("response"))

    assert [row[5] for row in store.read(ROWS).rows()] == [None, None]


def test_calls_that_cannot_be_made_wait_again(
    opened: tuple[Intake, Store], clock: EventClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake, _ = opened
    send(intake, half("request"))
    with monkeypatch.context() as broken:
        broken.delattr("collectors.cloudevents.predictions")
        with pytest.raises(AttributeError):
            send(intake, half("response"))
        clock.set(NOON + 2 * DEADLINE)
        with pytest.raises(AttributeError):
            intake.pairing.sweep()

    assert list(intake.pairing._waiting) == [("iris", "c1", "request")]


def test_a_store_that_cannot_be_read_does_not_stop_the_start(
    opened: tuple[Intake, Store], caplog: pytest.LogCaptureFixture
) -> None:
    intake, store = opened
    store.close()
    intake.pairing.recall(store)

    assert "event=recall_failed" in caplog.text
