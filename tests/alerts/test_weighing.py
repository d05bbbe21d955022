"""How likely a clue is the cause: when it began, how often its like comes, where it is, who is hit."""

from dataclasses import replace

import pytest
from alarms import at, change

from alerts import clues, weighing
from alerts.clues import Clue
from alerts.differing import Count, Mixes, Totals, compare
from alerts.weighing import Scene

SCENE = Scene("chat", at(-1), at(0), at(1), frozenset({"eu-1", "us-1"}))
NO_MIX = Mixes()


def deploy(minute: float, per_day: float = 0.5, **more: object) -> Clue:
    [clue] = clues.of_changes([change("deploy", minute, **{"object_name": "vllm-eu-1", "model_id": "chat", **more})])
    return replace(clue, per_day=per_day)


def series(kind: str, minute: float) -> Clue:
    return Clue(kind, kind, at(minute), kind, at(minute - 1), at(minute + 1), model="chat", per_day=0.05)


def score(*given: Clue, mixes: Mixes = NO_MIX, scene: Scene = SCENE) -> dict[str, float]:
    ranked, unexplained = weighing.weigh(given, scene, mixes)
    assert sum(w.score for w in ranked) + unexplained == pytest.approx(1.0)
    return {w.clue.kind: w.score for w in ranked}


def test_nothing_near_leaves_all_of_it_unexplained() -> None:
    assert weighing.weigh([], SCENE, NO_MIX) == ([], 1.0)


def test_a_rare_deploy_just_before_is_the_cause_and_one_of_many_is_not() -> None:
    assert score(deploy(-3))["deploy"] > 0.9
    assert score(deploy(-3, per_day=200.0))["deploy"] < 0.5


def test_a_deploy_after_the_incident_is_not_its_cause() -> None:
    assert score(deploy(8))["deploy"] < 0.05


def test_an_older_deploy_is_less_likely() -> None:
    scores = [score(deploy(-m))["deploy"] for m in (2, 15, 40, 100, 170)]

    assert scores == sorted(scores, reverse=True)


def test_a_queue_that_grows_with_the_incident_explains_little_and_one_that_led_it_more() -> None:
    with_it, ahead = score(series("queue", 1))["queue"], score(series("queue", -6))["queue"]

    assert with_it < 0.1 < ahead


def test_beside_its_deploy_a_queue_is_a_symptom() -> None:
    found = score(deploy(-3), series("queue", 0), series("retries", 0))

    assert found["deploy"] > 0.85


def test_a_deploy_of_another_model_or_in_another_cluster_is_not_the_cause() -> None:
    assert score(deploy(-3, model_id="other", per_day=5.0))["deploy"] < 0.2
    elsewhere = deploy(-3, per_day=5.0, model_id=None, cluster="ap-1", object_name="x")
    assert score(elsewhere)["deploy"] < 0.2


def mixes(bad_there: int, bad_elsewhere: int) -> Mixes:
    counts = [Count("deployment", "vllm-eu-1", bad_there, 100), Count("deployment", "vllm-us-1", bad_elsewhere, 900)]
    return compare(counts, Totals(bad_there + bad_elsewhere, 1000))


def test_bad_requests_that_gather_where_the_deploy_was_speak_for_it_and_others_against() -> None:
    plain = score(deploy(-10, per_day=20.0))["deploy"]
    there = score(deploy(-10, per_day=20.0), mixes=mixes(100, 3))["deploy"]
    spread = score(deploy(-10, per_day=20.0), mixes=mixes(10, 90))["deploy"]

    assert there > plain > spread


def test_bad_requests_that_are_clearly_elsewhere_speak_louder_against_it_than_too_few_of_them() -> None:
    counts = [Count("deployment", "vllm-eu-1", 4, 300), Count("deployment", "vllm-us-1", 8, 700)]
    few = score(deploy(-4, per_day=0.8), mixes=compare(counts, Totals(12, 1000)))["deploy"]
    many = score(deploy(-4, per_day=0.8), mixes=compare([replace(c, bad=20 * c.bad) for c in counts[:1]] + [replace(counts[1], bad=300)], Totals(380, 1000)))  # fmt: skip

    assert few > 0.5 > many["deploy"]


def gathered(dimension: str, good: int = 200) -> Mixes:
    counts = [Count(dimension, "globex", 100, good), Count(dimension, "acme", 1, 1000 - good)]
    return compare(counts, Totals(101, 1000))


def test_a_change_that_strikes_everybody_is_less_likely_where_only_one_team_is_hit() -> None:
    plain, one = score(deploy(-10, per_day=20.0)), score(deploy(-10, per_day=20.0), mixes=gathered("team"))
    surge = [score(series("traffic", -3), mixes=m)["traffic"] for m in (NO_MIX, gathered("team"))]

    assert one["deploy"] < 0.5 * plain["deploy"]
    assert surge[0] == surge[1]  # one tenant may well be who sends more


def test_a_version_is_less_likely_where_only_one_place_is_hit_and_one_that_is_named_is_not() -> None:
    [prompt] = clues.of_changes([change("prompt", -10, object_name="chat-system", model_id="chat", after="v8")])
    prompt = replace(prompt, per_day=20.0)
    plain, place = score(prompt)["version"], score(prompt, mixes=gathered("deployment"))["version"]
    named = score(replace(prompt, places=(("name", "globex"),)), mixes=gathered("prompt version"))["version"]

    assert place < 0.5 * plain < plain < named


def test_a_fault_on_a_node_that_does_not_serve_the_model_is_not_the_cause() -> None:
    [fault] = clues.of_changes([change("xid", -2, object_name="GPU-1", node="n7")])
    here, there = replace(SCENE, nodes=frozenset({"n7"})), replace(SCENE, nodes=frozenset({"n1"}))
    fault = replace(fault, per_day=1.0)

    assert score(fault, scene=here)["xid"] > 0.7
    assert score(fault, scene=there)["xid"] < 0.2


def test_two_changes_of_one_rollout_are_clear_together() -> None:
    config = replace(deploy(-3.5, per_day=0.5), kind="config", subject="routes")
    ranked, _ = weighing.weigh([deploy(-3), config], SCENE, NO_MIX)

    assert ranked[1].score > 0.1
    assert weighing.is_clear(ranked)


def test_reasons_say_when_and_how_often() -> None:
    [weighed], _ = weighing.weigh([deploy(-3)], SCENE, NO_MIX)

    assert weighed.why == ("began 3 min before; by chance it would come about once in 2 days", "names this model")
