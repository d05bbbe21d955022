"""What is read around an incident, from a real store: requests by value, hardware, series, messages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alarms import at, change, configured, finding

from alerts.differing import Totals, compare
from alerts.weighing import Scene
from observe.app.casework import Casework, bad_sql
from observe.clock import EventClock, RisingClock
from observe.schema import Attempt, Batch, GpuSample, LogEvent, ServingSample, Window
from observe.schema.exchange import frame
from observe.spec import Config
from observe.store import Store

SCENE = Scene("chat", at(-1), at(0), at(1), frozenset({"eu-west"}))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data", RisingClock(EventClock(at(30))))
    yield opened
    opened.close()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configured(tmp_path)


def attempts(*rows: dict) -> dict:
    """Attempts, each with what it says beside the usual."""
    usual = {
        "model_id": "chat", "provider": "vllm", "deployment_id": "vllm-eu", "cluster": "eu-west", "duration_s": 1.0, "ttft_s": 0.2,
        "stream": True, "status": "ok", "tokens_in": 500, "tokens_cached_in": 0, "cost_known": True, "attempt_no": 0, "quality": 0,
    }  # fmt: skip
    full = [{"attempt_id": f"a{i}", "trace_id": f"t{i}", **usual, **r} for i, r in enumerate(rows)]
    names = [c.name for c in Attempt.table().columns if c.name not in ("source", "ingested_at")]
    return {
        "attempt": frame(
            Attempt.table(), {n: [r.get(n, r["ts"] if n == "ts_start" else None) for r in full] for n in names}
        )
    }


def put(store: Store, tables: dict) -> None:
    store.append(Batch("test", "1", tables))


def test_requests_are_counted_by_value_bad_and_good_since_the_onset_and_before(store: Store, config: Config) -> None:
    rows = [{"ts": at(m / 10), "ttft_s": 3.0, "prompt_version": "v8"} for m in range(1, 21)]
    rows += [{"ts": at(m / 10), "prompt_version": "v7", "deployment_id": "vllm-us"} for m in range(1, 101)]
    rows += [{"ts": at(-20 + m / 10), "prompt_version": "v7", "deployment_id": "vllm-us"} for m in range(100)]
    rows += [
        {"ts": at(1), "status": "cancelled", "prompt_version": "v8"},
        {"ts": at(1), "model_id": "code", "prompt_version": "v8"},
    ]
    put(store, attempts(*rows))
    slo = config.models["chat"].monitoring.slos[0]  # type: ignore[union-attr]
    counts, totals = Casework(config, store).counts(slo, SCENE, at(30))

    assert totals == Totals(20, 100, 0, 100)
    assert {(c.bad, c.good, c.good_before) for c in counts if c.dimension == "prompt version"} == {
        (20, 0, 0),
        (0, 100, 100),
    }
    [first, *_] = compare(counts, totals).ranked
    assert (first.dimension, first.value, first.also) == ("prompt version", "v8", (("deployment", "vllm-eu"),))


def test_a_request_tried_again_is_one_and_says_so(store: Store, config: Config) -> None:
    again = {"trace_id": "t0", "ts": at(1), "status": "error"}
    put(store, attempts(again, {**again, "ts": at(2), "attempt_no": 1, "attempt_id": "b0"}))
    slo = config.models["chat"].monitoring.slos[1]  # type: ignore[union-attr]
    counts, totals = Casework(config, store).counts(slo, SCENE, at(30))

    assert totals.bad == 1
    assert [(c.value, c.bad) for c in counts if c.dimension == "retried"] == [("yes", 1)]


def test_an_objective_that_is_not_about_requests_has_none_to_compare(store: Store, config: Config) -> None:
    assert Casework(config, store).counts(None, SCENE, at(30)) == ((), Totals())
    slo = config.models["chat"].monitoring.slos[0]  # type: ignore[union-attr]
    assert bad_sql(slo) == (
        "(status = 'error' or not (\"ttft_s\" <= 0.8))",
        "((status = 'error' or (\"ttft_s\") is not null))",
    )


def samples(noun: type, *rows: dict) -> dict:
    names = [c.name for c in noun.table().columns if c.name not in ("source", "ingested_at")]  # type: ignore[attr-defined]
    return {noun.table_name: frame(noun.table(), {n: [r.get(n) for r in rows] for n in names})}  # type: ignore[attr-defined]


def test_the_hardware_of_a_model_is_where_its_pods_run(store: Store, config: Config) -> None:
    pods = [{"ts": at(0), "target": "http://x", "model_id": "chat", "engine": "", "pod": "p1", "quality": 0}]
    gpus = [{"ts": at(0), "device_id": f"GPU-{i}", "node": f"n{i}", "pod": f"p{i}", "quality": 0} for i in (1, 2)]
    put(store, {**samples(ServingSample, *pods), **samples(GpuSample, *gpus)})

    assert Casework(config, store)._hardware("chat", Window(at(-10), at(10))) == (
        frozenset({"n1"}),
        frozenset({"GPU-1"}),
    )


def test_changes_series_and_messages_near_an_incident_are_clues(store: Store, config: Config) -> None:
    queue = [
        {"ts": at(m), "target": "http://x", "model_id": "chat", "engine": "", "cluster": "eu-west", "queue_depth": 0.0 if m < -3 else 20.0, "quality": 0}
        for m in range(-300, 20)
    ]  # fmt: skip
    said = [
        {"ts": at(m), "severity_number": 17, "template": "pool exhausted", "template_id": "x1", "count": 5, "model_id": "chat", "quality": 0}
        for m in range(-2, 20)
    ]  # fmt: skip
    usual = [
        {"ts": at(m), "severity_number": 13, "template": "slow", "template_id": "x2", "count": 5, "model_id": "chat", "quality": 0}
        for m in range(-300, 20)
    ]  # fmt: skip
    put(store, {**samples(ServingSample, *queue), **samples(LogEvent, *said, *usual)})
    with store.change() as tx:
        tx.insert([change("deploy", -5, model_id="chat", object_name="x"), change("deploy", -5, model_id="code")])
    found = {c.kind: c for c in Casework(config, store).clues(SCENE, at(30))}

    assert found.keys() == {"deploy", "queue", "log"}
    assert abs((found["queue"].onset - at(-3)).total_seconds()) <= 60
    assert "pool exhausted" in found["log"].note


def minutes(**by_time: tuple[object, object]) -> list[dict]:
    """Six tries a minute for two hours; each name has one value before two minutes past the onset's minute, another after."""
    return [
        {"ts": at(m + i / 6), **{k: v[m >= -2] for k, v in by_time.items()}, "attempt_id": f"{m}-{i}", "trace_id": f"{m}-{i}"}
        for m in range(-430, 20)
        for i in range(6)
    ]  # fmt: skip


