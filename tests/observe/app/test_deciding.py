"""What people say about actions through the API: refused with what to do, or written down with its step in one go."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from acted import action
from inprocess import Client, in_process

from observe.app.core import Core


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Core]]:
    with in_process(tmp_path_factory.mktemp("site")) as (client, core):
        now = datetime.now(UTC)
        with core.store.change() as tx:
            for name, mode in (("dry", "dry_run"), ("gone", "approval"), ("1", "dry_run")):
                tx.insert([action(name, mode=mode, changed_at=now, expires_at=now + timedelta(hours=1))])
        yield client, core


def say(client: Client, verb: str, what: str, reason: str | None = None) -> httpx.Response:
    said = {"verb": verb, "object": what, "reason": reason, "parameters": {}}
    return client.post("/api/v1/commands", json.dumps(said), {"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (("approve", action("dry").action_id), "is a dry run, nothing would be sent"),
        (("approve", action("gone").action_id), "no rule of chat asks for scale with ops:vllm-chat any more"),
        (("approve", "act-of-nobody"), "there is no action 'act-of-nobody'"), (("approve", "act-"), "there is no action"),
        (("deny", action("dry").action_id), "deny needs a reason"),
        (("close_breaker", "chat/scale", "why not"), "no circuit breaker 'chat/scale' is open; open are: none"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_what_to_do(
    both: tuple[Client, Core], said: tuple[str, ...], told: str
) -> None:
    client, _ = both
    answer = say(client, *said)

    assert answer.status_code == 400
    assert told in answer.json()["error"]


def test_a_denial_is_a_command_and_a_step_with_its_reason(both: tuple[Client, Core]) -> None:
    client, _ = both
    name = action("1").action_id
    answer = say(client, "deny", name, "the batch job ends soon")
    again = say(client, "deny", name, "really")
    listed = {a["action_id"]: a for a in json.loads(client.request("GET", "/api/v1/actions").content)}

    assert answer.status_code == 201
    assert (listed[name]["state"], listed[name]["error"]) == ("denied", "denied by local: the batch job ends soon")
    assert (again.status_code, "only what was not sent yet can be denied" in again.text) == (400, True)
