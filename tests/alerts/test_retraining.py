"""When a retraining is proposed: confirmed drift, and what labels show beside it, as the rule asks for."""

from dataclasses import replace
from pathlib import Path

import pytest
from alarms import History, at, configured, finding

from alerts import retraining
from observe.schema import Action, Finding
from observe.spec.performance import Performance

AMOUNT, DAY = "fraud/level/amount/location", 24 * 60
SINCE = at(-60)


def performed(state: str, minute: float = DAY - 60, metric: str = "accuracy", **more: object) -> Finding:
    made = finding(
        f"fraud/performance/{metric}", minute, state, kind="performance", note=f"{metric} fell by 3.1 pp", effect=0.1, unit="pp", ci_low=-0.4, ci_high=0.3, details={"labelled": 900},
    )  # fmt: skip
    return replace(made, **more)


def ruled(folder: Path, **rule: object) -> History:
    """A history under the rule of fraud with other words in it."""
    config = configured(folder)
    model = config.models["fraud"]
    assert model.monitoring is not None
    changed = model.monitoring.actions[0].model_copy(update=rule)
    watched = replace(
        model, monitoring=model.monitoring.model_copy(update={"actions": (changed,), "performance": Performance()})
    )
    return History(replace(config, models={**config.models, "fraud": watched}))


def asked(folder: Path, *known: Finding, **rule: object) -> tuple[Action, ...]:
    """What is decided after a day of drift, when these findings of performance are known."""
    history = ruled(folder, **rule)
    history.decide(0, finding(AMOUNT, 0, onset=SINCE))
    return history.decide(DAY, finding(AMOUNT, DAY, onset=SINCE), signals=known).actions


def test_a_person_who_approves_reads_that_accuracy_is_unchanged(tmp_path: Path) -> None:
    [action] = asked(tmp_path, performed("ok"))

    assert action.state == "proposed"
    assert action.parameters["performance"] == "accuracy unchanged within ±0.4 pp"


def test_where_nobody_approves_drift_alone_is_not_enough_and_that_is_told(tmp_path: Path) -> None:
    [action] = asked(tmp_path, performed("ok"), approve="auto")

    assert action.state == "denied"
    assert action.reason == (
        "drift.confirmed: drift is confirmed, but accuracy unchanged within ±0.4 pp: not proposed, the rule needs both"
    )


@pytest.mark.parametrize("needs", ["drift", "both"])
def test_a_proven_loss_is_enough_beside_drift(tmp_path: Path, needs: str) -> None:
    [action] = asked(tmp_path, performed("alarm", DAY), needs=needs)

    assert (action.state, action.parameters["performance"]) == ("proposed", "accuracy fell by 3.1 pp")


def test_a_proven_loss_without_drift_is_enough_where_the_rule_says_so(tmp_path: Path) -> None:
    history = ruled(tmp_path, needs="performance")
    history.decide(0, performed("alarm", 0))
    [action] = history.decide(DAY, performed("alarm", DAY)).actions

    assert (action.state, action.parameters["features"]) == ("proposed", [])


def test_the_same_refusal_is_told_once_and_a_later_loss_is_proposed(tmp_path: Path) -> None:
    history = ruled(tmp_path, needs="both")
    history.decide(0, finding(AMOUNT, 0, onset=SINCE))
    known = [
        performed("ok"),
        performed("ok", ci_low=-0.5),
        performed("alarm", DAY + 100),
        performed("alarm", DAY + 160),
    ]
    made = [
        history.decide(DAY + 60 * i, finding(AMOUNT, DAY + 60 * i, onset=SINCE), signals=[k]).actions
        for i, k in enumerate(known)
    ]

    assert [[a.state for a in actions] for actions in made] == [["denied"], [], ["proposed"], []]
    assert len({a.action_id for actions in made for a in actions}) == 1


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ([], "no labels tell how it performs"),
        ([performed("ok", -120)], "labels of the time since then are not in yet"),
        ([performed("learning")], "labels of the time since then are not in yet"),
        ([performed("ok", details={})], "no labels tell how it performs"),
        (
            [performed("ok", metric="mae", ci_low=None, note="mae 3.1 on 900 labels, as expected"), performed("ok")],
            "accuracy unchanged within ±0.4 pp, mae 3.1 on 900 labels, as expected",
        ),
        ([performed("ok"), performed("alarm", DAY)], "accuracy fell by 3.1 pp"),
        ([performed("alarm"), performed("ok", DAY)], "accuracy unchanged within ±0.4 pp"),
        ([performed("alarm"), performed("unknown", DAY, details={})], "accuracy fell by 3.1 pp"),
    ],
)
def test_what_labels_say_since_the_drift_began(known: list[Finding], said: str) -> None:
    assert retraining.performance(known, "fraud", SINCE).said == said


def test_the_performance_of_another_model_says_nothing() -> None:
    assert retraining.performance([performed("alarm")], "chat", SINCE).state == "unknown"


def test_a_feature_whose_values_are_missing_has_not_moved(tmp_path: Path) -> None:
    history = History(configured(tmp_path))
    broken = "fraud/rate/amount/missing"
    history.decide(0, finding(AMOUNT, 0, onset=SINCE), finding(broken, 0))
    [action] = history.decide(DAY, finding(AMOUNT, DAY, onset=SINCE), finding(broken, DAY)).actions

    assert action.state == "denied"
    assert "values of amount are missing or new: mend the pipeline first" in action.reason


def test_the_others_that_moved_are_still_told(tmp_path: Path) -> None:
    history = History(configured(tmp_path))
    broken, age = "fraud/rate/amount/missing", "fraud/level/age/location"
    found = [(AMOUNT, {"onset": SINCE}), (broken, {}), (age, {"onset": SINCE})]
    history.decide(0, *(finding(m, 0, **more) for m, more in found))
    [action] = history.decide(DAY, *(finding(m, DAY, **more) for m, more in found)).actions

    assert (action.state, action.parameters["features"], action.parameters["broken"]) == (
        "proposed",
        ["age"],
        ["amount"],
    )


def test_a_pair_whose_correlation_changed_is_no_feature(tmp_path: Path) -> None:
    history = History(configured(tmp_path))
    found = [AMOUNT, "fraud/level/amount × age/pair"]
    history.decide(0, *(finding(m, 0, onset=SINCE) for m in found))
    [action] = history.decide(DAY, *(finding(m, DAY, onset=SINCE) for m in found)).actions

    assert (action.parameters["features"], action.parameters["pairs"]) == (["amount"], ["amount × age"])
