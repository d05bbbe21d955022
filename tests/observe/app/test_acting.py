"""What is approved reaches a real receiver once by its key, whatever happens in between, and what came of it is known."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from acted import World, action, after, site
from alarms import change
from receivers import Heard, Http, http

from alerts import webhook
from observe.app.doctor import of_data
from observe.app.reaching import looks
from observe.errors import AccessError, UsageError
from observe.schema import Action


@pytest.fixture
def ops() -> Iterator[Http]:
    with http() as box:
        yield box


@pytest.fixture
def world(tmp_path: Path, ops: Http) -> Iterator[World]:
    made = World(tmp_path, site(tmp_path, ops.url))
    yield made
    made.close()


def test_a_proposal_is_sent_when_a_person_has_approved_it_and_not_before(world: World, ops: Http) -> None:
    world.propose()
    world.until(5)
    assert ops.heard == []
    world.approve()
    world.until(10)

    (heard,) = ops.taken
    assert (heard.json["do"], heard.json["target"], heard.json["parameters"]["to"]) == ("scale", "vllm-chat", 4)
    assert heard.headers["Idempotency-Key"] == world.now().key == heard.json["key"]
    signed = webhook.signature(
        "s3cret-of-the-target", heard.json["key"], int(heard.headers["webhook-timestamp"]), heard.body
    )
    assert heard.headers["webhook-signature"] == signed
    assert world.states() == ["proposed", "approved", "sent", "acknowledged"]
    assert (world.now().approved_by, world.now().attempts) == ("ada", 1)


def test_a_dry_run_is_never_sent_and_its_approval_is_refused_with_what_to_do(world: World, ops: Http) -> None:
    world.propose(mode="dry_run")

    with pytest.raises(UsageError, match=r"is a dry run, nothing would be sent.*mode: live"):
        world.approve()
    world.until(30)
    assert ops.heard == []


def test_a_receiver_that_fails_is_asked_again_later_each_time_and_once_it_took_it_never_again(
    world: World, ops: Http
) -> None:
    ops.fail(3)
    world.propose()
    world.approve()
    world.until(60)

    assert (len(ops.heard), len(ops.taken)) == (4, 1)
    assert {h.headers["Idempotency-Key"] for h in ops.heard} == {world.now().key}
    assert world.now().state == "acknowledged"


def test_what_the_receiver_refuses_is_not_tried_again(world: World, ops: Http) -> None:
    ops.answer = lambda heard: (422, b"no such deployment")
    world.propose()
    world.approve()
    world.until(30)

    assert len(ops.heard) == 1
    assert (world.now().state, world.now().error) == ("failed", "refused: no such deployment")


def test_a_key_the_receiver_has_already_counts_as_taken(world: World, ops: Http) -> None:
    ops.answer = lambda heard: (409, b"exists")
    world.propose()
    world.approve()
    world.until(5)

    assert (world.now().state, (world.now().receipt or {})["text"]) == ("acknowledged", "had it already")


def test_killed_between_the_note_and_the_answer_it_is_sent_again_and_the_receiver_does_it_once(
    world: World, ops: Http
) -> None:
    did: set[str] = set()

    def slow_once(heard: Heard) -> tuple[int, bytes]:
        did.add(heard.headers["Idempotency-Key"])
        if len(ops.heard) == 1:
            time.sleep(2.5)  # it has done it, and nobody hears
        return 200, b""

    ops.answer = slow_once
    world.propose()
    world.approve()
    world.until(2, step=2)
    world.again()
    world.until(30)

    assert (len(did), len(ops.heard), world.now().state) == (1, 2, "acknowledged")


def test_what_its_rule_lets_be_done_by_itself_needs_nobody(tmp_path: Path, ops: Http) -> None:
    world = World(tmp_path, site(tmp_path, ops.url, approve="auto"))
    world.propose(mode="auto")
    world.until(5)
    world.close()

    assert len(ops.taken) == 1
    assert ops.taken[0].json["approved_by"] == "rule"


def test_the_daily_maximum_holds_the_next_one_and_says_so(tmp_path: Path, ops: Http) -> None:
    world = World(tmp_path, site(tmp_path, ops.url, approve="auto", per_day=2, rule=", mode: live"))
    for i, name in enumerate(("1", "2", "3")):
        world.propose(name, mode="auto", expires_at=after(7200))
        world.until((i + 1) * 660, step=66)
    held = world.now("3")
    world.close()

    assert len(ops.taken) == 2
    assert (held.state, held.error) == ("proposed", "held: daily maximum: 2 of 2 actions of chat were sent in 24 h")


def test_an_envelope_that_shrank_since_the_approval_stops_it(world: World, ops: Http, tmp_path: Path) -> None:
    world.propose()
    world.approve()
    world.adopt(site(tmp_path, ops.url, most=3))
    world.until(5)

    assert ops.heard == []
    assert (world.now().state, world.now().error) == (
        "failed",
        "not sent: outside the envelope: 4 replicas, 2 to 3 are allowed",
    )


def test_what_was_asked_already_is_not_called_unsent_when_its_permit_is_withdrawn(
    world: World, ops: Http, tmp_path: Path
) -> None:
    ops.fail(9)
    world.propose()
    world.approve()
    world.until(1)
    world.adopt(site(tmp_path, ops.url, mode="off"))
    world.until(10)

    assert len(ops.heard) == 1
    why = "asked once, not known whether taken; not asked again: the site says actions: {mode: off}"
    assert (world.now().state, world.now().error) == ("failed", why)


def test_a_training_of_which_nothing_was_heard_again_holds_the_next_for_its_whole_cooldown(
    tmp_path: Path, ops: Http
) -> None:
    world = World(tmp_path, site(tmp_path, ops.url, approve="auto", cooldown="7d"))
    world.write(action("1", state="sent", attempts=1, changed_at=after(-3 * 86400)))
    world.write(action("1", state="expired", attempts=1, changed_at=after(-2 * 86400)))
    world.propose("2", mode="auto")
    world.until(5)
    held = world.now("2")
    world.close()

    assert ops.heard == []
    assert (held.state, held.error) == ("proposed", "held: cooldown: the same was sent at 2026-11-17 09:00 UTC")


def test_a_target_may_want_an_admins_word(tmp_path: Path, ops: Http) -> None:
    world = World(tmp_path, site(tmp_path, ops.url, more=", approvers: admin"))
    world.propose()

    with pytest.raises(AccessError, match="wants an admin's word"):
        world.approve()
    world.say("approve", action().action_id, role="admin")
    world.until(5)
    world.close()
    assert len(ops.taken) == 1


def test_what_was_denied_is_never_sent_and_the_reason_stays(world: World, ops: Http) -> None:
    world.propose()
    world.say("deny", action().action_id, "the batch job ends in ten minutes")
    world.until(5)

    assert ops.heard == []
    assert (world.now().state, world.now().error) == ("denied", "denied by ada: the batch job ends in ten minutes")
    with pytest.raises(UsageError, match="is denied by ada; only a proposal can be approved"):
        world.approve()


def test_replicas_that_come_up_say_that_it_succeeded(world: World, ops: Http) -> None:
    world.propose()
    world.approve()
    world.until(5)
    seen = change("scale", 1, model_id="chat", after="4", message="vllm-chat scaled to 4")
    world.write(seen)
    world.until(70, step=5)

    assert (world.now().state, (world.now().receipt or {})["done"]) == ("succeeded", True)
    assert "vllm-chat scaled to 4" in (world.now().receipt or {})["text"]


def test_fewer_replicas_than_asked_for_say_nothing(world: World, ops: Http) -> None:
    world.propose()
    world.approve()
    world.until(5)
    world.write(change("scale", 1, model_id="chat", after="3"))
    world.until(3700, step=60)

    assert (world.now().state, world.now().error) == ("expired", "taken, but nothing told how it ended")


def test_a_proposal_ends_when_nobody_approves_it_or_its_incident_ends(world: World) -> None:
    from delivered import incident

    world.propose("1", "2")
    world.write(incident("2", state="resolved", resolved_at=after(10), changed_at=after(10)))
    world.until(3601, step=60)

    assert (world.now("1").error, world.now("2").error) == ("nobody approved it in time", "its incident ended")


def test_a_target_that_hangs_holds_up_no_other(tmp_path: Path, ops: Http) -> None:
    config = site(tmp_path, ops.url, approve="auto")
    text = (
        (tmp_path / "observe.yaml")
        .read_text()
        .replace("actions:", '  away: {type: webhook, url: "http://127.0.0.1:9/", secret: "file:./secret"}\nactions:')
    )
    (tmp_path / "observe.yaml").write_text(text)
    models = (tmp_path / "models" / "chat.yaml").read_text()
    (tmp_path / "models" / "chat.yaml").write_text(
        models + '  - {when: slo.ttft.page, do: hold, target: "away:x", approve: auto}\n'
    )
    from observe.spec import load

    config = load(tmp_path / "observe.yaml")
    world = World(tmp_path, config)
    world.propose(mode="auto")
    other: Action = action("1", mode="auto", kind="hold", target="away:x", action_id="act-other", key="other")
    world.write(other)
    world.until(10)
    world.close()

    assert len(ops.taken) == 1
    assert json.loads(ops.taken[0].body)["do"] == "scale"


def test_a_live_check_reaches_each_target_and_asks_for_nothing(tmp_path: Path, ops: Http) -> None:
    found = {look.what: look for look in looks(site(tmp_path, ops.url), datetime.now(UTC))}

    assert (found["targets.ops"].ok, found["targets.ops"].target) == (True, f"{ops.url}/act")
    assert {h.method for h in ops.heard} == {"HEAD"}


def test_the_doctor_tells_what_was_not_taken(world: World) -> None:
    now = datetime.now(UTC)  # its SQL goes by the database's clock
    world.write(action("1", state="failed", attempts=3, error="dead letter: no route", changed_at=now))
    (seen,) = [s for s in of_data(world.store.read, now, running=False) if s.part == "action"]

    assert (seen.subject, seen.state, seen.said) == (
        "ops:vllm-chat",
        "wrong",
        "1 failed in the last seven days: dead letter: no route",
    )


def test_a_prefix_names_an_action_and_a_slip_is_told(world: World) -> None:
    world.propose()
    world.say("approve", action().action_id[:12])
    with pytest.raises(UsageError, match="there is no action 'act-nothing-of-this'"):
        world.say("approve", "act-nothing-of-this")

    assert world.now().state == "approved"


@pytest.mark.slow
def test_nothing_is_doubled_or_lost_while_the_receiver_stumbles_and_the_service_dies_again_and_again(
    tmp_path: Path, ops: Http
) -> None:
    world = World(tmp_path, site(tmp_path, ops.url, per_day=50, cooldown="1s"))
    names = [str(i) for i in range(12)]
    answers = iter([(500, b""), (200, b""), (503, b""), (429, b"")] * 100)
    ops.answer = lambda heard: next(answers)
    world.propose(*names, expires_at=after(86400))
    world.write(
        *(action(n, state="approved", approved_by="ada", changed_at=after(1), expires_at=after(86400)) for n in names)
    )
    for lap in range(8):
        world.until(40 * (lap + 1), step=4)
        world.again()
    taken = [h.headers["Idempotency-Key"] for h in ops.taken]
    states = {world.now(n).state for n in names}
    world.close()

    assert (len(taken), len(set(taken))) == (12, 12)
    assert states == {"acknowledged"}
