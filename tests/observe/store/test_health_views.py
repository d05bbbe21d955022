"""What views say of sources, of the service's parts and of what is sent: by rows, at the instant of the newest minute."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from observe.clock import EventClock
from observe.schema import Batch, CollectorRun, ServiceSample
from observe.store import Store

MINUTE = timedelta(minutes=1)
SITE = [
    {"source": "gpus", "type": "prometheus", "reads": "address", "every_s": 15, "targets": ["a", "b", "c", "d"]},
    {"source": "gateway", "type": "otlp", "reads": "push", "every_s": 60, "targets": ["push"]},
    {"source": "truth", "type": "labels", "reads": "push", "every_s": 60, "targets": ["push"]},
    {"source": "fraud", "type": "files", "reads": "path", "every_s": 60, "targets": ["in/*.csv"]},
]


def sample(at: datetime, **given: Any) -> ServiceSample:
    fine = ServiceSample(
        at, 5 * 10**8, 0, 0.0, 10, 10**9, 10**8, 10**11, at, at, at - MINUTE, at - MINUTE, 0.01, 0, 0, 0, 0
    )  # fmt: skip
    return replace(fine, **given)


def write(store: Store, /, *rows: Any, **settings: Any) -> None:
    with store.change() as tx:
        tx.insert(list(rows))
        for key, value in settings.items():
            tx.set_setting(key, value)


def run(at: datetime, source: str, target: str, stored: int = 5, error: str | None = None) -> CollectorRun:
    return CollectorRun(at, source, target, error is None, stored, stored, {}, 0.0 if error is None else None, error)


def test_a_source_is_ok_silent_failing_or_never_heard(store: Store, noon: datetime) -> None:
    rows = [run(noon - i * MINUTE / 6, "gpus", t) for i in range(30) for t in "abc" if i > {"a": -1, "b": 6, "c": 0}[t]]
    rows += [
        run(noon, "gpus", "c", 0, "refused"),
        run(noon - 2 * MINUTE, "otlp", "push"),
        run(noon - 9 * MINUTE, "fraud", "in/1.csv"),
    ]
    rows += [
        run(noon - 90 * MINUTE, "labels/fraud", "push"),
        run(noon, "fraud", "in/2.csv", 0),
        run(noon, "left", "gone"),
    ]
    write(store, *rows, sample(noon), collectors=SITE)
    told = store.read("select source, target, way, state from source_health order by source, target").rows()

    assert told == [
        ("fraud", "in/*.csv", "pull", "ok"), ("gpus", "a", "pull", "ok"), ("gpus", "b", "pull", "silent"), ("gpus", "c", "pull", "failing"),
        ("gpus", "d", "pull", "never"), ("labels/fraud", "push", "push", "ok"), ("otlp", "push", "push", "ok"),
    ]  # fmt: skip


def test_a_deploy_told_by_hand_is_no_source_that_must_go_on_and_a_refused_body_is_soon_past(
    store: Store, noon: datetime
) -> None:
    told = [run(noon - 90 * MINUTE, "events", "push"), run(noon - 90 * MINUTE, "labels/m", "push")]
    refused = [
        run(noon - ago * MINUTE, f"predictions/{name}", "push", 0, "refused whole")
        for name, ago in (("now", 5), ("then", 90))
    ]
    write(store, *told, *refused, sample(noon), collectors=[])

    assert store.read("select source, state from source_health order by source").rows() == [
        ("events", "ok"), ("labels/m", "ok"), ("predictions/now", "failing"), ("predictions/then", "never"),
    ]  # fmt: skip


def test_a_stopped_service_is_told_for_its_last_minute(store: Store, noon: datetime, clock: EventClock) -> None:
    write(store, run(noon, "gpus", "a"), sample(noon), collectors=[{**SITE[0], "targets": ["a"]}])
    clock.set(noon + timedelta(days=3))

    assert store.read("select state, judged_at from source_health").rows() == [("ok", noon)]


@pytest.mark.parametrize(
    ("given", "part", "state"),
    [
        ({"queue_ratio": 0.8}, "queue", "doubt"), ({"queue_bytes": 9, "last_commit_at": -10}, "commit", "wrong"),
        ({"judged_until": -40}, "judge", "doubt"), ({"summarised_until": None}, "summarise", "unknown"), ({"disk_free_bytes": 10**8}, "disk", "wrong"),
        ({"disk_free_bytes": 9 * 10**8}, "disk", "doubt"), ({"rss_bytes": 2 << 30}, "memory", "doubt"), ({"deliveries_waiting": 1}, "deliveries", "doubt"),
        ({"stage_errors_total": 1}, "stages", "doubt"), ({"loop_lag_max_s": 30.0}, "event_loop", "wrong"), ({"lake_bytes": 2 * 10**9}, "store", "wrong"),
        ({"raw_kept_s": 7200.0}, "kept", "doubt"), ({"raw_kept_s": 600.0}, "kept", "wrong"),
    ],
)  # fmt: skip
def test_a_part_that_is_not_fine_is_named(
    store: Store, noon: datetime, given: Mapping[str, Any], part: str, state: str
) -> None:
    at = {k: noon + v * MINUTE if k.endswith(("_at", "_until")) and v is not None else v for k, v in given.items()}
    write(store, sample(noon - MINUTE), sample(noon, **at), store={"size_bytes": 12 * 10**8, "lateness_s": 300})

    assert store.read("select part, state from pipeline_health where state <> 'ok'").rows() == [(part, state)]


def test_a_counter_that_began_again_at_a_restart_is_no_failure(store: Store, noon: datetime) -> None:
    write(store, sample(noon - MINUTE, stage_errors_total=9), sample(noon), store={"size_bytes": 10**12})

    assert store.read("select value from pipeline_health where part = 'stages'").item() == 0


def test_reasons_are_counted_by_hour_and_day_whatever_they_are_called(store: Store, noon: datetime) -> None:
    old, new = ({'odd"one': 2, "syntax": 1}, {'odd"one': 3})
    write(
        store,
        replace(run(noon - 90 * MINUTE, "otlp", "push"), rejected=old),
        replace(run(noon, "otlp", "push"), rejected=new),
    )

    assert store.read("select reason, n_1h, n_24h from reject_reason order by 1").rows() == [
        ('odd"one', 3, 5),
        ("syntax", 0, 1),
    ]


def gpu(noon: datetime, source: str = "gpus", n: int = 4, **columns: Any) -> Batch:
    times = [noon - (n - i) * MINUTE for i in range(n)]
    frame = pl.DataFrame({"ts": times, "device_id": ["GPU-1"] * n, "quality": [0] * n}).with_columns(**{k: pl.lit(v) if not isinstance(v, list) else pl.Series(v) for k, v in columns.items()})  # fmt: skip
    return Batch(source, f"{source}-{sorted(columns)}", {"gpu_sample": frame})


def doubts(store: Store, level: str = "doubt") -> list[tuple[str, str]]:
    return store.read(f"select source, what from telemetry_doubt where level = '{level}' order by 1, 2").rows()


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"quality": 4}, "profiling counters are 0 while the GPUs are busy"), ({"quality": 1}, "values outside of what is possible"),
        ({"energy_j": [9.0, 1.0, 5.0, 2.0]}, "a counter goes down: energy_j of GPU-1"),
    ],
)  # fmt: skip
def test_gpu_telemetry_that_misleads_is_a_doubt(
    store: Store, noon: datetime, columns: Mapping[str, Any], what: str
) -> None:
    write(store, sample(noon))
    store.append(gpu(noon, **columns))

    assert doubts(store) == [("gpus", what)]


def test_one_reset_of_a_counter_is_none_and_missing_fields_are_a_hint(store: Store, noon: datetime) -> None:
    write(store, sample(noon))
    store.append(gpu(noon, energy_j=[9.0, 1.0, 2.0, 3.0], sm_active_ratio=0.5))

    assert doubts(store) == []
    assert doubts(store, "hint") == [("gpus", "6 fields never come")]


def test_gpus_read_twice_and_mig_measured_by_gpu_util_are_doubts(store: Store, noon: datetime) -> None:
    device = pl.DataFrame(
        {"device_id": ["GPU-1"], "mig_profile": ["1g.10gb"], "first_seen": [noon], "last_seen": [noon]}
    )
    write(store, sample(noon))
    for source in ("gpus", "agents"):
        store.append(gpu(noon, source, util_source="gpu_util", util_ratio=0.0))
    store.append(Batch("gpus", "device", {"gpu_device": device}))

    assert ("agents and gpus", "the same GPUs are read by more than one collector") in doubts(store)
    assert ("gpus", "MIG instances measured by GPU_UTIL, or not at all") in doubts(store)


def test_calls_without_price_first_token_or_owner_and_calls_told_twice_are_named(
    store: Store, noon: datetime, attempts: Any
) -> None:
    write(store, sample(noon), models={"known": {}})
    told = {
        "model_id": "known",
        "stream": True,
        "tokens_out": 9,
        "cost_known": False,
        "trace_id": "t",
        "response_id": "r",
    }
    store.append(attempts("a", 3, MINUTE, **told))
    store.append(attempts("b", 3, MINUTE, source="litellm", **{**told, "ttft_s": 0.2, "cost_known": True}))
    store.append(attempts("c", 2, MINUTE, model_id="stranger", cost_known=True))

    assert doubts(store) == [
        ("known", "streamed answers without a time to first token"), ("known", "the cost of answers is not known"),
        ("litellm and otlp", "the same answers are told by two sources"),
    ]  # fmt: skip
    assert doubts(store, "hint") == [("stranger", "requests of a model that no file declares")]


def test_pages_that_agents_lost_are_a_doubt(store: Store, noon: datetime) -> None:
    metric, nodes = "observe_agent_pages_dropped_total", ['{"node": "a"}', '{"node": "b"}', '{"node": "c"}']
    rows = {
        "ts": [noon] * 3,
        "metric": [metric] * 3,
        "labels": nodes,
        "value": [3.0, 1.0, 0.0],
        "kind": ["counter"] * 3,
    }
    store.append(Batch("agents", "dropped", {"metric_sample": pl.DataFrame({**rows, "source": ["agents"] * 3})}))
    write(store, sample(noon))

    assert ("agents", "agents lost pages for want of room") in doubts(store)
    assert store.read("select n from telemetry_doubt where contains(what, 'lost pages')").item() == 2


def test_features_of_another_type_are_a_doubt(store: Store, noon: datetime) -> None:
    write(store, sample(noon))
    frame = pl.DataFrame({"ts": [noon - MINUTE] * 2, "prediction_id": ["a", "b"], "quality": [0, 16], "x": [1.0, None]})
    store.append(Batch("predictions/fraud", "1", {"prediction:fraud": frame}))

    assert doubts(store) == [("fraud", "features that came with another type were blanked")]


def test_fine_runs_leave_after_two_days_but_the_newest_of_a_target_and_failures_stay(
    store: Store, noon: datetime
) -> None:
    days = timedelta(days=1)
    write(
        store,
        run(noon - 4 * days, "gpus", "a"),
        run(noon - 3 * days, "gpus", "a"),
        run(noon - 4 * days, "gpus", "b"),
        run(noon, "gpus", "b"),
    )
    write(
        store,
        run(noon - 5 * days, "gpus", "a", 0, "refused"),
        run(noon - 40 * days, "gpus", "c"),
        sample(noon - 40 * days),
        sample(noon),
    )
    store.retain(noon, {})
    kept = store.read("select target, ok, ts from collector_run order by target, ts").rows()

    assert kept == [("a", False, noon - 5 * days), ("a", True, noon - 3 * days), ("b", True, noon)]
    assert store.read("select ts from service_sample")["ts"].to_list() == [noon]
