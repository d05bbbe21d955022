"""One suite over everything that is plugged in: collectors, detectors and channels keep their promises."""

import inspect
import json
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import aside

from alerts import telling
from alerts.notices import Receiver
from observe.app import canaries
from observe.clock import EventClock
from observe.errors import PayloadError
from observe.registry import names, plugin
from observe.schema import TABLES, Action, Evidence, Monitor, Summary, TrainingColumn, Window
from observe.schema.exchange import frame_schema
from observe.spec import load
from observe.spec.acting import Target, TargetSpec
from observe.spec.monitors import derive
from observe.spec.receiving import ReceiverSpec

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LABELS = {"source": "test", "model": "fraud", "target": "http://127.0.0.1/", "content_type": "application/json"}
COLLECTORS = names("observe.collectors")
DETECTORS = names("observe.detectors")
GOLDEN = Path(__file__).parent / "golden"
SAMPLES = {
    "prometheus": "dcgm_h100.prom", "otlp": "otlp_genai.json", "litellm": "litellm.ndjson",
    "predictions": "predictions.ndjson", "events": "event_flux.json",
}  # fmt: skip


@pytest.mark.parametrize("name", COLLECTORS)
@settings(max_examples=60)
@given(payload=st.one_of(st.binary(max_size=400), st.text(max_size=300).map(str.encode), st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8), lambda c: st.lists(c, max_size=4) | st.dictionaries(st.text(max_size=8), c, max_size=4),
    max_leaves=12).map(lambda v: json.dumps(v).encode())))  # fmt: skip
def test_a_collector_counts_what_it_cannot_use_and_never_crashes(name: str, payload: bytes) -> None:
    try:
        parsed = plugin("observe.collectors", name).parse(payload, NOW, LABELS)
    except PayloadError:
        return

    assert parsed.offered == parsed.items + sum(parsed.rejected.values())


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_collector_makes_frames_of_known_tables_and_types(name: str) -> None:
    payload = (GOLDEN / SAMPLES[name]).read_bytes()
    parsed = plugin("observe.collectors", name).parse(
        payload, NOW, {**LABELS, "accept_past_s": "inf", "accept_future_s": "inf"}
    )

    assert parsed.tables
    for key, frame in parsed.tables.items():
        schema = frame_schema(TABLES[key.partition(":")[0]])
        assert {c: t for c, t in frame.schema.items() if c in schema} == {
            c: schema[c] for c in frame.columns if c in schema
        }


def nothing(monitors: tuple[Monitor, ...]) -> Evidence:
    empty = pl.DataFrame(schema=dict(frame_schema(Summary.table())))
    frames = {
        "canary_1m": pl.DataFrame(schema=canaries.SCHEMA),
        "training": pl.DataFrame(schema={**frame_schema(TrainingColumn.table()), "served": pl.Boolean}),
        "gpu_5m": pl.DataFrame(schema={"ts": pl.Datetime("us", "UTC"), "cluster": pl.String, "sku": pl.String, "devices": pl.Int64, "util_mean": pl.Float64, "idle_devices": pl.Int64, "saturated_devices": pl.Int64, "throttled_devices": pl.Int64, "sm_clock_mean": pl.Float64, "temp_max": pl.Float64, "power_w_sum": pl.Float64}),
        "device_5m": pl.DataFrame(schema={"ts": pl.Datetime("us", "UTC"), **dict.fromkeys(("device_id", "parent_uuid", "mig_profile", "cluster", "node", "sku", "workload"), pl.String), "gpu_index": pl.Int64, **dict.fromkeys(("util", "tensor", "dram", "power", "sm_clock", "temp"), pl.Float64)}),
        "queue_5m": pl.DataFrame(schema={"ts": pl.Datetime("us", "UTC"), "model_id": pl.String, "cluster": pl.String, "queue_mean": pl.Float64, "queue_max": pl.Float64, "running_mean": pl.Float64, "kv_mean": pl.Float64, "samples": pl.Int64}),
        "last_seen": pl.DataFrame(schema={"collector": pl.String, "target": pl.String, "every_s": pl.Float64, "last_ts": pl.Datetime("us", "UTC"), "now": pl.Datetime("us", "UTC")}),
    }  # fmt: skip
    return Evidence(monitors, Window(NOW - timedelta(hours=2), NOW), empty, {}, {}, frames)


