"""What each receiver is sent, byte for byte where it matters, and how it is reached without being told anything."""

import base64
import email
import hashlib
import hmac
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.policy import default
from pathlib import Path

import pytest
from chains import Authority
from delivered import alert, incident
from receivers import http, smtp
from running import free_port

from alerts import email as mail_channel
from alerts import pagerduty, slack, telling, webhook
from alerts.notices import Notice, Receiver, notices
from observe.errors import ConfigError
from observe.schema import Reply
from observe.spec.receiving import ReceiverSpec
from observe.spec.secret import SecretRef

NOW = datetime(2026, 11, 20, 9, 5, tzinfo=UTC)
HOME = "https://observe.example.com"


def notice(kind: str = "opened", **more) -> Notice:  # type: ignore[no-untyped-def]
    return Notice(f"ntc-{kind}", kind, NOW, incident(**more), by="ada" if kind == "acknowledged" else "")  # type: ignore[arg-type]


def secret(folder: Path, text: str) -> SecretRef:
    (folder / "secret").write_text(text)
    return SecretRef("file", str(folder / "secret"))


def test_a_webhook_can_be_verified_as_the_documentation_says(tmp_path: Path) -> None:
    def genuine(key: bytes, headers: dict[str, str], body: bytes) -> bool:
        signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
        expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return hmac.compare_digest(expected, headers["webhook-signature"])

    with http() as box:
        receiver = Receiver("ops", ReceiverSpec(type="webhook", url=box.url, secret=secret(tmp_path, "k3y")))
        message = webhook.compose(notice(), receiver, [alert()], HOME)
        assert webhook.send(message, 5.0, receiver, NOW) == Reply(True, 200)

    (heard,) = box.heard
    assert genuine(b"k3y", heard.headers, heard.body)
    assert not genuine(b"k3y", heard.headers, heard.body + b" ")
    assert heard.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert heard.json["link"] == f"{HOME}/incidents?id=inc-1"
    assert heard.json["incident"]["since"] == "2026-11-20T09:00:00.000Z"
    assert heard.json["alerts"][0]["labels"]["slo_id"] == "chat.ttft1"


def test_pagerduty_is_done_with_an_incident_that_is_told_in_another() -> None:
    receiver = Receiver("duty", ReceiverSpec(type="pagerduty", routing_key=SecretRef("env", "X")))
    event = json.loads(pagerduty.compose(notice("joined", part_of="inc-0"), receiver, (), HOME).body)

    assert event == {"event_action": "resolve", "dedup_key": "inc-1"}


def test_no_notice_quotes_a_log_message_or_names_its_template() -> None:
    said = "gateway: “user <*> of alice was refused”: 0 → 12 a minute"
    cause = {"kind": "log", "subject": "a1b2", "onset": NOW.isoformat(), "note": said}
    row = incident(cause=cause, suggestion=f"read the log: {said}")
    receiver = Receiver(
        "ops", ReceiverSpec(type="webhook", url="https://ops.example.com/x", secret=SecretRef("env", "X"))
    )
    told = notices([row])["inc-1"][0]

    texts = [
        webhook.compose(told, receiver, [alert()], HOME).body.decode(),
        telling.plain(told, ""),
        telling.title(told),
    ]
    assert not any("alice" in t or "a1b2" in t for t in texts)
    assert "read the log: gateway: a message: 0 → 12 a minute" in texts[1]


def test_slack_shows_text_from_outside_as_text(tmp_path: Path) -> None:
    with http() as box:
        receiver = Receiver("team", ReceiverSpec(type="slack", webhook=secret(tmp_path, f"{box.url}/T0/B0/x")))
        message = slack.compose(notice(summary="<!channel> & *all*"), receiver, (), HOME)
        assert slack.send(message, 5.0, receiver, NOW).ok

    text = box.heard[0].json["text"]
    assert text.startswith("*■ page: chat: &lt;!channel&gt; &amp; ∗all∗*\n")
    assert f"<{HOME}/incidents?id=inc-1|Open the incident>" in text
    assert (message.url, box.heard[0].path) == ("slack:team", "/T0/B0/x")


