"""The outcome of an action is judged from stored summaries once its hour after is over, and told in words."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from acted import World, action, after, site
from alarms import change, finding
from burned import burned
from delivered import incident

from alerts import policy
from observe.app import actions
from observe.schema import Action, Finding
from observe.schema.exchange import nouns


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, site(tmp_path, approve="auto"))
    yield made
    made.close()


def done(world: World, name: str = "1", **more: object) -> None:
    """An action that was proposed, sent and taken at `T0`."""
    rows = [action(name, changed_at=after(0), **more)]
    for i, state in enumerate(("approved", "sent", "acknowledged"), 1):
        rows.append(replace(rows[-1], state=state, changed_at=after(i), attempts=1))
    world.write(*rows, incident(name, since=after(-3000)))


def test_an_hour_after_it_is_told_that_the_burn_fell_against_these_hours_of_earlier_days(world: World) -> None:
    burned(world, before=0.2, then=0.002)
    done(world)
    world.until(4000, step=500)
    assert world.now().outcome is None
    world.until(4200, step=60)

    found = world.now().outcome
    assert found is not None
    assert (found["verdict"], found["metric"], found["unit"], found["days"]) == (
        "helped",
        "ttft budget burn",
        "x budget",
        6,
    )
    assert found["ci_low"] < found["effect"] < found["ci_high"] < -15
    assert "ttft budget burn fell from 20x to 0." in found["text"]
    view = world.store.read("select * from action_outcome").to_dicts()
    assert [(r["verdict"], r["sent_at"]) for r in view] == [("helped", after(2))]


def test_without_earlier_days_it_is_unknown_and_says_why(world: World) -> None:
    burned(world, before=0.2, then=0.002, days=0)
    done(world)
    world.until(4300, step=860)

    found = world.now().outcome
    assert found is not None
    assert (found["verdict"], found["ci_low"]) == ("unknown", None)
    assert "fell from 20x to" in found["text"]
    assert "no earlier day of these hours to compare with" in found["text"]


def test_until_then_the_view_says_too_early(world: World) -> None:
    done(world)

    assert world.store.read("select verdict from action_outcome").item() == "too early"


def test_a_dry_run_has_no_outcome(world: World) -> None:
    burned(world, before=0.2, then=0.002)
    world.propose(mode="dry_run")
    world.until(5000, step=1000)

    assert world.store.read("select * from action_outcome").is_empty()


def test_what_else_happened_and_what_ends_by_itself_is_said_beside_it(world: World) -> None:
    burned(world, before=0.2, then=0.002)
    world.write(change("deploy", 10, model_id="chat", after="43"))
    for name, lasted in (("old", 1800), ("older", 90000)):
        began = after(-10 * 86400)
        world.write(
            incident(
                name, since=began, state="resolved", resolved_at=began + timedelta(seconds=lasted), changed_at=began
            )
        )
    done(world)
    world.until(4300, step=860)

    text = (world.now().outcome or {})["text"]
    assert "in the same hours: deploy 43" in text
    assert "1 of 2 earlier incidents of this kind ended as fast without any action" in text


def test_two_that_did_not_help_stop_their_kind_and_somebody_is_told(world: World) -> None:
    burned(world, before=0.05, then=0.2)
    for name in ("1", "2"):
        done(world, name)
    world.until(4300, step=860)
    assert [world.now(n).outcome["verdict"] for n in ("1", "2")] == ["worse", "worse"]  # type: ignore[index]

    told = nouns(Finding, world.store.read("select * from finding where detector = 'breaker'"))
    decision = policy.decide(told, (), (), (), (), world.config, world.clock.now())
    assert [(a.severity, a.state) for a in decision.alerts] == [("ticket", "firing")]
    assert "scale actions are stopped" in decision.incidents[0].summary
    world.propose("3", mode="auto", expires_at=after(9000))
    world.until(4310)
    assert (world.now("3").state, (world.now("3").error or "")[:27]) == ("proposed", "held: circuit breaker open:")
    closing(world)


def closing(world: World) -> None:
    world.say("close_breaker", "chat/scale", "the image was broken, not the rule")
    world.until(4320)

    opened: list[Action] = world.rows("3")
    assert "approved" in {a.state for a in opened}


def labels(world: World, hours: float, state: str, effect: float) -> None:
    """What labels said of a model in the hour that ends then; more is worse."""
    end = after(3600 * hours)
    found = finding(
        "chat/performance/accuracy", 0, state, effect=effect, ci_low=effect - 0.5, ci_high=effect + 0.5, unit="pp"
    )
    world.write(
        replace(
            found,
            finding_id=f"fnd-{hours}",
            kind="performance",
            subject="accuracy",
            window_start=end - timedelta(hours=1),
            window_end=end,
        )
    )


def test_a_training_is_judged_by_what_labels_say_a_day_after_it(world: World) -> None:
    labels(world, -1, "alarm", 4.0)
    labels(world, 20, "alarm", 4.1)
    done(world, kind="retrain", reason="drift.confirmed: amount moved", expires_at=after(7 * 86400))
    world.write(replace(world.now(), state="succeeded", changed_at=after(10)))
    world.until(90000, step=30000)
    assert world.now().outcome is None
    labels(world, 30, "ok", 0.2)
    world.until(120000, step=30000)

    found = world.now().outcome
    assert found is not None
    assert (found["verdict"], found["before"], found["after"]) == ("helped", 4.0, 0.2)
    assert found["text"].startswith("loss of accuracy fell from 4 pp to 0.2 pp (−3.8, 95 % −4.5 … −3.1): helped")


def test_a_training_whose_interval_holds_an_improvement_and_harm_is_unknown(world: World) -> None:
    labels(world, -1, "alarm", 4.0)
    labels(world, 30, "alarm", 3.8)
    done(world, kind="retrain", reason="drift.confirmed: amount moved", expires_at=after(7 * 86400))
    world.write(replace(world.now(), state="succeeded", changed_at=after(10)))
    world.until(120000, step=30000)

    found = world.now().outcome
    assert found is not None
    assert (found["ci_low"] < -0.4 < 0 < found["ci_high"], found["verdict"]) == (True, "unknown")
    assert "the interval holds both help and harm" in found["text"]


def test_a_breaker_that_nobody_closes_is_open_months_later(world: World) -> None:
    for name, seconds in (("1", 0), ("2", 60)):
        done(world, name)
        outcome = {"verdict": "worse", "judged_at": after(seconds).isoformat()}
        world.write(replace(world.now(name), changed_at=after(9), state="succeeded", outcome=outcome))
    world.until(120 * 86400, step=40 * 86400)

    assert list(actions.broken(world.store)) == [("chat", "scale")]


def test_a_training_without_labels_is_unknown_after_two_weeks(world: World) -> None:
    done(world, kind="retrain", reason="drift.confirmed: amount moved", expires_at=after(30 * 86400))
    world.write(replace(world.now(), state="succeeded", changed_at=after(10)))
    world.until(14.5 * 86400, step=3 * 86400)

    assert "and there are none: unknown" in (world.now().outcome or {})["text"]
