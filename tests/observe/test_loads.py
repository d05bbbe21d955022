"""What is told to scalers, from rows in a real store."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from serving import NOON, SITE, SPEC, Served

from observe.app.loads import Loads
from observe.app.seeing import around
from observe.telemetry import Telemetry

CLUSTERS = """\
clusters:
  eu-west: {rtt: {eu-north: 30ms}}
  eu-north: {provider: aws, region: eu-north-1, residency: eu}
  us-east: {residency: us}
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.store.close()


def test_replicas_are_told_with_what_they_follow_from(served: Served) -> None:
    served.serve(3, 12.0)
    told = served.told()

    assert told["desired"] == {"load_units": pytest.approx(2.4, abs=0.05), "replicas": 3}
    assert (told["model"], told["as_of"], told["stale"]) == ("chat", "2026-11-20T12:00:00Z", False)
    evidence = told["evidence"]
    assert (evidence["running"], evidence["capacity"]["basis"], evidence["capacity"]["each"]) == (3, "declared", 5.0)
    assert evidence["envelope"] == {
        "min": 1, "max": 6, "warm": 0, "cold_start_s": 120.0, "cold_start_basis": "declared", "patience_s": 900.0,
    }  # fmt: skip


def test_requests_that_wait_ask_for_more(served: Served) -> None:
    served.serve(3, 12.0, queue=200)

    assert served.told()["desired"]["replicas"] == 5


def test_how_full_gpus_are_is_read_from_those_beneath_its_pods(served: Served) -> None:
    served.serve(3, 12.0)
    served.send("gpu_sample", [
        {"ts": NOON - timedelta(seconds=30), "device_id": f"g{i}", "namespace": "prod", "pod": f"{of}-{i}", "util_ratio": use}
        for i in range(3) for of, use in (("chat", 0.9 + i / 100), ("other", 0.1))])  # fmt: skip
    evidence = served.told()["evidence"]

    assert evidence["seen"]["gpu"] == pytest.approx(0.91)
    assert evidence["running_basis"] == "scraped"


def test_without_fresh_rows_there_is_a_reason_and_no_number(served: Served) -> None:
    served.serve(3, 12.0)
    assert "desired" in served.told()
    served.clock.set(NOON + timedelta(minutes=6))

    told = served.told()
    assert "desired" not in told
    assert (told["stale"], told["error"]) == (True, "neither model servers nor a gateway told of it since 12:01")


def test_an_answer_that_nobody_renews_is_stale(served: Served) -> None:
    served.serve(3, 12.0)
    served.loads.tick()
    served.clock.set(NOON + timedelta(minutes=3))
    answer = served.loads.answer("chat")

    assert answer is not None
    assert not answer.sure
    assert answer.body()["stale"] is True


@pytest.mark.parametrize(
    ("scaling", "why"),
    [("", "what a replica carries is not known"), (", targetRps: 5, strategy: manual", "strategy: manual")],
)
def test_what_is_not_known_is_not_told(tmp_path: Path, scaling: str, why: str) -> None:
    served = Served(tmp_path, scaling)
    served.serve(3, 12.0)
    told = served.told()
    served.store.close()

    assert "desired" not in told
    assert why in told["error"]


def test_capacity_is_measured_where_queues_began(tmp_path: Path) -> None:
    served = Served(tmp_path, "")
    for i, rate in enumerate((3.0, 9.0, 12.0, 3.0, 12.0, 6.0)):
        served.clock.set(NOON + timedelta(minutes=20 * i))
        served.serve(3, rate, queue=60 if rate == 12.0 else 0, minutes=19)
    told = served.told()
    served.store.close()

    assert told["evidence"]["capacity"]["basis"] == "measured"
    assert told["evidence"]["capacity"]["each"] == pytest.approx(3.0, rel=0.1)


def test_decisions_are_kept_when_they_change_and_outlive_a_restart(served: Served) -> None:
    served.serve(3, 12.0, queue=200)
    served.told()
    served.told()
    kept = served.store.read("select replicas, sure, binding, evidence from scaling_decision").rows(named=True)
    again = Loads(served.config, served.store, served.clock)
    served.clock.set(NOON + timedelta(minutes=1))
    served.serve(3, 12.0, minutes=1)
    again.tick()

    assert [(k["replicas"], k["sure"]) for k in kept] == [(5, True)]
    assert json.loads(kept[0]["evidence"])["binding"] == kept[0]["binding"]
    answer = again.answer("chat")
    assert answer is not None
    assert (answer.decision.replicas, answer.decision.binding) == (5, "patience")