@pytest.mark.parametrize(
    "text",
    ["@channel", "@all and @ada", "<!here>", "[click](https://evil.example)", "![x](http://e/x.png)", "https://evil.example/x",
     "www.evil.example", "mailto:eve@evil.example", "# head", "a|b", "*b* _i_ ~s~ `c`"],
)  # fmt: skip
def test_text_from_outside_mentions_nobody_and_links_nowhere_in_slack_or_mattermost(text: str) -> None:
    shown = slack.escaped(f"amount of {text} moved")

    assert not re.search(r"@\w|<|>|://|\]\(|\bwww\.|mailto:\w|[*_~`#|]", shown)
    assert shown.startswith("amount of ")


def test_pagerduty_links_lead_to_the_web_only(tmp_path: Path) -> None:
    receiver = Receiver("oncall", ReceiverSpec(type="pagerduty", routing_key=secret(tmp_path, "R")))
    odd = [alert(annotations={"runbook_url": u}) for u in ("javascript:alert(1)", "https://r", "file:///etc")]

    body = json.loads(pagerduty.compose(notice(), receiver, odd, None).body)
    assert [link["href"] for link in body["links"]] == ["https://r"]


@pytest.mark.parametrize("tls", [None, "none", "implicit"])
def test_a_mail_server_that_drips_its_greeting_is_cut_off(tls: str | None) -> None:
    with dripping() as port:
        began = time.monotonic()
        reply = mail_channel.send(
            mail_channel.compose(notice(), mailing(port, tls=tls), (), None), 0.2, mailing(port, tls=tls), NOW
        )

    assert (reply.ok, reply.retry) == (False, True)
    assert time.monotonic() - began < 5.0


