"""What people say about incidents: checked, written down, and it acts."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from delivered import alert, incident
from inprocess import Client, in_process

from observe.app.core import Core


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Core]]:
    with in_process(tmp_path_factory.mktemp("site")) as (client, core):
        with core.store.change() as tx:
            tx.insert(
                [alert(), alert("over", state="resolved"), alert("moved", kind="drift", key="chat/level/n/location")]
            )
            tx.insert([incident(), incident("over", state="resolved"), incident("moved", kind="drift")])
        yield client, core


def say(client: Client, verb: str, what: str, reason: str | None = None, **parameters: str) -> httpx.Response:
    said = {"verb": verb, "object": what, "reason": reason, "parameters": parameters}
    return client.post("/api/v1/commands", json.dumps(said), {"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (("mute", "chat", None), "needs a reason"),
        (("mute", "chat", "why"), "a mute needs an end"),
        (("mute", "chta", "why", "2h"), "did you mean 'chat'?"),
        (("mute", "chat", "why", "400d"), "within 30 days"),
        (("mute", "chat", "why", "soon"), "a mute needs an end"),
        (("unmute", "chat"), "'chat' is not muted; muted are: none"),
        (("acknowledge", "inc-2"), "there is no incident 'inc-2'; did you mean 'inc-1'?"),
        (("acknowledge", "inc-over"), "is over"),
        (("false_alarm", "inc-1"), "needs a reason"),
        (("note", "inc-1"), "note needs a text"),
        (("note", "inc-2", "hi"), "there is no incident 'inc-2'; did you mean 'inc-1'?"),
        (("note", "inc-mo", "hi"), "did you mean 'inc-moved'?"),
        (("note", "zzz", "hi"), "there is no incident 'zzz'; observe incidents lists them"),
        (
            ("accept_normal", "inc-2"),
            "there is no incident, alert, monitor or reference 'inc-2' to accept; did you mean",
        ),
        (("accept_normal", "zzz"), "'zzz' to accept; observe incidents lists incidents, view reference_window"),
        (
            ("accept_normal", "inc-1"),
            "inc-1 is about slo: only alarms of drift, performance and skew learn a new normal",
        ),
        (("accept_normal", "alr-1"), "alr-1 is about slo: only"),
        (("accept_normal", "chat/burn/ttft1"), "can be muted, or marked as a false alarm"),
        (("mut", "chat"), "no verb 'mut'; did you mean 'mute'?"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_do(
    both: tuple[Client, Core], said: tuple[str, ...], told: str
) -> None:
    verb, what, reason, span = (*said, *(None,) * (4 - len(said)))
    answer = say(both[0], verb, what, reason, **({"for": span} if span else {}))

    assert answer.status_code == 400
    assert told in answer.json()["error"]


def test_what_was_refused_is_not_written_down(both: tuple[Client, Core]) -> None:
    client, core = both
    for verb, what in (("accept_normal", "inc-1"), ("accept_normal", "inc-9"), ("note", "inc-9")):
        say(client, verb, what, "hi")

    written = core.store.read(
        "select 1 from command where object in ('inc-1', 'inc-9') and verb in ('accept_normal', 'note')"
    )
    assert written.is_empty()


@pytest.mark.parametrize("what", ["inc-moved", "alr-moved", "chat/level/n/location"])
def test_a_drift_is_accepted_by_any_of_its_names(both: tuple[Client, Core], what: str) -> None:
    answer = say(both[0], "accept_normal", what, since="2026-11-20")

    assert answer.status_code == 201
    said = both[1].store.read("select parameters ->> '$.since' from command order by ts desc limit 1").item()
    assert said == "2026-11-20T00:00:00+00:00"


@pytest.mark.parametrize(("since", "told"), [("soon", "'soon' is not a date or time"), ("2999-01-01", "lies ahead")])
def test_a_new_normal_begins_at_an_instant_that_has_passed(both: tuple[Client, Core], since: str, told: str) -> None:
    answer = say(both[0], "accept_normal", "inc-moved", since=since)

    assert (answer.status_code, told in answer.json()["error"]) == (400, True)


def test_a_mute_is_written_with_its_end_and_an_unmute_ends_it(both: tuple[Client, Core]) -> None:
    client, core = both
    assert say(client, "mute", "chat/burn/ttft1", "load test", **{"for": "2h"}).status_code == 201
    object_, left, reason, actor = core.store.read(
        "select object, epoch(until) - epoch(since), reason, actor from mute"
    ).row(0)
    assert (object_, reason, actor) == ("chat/burn/ttft1", "load test", "local")
    assert abs(left - 7200) < 5

    assert say(client, "unmute", "chat/burn/ttft1").status_code == 201
    assert core.store.read("select count(*) from mute").item() == 0


def test_lists_say_who_has_an_incident_and_that_it_is_muted(both: tuple[Client, Core]) -> None:
    client, _ = both
    say(client, "acknowledge", "inc-1", "looking")
    say(client, "mute", "inc-1", "load test", **{"for": "1h"})
    rows = {r["incident_id"]: r for r in client.request("GET", "/api/v1/incidents").json()}

    assert rows["inc-1"]["taken_by"] == "local"
    assert rows["inc-1"]["muted_until"] is not None
    assert (rows["inc-over"]["taken_by"], rows["inc-over"]["muted_until"]) == (None, None)
    assert b"observe_muted 1.0" in client.request("GET", "/metrics").content


def test_a_dead_letter_is_a_metric_and_counts_as_undelivered(tmp_path: Path) -> None:
    from dataclasses import replace

    from delivered import T0

    from alerts import outbox
    from observe.schema import Message, Reply

    with in_process(tmp_path) as (client, core):
        now = core.clock.now()
        message = Message("ops-ntc-1", "webhook", "webhook:ops", b"", {}, "inc-1", "opened")
        lost = outbox.record(message, Reply(False, 500, True, "no"), None, now)
        with core.store.change() as tx:
            tx.insert([replace(lost, state="dead"), replace(lost, message_id="ops-ntc-2", state="waiting")])
            tx.insert(
                [replace(lost, message_id="am-1", incident_id=None, channel="alertmanager", url="a", first_at=T0)]
            )
            later = replace(lost, message_id="am-2", incident_id=None, channel="alertmanager", url="a", state="sent")
            tx.insert([replace(later, tried_at=now + timedelta(seconds=1))])
        text = client.request("GET", "/metrics").text

    assert 'observe_dead_letters{channel="webhook"} 1.0' in text
    assert 'observe_deliveries_waiting{channel="webhook"} 1.0' in text
    assert 'channel="alertmanager"} 1' not in text  # it took something since
