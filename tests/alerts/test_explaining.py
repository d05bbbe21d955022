"""An incident explained: the verdict, the words, what was alike, and who is not told twice."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from alarms import at, change, configured

from alerts import alike, clues, explaining, grouping
from alerts.differing import Count, Totals
from alerts.explaining import Case
from alerts.grouping import Seen, Thing
from alerts.weighing import Scene
from observe.schema import Explanation, Incident

BURN = Incident(
    incident_id="inc-1", kind="slo", model="chat", severity="page", state="open", since=at(0), opened_at=at(4), resolved_at=None,
    summary="availability burns its budget 31× too fast", effect=31.0, unit="x budget", ci_low=None, ci_high=None, evidence_nats=40.0,
    cause=None, alerts=("alr-1",), suggestion=None, changed_at=at(4),
)  # fmt: skip
SCENE = Scene("chat", at(-1), at(0), at(3), frozenset({"eu-1"}), frozenset({"n1"}), frozenset({"GPU-1"}))
DEPLOY = change("deploy", -2, object_name="vllm-eu-1", model_id="chat", before="v40", after="v41")
FAULT = change("xid", -2, object_name="GPU-1", node="n1", after="79", message="XID 79 of GPU-1")
COUNTS = (Count("deployment", "vllm-eu-1", 97, 120), Count("deployment", "vllm-eu-2", 3, 880))


def case(*changes, incident: Incident = BURN, **more) -> Case:  # type: ignore[no-untyped-def]
    return Case(incident, replace(SCENE, model=incident.model), clues.of_changes(changes), **more)


def test_a_deploy_that_fits_is_the_cause_and_the_words_hold_the_facts() -> None:
    made = explaining.explain(case(DEPLOY, counts=COUNTS, totals=Totals(100, 1000)), at(6))

    assert (made.verdict, made.causes[0]["kind"], made.causes[0]["subject"]) == ("cause", "deploy", "vllm-eu-1")
    assert made.text == (
        "chat: availability burns its budget 31× too fast, since 09:00 UTC on 2026-11-20 (it began between 08:59 and 09:03). "
        "Most likely cause (99 %): deploy at 08:58 (deploy of vllm-eu-1 v40 → v41), began 2 min before. "
        "97 % of bad requests against 12 % of good ones ran on deployment vllm-eu-1: at least 6.6 times as common."
    )


def test_without_any_signal_and_few_bad_requests_too_little_is_known() -> None:
    made = explaining.explain(case(totals=Totals(3, 10)), at(6))

    assert (made.verdict, made.unexplained, explaining.first_cause(made)) == ("too little", None, None)
    assert made.text.endswith(
        "No clear cause: too little evidence. No change and no other signal was seen near it, and there are too few bad requests to compare."
    )


def test_a_signal_that_does_not_fit_leaves_no_clear_cause() -> None:
    late = replace(DEPLOY, ts=at(9))
    made = explaining.explain(case(late, counts=COUNTS, totals=Totals(100, 1000)), at(20))

    assert made.verdict == "no clear cause"
    assert made.unexplained is not None
    assert made.unexplained > 0.8
    assert "No clear cause" in made.text


def test_the_incident_gets_the_first_cause_and_loses_one_that_is_no_longer_clear(tmp_path: Path) -> None:
    config = configured(tmp_path)
    clear, unclear = explaining.explain(case(DEPLOY), at(6)), explaining.explain(case(), at(6))
    named = explaining.caused(BURN, clear, [], config, at(6))

    assert named.cause == {
        "kind": "deploy",
        "subject": "vllm-eu-1",
        "onset": at(-2).isoformat(),
        "note": "deploy of vllm-eu-1 v40 → v41",
    }
    assert "roll back" in (named.suggestion or "")
    assert explaining.caused(named, clear, [], config, at(7)) is named
    assert explaining.caused(named, unclear, [], config, at(7)).cause is None


ON = frozenset({Thing("node", "n1"), Thing("gpu", "GPU-1")})


def told(incident: Incident, made: Explanation) -> grouping.Ground:
    return grouping.ground(Seen(incident, at(0), made.verdict, made.causes, made.differs, ON))


def test_a_second_page_of_the_same_gpu_fault_is_told_inside_the_first() -> None:
    first = told(BURN, explaining.explain(case(FAULT), at(5)))
    other = replace(BURN, incident_id="inc-2", model="code", opened_at=at(5))
    made = explaining.explain(case(FAULT, incident=other, others=[first]), at(6))

    assert (made.inhibited_by, (made.about or {})["says"]) == ("inc-1", "GPU GPU-1")
    assert "told inside inc-1, which has the same cause (GPU GPU-1)" in made.text
    part = told(replace(other, part_of="inc-1"), made)
    again = explaining.explain(case(FAULT, others=[part]), at(8))
    assert again.inhibited_by is None
    assert "Of one cause with inc-2 (code), told here only." in again.text


def test_another_cause_is_another_incident() -> None:
    other = replace(BURN, incident_id="inc-2", model="code", opened_at=at(5))
    elsewhere = told(BURN, explaining.explain(case(DEPLOY), at(5)))

    assert explaining.explain(case(FAULT, incident=other, others=[elsewhere]), at(6)).inhibited_by is None


def test_what_was_joined_stays_so_whatever_becomes_known() -> None:
    part = replace(BURN, part_of="inc-0", about={"kind": "node", "name": "n1", "says": "node n1"})

    assert explaining.explain(case(DEPLOY, incident=part), at(9)).inhibited_by == "inc-0"


def test_a_latency_page_is_told_inside_the_incident_of_its_gpu() -> None:
    slow = replace(BURN, incident_id="inc-gpu", kind="gpu", model="site", opened_at=at(1))
    ground = grouping.ground(Seen(slow, at(0), on=ON))

    assert explaining.explain(case(FAULT, others=[ground]), at(6)).inhibited_by == "inc-gpu"


def test_an_incident_of_one_model_names_the_hardware_it_is_about(tmp_path: Path) -> None:
    made = explaining.explain(case(FAULT), at(6))

    assert (made.about or {})["says"] == "GPU GPU-1"
    assert explaining.caused(BURN, made, [], configured(tmp_path), at(6)).about == made.about


def test_an_alike_incident_of_the_past_says_what_ended_it() -> None:
    before = replace(
        BURN, incident_id="inc-0", state="resolved", since=at(-3000), opened_at=at(-2996), resolved_at=at(-2950)
    )
    back = change("rollback", -2956, object_name="vllm-eu-1", model_id="chat", before="v39", after="v38")
    past = alike.Past(before, explaining.explain(case(DEPLOY), at(0)).causes, (), (), [back])
    made = explaining.explain(case(DEPLOY, past=[past]), at(6))

    [similar] = made.similar
    assert (similar["incident_id"], similar["resolved_after_s"]) == ("inc-0", 3000.0)
    assert similar["helped"] == "rollback of vllm-eu-1 v39 → v38, 6 min before it ended"
    assert "Like inc-0" in made.text


def test_an_incident_of_another_model_and_kind_is_not_alike() -> None:
    other = replace(BURN, incident_id="inc-0", model="fraud", kind="drift", state="resolved", resolved_at=at(10))

    assert explaining.explain(case(DEPLOY, past=[alike.Past(other)]), at(6)).similar == ()


def test_only_what_changed_is_news() -> None:
    made = explaining.explain(case(DEPLOY), at(6))

    assert explaining.is_news(made, None)
    assert not explaining.is_news(replace(made, changed_at=at(6) + timedelta(minutes=9), text="other words"), made)
    assert explaining.is_news(explaining.explain(case(), at(9)), made)