@contextmanager
def dripping() -> Iterator[int]:
    """A server that says a byte every 50 ms, and never a whole line."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def serve() -> None:
            with suppress(OSError), server.accept()[0] as caller:
                while not ended.wait(0.05):
                    caller.send(b"2")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        ended.set()
        thread.join(5)


def test_pagerduty_gets_one_key_for_all_of_an_incident(tmp_path: Path) -> None:
    with http() as box:
        box.answer = lambda heard: (202, b"{}")
        receiver = Receiver(
            "oncall", ReceiverSpec(type="pagerduty", url=box.url, routing_key=secret(tmp_path, "R" * 32))
        )
        for kind in ("opened", "acknowledged", "resolved"):
            message = pagerduty.compose(notice(kind), receiver, [alert(annotations={"runbook_url": "https://r"})], HOME)
            assert b"RRRR" not in message.body
            assert pagerduty.send(message, 5.0, receiver, NOW).ok

    first, *rest = [h.json for h in box.heard]
    assert [e["event_action"] for e in (first, *rest)] == ["trigger", "acknowledge", "resolve"]
    assert {(e["dedup_key"], e["routing_key"]) for e in (first, *rest)} == {("inc-1", "R" * 32)}
    assert (first["payload"]["severity"], first["payload"]["source"]) == ("critical", "chat")
    assert [link["href"] for link in first["links"]] == [f"{HOME}/incidents?id=inc-1", "https://r"]


@pytest.mark.parametrize(
    ("status", "ok", "retry"), [(202, True, False), (400, False, False), (429, False, True), (500, False, True)]
)
def test_pagerduty_says_whether_another_try_can_help(tmp_path: Path, status: int, ok: bool, retry: bool) -> None:
    with http() as box:
        box.answer = lambda heard: (status, b"")
        receiver = Receiver("oncall", ReceiverSpec(type="pagerduty", url=box.url, routing_key=secret(tmp_path, "R")))
        reply = pagerduty.send(pagerduty.compose(notice(), receiver, (), None), 5.0, receiver, NOW)

    assert (reply.ok, reply.retry) == (ok, retry)


def mailing(port: int, **more) -> Receiver:  # type: ignore[no-untyped-def]
    fields = {"smtp": f"127.0.0.1:{port}", "from": "o@example.com", "to": ("a@example.com",), **more}
    return Receiver("mail", ReceiverSpec(type="email", **fields))


def test_mail_goes_under_tls_to_a_server_we_trust_and_is_one_thread_an_incident(tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    with smtp(ca.sign("mail", "127.0.0.1")) as server:
        receiver = mailing(server.port, ca=ca.path, username="observe", password=secret(tmp_path, "pw"))
        for kind in ("opened", "resolved"):
            assert mail_channel.send(mail_channel.compose(notice(kind), receiver, (), HOME), 5.0, receiver, NOW).ok

    letters = [email.message_from_bytes(body, policy=default) for _, body in server.letters]
    assert server.secured == [True, True]
    assert [letter["Subject"] for letter in letters] == [
        "■ page: chat: ttft burns its budget 18x too fast", "● resolved: chat: ttft burns its budget 18x too fast",
    ]  # fmt: skip
    assert {letter["References"] for letter in letters} == {"<inc-1@example.com>"}
    assert len({letter["Message-ID"] for letter in letters}) == 2
    assert "effect: 18 x budget" in letters[0].get_content()


def test_mail_is_not_handed_to_a_server_nobody_vouches_for_or_that_knows_no_tls(tmp_path: Path) -> None:
    with smtp(Authority(tmp_path).sign("mail", "127.0.0.1")) as stranger, smtp() as plain:
        replies = [
            mail_channel.send(mail_channel.compose(notice(), r, (), HOME), 5.0, r, NOW)
            for r in (mailing(stranger.port), mailing(plain.port))
        ]

    assert [(r.ok, r.retry) for r in replies] == [(False, True), (False, True)]
    assert "certificate" in (replies[0].error or "").lower()
    assert stranger.letters == plain.letters == []


def test_a_mailbox_that_is_refused_for_good_is_not_tried_again() -> None:
    with smtp() as server:
        server.refused["a@example.com"] = "550 no such user"
        receiver = mailing(server.port, tls="none")
        reply = mail_channel.send(mail_channel.compose(notice(), receiver, (), None), 5.0, receiver, NOW)

    assert (reply.ok, reply.status, reply.retry) == (False, 550, False)


def test_receivers_are_reached_without_being_told_anything(tmp_path: Path) -> None:
    with http() as box, smtp() as server:
        box.answer = lambda heard: (400, b"no_text") if heard.method == "POST" else (405, b"")
        key = secret(tmp_path, f"{box.url}/T/B/x")
        found = [
            webhook.probe(Receiver("w", ReceiverSpec(type="webhook", url=box.url, secret=key)), 5.0),
            slack.probe(Receiver("s", ReceiverSpec(type="slack", webhook=key)), 5.0),
            pagerduty.probe(Receiver("p", ReceiverSpec(type="pagerduty", url=box.url, routing_key=key)), 5.0),
            mail_channel.probe(mailing(server.port, tls="none"), 5.0),
        ]

    assert [ok for ok, _ in found] == [True] * 4
    assert {(h.method, h.body) for h in box.heard} == {("HEAD", b""), ("POST", b"{}")}
    assert server.letters == []


def test_a_receiver_that_is_not_there_is_said_not_to_be(tmp_path: Path) -> None:
    gone, key = f"http://127.0.0.1:{free_port()}", secret(tmp_path, "not an address")
    ok, said = webhook.probe(Receiver("w", ReceiverSpec(type="webhook", url=gone, secret=key)), 2.0)

    assert (ok, "ConnectError" in said) == (False, True)
    with pytest.raises(ConfigError, match="holds no address") as refused:
        slack.probe(Receiver("s", ReceiverSpec(type="slack", webhook=key)), 2.0)
    assert "not an address" not in str(refused.value)


def test_the_test_message_says_that_it_is_one() -> None:
    test, over = telling.trial(NOW, "ada")

    assert telling.title(test) == "● TEST, nothing is wrong: this is a test of Observe; nobody needs to do anything"
    assert over.incident.incident_id == test.incident.incident_id
    assert over.at - test.at == timedelta(seconds=1)
