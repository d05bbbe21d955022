"""Declared rules propose scale and retrain, inside the envelope, once per incident."""

from dataclasses import replace
from pathlib import Path

import pytest
from acted import site
from alarms import History, at, change, configured, finding

BURN, AMOUNT, DAY = "chat/burn/ttft", "fraud/level/amount/location", 24 * 60


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(configured(tmp_path))


def scaled(replicas: int):  # type: ignore[no-untyped-def]
    return change("scale", -60, model_id="chat", after=str(replicas))


def test_a_page_proposes_one_step_up_from_the_last_scale_event(history: History) -> None:
    (action,) = history.decide(0, finding(BURN, 0, note="burns 18x"), changes=[scaled(4)]).actions

    assert (action.kind, action.target, action.mode, action.state) == ("scale", "keda:vllm-chat", "dry_run", "proposed")
    assert action.parameters == {
        "from": 4,
        "to": 6,
        "min": 2,
        "max": 12,
        "basis": "last scale event",
        "approve": "human",
    }
    assert (action.reason, action.expires_at) == ("slo.ttft.page: burns 18x", at(60))


def test_without_a_scale_event_the_declared_minimum_is_assumed_and_said(history: History) -> None:
    (action,) = history.decide(0, finding(BURN, 0)).actions

    assert (action.parameters["from"], action.parameters["to"], action.parameters["basis"]) == (
        2,
        4,
        "declared minimum",
    )


def test_replicas_that_are_seen_count_more_than_what_was_told(history: History) -> None:
    (action,) = history.decide(0, finding(BURN, 0), changes=[scaled(4)], running={"chat": 6}).actions

    assert (action.parameters["from"], action.parameters["to"], action.parameters["basis"]) == (6, 8, "seen")


@pytest.mark.parametrize(("running", "asked"), [(11, 12), (1, 3)])
def test_a_scale_action_stays_inside_the_envelope(history: History, running: int, asked: int) -> None:
    (action,) = history.decide(0, finding(BURN, 0), changes=[scaled(running)]).actions

    assert action.parameters["to"] == asked


def test_at_the_maximum_nothing_is_proposed(history: History) -> None:
    assert history.decide(0, finding(BURN, 0), changes=[scaled(12)]).actions == ()


def test_a_ticket_or_another_slo_does_not_trigger_a_rule_for_pages(history: History) -> None:
    assert history.decide(0, finding(BURN, 0, severity="ticket"), finding("chat/burn/availability", 0)).actions == ()


def test_one_incident_gets_an_action_once_even_after_it_expired(history: History) -> None:
    history.decide(0, finding(BURN, 0))
    made = [history.decide(m, finding(BURN, m)).actions for m in (1, 61, 62)]

    assert [[a.state for a in actions] for actions in made] == [[], ["expired"], []]


def test_the_next_incident_waits_for_the_cooldown(history: History) -> None:
    history.decide(0, finding(BURN, 0))
    history.incidents.clear()
    history.alerts.clear()
    waiting = history.decide(9, finding(BURN, 9)).actions
    ready = history.decide(11, finding(BURN, 11)).actions

    assert (len(waiting), len(ready)) == (0, 1)


@pytest.mark.parametrize(("attempts", "asked"), [(1, 0), (None, 1)])
def test_what_was_asked_and_never_heard_of_again_cools_down_and_what_nobody_approved_does_not(
    history: History, attempts: int | None, asked: int
) -> None:
    (action,) = history.decide(0, finding(BURN, 0)).actions
    history.actions[action.action_id] = replace(action, state="expired", attempts=attempts)
    history.incidents.clear()
    history.alerts.clear()

    assert len(history.decide(9, finding(BURN, 9)).actions) == asked


def test_a_proposal_expires_with_its_incident(history: History) -> None:
    history.decide(0, finding(BURN, 0))
    (action,) = history.decide(5, finding(BURN, 5, "ok")).actions

    assert action.state == "expired"


def test_a_drift_confirmed_for_a_day_proposes_a_retraining_once(history: History) -> None:
    history.decide(0, finding(AMOUNT, 0, onset=at(-60)))
    early, ripe, late = (
        history.decide(m, finding(AMOUNT, m, onset=at(-60))).actions for m in (DAY - 60, DAY, DAY + 60)
    )

    assert (early, late) == ((), ())
    (action,) = ripe
    assert (action.kind, action.target, action.mode) == ("retrain", "airflow:retrain_fraud", "dry_run")
    assert action.parameters["features"] == ["amount"]
    assert action.parameters["since"] == "2026-11-20T08:00:00.000Z"


def test_a_live_site_with_a_target_proposes_for_approval_with_key_and_cost(tmp_path: Path) -> None:
    config = site(tmp_path)
    (action,) = History(config).decide(0, finding(BURN, 0)).actions

    assert (action.mode, action.action_id) == ("approval", f"act-{action.key}")
    assert action.parameters["usd_per_h"] == 2 * 4 * 2.5  # two replicas of four GPUs
    assert History(site(tmp_path, mode="off")).decide(0, finding(BURN, 0)).actions[0].mode == "dry_run"


def test_what_can_be_sent_is_not_ended_by_the_stage_that_proposes(tmp_path: Path) -> None:
    history = History(site(tmp_path))
    history.decide(0, finding(BURN, 0))

    assert history.decide(61, finding(BURN, 61, "ok")).actions == ()


def test_missing_values_never_ask_for_a_retraining(history: History) -> None:
    history.decide(0, finding("fraud/rate/amount/missing", 0))

    assert history.decide(DAY + 1, finding("fraud/rate/amount/missing", DAY + 1)).actions == ()


def test_the_same_question_has_the_same_id(tmp_path: Path) -> None:
    ids = {History(configured(tmp_path)).decide(m, finding(BURN, 0)).actions[0].action_id for m in (0, 50)}

    assert len(ids) == 1
    assert next(iter(ids)).startswith("act-")
