"""An incident explained: the verdict, the words, what was alike, and who is not told twice."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from alarms import at, change, configured

from alerts import alike, clues, explaining
from alerts.differing import Count, Totals
from alerts.explaining import Case, Told
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


def explained(incident: Incident) -> Explanation:
    return explaining.explain(case(FAULT, incident=incident), at(5))


def test_a_second_page_of_the_same_gpu_fault_is_told_inside_the_first() -> None:
    first = Told(BURN, explained(BURN))
    other = replace(BURN, incident_id="inc-2", model="code", opened_at=at(5))
    made = explaining.explain(case(FAULT, incident=other, others=[first]), at(6))

    assert made.inhibited_by == "inc-1"
    assert "told inside inc-1" in made.text
    again = explaining.explain(case(FAULT, others=[Told(other, made)]), at(8))
    assert again.inhibited_by is None
    assert "It also explains inc-2 (code)" in again.text


def test_a_ticket_does_not_keep_a_page_quiet_and_neither_does_another_cause() -> None:
    other = replace(BURN, incident_id="inc-2", model="code", opened_at=at(5))
    ticket = Told(replace(BURN, severity="ticket"), explained(BURN))
    elsewhere = Told(BURN, explaining.explain(case(DEPLOY), at(5)))

    assert explaining.explain(case(FAULT, incident=other, others=[ticket, elsewhere]), at(6)).inhibited_by is None


def test_a_latency_page_is_told_inside_the_incident_of_its_gpu() -> None:
    gpu = replace(BURN, incident_id="inc-gpu", kind="gpu", model="site", opened_at=at(1))
    made = explaining.explain(case(FAULT, others=[Told(gpu, None, frozenset({"GPU-1", "n1"}))]), at(6))

    assert made.inhibited_by == "inc-gpu"
    assert explaining.quiet([made], {"inc-gpu": gpu}) == {"inc-1": gpu}
    assert explaining.quiet([made], {"inc-gpu": replace(gpu, state="resolved")}) == {}


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
