"""Alarms that belong together, the strongest that speaks, the nearest cause, what to do."""

from dataclasses import replace
from pathlib import Path

import pytest
from alarms import History, at, change, configured, finding

BURN, ERRORS, AMOUNT = "chat/burn/ttft", "chat/burn/availability", "fraud/level/amount/location"
IDLE = finding(
    "site/imbalance/gpu", 0, evidence_nats=None, note="us-east has 57 idle H100 while eu-west is 98 % busy",
    details={"idle": {"cluster": "us-east", "sku": "NVIDIA H100 80GB HBM3", "idle": 57}, "busy": {"cluster": "eu-west"}},
)  # fmt: skip


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(configured(tmp_path))


def gpu(minute: float, cluster: str = "eu-west", subject: str = "gpu"):  # type: ignore[no-untyped-def]
    return finding(
        "site/gauge/gpu",
        minute + 5,
        onset=at(minute),
        subject=subject,
        note="4 GPUs throttle",
        details={"cluster": cluster},
    )


def test_alarms_of_one_model_within_six_hours_are_one_incident(history: History) -> None:
    history.decide(0, finding(BURN, 0))
    history.decide(359, finding(ERRORS, 359), finding(AMOUNT, 359))

    assert {i.model: len(i.alerts) for i in history.incidents.values()} == {"chat": 2, "fraud": 1}


def test_an_alarm_more_than_six_hours_later_is_another_incident(history: History) -> None:
    history.decide(0, finding(BURN, 0))
    history.decide(361, finding(ERRORS, 361))

    assert len(history.incidents) == 2


def test_an_incident_that_fires_again_is_opened_again(history: History) -> None:
    history.decide(0, finding(BURN, 0))
    history.decide(420, finding(BURN, 420, "ok"))
    history.decide(470, finding(BURN, 470))

    assert (history.incident.state, history.incident.resolved_at, len(history.incident.alerts)) == ("open", None, 2)


def test_an_incident_ends_when_its_last_alert_does(history: History) -> None:
    history.decide(0, finding(BURN, 0), finding(ERRORS, 1))
    history.decide(5, finding(BURN, 5, "ok"))
    assert history.incident.state == "open"
    history.decide(7, finding(ERRORS, 7, "ok"))

    assert (history.incident.state, history.incident.resolved_at) == ("resolved", at(7))


def test_a_silent_source_and_an_imbalance_are_two_incidents(history: History) -> None:
    history.decide(0, finding("site/silence/gpus", 0), IDLE)

    assert {i.kind for i in history.incidents.values()} == {"silence", "imbalance"}


def test_the_strongest_alert_speaks_and_the_others_are_counted_by_feature(history: History) -> None:
    alarms = [finding(f"fraud/level/{f}/{s}", 0, evidence_nats=e, note=f"{f} moved") for f, s, e in
              [("amount", "location", 17.3), ("amount", "location_fast", 12.0), ("items", "location", 11.0), ("age", "location", 10.5)]]  # fmt: skip
    history.decide(0, *alarms)

    assert (history.incident.summary, history.incident.evidence_nats) == ("amount moved (+2 more features)", 17.3)


def test_pairs_are_counted_as_pairs(history: History) -> None:
    both = finding(
        "fraud/level/age*items/pair",
        0,
        subject="age × items",
        evidence_nats=10.5,
        note="correlation of age × items 0.90 → 0.10",
    )
    alarms = [finding(f"fraud/level/{f}/location", 0, evidence_nats=e, note=f"{f} moved") for f, e in [("amount", 17.3), ("age", 12.0)]]  # fmt: skip
    history.decide(0, both)
    assert history.incident.summary == "correlation of age × items 0.90 → 0.10"
    history.decide(5, *alarms, both)

    assert history.incident.summary == "amount moved (+1 more feature and 1 more pair)"


def test_an_estimate_is_renewed_only_by_clearly_more_evidence(history: History) -> None:
    history.decide(0, finding(AMOUNT, 0, evidence_nats=12.0, effect=0.3, onset=at(-60)))
    history.decide(5, finding(AMOUNT, 5, evidence_nats=14.0, effect=0.4))
    assert (history.incident.effect, history.incident.since) == (0.3, at(-60))
    history.decide(10, finding(AMOUNT, 10, evidence_nats=16.0, effect=0.42, onset=at(-65)))

    assert (history.incident.effect, history.incident.since) == (0.42, at(-65))


