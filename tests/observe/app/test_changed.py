"""What others did to a model is judged an hour later like our own actions, is marked as theirs, and stops nothing."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from acted import World, action, after, site
from alarms import change
from burned import burned
from delivered import incident

from observe.app import actions
from observe.app.changed import SAMPLES, first_of_an_hour, is_ours
from observe.app.loads import SCRAPED
from observe.schema import ScalingDecision


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, site(tmp_path))
    yield made
    made.close()


def scaled(seconds: float, replicas: int, **more: Any) -> Any:
    known = {"ts": after(seconds), "model_id": "chat", "object_name": "vllm-chat", "after": str(replicas)}
    return change("scale", seconds, **{**known, **more})


def decided(seconds: float, running: int | None, basis: str = SCRAPED) -> ScalingDecision:
    return ScalingDecision(
        ts=after(seconds), model="chat", sure=running is not None, running=running, replicas=running, load_units=1.0, binding="present load",
        said="", evidence={"running_basis": basis},
    )  # fmt: skip


def told(world: World) -> list[dict[str, Any]]:
    return world.store.read("select * from action_outcome order by sent_at").to_dicts()


def test_a_scaling_by_somebody_else_is_judged_an_hour_later_and_says_who(world: World) -> None:
    burned(world, before=0.2, then=0.002)
    world.write(scaled(0, 6, before="4", actor="grace"), incident("7", since=after(-3000), opened_at=after(-2900)))
    world.until(4050, step=450)
    assert told(world) == []
    world.until(4200, step=60)

    [row] = told(world)
    assert (row["ours"], row["action_id"], row["state"], row["incident_id"]) == (False, None, "seen", "inc-7")
    assert (row["who"], row["what"], row["sent_at"]) == ("grace", "scale vllm-chat 4 → 6", after(0))
    assert (row["verdict"], row["days"], row["ci_high"] < -15) == ("helped", 6, True)
    assert "ttft budget burn fell from 20x to 0." in row["text"]


def test_replicas_that_change_although_nobody_told_are_a_scaling_seen_in_samples(world: World) -> None:
    burned(world, before=0.2, then=0.002)
    world.write(*(decided(s, n) for s, n in ((-9000, 4), (-100, 2), (-40, 4), (0, 6), (1800, 6))))
    world.until(4300, step=860)

    [row] = world.store.read("select * from change_outcome").to_dicts()
    assert (row["what"], row["actor"], row["source"], row["ts"]) == ("scale chat 4 → 6", None, SAMPLES, after(0))
    assert told(world)[0]["verdict"] == "helped"


def test_a_number_of_replicas_that_is_only_declared_or_not_known_is_no_scaling(world: World) -> None:
    rows = (
        decided(-9000, 4),
        decided(0, 2, "declared minimum"),
        decided(900, 4),
        decided(1800, None),
        decided(2400, 6),
    )
    world.write(*rows)
    world.until(7200, step=1800)

    assert told(world) == []


def test_a_scaler_that_reads_our_answer_is_named(world: World) -> None:
    with world.store.change() as tx:
        tx.set_states({"scaling/chat": {"read_at": after(-20).isoformat()}})
    world.write(decided(-9000, 4), decided(0, 6))
    world.until(4300, step=860)

    assert told(world)[0]["who"] == "a scaler that reads our answer"


def test_what_answers_an_action_of_ours_is_judged_there_and_nowhere_else(world: World) -> None:
    rows = [action("1", changed_at=after(0))]
    for i, state in enumerate(("approved", "sent", "acknowledged"), 1):
        rows.append(replace(rows[-1], state=state, changed_at=after(i), attempts=1))
    world.write(
        *rows, incident("1", since=after(-3000)), scaled(120, 3), scaled(200, 4), decided(-900, 2), decided(210, 4)
    )
    world.until(4300, step=860)

    assert [(r["ours"], r["who"], r["what"]) for r in told(world)] == [(True, None, "scale ops:vllm-chat 2 → 4")]


def test_of_one_kind_the_first_of_an_hour_is_judged_and_the_others_are_counted(world: World) -> None:
    burned(world, before=0.05, then=0.05)
    world.write(
        scaled(0, 6), scaled(600, 7), scaled(1200, 8), change("deploy", 5, ts=after(300), model_id="chat", after="43")
    )
    world.until(12000, step=1200)

    rows = told(world)
    assert [r["what"] for r in rows] == ["scale vllm-chat 6", "deploy 43"]
    assert "and 2 more of this kind in that hour; in the same hours: deploy 43" in rows[0]["text"]


def test_what_others_did_opens_no_circuit_breaker(world: World) -> None:
    burned(world, before=0.02, then=0.2)
    world.write(scaled(0, 6), scaled(3700, 8))
    world.until(8500, step=850)

    assert {r["verdict"] for r in told(world)} <= {"worse", "no change", "unknown"}
    assert told(world)[0]["verdict"] == "worse"
    assert actions.broken(world.store) == {}
    assert world.store.read("select 1 from finding where detector = 'breaker'").is_empty()


def test_what_nobody_declared_or_failed_is_not_judged(world: World) -> None:
    world.write(
        scaled(0, 6, model_id="cat"),
        scaled(10, 6, severity="error", event_id="x"),
        change("config", 1, model_id="chat"),
    )
    world.until(4300, step=860)

    assert told(world) == []


def test_an_hour_after_a_scaling_of_ours_its_replicas_are_somebody_elses() -> None:
    from alerts.ledger import History

    sent = History((action("1", state="sent", changed_at=after(0), attempts=1),))

    assert [is_ours(scaled(s, 9), [sent]) for s in (-1, 60, 3599, 3601)] == [False, True, True, False]


def test_what_was_judged_before_a_restart_is_not_judged_again() -> None:
    ripe = [scaled(0, 6), scaled(3599, 7), scaled(3600, 8)]
    known = [(ripe[0].event_id, "chat", "scale", after(0))]

    assert [(c.after, n) for c, n in first_of_an_hour(ripe, ripe, known)] == [("8", 0)]
    assert (
        list(first_of_an_hour(ripe, ripe, [*known, (ripe[2].event_id, "chat", "scale", after(0) + timedelta(hours=1))]))
        == []
    )
