"""Explanations in a real store: read back as written, looked at again, and nobody told twice of one cause."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alarms import at, change, configured

from alerts.muting import parts
from observe.app.explaining import EVERY, Explaining
from observe.app.standing import Reading
from observe.clock import EventClock, RisingClock
from observe.schema import Alert, Decision, Incident
from observe.store import Store

INCIDENT = Incident(
    incident_id="inc-1", kind="slo", model="chat", severity="page", state="open", since=at(0), opened_at=at(4), resolved_at=None,
    summary="ttft burns its budget 31× too fast", effect=31.0, unit="x budget", ci_low=None, ci_high=None, evidence_nats=40.0,
    cause=None, alerts=("alr-1",), suggestion=None, changed_at=at(4),
)  # fmt: skip
ALERT = Alert(
    alert_id="alr-1", key="chat/burn/ttft", incident_id="inc-1", finding_id="fnd-1", model="chat", kind="slo", subject="ttft",
    severity="page", state="firing", starts_at=at(4), ends_at=None, summary="slow", labels={}, annotations={}, changed_at=at(4),
)  # fmt: skip
DEPLOY = change("deploy", -2, object_name="vllm-eu", model_id="chat", before="v40", after="v41")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data", RisingClock(EventClock(at(4))))
    yield opened
    opened.close()


def put(store: Store, *rows: object) -> None:
    with store.change() as tx:
        for row in rows:
            tx.insert([row])


def test_an_incident_that_opens_is_explained_before_it_is_written(store: Store, tmp_path: Path) -> None:
    put(store, DEPLOY)
    made = Explaining(configured(tmp_path), store).opening(Decision((ALERT,), (INCIDENT,)), at(4))

    [incident], [explanation] = made.incidents, made.explanations
    assert (incident.cause or {})["subject"] == "vllm-eu"
    assert explanation.verdict == "cause"
    put(store, incident, explanation)
    [read] = store.read("select verdict, causes->0->>'kind' as kind from explanation").iter_rows()
    assert read == ("cause", "deploy")


def test_what_is_known_later_changes_the_explanation_and_the_cause(store: Store, tmp_path: Path) -> None:
    explaining = Explaining(configured(tmp_path), store)
    first = explaining.opening(Decision((ALERT,), (INCIDENT,)), at(4))
    put(store, *first.incidents, *first.explanations, ALERT)
    assert first.explanations[0].verdict != "cause"
    put(store, DEPLOY)  # told late

    assert explaining.again(at(5)).explanations == ()
    later = explaining.again(at(6) + EVERY)
    assert later.explanations[0].verdict == "cause"
    assert (later.incidents[0].cause or {})["kind"] == "deploy"


def test_nothing_is_written_again_while_nothing_changes(store: Store, tmp_path: Path) -> None:
    put(store, DEPLOY)
    explaining = Explaining(configured(tmp_path), store)
    first = explaining.opening(Decision((ALERT,), (INCIDENT,)), at(4))
    put(store, *first.incidents, *first.explanations, ALERT)

    told = [explaining.again(at(m)) for m in range(5, 60)]
    assert [t.explanations for t in told if t.explanations] == []


def test_an_incident_told_inside_another_is_quiet_until_that_one_ends(store: Store, tmp_path: Path) -> None:
    first = replace(INCIDENT, incident_id="inc-0", model="code", opened_at=at(2))
    inside = replace(INCIDENT, part_of="inc-0")
    theirs = replace(ALERT, alert_id="alr-0", incident_id="inc-0", model="code")
    put(store, first, inside, ALERT, theirs)
    reading, config = Reading(store), configured(tmp_path)

    def why() -> str:
        return reading.standing(config, at(5)).quiet.why(parts(INCIDENT, {ALERT.alert_id: ALERT}), at(5))

    assert why() == "muted by its cause, told in inc-0"
    put(store, replace(theirs, state="resolved", ends_at=at(6), changed_at=at(6)))
    assert why() == ""
