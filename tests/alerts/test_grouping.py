"""Which incidents are one: a thing that is sick, time, and what each stands on."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest
from alarms import at
from delivered import alert, incident

from alerts import grouping
from alerts.grouping import Seen, Thing
from observe.schema import Incident

NODE, GPU = Thing("node", "n1"), Thing("gpu", "GPU-1")
EU, OPENAI, EMBEDDER = Thing("cluster", "eu"), Thing("provider", "openai"), Thing("model", "embedder")
FAULT = {"kind": "xid", "subject": "GPU-1", "onset": at(-2).isoformat(), "score": 0.9, "node": "n1", "device": "GPU-1"}
DEPLOY = {"kind": "deploy", "subject": "vllm-code", "onset": at(-2).isoformat(), "score": 0.9, "model": "code"}
IN_EU = ({"dimension": "deployment", "value": "vllm-eu", "also": ["provider vllm", "cluster eu"]},)


def burns(model: str, minute: float = 0, **more) -> Incident:  # type: ignore[no-untyped-def]
    return incident(model, model=model, opened_at=at(minute + 4), since=at(minute), **more)


def seen(model: str, minute: float = 0, *on: Thing, **more) -> Seen:  # type: ignore[no-untyped-def]
    return Seen(burns(model, minute), at(minute), on=frozenset(on), **more)


def head(mine: Seen, *others: Seen) -> str | None:
    found = grouping.home(grouping.ground(mine), [grouping.ground(o) for o in others])
    return found and f"{found[0].model}: {found[1].says}"


def test_two_models_on_a_faulty_node_are_one_incident_of_that_node() -> None:
    first = seen("chat", 0, NODE, GPU, verdict="cause", causes=[FAULT])
    other_gpu = seen("code", 3, NODE, Thing("gpu", "GPU-2"))

    assert head(other_gpu, first) == "chat: node n1"
    assert head(seen("code", 3, NODE, GPU), first) == "chat: GPU GPU-1"


def test_it_does_not_matter_which_of_them_knows_of_the_fault() -> None:
    plain, told = seen("chat", 0, NODE), seen("code", 3, NODE, verdict="cause", causes=[FAULT])

    assert head(told, plain) == "chat: node n1"


def test_models_on_one_node_that_nobody_called_sick_stay_apart() -> None:
    assert head(seen("code", 3, NODE, EU), seen("chat", 0, NODE, EU)) is None


def test_models_that_burn_at_the_same_time_elsewhere_stay_apart() -> None:
    first = seen("chat", 0, NODE, verdict="cause", causes=[FAULT])

    assert head(seen("code", 1, Thing("node", "n2")), first) is None


def test_what_has_a_cause_of_its_own_joins_nothing() -> None:
    first = seen("chat", 0, NODE, verdict="cause", causes=[FAULT])

    assert head(seen("code", 1, NODE, verdict="cause", causes=[DEPLOY]), first) is None


def test_a_change_of_no_model_that_both_name_as_their_cause_makes_them_one() -> None:
    routes = {"kind": "config", "subject": "gateway-routes", "onset": at(-2).isoformat(), "score": 0.8}
    both = [seen(m, 0, verdict="cause", causes=[routes]) for m in ("chat", "code")]

    assert head(both[1], both[0]) == "chat: config gateway-routes"


@pytest.mark.parametrize("apart", [59, 61])
def test_more_than_an_hour_apart_they_are_two(apart: float) -> None:
    first = seen("chat", 0, NODE, verdict="cause", causes=[FAULT])

    assert (head(seen("code", apart, NODE), first) is None) == (apart > 60)


def test_bad_requests_that_gather_in_one_cluster_make_it_sick_for_who_has_no_other() -> None:
    first = seen("chat", 0, differs=IN_EU)

    assert head(seen("code", 1, EU), first) == "chat: cluster eu"
    assert head(seen("code", 1, differs=IN_EU), first) == "chat: cluster eu"
    assert head(seen("code", 1), first) is None  # served in several: nothing says it is that one


def test_a_provider_that_fails_is_shared_and_our_own_servers_are_none() -> None:
    down = {"kind": "provider", "subject": "openai", "onset": at(0).isoformat(), "score": 0.9}
    first = seen("chat", 0, verdict="cause", causes=[down])

    assert head(seen("code", 1, OPENAI), first) == "chat: provider openai"
    assert grouping.ground(seen("chat", differs=IN_EU)).sick == (EU, Thing("model", "chat"))


def test_who_depends_on_a_model_that_burns_is_told_in_its_incident() -> None:
    embedder = Seen(burns("embedder"), at(0))

    assert head(seen("chat", 5, EMBEDDER), embedder) == "embedder: model embedder"
    both = [seen(m, 0, blames=("reranker",)) for m in ("chat", "code")]  # of a dependency nobody watches
    assert head(both[1], both[0]) == "chat: model reranker"


def test_a_straggling_gpu_and_the_page_of_its_model_are_one() -> None:
    slow = Seen(incident("0", kind="gpu", model="site", opened_at=at(1)), at(-10), on=frozenset({GPU, NODE}))

    assert head(seen("chat", 0, GPU), slow) == "site: GPU GPU-1"


def test_a_feature_that_moves_is_not_the_work_of_a_node_or_cluster() -> None:
    first = seen("chat", 0, NODE, differs=IN_EU, verdict="cause", causes=[FAULT])
    drift = seen("fraud", 1, NODE, EU)

    assert head(replace(drift, incident=replace(drift.incident, kind="drift")), first) is None
    assert head(drift, first) == "chat: node n1"


def test_one_incident_is_about_one_sick_thing_so_there_are_no_chains() -> None:
    first = seen("chat", 0, NODE, differs=IN_EU, verdict="cause", causes=[FAULT])
    named = replace(first, incident=replace(first.incident, about=NODE.as_json()))

    assert head(seen("code", 1, EU), first) == "chat: cluster eu"
    assert head(seen("code", 1, EU), named) is None


def test_the_same_incidents_make_the_same_groups_in_any_order() -> None:
    world = [
        seen("chat", 0, NODE, GPU), seen("code", 2, NODE, verdict="cause", causes=[FAULT]), seen("fraud", 4, NODE),
        seen("search", 1, Thing("node", "n2")),
    ]  # fmt: skip

    assert {grouped(order) for order in permutations(world)} == {"chat+code+fraud search"}


def grouped(order: Sequence[Seen]) -> str:
    """The groups after each was looked at, the oldest first, as often as they are."""
    current = {s.incident.incident_id: s for s in order}
    for s in sorted((*order, *order), key=lambda s: grouping.age(s.incident)):
        mine = current[s.incident.incident_id]
        grounds = [grouping.ground(o) for o in current.values()]
        found = grouping.home(grouping.ground(mine), grounds) if not mine.incident.part_of else None
        if found:
            made = grouping.joined(found[0], mine.incident, found[1].as_json(), at(9))
            current |= {i.incident_id: replace(current[i.incident_id], incident=i) for i in made}
    heads = [s.incident for s in current.values() if not s.incident.part_of]
    return " ".join(sorted("+".join(i.models or (i.model,)) for i in heads))


def test_the_older_has_the_alerts_and_models_and_speaks_for_the_louder() -> None:
    older, younger = burns("chat", 0, severity="ticket"), burns("code", 3, summary="code burns")
    made, part = grouping.joined(older, younger, NODE.as_json(), at(9))

    assert (made.models, made.alerts, made.severity, made.summary) == (
        ("chat", "code"),
        ("alr-chat", "alr-code"),
        "page",
        "code burns",
    )
    assert (part.part_of, made.about, made.changed_at) == (
        "inc-chat",
        {"kind": "node", "name": "n1", "says": "node n1"},
        at(9),
    )


def test_a_part_is_quiet_while_something_as_loud_fires_in_the_whole() -> None:
    older, part = burns("chat"), burns("code", 3, part_of="inc-chat")
    fires = [alert("chat", incident_id="inc-chat"), alert("code", incident_id="inc-code")]

    assert grouping.quiet([older, part], fires) == {"inc-code": older}
    assert grouping.quiet([older, part], [replace(fires[0], severity="ticket"), fires[1]]) == {}
    assert grouping.quiet([older, part], [replace(fires[0], state="resolved"), fires[1]]) == {}