@pytest.fixture(scope="module")
def monitors(project: Path) -> tuple[Monitor, ...]:
    return derive(load(project / "examples" / "observe.yaml"), {})


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_without_monitors_finds_nothing(name: str) -> None:
    found = plugin("observe.detectors", name).detect(nothing(()))

    assert (found.findings, dict(found.state)) == ((), {})


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_without_rows_alarms_nobody_and_calls_nothing_fine(name: str, monitors: tuple[Monitor, ...]) -> None:
    mine = tuple(m for m in monitors if m.detector == name)
    found = plugin("observe.detectors", name).detect(nothing(mine))

    assert mine
    assert {f.state for f in found.findings} <= {"learning", "unknown", "too_few", "not_identifiable"}


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_is_deterministic_and_its_state_is_plain_json(name: str, monitors: tuple[Monitor, ...]) -> None:
    evidence = nothing(tuple(m for m in monitors if m.detector == name))
    detect = plugin("observe.detectors", name).detect
    first, second = detect(evidence), detect(pickle.loads(pickle.dumps(evidence)))

    assert first == second
    assert json.loads(json.dumps(first.state, allow_nan=False)) == first.state


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_says_from_when_it_wants_summaries(name: str, monitors: tuple[Monitor, ...]) -> None:
    window = Window(NOW - timedelta(hours=2), NOW)
    since = [plugin("observe.detectors", name).since(m, {}, window) for m in monitors if m.detector == name]

    assert all(s <= window.end for s in since)


@pytest.mark.parametrize("name", names("observe.channels"))
def test_a_channel_sends_a_message_within_a_time(name: str) -> None:
    assert list(inspect.signature(plugin("observe.channels", name).send).parameters) == ["message", "timeout_s"]


@pytest.mark.parametrize("name", names("observe.receivers"))
def test_a_receiver_is_told_the_same_in_the_same_words_twice_and_no_secret_is_among_them(name: str) -> None:
    channel, receiver = plugin("observe.receivers", name), Receiver("ops", told_by(name))
    notice, _ = telling.trial(NOW, "ada")
    made = [channel.compose(notice, receiver, (), "https://observe.example.com") for _ in range(2)]

    assert made[0] == made[1]
    assert (made[0].channel, made[0].url, made[0].incident_id) == (name, f"{name}:ops", notice.incident.incident_id)
    assert list(inspect.signature(channel.send).parameters) == ["message", "timeout_s", "receiver", "now"]


@pytest.mark.parametrize("name", names("observe.receivers"))
def test_a_receiver_whose_secret_is_missing_is_tried_again(name: str) -> None:
    channel, receiver = plugin("observe.receivers", name), Receiver("ops", told_by(name))
    message = channel.compose(telling.trial(NOW, "ada")[0], receiver, (), None)
    reply = channel.send(message, 2.0, receiver, NOW)

    assert (reply.ok, reply.retry) == (False, True)
    assert "OBSERVE_TEST_UNSET" in (reply.error or "")


@pytest.mark.parametrize("name", names("observe.actions"))
def test_a_sink_takes_an_action_a_target_and_a_clock_and_can_be_looked_at_without_asking(name: str) -> None:
    sink = plugin("observe.actions", name)

    assert list(inspect.signature(sink.send).parameters) == ["action", "target", "clock"]
    assert list(inspect.signature(sink.check).parameters) == ["target"]
    assert not hasattr(sink, "follow") or list(inspect.signature(sink.follow).parameters) == [
        "action",
        "target",
        "clock",
    ]


@pytest.mark.parametrize("name", sorted({*names("observe.actions")} - {"keda"}))
def test_a_sink_whose_target_is_away_or_whose_secret_is_missing_says_so_and_may_be_asked_again(name: str) -> None:
    sink, key = plugin("observe.actions", name), "0e0f1f4e-6f0b-5c86-9d59-5f6a3a9b8c11"
    action = Action(
        f"act-{key}",
        "inc-1",
        "fraud",
        "retrain",
        f"{name}:x",
        "approval",
        "sent",
        "drift.confirmed: x",
        {},
        NOW,
        NOW,
        key,
    )
    away = TargetSpec.model_validate({"type": name, "url": "http://127.0.0.1:9/", "secret": "env:OBSERVE_TEST_UNSET"})
    receipt = aside(sink.send, action, Target("t", "x", away), EventClock(NOW))

    assert (receipt.taken, receipt.retry, bool(receipt.text)) == (False, True, True)


def told_by(name: str) -> ReceiverSpec:
    secret = "env:OBSERVE_TEST_UNSET"
    parts = {
        "webhook": {"url": "http://127.0.0.1:9/", "secret": secret}, "slack": {"webhook": secret}, "pagerduty": {"routingKey": secret},
        "email": {"smtp": "127.0.0.1:9", "from": "o@example.com", "to": "a@example.com", "username": "o", "password": secret},
    }  # fmt: skip
    return ReceiverSpec(type=name, **parts[name])
