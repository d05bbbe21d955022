"""Change events as clues: what they may cause, and how often their like comes by chance."""

import pytest
from alarms import at, change

from alerts import clues


def test_events_of_one_rollout_are_one_clue() -> None:
    told = [change("deploy", m, object_name="vllm-eu", model_id="chat") for m in (0, 2, 4)]
    [clue] = clues.of_changes([*told, change("alert_silence", 1), change("node_add", 1)])

    assert (clue.kind, clue.onset, clue.until, clue.events) == ("deploy", at(0), at(4), 3)


def test_the_same_deploy_an_hour_later_is_another_clue() -> None:
    assert len(clues.of_changes([change("deploy", m, object_name="x") for m in (0, 60)])) == 2


@pytest.mark.parametrize(
    ("before", "after", "kind"), [("6", "3", "scale"), ("3", "6", "scale_up"), (None, "3", "scale_up")]
)
def test_only_fewer_replicas_are_a_scale_down(before: str | None, after: str, kind: str) -> None:
    assert clues.kind_of(change("scale", 0, before=before, after=after)) == kind


def test_a_lost_gpu_is_a_gpu_fault_and_a_drained_node_a_disruption() -> None:
    assert clues.kind_of(change("disruption", 0, object_kind="GPU")) == "xid"
    assert clues.kind_of(change("disruption", 0, object_kind="Node")) == "node"


def test_how_often_a_kind_comes_is_counted_by_model() -> None:
    past = clues.of_changes([change("deploy", -60 * h, object_name=f"d{h}", model_id="chat") for h in range(1, 15)])
    near = clues.of_changes(
        [change("deploy", 0, object_name="x", model_id="chat"), change("config", 0, object_name="y")]
    )
    rated = {c.kind: c.per_day for c in clues.rated(near, past, 14.0, "chat")}

    assert rated == {"deploy": 14.5 / 14, "config": 0.5 / 14}
