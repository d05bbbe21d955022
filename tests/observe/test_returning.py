"""A training comes back: it proposes the new reference, and who may accept it does."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from alarms import configured

from observe.app import training
from observe.app.accepting import accepted
from observe.app.returning import Returning
from observe.clock import EventClock
from observe.schema import Action, Alert, Batch, ChangeEvent, Command, Finding, Incident
from observe.spec import Config
from observe.store import Store

T = datetime(2026, 11, 20, 12, tzinfo=UTC)
MOVED, STEADY, LOST = "fraud/level/amount/location", "fraud/level/items/location", "fraud/performance/accuracy"
KEY = "0e0f1f4e-6f0b-5c86-9d59-5f6a3a9b8c11"
ONSET = T - timedelta(hours=40)


def at(hours: float) -> datetime:
    return T + timedelta(hours=hours)


def incident(**more: object) -> Incident:
    made = Incident(
        "inc-1", "drift", "fraud", "ticket", "open", ONSET, at(-30), None, "amount moved", 0.4, "sigma", 0.3, 0.5, 20.0, None, ("alr-1",), None, at(-30)
    )  # fmt: skip
    return replace(made, **more)


def action(state: str, hours: float, **more: object) -> Action:
    made = Action(
        f"act-{KEY}", "inc-1", "fraud", "retrain", "airflow:retrain_fraud", "approval", state, "drift.confirmed: amount moved", {}, at(24 * 7), at(hours), KEY
    )  # fmt: skip
    return replace(made, **more)


def event(hours: float = 0.0, **more: object) -> ChangeEvent:
    made = ChangeEvent(
        at(hours), f"e{hours}", "trained", None, None, None, None, None, "fraud", "v42", "v43", None, None, None, None, "push", at(hours)
    )  # fmt: skip
    return replace(made, **more)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data", EventClock(T))
    ends = at(-1)
    found = Finding(
        "fnd-1", MOVED, "level", "fraud", "drift", "amount", ends - timedelta(hours=1), ends, "alarm", "ticket", 20.0, 12.0,
        0.4, "sigma", 0.3, 0.5, ONSET, ONSET - timedelta(hours=1), ONSET + timedelta(hours=2), 100, "amount moved", {}, ends,
    )  # fmt: skip
    fires = Alert(
        "alr-1", MOVED, "inc-1", "fnd-1", "fraud", "drift", "amount", "ticket", "firing", at(-30), None, "amount moved", {}, {}, at(-30)
    )  # fmt: skip
    with opened.change() as tx:
        tx.insert([found])
        tx.insert([fires, replace(fires, alert_id="alr-2", key=LOST, kind="performance", subject="accuracy")])
        tx.insert([incident()])
        for row in (action("proposed", -6), action("approved", -5), action("sent", -4), action("acknowledged", -3)):
            tx.insert([row])
    yield opened
    opened.close()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configured(tmp_path)


def say(store: Store, *rows: object) -> None:
    with store.change() as tx:
        for row in rows:
            tx.insert([row])  # type: ignore[list-item]


def tick(store: Store, config: Config) -> list[tuple[str, str | None]]:
    Returning(store, EventClock(T)).tick(config)
    return list(
        store.read("select state, settled_by from reference_window order by period_to, reference_id").iter_rows()
    )


def of_rule(config: Config, **more: object) -> Config:
    """The configuration with another word in the rule of fraud."""
    model = config.models["fraud"]
    assert model.monitoring is not None
    rule = model.monitoring.actions[0].model_copy(update=more)
    watched = model.monitoring.model_copy(update={"actions": (rule,)})
    return replace(config, models={**config.models, "fraud": replace(model, monitoring=watched)})


def test_a_training_proposes_what_it_learnt_from_since_the_drift_was_over(store: Store, config: Config) -> None:
    say(store, event(caused_by=KEY))

    assert tick(store, config) == tick(store, config) == [("proposed", None)]
    row = store.read("select * from reference_window").row(0, named=True)
    assert (row["model"], row["version"], row["action_id"]) == ("fraud", "v43", f"act-{KEY}")
    assert (row["period_from"], row["period_to"]) == (ONSET + timedelta(hours=2), T)
    assert row["text"].startswith("new reference of fraud (v43): 2026-11-18 22:00 UTC to 2026-11-20 12:00 UTC")
    assert "no canary is declared" in row["text"]
    assert accepted(store, [MOVED]) == {}


def test_accepting_the_proposal_is_accepting_what_drifted_and_nothing_else(store: Store, config: Config) -> None:
    say(store, event(caused_by=KEY))
    tick(store, config)
    reference = store.read("select reference_id from reference_window").item()
    say(store, Command(at(0.1), "cmd-1", "ann", "operator", "accept_normal", reference, None, {}, ""))

    [before] = store.read("select receipt ->> '$.text' from action").to_series()
    assert tick(store, config) == [("accepted", "ann")]
    [after] = store.read("select receipt ->> '$.text' from action").to_series()
    assert "; new reference of fraud (v43): 2026-11-18 22:00 UTC to" in before
    assert before.endswith(f"accept it: observe incidents accept-normal {reference}")
    assert after.endswith("; accepted by ann")
    assert accepted(store, [MOVED, STEADY, LOST]) == {MOVED: ONSET + timedelta(hours=2)}


def test_data_younger_than_the_drift_begin_the_new_reference(store: Store, config: Config) -> None:
    say(store, event(caused_by=KEY, data_from=at(-12), data_to=at(-2)))
    tick(store, of_rule(config, reference="auto"))

    assert accepted(store, [MOVED]) == {MOVED: at(-12)}


def test_data_older_than_the_drift_do_not(store: Store, config: Config) -> None:
    say(store, event(caused_by=KEY, data_from=at(-24 * 90)))
    tick(store, of_rule(config, reference="auto"))

    assert accepted(store, [MOVED]) == {MOVED: ONSET + timedelta(hours=2)}


def test_a_rule_that_needs_nobody_accepts_with_a_command_of_its_own(store: Store, config: Config) -> None:
    say(store, event(caused_by=KEY))

    assert tick(store, of_rule(config, reference="auto")) == [("accepted", "rule")]
    said = store.read("select actor, verb, reason from command").row(0)
    assert said[:2] == ("rule", "accept_normal")
    assert "new reference of fraud" in said[2]


@pytest.mark.parametrize(("decision", "subject", "state"), [("good", "v43", "accepted"), ("worse", "v43", "proposed"), ("good", "v42", "proposed")])  # fmt: skip
def test_a_canary_accepts_only_the_version_that_it_has_proven(
    store: Store, config: Config, decision: str, subject: str, state: str
) -> None:
    say(store, event(caused_by=KEY))
    waits = of_rule(config, reference="canary")
    first = tick(store, waits)
    seen = Finding(
        "fnd-2", "fraud/canary/version", "canary", "fraud", "canary", subject, T, at(1), "ok", "page", 0.0, 4.6, 1.0, "ratio", 0.9, 1.1,
        None, None, None, 5_000, "", {"decision": decision}, at(1),
    )  # fmt: skip
    say(store, seen)

    assert first == [("proposed", None)]
    assert [s for s, _ in tick(store, waits)] == [state]


def test_a_training_that_nobody_asked_for_answers_what_drifts(store: Store, config: Config) -> None:
    say(store, action("succeeded", -2), event(-35.0, event_id="by-hand", after="v44"))
    say(store, event(-50.0, event_id="before-the-drift"))
    tick(store, config)

    made = store.read("select event_id, action_id from reference_window").rows()
    assert made == [("by-hand", None)]


def test_a_deploy_that_does_not_name_an_action_and_a_failed_training_propose_nothing(
    store: Store, config: Config
) -> None:
    say(store, event(-1.0, kind="deploy"), event(-0.5, severity="error", caused_by=KEY))

    assert tick(store, config) == []


def test_trained_and_then_deployed_is_one_new_reference(store: Store, config: Config) -> None:
    say(store, event(-1.0, caused_by=KEY), event(-0.5, kind="deploy", caused_by=KEY))

    assert tick(store, config) == [("proposed", None)]


def test_deployed_once_it_was_accepted_proposes_nothing_again(store: Store, config: Config) -> None:
    say(store, event(-1.0, caused_by=KEY))
    auto = of_rule(config, reference="auto")
    tick(store, auto)
    say(store, event(-0.5, kind="deploy", caused_by=KEY))

    assert tick(store, auto) == [("accepted", "rule")]


def test_a_proposal_is_withdrawn_when_its_incident_ends(store: Store, config: Config) -> None:
    say(store, event(caused_by=KEY))
    tick(store, config)
    say(store, incident(state="resolved", resolved_at=T, changed_at=T))

    assert tick(store, config) == [("withdrawn", None)]


@pytest.mark.parametrize(("rows", "hours", "said"), [
    (48_000, 40, "48,000 rows of fraud since 2026-11-18 20:00 UTC: enough to learn from"),
    (4_000, 40, "only 4,000 rows of fraud since 2026-11-18 20:00 UTC: 10,000 of a day or more are about 60 h away"),
    (48_000, 12, "only 48,000 rows of fraud since 2026-11-18 20:00 UTC: 10,000 of a day or more are about 12 h away"),
    (0, 40, "only 0 rows of fraud since 2026-11-18 20:00 UTC: 10,000 of a day or more are not in sight"),
])  # fmt: skip
def test_a_training_is_told_what_there_is_to_learn_from(rows: int, hours: int, said: str) -> None:
    made = training.window("fraud", ONSET, rows, ONSET + timedelta(hours=hours))

    assert (made["text"], made["enough"]) == (said, said.endswith("learn from"))


def test_a_proposed_retraining_counts_the_rows_since_the_drift_was_over(store: Store, config: Config) -> None:
    hours = [ONSET + timedelta(hours=h) for h in range(38)]
    base = {
        "window_s": 3600,
        "model": "fraud",
        "measure": "fraud/predictions/amount",
        "binning_id": "b@1",
        "n": 400,
        "missing": 10,
        "late": False,
    }
    rows = pl.DataFrame([{**base, "ts": ts} for ts in hours], schema_overrides={"ts": pl.Datetime("us", "UTC")})
    store.append(Batch("test", "b1", {"summary": rows}))

    [told] = training.proposed(store, config, [action("proposed", 0)], T)

    assert told.parameters["link"] == "http://observe.example.com/incidents?id=inc-1"
    assert told.parameters["training"] == {
        "from": "2026-11-18T22:00:00.000Z", "rows": 36 * 410, "enough": True,
        "text": "14,760 rows of fraud since 2026-11-18 22:00 UTC: enough to learn from",
        "older": {"from": "2026-09-19T22:00:00.000Z", "how": training.HOW},
    }  # fmt: skip