def test_replicas_told_as_any_number_teach_and_those_of_long_ago_do_not(served: Served) -> None:
    served.serve(3, 12.0)
    rows = [("3.0", timedelta(minutes=5)), ("1e1", timedelta(minutes=4)), ("many", timedelta(minutes=3))]
    served.send("change_event", [
        {"ts": NOON - ago, "event_id": f"e{i}", "source": "k8s", "kind": "scale", "model_id": "chat", "before": "1", "after": after}
        for i, (after, ago) in enumerate(rows)
    ])  # fmt: skip

    assert "desired" in served.told()
    assert around(served.store, NOON).scaled == {"chat": 10}
    assert around(served.store, NOON + timedelta(days=31)).scaled == {}


def test_the_fault_of_one_model_is_counted_and_takes_no_other_with_it(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.serve(3, 12.0)
    config, telemetry = served.config, Telemetry()
    broken = replace(
        config.models["chat"],
        name="aaa",
        aliases=(),
        spec=SimpleNamespace(annotations={}, scaling=SimpleNamespace(target_rps=1.0)),
    )
    config = replace(config, models={"aaa": broken, **config.models})
    served.loads = Loads(config, served.store, served.clock, telemetry)

    assert "desired" in served.told()
    served.store.close()
    counted = telemetry.registry.get_sample_value("observe_stage_errors_total", {"stage": "scaling"})
    telemetry.close()
    assert counted == 1


def test_an_action_in_force_shows_in_the_answer(served: Served) -> None:
    served.serve(3, 12.0)
    served.send("action", [{
        "action_id": "act-1", "incident_id": "inc-1", "model": "chat", "kind": "scale", "target": "keda:chat", "mode": "auto",
        "state": "sent", "reason": "slo", "parameters": '{"from": 3, "to": 5}', "expires_at": NOON + timedelta(hours=1),
        "changed_at": NOON}])  # fmt: skip
    told = served.told()

    assert told["desired"]["replicas"] == 5
    assert told["evidence"]["said"] == "act-1 asks for 5"


def test_the_gauges_have_no_sample_for_what_is_unsure(served: Served) -> None:
    served.serve(3, 12.0)
    served.loads.tick()
    served.loads.read_by_scaler("chat")
    sure = served.loads.exposition().decode()
    served.clock.set(NOON + timedelta(minutes=9))
    served.loads.tick()
    unsure = served.loads.exposition().decode()

    assert 'observe_scaling_desired_replicas{model="chat"} 3.0' in sure
    assert "observe_scaling_desired_replicas{" not in unsure
    assert 'observe_scaling_sure{model="chat"} 0.0' in unsure


def test_replicas_that_an_action_asked_for_come_back_as_an_event_once(served: Served) -> None:
    served.serve(3, 12.0)
    served.send("action", [{
        "action_id": "act-1", "incident_id": "inc-1", "model": "chat", "kind": "scale", "target": "keda:chat", "mode": "auto",
        "state": "acknowledged", "reason": "slo", "parameters": '{"from": 3, "to": 4}', "expires_at": NOON + timedelta(hours=1),
        "changed_at": NOON, "key": "key-1"}])  # fmt: skip
    served.told()
    events = "select kind, model_id, before, after, message from change_event"
    assert served.store.read(events).is_empty()

    served.clock.set(NOON + timedelta(minutes=5))
    served.serve(4, 12.0, minutes=4)
    served.loads.read_by_scaler("chat")
    served.told()
    served.told()
    assert served.store.read(events).rows() == [
        (
            "scale",
            "chat",
            "3",
            "4",
            "4 replicas are scraped, 4 were asked for by key-1; a scaler read the answer at 12:05:00",
        )
    ]


def test_idle_devices_are_set_beside_a_model_that_lacks_replicas(served: Served) -> None:
    served.serve(3, 12.0, queue=200)
    served.send("gpu_device", [{
        "device_id": f"g{i}", "model": "NVIDIA H100 80GB HBM3", "cluster": "us-east", "mem_total_mib": 81559.0,
        "first_seen": NOON, "last_seen": NOON} for i in range(8)])  # fmt: skip
    served.send("gpu_sample", [
        {"ts": NOON - timedelta(seconds=30 * k), "device_id": f"g{i}", "cluster": "us-east", "util_ratio": 0.0}
        for i in range(8) for k in range(20)])  # fmt: skip
    served.told()
    [row] = served.store.read("select * from capacity_match").rows(named=True)

    assert (row["model"], row["replicas_short"], row["cluster"], row["idle"]) == ("chat", 2, "us-east", 8)
    assert (row["fits"], row["replicas"], row["devices_each"], row["saved_usd_h"]) == ("yes", 2, 4, 24.0)
    assert row["why"] == "the declared product, 4 a replica; no residency is declared; the distance is not declared"


def test_one_address_without_pods_stands_for_any_number_of_replicas(served: Served) -> None:
    rows = [
        {"ts": NOON - timedelta(seconds=15 * i), "target": "http://chat:8000", "model_id": "chat", "engine": "", "queue_depth": 50.0,
         "requests_ok_total": 9000.0 - 180 * i}
        for i in range(40)
    ]  # fmt: skip
    served.send("serving_sample", rows)
    told = served.told()

    assert told["evidence"]["capacity"]["basis"] == "declared"
    assert told["evidence"]["running"] == 1  # the declared minimum


def test_servers_that_count_no_requests_are_not_servers_without_requests(served: Served) -> None:
    rows = [
        {"ts": NOON - timedelta(seconds=15 * i), "target": "http://chat:8000", "model_id": "chat", "engine": "", "queue_depth": 0.0}
        for i in range(40)
    ]  # fmt: skip
    served.send("serving_sample", rows)

    assert "nobody tells its traffic in requests" in served.told()["error"]


def test_a_model_without_a_modelspec_is_told_so(tmp_path: Path) -> None:
    bare = "apiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: chat}\nslos: [{name: ok, good: status = ok, objective: 99%%}]\n%s"
    served = Served(tmp_path, "", bare)
    told = served.told()
    served.store.close()

    assert told["error"] == "it has no ModelSpec: nothing bounds an answer"


def test_an_action_shows_where_nothing_else_is_known(tmp_path: Path) -> None:
    served = Served(tmp_path, "")
    served.serve(3, 12.0)
    served.send("action", [{
        "action_id": "act-1", "incident_id": "inc-1", "model": "chat", "kind": "scale", "target": "keda:chat", "mode": "auto",
        "state": "sent", "reason": "slo", "parameters": '{"from": 3, "to": 5}', "expires_at": NOON + timedelta(hours=1),
        "changed_at": NOON}])  # fmt: skip
    told = served.told()
    served.store.close()

    assert (told["desired"]["replicas"], told["evidence"]["binding"], told["evidence"]["capacity"]) == (
        5,
        "action",
        None,
    )


def test_where_a_cluster_is_and_whose_data_may_lie_there_is_part_of_the_answer(tmp_path: Path) -> None:
    served = Served(tmp_path, spec=SPEC.replace("coldStart: 2m", "residency: eu"), site=SITE + CLUSTERS)
    served.serve(3, 12.0, queue=200)
    devices = [("eu-1", "eu-north"), ("us-1", "us-east")]
    served.send("gpu_device", [{
        "device_id": f"{name}-{i}", "model": "NVIDIA H100 80GB HBM3", "cluster": cluster, "first_seen": NOON, "last_seen": NOON}
        for name, cluster in devices for i in range(4)])  # fmt: skip
    served.send("gpu_sample", [
        {"ts": NOON - timedelta(seconds=30 * k), "device_id": f"{name}-{i}", "cluster": cluster, "util_ratio": 0.0}
        for name, cluster in devices for i in range(4) for k in range(20)])  # fmt: skip
    served.told()
    rows = served.store.read("select cluster, fits, rtt_s, why from capacity_match order by cluster").rows()
    served.store.close()

    assert [row[:3] for row in rows] == [("eu-north", "yes", 0.03), ("us-east", "no", None)]
    assert "aws eu-north-1; its data may lie in eu; 30 ms away" in rows[0][3]
    assert "its data must stay in eu; us-east is in us" in rows[1][3]


def test_idle_devices_are_looked_for_again_soon_while_none_were_found(served: Served) -> None:
    served.serve(3, 12.0, queue=200)
    served.told()
    found = "select count(*) from capacity_match"
    assert served.store.read(found).item() == 0

    served.send("gpu_sample", [
        {"ts": NOON - timedelta(seconds=30 * k), "device_id": "g0", "cluster": "us-east", "util_ratio": 0.0} for k in range(20)])  # fmt: skip
    served.clock.set(NOON + timedelta(seconds=30))
    served.told()
    assert served.store.read(found).item() == 0  # not yet
    served.clock.set(NOON + timedelta(seconds=65))
    served.told()
    assert served.store.read(found).item() == 1