def test_the_cause_is_the_signal_with_the_nearest_onset(history: History) -> None:
    deploy = change("deploy", -300, model_id="chat", before="v41", after="v42")
    queue = finding("chat/gauge/queue", 12, onset=at(7), note="queue 0 → 14")
    history.decide(10, finding(BURN, 10, onset=at(0)), changes=[deploy], signals=[gpu(-1), queue])

    assert history.incident.cause == {
        "kind": "gpu",
        "subject": "gpu",
        "onset": at(-1).isoformat(),
        "note": "4 GPUs throttle",
    }


@pytest.mark.parametrize(
    "signal",
    [gpu(-31), gpu(11), gpu(0, cluster="us-east"), finding("fraud/gauge/queue", 5, onset=at(0))],
    ids=["early", "late", "cluster", "model"],
)
def test_a_signal_at_another_time_or_place_is_no_cause(history: History, signal) -> None:  # type: ignore[no-untyped-def]
    history.decide(10, finding(BURN, 10, onset=at(0)), signals=[signal])

    assert history.incident.cause is None


def test_a_deploy_is_the_cause_of_a_drift_when_it_is_nearest(history: History) -> None:
    history.decide(
        60,
        finding(AMOUNT, 60, onset=at(0)),
        changes=[change("deploy", -2, model_id="fraud", object_name="fraud", before="7", after="8")],
    )

    assert history.incident.cause is not None
    assert (history.incident.cause["kind"], history.incident.cause["note"]) == ("deploy", "deploy of fraud 7 → 8")


def test_a_signal_seen_after_the_alarm_still_becomes_the_cause_and_stays(history: History) -> None:
    history.decide(2, finding(BURN, 2, onset=at(0)))
    history.decide(6, gpu(0))
    assert history.incident.cause is not None

    assert history.decide(7, finding(BURN, 7, onset=at(0))).incidents == ()


def test_a_page_is_told_where_capacity_is_idle(history: History) -> None:
    history.decide(10, finding(BURN, 10, onset=at(0)), signals=[gpu(-1), IDLE])

    assert (
        history.incident.suggestion == "57 idle H100 in us-east could take it; look at the GPUs first: 4 GPUs throttle"
    )


def test_idle_capacity_counted_later_is_still_suggested(history: History) -> None:
    history.decide(0, finding(BURN, 0))
    history.decide(1, signals=[IDLE])

    assert "57 idle H100 in us-east could take it" in (history.incident.suggestion or "")


def test_capacity_is_not_offered_to_a_model_elsewhere(history: History) -> None:
    elsewhere = replace(IDLE, details={**IDLE.details, "busy": {"cluster": "ap-south"}})
    history.decide(0, finding(BURN, 0), signals=[elsewhere])

    assert history.incident.suggestion is None


def test_ids_are_the_same_wherever_the_same_findings_are_decided(tmp_path: Path) -> None:
    first, second = History(configured(tmp_path)), History(configured(tmp_path))
    first.decide(0, finding(BURN, 0))
    second.decide(99, finding(BURN, 0))

    assert first.incidents.keys() == second.incidents.keys()
    assert first.alerts.keys() == second.alerts.keys()


def test_idle_capacity_elsewhere_belongs_to_the_burn_it_could_relieve(history: History) -> None:
    history.decide(0, finding(BURN, 2), finding("site/imbalance/gpu", 0, details={"busy": {"cluster": "eu-west"}}))

    assert (history.incident.kind, history.incident.model, len(history.incident.alerts)) == ("slo", "chat", 2)


def test_idle_capacity_beside_another_cluster_is_an_incident_of_its_own(history: History) -> None:
    history.decide(0, finding(BURN, 2), finding("site/imbalance/gpu", 0, details={"busy": {"cluster": "ap-south"}}))

    assert {i.kind for i in history.incidents.values()} == {"slo", "imbalance"}
