"""Receivers that answer with faults or not at all: nothing is lost, nothing comes twice, the order is kept."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from delivered import World, after, alert, incident, resolved, site
from receivers import Http, http, smtp
from running import until

HOOK = '  receivers:\n    ops: {{type: webhook, url: "{url}/x", secret: "file:secret"}}\n'


@pytest.fixture
def receiver() -> Iterator[Http]:
    with http() as box:
        yield box


@pytest.fixture
def world(tmp_path: Path, receiver: Http) -> Iterator[World]:
    made = World(tmp_path, HOOK.format(url=receiver.url))
    yield made
    made.close()


def told(receiver: Http) -> list[tuple[str, str]]:
    return [(h.json["notice"], h.json["incident"]["incident_id"]) for h in receiver.taken]


def test_an_incident_is_told_once_when_it_opens_and_once_when_it_ends(world: World, receiver: Http) -> None:
    world.write(alert(), incident())
    world.until(30)
    world.write(*resolved("1", after(40)))
    world.until(60)

    assert told(receiver) == [("opened", "inc-1"), ("resolved", "inc-1")]
    assert world.states() == [("opened", "sent"), ("resolved", "sent")]


def test_faults_are_tried_again_under_the_same_key_and_the_end_waits_for_the_beginning(
    world: World, receiver: Http
) -> None:
    receiver.fail(5, 503)
    world.write(alert(), incident())
    world.until(3)
    world.write(*resolved("1", after(4)))
    world.until(120, step=4)

    keys = [h.headers["Idempotency-Key"] for h in receiver.heard]
    assert told(receiver) == [("opened", "inc-1"), ("resolved", "inc-1")]
    assert sorted(Counter(keys).values()) == [1, 6]
    assert len({h.headers["webhook-signature"] for h in receiver.heard}) == 7


@pytest.mark.slow
def test_half_an_hour_of_nobody_there_loses_nothing_and_doubles_nothing(world: World, receiver: Http) -> None:
    receiver.fail(10**9)
    for i in range(20):
        world.write(alert(str(i), changed_at=after(i * 60)), incident(str(i), changed_at=after(i * 60)))
        world.until(i * 60 + 60, step=30)
    world.write(*resolved("3", after(1300)))
    world.until(1800, step=60)
    receiver.fail(0)
    world.until(2200, step=20)

    assert sorted(told(receiver)) == sorted([("opened", f"inc-{i}") for i in range(20)] + [("resolved", "inc-3")])
    assert told(receiver).index(("opened", "inc-3")) < told(receiver).index(("resolved", "inc-3"))


def test_a_restart_after_the_answer_says_nothing_again_and_one_before_it_says_it_again(
    world: World, receiver: Http
) -> None:
    world.write(alert(), incident())
    world.until(2)
    world.again()
    world.until(10)
    assert told(receiver) == [("opened", "inc-1")]

    receiver.fail(1)
    world.write(*resolved("1", after(11)))
    world.until(11.5, step=0.5)
    world.again()
    world.until(30)
    assert told(receiver) == [("opened", "inc-1"), ("resolved", "inc-1")]
    assert len({h.headers["webhook-id"] for h in receiver.heard}) == 2


def test_who_looks_at_the_key_hears_once_also_when_we_die_before_writing_the_answer_down(
    world: World, receiver: Http
) -> None:
    world.write(alert(), incident())
    world.until(2)
    with world.store.change() as tx:
        tx.execute("delete from core.delivery")  # as if kill -9 had come between the answer and this row
    world.again()
    world.until(10)

    assert len(receiver.taken) == 2
    assert len({(h.headers["Idempotency-Key"], h.body) for h in receiver.taken}) == 1


@pytest.mark.slow
def test_what_nobody_takes_for_a_day_is_a_dead_letter_that_is_seen(world: World, receiver: Http) -> None:
    receiver.fail(10**9)
    world.write(alert(), incident())
    world.until(25 * 3600, step=1800)

    row = world.store.read("select state, error, notice, url, tries from delivery order by tried_at desc limit 1").row(
        0
    )
    assert row[:4] == ("dead", "not now", "opened", "webhook:ops")
    assert row[4] > 40


def test_what_is_refused_for_good_is_said_once_and_the_next_is_said(world: World, receiver: Http) -> None:
    receiver.fail(1, 422, b"no such field")
    world.write(alert(), incident())
    world.until(60)
    world.write(*resolved("1", after(61)))
    world.until(70)

    assert world.states() == [("opened", "refused"), ("resolved", "sent")]


def test_a_ticket_that_becomes_a_page_is_told_to_those_who_hear_only_of_pages(tmp_path: Path, receiver: Http) -> None:
    url = receiver.url
    two = f'  receivers:\n    all: {{type: webhook, url: "{url}/all", secret: "file:secret"}}\n    pages: {{type: webhook, url: "{url}/pages", secret: "file:secret", severities: [page]}}\n'
    world = World(tmp_path, two)
    try:
        world.write(alert(severity="ticket"), incident(severity="ticket"))
        world.until(5)
        world.write(incident(changed_at=after(6)))
        world.until(10)
        world.write(*resolved("1", after(11)))
        world.until(15)
    finally:
        world.close()

    heard = {path: [h.json["notice"] for h in receiver.taken if h.path == path] for path in ("/all", "/pages")}
    assert heard == {"/all": ["opened", "raised", "resolved"], "/pages": ["raised", "resolved"]}


@pytest.mark.slow
def test_a_receiver_that_hangs_holds_up_no_other(
    tmp_path: Path, receiver: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("observe.app.delivering._TIMEOUT_S", 60.0)  # it is not given up while we look
    released = threading.Event()
    with http() as slow:
        slow.answer = lambda heard: (200 if released.wait(60) else 503, b"")
        first = f'  receivers:\n    slow: {{type: webhook, url: "{slow.url}/x", secret: "file:secret"}}\n'
        world = World(tmp_path, first + HOOK.format(url=receiver.url).partition("\n")[2])
        try:
            world.write(alert(), incident(), alert("2"), incident("2"))
            world.delivering._pass()
            until(lambda: len(receiver.taken) == 2)
            assert slow.taken == []
        finally:
            released.set()
            world.close()


def test_what_becomes_part_of_another_after_it_was_told_says_so_and_then_no_more(world: World, receiver: Http) -> None:
    world.write(alert(), incident())
    world.until(5)
    part = incident(part_of="inc-0", changed_at=after(6))
    world.write(part)
    world.until(10)
    world.write(replace(part, state="resolved", resolved_at=after(11), changed_at=after(11)))
    world.until(20)

    assert told(receiver) == [("opened", "inc-1"), ("joined", "inc-1")]
    assert receiver.taken[-1].json["title"].startswith("● told in inc-0 from now on: chat:")


def test_what_is_part_of_another_from_the_start_is_not_told_by_itself(world: World, receiver: Http) -> None:
    world.write(incident("0", models=("chat", "code")), alert("0"), alert(), incident(part_of="inc-0", model="code"))
    world.until(10)

    assert told(receiver) == [("opened", "inc-0")]
    assert receiver.taken[0].json["title"].startswith("■ page: chat, code: ")


def test_a_new_receiver_hears_of_what_is_open_and_not_of_what_is_over(world: World, receiver: Http) -> None:
    world.write(alert("old"), incident("old"), alert("new", severity="ticket"), incident("new", severity="ticket"))
    world.write(*resolved("old", after(5)), incident("new", changed_at=after(6)))
    world.until(10)
    receiver.taken.clear()
    world.config = site(
        world.folder,
        HOOK.format(url=receiver.url)
        + f'    late: {{type: webhook, url: "{receiver.url}/late", secret: "file:secret"}}\n',
    )
    world.delivering.adopt(world.config)
    world.until(20)

    assert [(h.path, h.json["notice"], h.json["incident"]["incident_id"]) for h in receiver.taken] == [
        ("/late", "raised", "inc-new")
    ]


# --- mute, maintenance, acknowledge -----------------------------------------------------------------


def test_what_opens_while_its_model_is_muted_is_told_when_the_mute_ends(world: World, receiver: Http) -> None:
    world.command("mute", "chat", until=after(3600).isoformat())
    world.clock.set(after(1))
    world.write(alert(changed_at=after(1)), incident(changed_at=after(1)))
    world.until(3500, step=600)
    assert receiver.heard == []
    assert world.states() == [("opened", "muted")]

    world.until(3700, step=100)
    assert told(receiver) == [("opened", "inc-1")]


def test_what_opens_and_ends_while_it_is_muted_is_never_told(world: World, receiver: Http) -> None:
    world.command("mute", "*", until=after(3600).isoformat())
    world.write(alert(changed_at=after(1)), incident(changed_at=after(1)))
    world.until(10)
    world.write(*resolved("1", after(11)))
    world.until(4000, step=600)

    assert receiver.heard == []
    assert world.store.read("select count(*) from incident").item() == 1


def test_who_was_told_of_it_hears_of_its_end_though_it_was_muted_then(world: World, receiver: Http) -> None:
    world.write(alert(), incident())
    world.until(5)
    world.command("mute", "inc-1", until=after(3600).isoformat())
    world.write(*resolved("1", after(20)))
    world.until(30)

    assert told(receiver) == [("opened", "inc-1"), ("resolved", "inc-1")]


def test_unmuting_tells_at_once(world: World, receiver: Http) -> None:
    world.command("mute", "chat/burn/ttft1", until=after(86_400).isoformat())
    world.write(alert(changed_at=after(1)), incident(changed_at=after(1)))
    world.until(10)
    world.command("unmute", "chat/burn/ttft1")
    world.until(12)

    assert told(receiver) == [("opened", "inc-1")]


def test_a_mute_of_days_does_not_make_what_it_held_too_old_to_be_told(world: World, receiver: Http) -> None:
    world.command("mute", "chat", until=after(3 * 86_400).isoformat())
    world.write(alert(changed_at=after(1)), incident(changed_at=after(1)))
    world.until(3 * 86_400 + 3600, step=7200)

    assert told(receiver) == [("opened", "inc-1")]


def test_an_incident_is_muted_only_while_all_of_its_alerts_are(world: World, receiver: Http) -> None:
    world.command("mute", "alr-1", until=after(3600).isoformat())
    world.write(alert(), alert("2", incident_id="inc-1"), incident(alerts=("alr-1", "alr-2")))
    world.until(5)

    assert told(receiver) == [("opened", "inc-1")]


def test_maintenance_of_the_files_holds_and_then_tells(tmp_path: Path, receiver: Http) -> None:
    calendar = '  maintenance:\n    - {cron: "0 9 * * *", for: 2h, why: patch night, models: [chat]}\n'
    world = World(tmp_path, HOOK.format(url=receiver.url) + calendar)
    try:
        world.write(alert(changed_at=after(60)), incident(changed_at=after(60)))
        world.until(7100, step=600)
        assert (receiver.heard, world.states()) == ([], [("opened", "muted")])
        assert "patch night" in world.store.read("select error from delivery").item()
        world.until(7300, step=100)
        assert told(receiver) == [("opened", "inc-1")]
    finally:
        world.close()


def test_an_acknowledgement_is_told_with_who_and_why(world: World, receiver: Http) -> None:
    world.write(alert(), incident())
    world.until(5)
    world.command("acknowledge", "inc-1")
    world.until(10)

    said = receiver.taken[-1].json
    assert (said["notice"], said["by"], said["reason"]) == ("acknowledged", "ada", "because")


# --- in the same way for every type -----------------------------------------------------------------


def test_no_secret_reaches_rows_logs_or_messages(
    world: World, receiver: Http, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    receiver.fail(2, 403, b"the key s3cret-of-the-hook is wrong")
    world.write(alert(), incident())
    world.until(5)

    rows = json.dumps(world.store.read("select * from delivery").to_dicts(), default=str)
    assert "(hidden)" in rows
    assert "s3cret" not in rows + caplog.text + "".join(h.body.decode() + str(h.headers) for h in receiver.heard)


def test_a_secret_that_is_missing_is_waited_for(world: World, receiver: Http) -> None:
    (world.folder / "secret").unlink()
    world.write(alert(), incident())
    world.until(5)
    assert receiver.heard == []
    assert "cannot read the secret" in world.store.read("select error from delivery limit 1").item()

    (world.folder / "secret").write_text("back")
    world.until(60)
    assert told(receiver) == [("opened", "inc-1")]


def test_mail_comes_once_with_the_same_id_when_the_server_was_busy(tmp_path: Path) -> None:
    with smtp() as mail:
        mail.busy = 2
        spec = f'    mail: {{type: email, smtp: "127.0.0.1:{mail.port}", from: o@example.com, to: [a@example.com, b@example.com], tls: none}}\n'
        world = World(tmp_path, "  receivers:\n" + spec)
        mail.refused["b@example.com"] = "550 no such user"
        try:
            world.write(alert(), incident(summary="burns\r\nBcc: eve@example.com"))
            world.until(30)
            states = world.states()
            error = world.store.read("select error from delivery where state = 'partial'").item()
        finally:
            world.close()

    assert [to for to, _ in mail.letters] == [["a@example.com"]]
    assert b"\r\nBcc:" not in mail.letters[0][1]
    assert states[-1] == ("opened", "partial")
    assert "b@example.com: 550 no such user" in error


def test_with_rules_nobody_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, '  mode: rules\n  alertmanager: ["http://127.0.0.1:9"]\n')
    try:
        world.write(alert(), incident())
        world.until(5)
        assert world.states() == []
    finally:
        world.close()