def served(**by_time: tuple[object, object]) -> list[dict]:
    usual = {"target": "http://x", "model_id": "chat", "engine": "", "cluster": "eu-west", "quality": 0}
    return [{"ts": at(m), **usual, **{k: v[m >= -2] for k, v in by_time.items()}} for m in range(-120, 20)]


def hot(mask: tuple[int, int]) -> list[dict]:
    usual = {"device_id": "GPU-1", "node": "n1", "cluster": "eu-west", "util_ratio": 0.6, "quality": 0}
    return [{"ts": at(m), **usual, "throttle_mask": mask[m >= -2]} for m in range(-120, 20)]


OPENAI = {"provider": ("openai", "openai")}
SIGNALS = {
    "kv": (lambda: samples(ServingSample, *served(kv_util_ratio=(0.4, 0.97)))),
    "queue": (lambda: samples(ServingSample, *served(queue_depth=(0.0, 20.0)))),
    "throttle": (lambda: samples(GpuSample, *hot((0, 0x40)))),
    "provider": (lambda: attempts(*minutes(**OPENAI, status=("ok", "error"), error_kind=(None, "overloaded")))),
    "retries": (lambda: attempts(*minutes(attempt_no=(0, 1)))),
    "tokens": (lambda: attempts(*minutes(tokens_in=(500, 4000)))),
    "cache": (lambda: attempts(*minutes(tokens_in=(500, 500), tokens_cached_in=(400, 0)))),
    "traffic": (lambda: attempts(*minutes(), *({**r, "trace_id": f"{r['trace_id']}x{k}", "attempt_id": f"{r['attempt_id']}x{k}"}
                                               for r in minutes() if r["ts"] >= at(-2) for k in range(2)))),
}  # fmt: skip


@pytest.mark.parametrize("kind", SIGNALS)
def test_every_kind_of_series_is_a_clue_where_it_changed_and_none_else(store: Store, config: Config, kind: str) -> None:
    put(store, SIGNALS[kind]())
    found = {c.kind: c for c in Casework(config, store).clues(SCENE, at(20))}

    assert kind in found
    assert abs((found[kind].onset - at(-2)).total_seconds()) <= 120


@pytest.mark.parametrize(
    ("event", "kind"),
    [("deploy", "deploy"), ("scale", "scale"), ("xid", "xid"), ("disruption", "node"), ("prompt", "version"), ("data_pipeline", "data")],
)  # fmt: skip
def test_every_kind_of_change_is_a_clue(store: Store, config: Config, event: str, kind: str) -> None:
    with store.change() as tx:
        tx.insert([change(event, -3, object_name="x", node="n1", before="4", after="2")])

    assert [c.kind for c in Casework(config, store).clues(SCENE, at(20))] == [kind]


def test_drift_of_the_same_model_is_a_clue(store: Store, config: Config) -> None:
    with store.change() as tx:
        tx.insert([finding("chat/level/tokens_in/location", -30, onset=at(-60)), finding("code/level/x/location", -30)])

    assert [(c.kind, c.subject) for c in Casework(config, store).clues(SCENE, at(20))] == [("drift", "tokens_in")]
