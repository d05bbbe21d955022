"""Findings become alerts: opened once, kept, escalated, resolved, and nothing twice."""

from dataclasses import replace
from pathlib import Path

import pytest
from alarms import History, at, configured, finding
from hypothesis import given, settings
from hypothesis import strategies as st

from observe.schema import Decision

BURN, AMOUNT = "chat/burn/ttft", "fraud/level/amount/location"


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(configured(tmp_path))


def test_an_alarm_opens_one_alert_in_one_incident(history: History) -> None:
    made = history.decide(1, finding(BURN, 0, note="burns 18x"))

    (alert,), (incident,) = made.alerts, made.incidents
    assert (alert.state, alert.severity, alert.starts_at, alert.summary) == ("firing", "page", at(0), "burns 18x")
    assert (incident.alerts, incident.opened_at, incident.state) == ((alert.alert_id,), at(0), "open")
    assert alert.incident_id == incident.incident_id


def test_the_same_findings_twice_change_nothing(history: History) -> None:
    findings = [finding(BURN, 0), finding(AMOUNT, 2), finding(BURN, 5)]
    history.decide(5, *findings)

    assert history.decide(6, *findings) == Decision()


def test_a_whole_episode_decided_again_changes_nothing(history: History) -> None:
    findings = [finding(BURN, 0), finding(BURN, 1), finding(BURN, 2, "ok")]
    first = history.decide(3, *findings)

    assert [a.state for a in first.alerts] == ["resolved"]
    assert history.decide(3, *findings) == Decision()


def test_an_alarm_that_stays_writes_no_row(history: History) -> None:
    history.decide(0, finding(BURN, 0))

    assert [history.decide(m, finding(BURN, m)) for m in range(1, 5)] == [Decision()] * 4


def test_back_to_ok_resolves_the_alert_and_its_incident_and_starts_at_stays(history: History) -> None:
    history.decide(0, finding(BURN, 0))
    made = history.decide(9, finding(BURN, 8, "ok"))

    (alert,), (incident,) = made.alerts, made.incidents
    assert (alert.state, alert.starts_at, alert.ends_at) == ("resolved", at(0), at(8))
    assert (incident.state, incident.resolved_at) == ("resolved", at(8))


def test_no_data_is_not_recovery(history: History) -> None:
    history.decide(0, finding(BURN, 0))

    assert history.decide(1, finding(BURN, 1, "unknown")) == Decision()


@pytest.mark.parametrize("state", ["ok", "learning", "too_few", "not_identifiable", "inform_only"])
def test_a_detector_that_holds_its_alarm_no_longer_has_ended_it(history: History, state: str) -> None:
    history.decide(0, finding(BURN, 0))

    assert [a.state for a in history.decide(1, finding(BURN, 1, state)).alerts] == ["resolved"]


def test_a_finding_older_than_the_alert_is_ignored(history: History) -> None:
    history.decide(10, finding(BURN, 10))

    assert history.decide(11, finding(BURN, 5, "ok")) == Decision()
    assert history.decide(11, replace(finding(BURN, 12, "ok"), made_at=at(9))) == Decision()


def test_inform_is_never_an_alert(history: History) -> None:
    assert history.decide(0, finding("site/gauge/gpu", 0), finding(AMOUNT, 0, severity="inform")) == Decision()


@pytest.mark.parametrize("monitor", ["site/silence/gpus", "site/imbalance/gpu", "site/silence/exposition"])
def test_silence_and_imbalance_become_tickets(history: History, monitor: str) -> None:
    (alert,) = history.decide(0, finding(monitor, 0, evidence_nats=None)).alerts

    assert (alert.severity, alert.labels["monitor"]) == ("ticket", monitor)


def test_a_ticket_that_gets_worse_becomes_a_page_in_the_same_incident(history: History) -> None:
    history.decide(0, finding(BURN, 0, severity="ticket"))
    made = history.decide(600, finding(BURN, 600, evidence_nats=30.0, note="burns 40x"))

    states = {a.severity: (a.state, a.starts_at) for a in made.alerts}
    assert states == {"ticket": ("resolved", at(0)), "page": ("firing", at(600))}
    assert (history.incident.severity, history.incident.summary, history.incident.state) == (
        "page",
        "burns 40x",
        "open",
    )


def test_a_page_that_became_a_ticket_stops_paging_and_its_incident_stays_what_it_was(history: History) -> None:
    history.decide(0, finding(BURN, 0))
    made = history.decide(1, finding(BURN, 1, severity="ticket"))

    assert {a.severity: a.state for a in made.alerts} == {"page": "resolved", "ticket": "firing"}
    assert (history.incident.severity, history.incident.state) == ("page", "open")


def test_an_alert_whose_question_is_no_longer_asked_is_resolved(history: History) -> None:
    history.decide(0, finding("chat/burn/old-slo", 0), finding("site/silence/gone", 0))
    history.decide(1)

    assert {a.state for a in history.alerts.values()} == {"resolved"}


def test_labels_hold_strings_and_no_measurement_and_never_change(history: History) -> None:
    told = finding(
        BURN,
        0,
        effect=18.1,
        unit="x budget",
        ci_low=16.8,
        ci_high=19.6,
        evidence_nats=41.0,
        onset=at(-9),
        note="burns 18x",
    )
    (alert,) = history.decide(0, told).alerts
    (resolved,) = history.decide(5, finding(BURN, 5, "ok")).alerts

    assert alert.labels == resolved.labels == {
        "alertname": "SloBurn", "slo_id": "chat.ttft", "service": "chat", "team": "assistants", "model": "chat",
        "severity": "page", "kind": "slo", "cluster": "eu-west",
    }  # fmt: skip
    assert alert.annotations == {
        "summary": "chat: burns 18x",
        "description": "SLO ttft of chat: burns 18x. Most likely since 2026-11-20 08:51 UTC. Judged on 900 rows.",
        "onset": "2026-11-20T08:51:00.000Z",
        "effect": "18.1 x budget (95 % 16.8 … 19.6)",
        "evidence": "41.0 nats, 10.0 needed",
        "incident": alert.incident_id,
        "runbook_url": "https://runbooks.example.com/chat",
        "dashboard_url": "http://observe.example.com/slos?id=chat.ttft",
    }


STATES = st.lists(st.sampled_from(["ok", "page", "ticket", "unknown"]), min_size=1, max_size=24)


@given(states=STATES, cuts=st.sets(st.integers(0, 24)))
@settings(max_examples=60)
def test_alerts_do_not_depend_on_how_findings_are_batched(
    tmp_path_factory: pytest.TempPathFactory, states: list[str], cuts: set[int]
) -> None:
    config = configured(tmp_path_factory.getbasetemp() / "batched")
    findings = [
        finding(BURN, m, "alarm", severity=s) if s in ("page", "ticket") else finding(BURN, m, s)
        for m, s in enumerate(states)
    ]
    whole, parts = History(config), History(config)
    whole.decide(30, *findings)
    start = 0
    for cut in (*sorted(c for c in cuts if c < len(states)), len(states)):
        parts.decide(cut, *findings[start:cut])
        start = cut

    def seen(h: History) -> set[tuple[object, ...]]:
        return {(a.alert_id, a.state, a.starts_at, a.ends_at, a.incident_id) for a in h.alerts.values()}

    assert seen(whole) == seen(parts)
    assert [(i.state, i.opened_at, i.resolved_at, i.alerts) for i in whole.incidents.values()] == [
        (i.state, i.opened_at, i.resolved_at, i.alerts) for i in parts.incidents.values()
    ]
