"""What Alertmanager is told, and what a receiver behind the real one hears."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from alarms import History, at, configured, finding
from running import free_port, until

from alerts import alertmanager, outbox
from observe.schema import Alert, Delivery, Message
from observe.schema.exchange import nouns, nouns_frame

BURN = "chat/burn/ttft"


@pytest.fixture
def alert(tmp_path: Path) -> Alert:
    (made,) = History(configured(tmp_path)).decide(0, finding(BURN, 0, note="burns 18x")).alerts
    return made


def body(message: Message) -> list[dict[str, str]]:
    return json.loads(message.body)


def test_a_firing_alert_starts_when_it_fired_and_ends_four_intervals_ahead(tmp_path: Path, alert: Alert) -> None:
    (message,) = alertmanager.messages([alert], configured(tmp_path), at(10))
    (posted,) = body(message)

    assert (posted["startsAt"], posted["endsAt"]) == ("2026-11-20T09:00:00.000Z", "2026-11-20T09:14:00.000Z")
    assert posted["generatorURL"] == alert.annotations["dashboard_url"]
    assert message.url == "http://127.0.0.1:9/api/v2/alerts"


def test_it_is_said_again_every_interval_and_at_once_when_something_changes(tmp_path: Path, alert: Alert) -> None:
    config = configured(tmp_path)
    ids = [alertmanager.messages([alert], config, at(0) + timedelta(seconds=s))[0].message_id for s in (0, 30, 59, 60)]
    changed = alertmanager.messages(
        [alert, replace(alert, alert_id="alr-2", labels={"alertname": "x"})], config, at(0)
    )[0]

    assert len({*ids[:3]}) == 1
    assert len({*ids, changed.message_id}) == 3


def test_a_resolved_alert_is_said_with_its_end_for_fifteen_minutes(tmp_path: Path, alert: Alert) -> None:
    config, resolved = configured(tmp_path), replace(alert, state="resolved", ends_at=at(8), changed_at=at(9))
    early, late = (alertmanager.messages([resolved], config, at(m)) for m in (23.9, 24))

    assert [p["endsAt"] for p in body(early[0])] == ["2026-11-20T09:08:00.000Z"]
    assert late == []


def test_nothing_is_pushed_where_rules_do_the_telling(tmp_path: Path, alert: Alert) -> None:
    assert alertmanager.messages([alert], configured(tmp_path, mode="rules"), at(0)) == []


def test_many_alerts_are_said_in_requests_of_64(tmp_path: Path, alert: Alert) -> None:
    many = [replace(alert, alert_id=f"alr-{i}", labels={"alertname": f"a{i}"}) for i in range(130)]

    assert [len(body(m)) for m in alertmanager.messages(many, configured(tmp_path), at(0))] == [64, 64, 2]


@contextmanager
def answering(status: int, headers: dict[str, str], text: bytes, drip_s: float = 0.0) -> Iterator[Message]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for i in range(0, len(text), 16_384):
                    self.wfile.write(text[i : i + 16_384])
                    time.sleep(drip_s)
            except OSError:
                pass

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Message("m-1", "alertmanager", f"http://127.0.0.1:{server.server_port}/", b"[]")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "ok", "retry"), [(200, True, False), (400, False, False), (429, False, True), (503, False, True)]
)
def test_an_answer_says_whether_trying_again_can_help(status: int, ok: bool, retry: bool) -> None:
    with answering(status, {}, b"said so") as message:
        reply = alertmanager.send(message, 5.0)

    assert (reply.ok, reply.status, reply.retry) == (ok, status, retry)


def test_a_redirect_is_not_followed_and_the_address_is_told() -> None:
    with answering(302, {"Location": "http://elsewhere.example.com/"}, b"") as message:
        reply = alertmanager.send(message, 5.0)

    assert (reply.ok, reply.retry) == (False, False)
    assert "elsewhere.example.com" in (reply.error or "")


def test_an_endless_answer_is_cut_and_a_slow_one_given_up() -> None:
    with answering(500, {}, b"x" * 10_000_000) as message:
        assert len(alertmanager.send(message, 5.0).error or "") == 500
    with answering(500, {}, b"x" * 60_000, drip_s=0.5) as message:
        reply = alertmanager.send(message, 0.3)

    assert (reply.status, reply.retry) == (None, True)


def test_nobody_listening_is_worth_another_try() -> None:
    reply = alertmanager.send(Message("m", "alertmanager", f"http://127.0.0.1:{free_port()}/", b"[]"), 2.0)

    assert (reply.ok, reply.status, reply.retry) == (False, None, True)


# --- the real one ---------------------------------------------------------------------------------


class Teller:
    """The delivery loop in small: what is due now is sent, what is taken is not sent again."""

    def __init__(self, folder: Path, url: str, interval: str = "1s") -> None:
        self.config = configured(folder, url, interval)
        self.log: dict[str, Delivery] = {}

    def tell(self, *alerts: Alert) -> list[Delivery]:
        now = datetime.now(UTC)
        done = []
        for message in outbox.due(alertmanager.messages(alerts, self.config, now), self.log, now):
            reply = alertmanager.send(message, 5.0)
            self.log[message.message_id] = outbox.record(message, reply, self.log.get(message.message_id), now)
            done.append(self.log[message.message_id])
        return done


def live(alert: Alert) -> Alert:
    """The alert as if it had fired a minute ago."""
    now = datetime.now(UTC)
    return replace(alert, starts_at=now - timedelta(minutes=1), changed_at=now)


@pytest.mark.servers
def test_an_alert_reaches_the_receiver_and_its_end_too(tmp_path: Path, alert: Alert, hook, start: Callable) -> None:  # type: ignore[no-untyped-def,type-arg]
    fired = live(alert)
    with start(free_port()) as server:
        teller = Teller(tmp_path, server.url, "60s")  # silence is not to end it before we do
        assert [d.state for d in teller.tell(fired)] == ["sent"]
        heard = hook.next("firing")
        assert heard["labels"] == fired.labels
        assert heard["annotations"] == fired.annotations

        ended = datetime.now(UTC)
        teller.tell(replace(fired, state="resolved", ends_at=ended, changed_at=ended))
        resolved = hook.next("resolved")
        assert resolved["startsAt"] == heard["startsAt"]
        assert resolved["endsAt"][:21] == ended.isoformat()[:21]


@pytest.mark.servers
def test_saying_it_again_keeps_it_alive_with_the_same_start(
    tmp_path: Path, alert: Alert, hook, start: Callable
) -> None:  # type: ignore[no-untyped-def,type-arg]
    fired = live(alert)
    with start(free_port()) as server:
        teller = Teller(tmp_path, server.url)
        teller.tell(fired)
        (first,) = until(server.alerts)
        until(lambda: teller.tell(fired) and server.alerts()[0]["endsAt"] > first["endsAt"])
        (kept,) = server.alerts()

        assert (kept["startsAt"], kept["fingerprint"]) == (first["startsAt"], first["fingerprint"])


@pytest.mark.servers
def test_falling_silent_ends_the_alert_by_itself(tmp_path: Path, alert: Alert, hook, start: Callable) -> None:  # type: ignore[no-untyped-def,type-arg]
    with start(free_port()) as server:
        Teller(tmp_path, server.url).tell(live(alert))

        assert hook.next("firing")
        assert hook.next("resolved")  # four intervals of one second later


@pytest.mark.servers
def test_after_a_restart_of_ours_the_start_is_the_same_and_nobody_is_told_twice(
    tmp_path: Path, hook, start: Callable
) -> None:  # type: ignore[no-untyped-def,type-arg]
    (fired,) = History(configured(tmp_path)).decide(0, finding(BURN, 0)).alerts
    with start(free_port()) as server:
        Teller(tmp_path, server.url, "60s").tell(fired)
        heard = hook.next("firing")
        (stored,) = nouns(Alert, nouns_frame([fired]))
        assert [d.state for d in Teller(tmp_path, server.url, "60s").tell(stored)] == ["sent"]

        assert {server.alerts()[0]["startsAt"][:19], heard["startsAt"][:19]} == {"2026-11-20T09:00:00"}
        time.sleep(0.5)  # several group intervals of the receiver's
        assert hook.bodies.empty()


@pytest.mark.servers
def test_an_alertmanager_that_was_away_hears_of_what_fires_soon_after_it_returns(
    tmp_path: Path, alert: Alert, hook, start: Callable
) -> None:  # type: ignore[no-untyped-def,type-arg]
    port, fired = free_port(), live(alert)
    teller = Teller(tmp_path, f"http://127.0.0.1:{port}")
    assert [d.state for d in teller.tell(fired)] == ["waiting"]
    with start(port):
        until(lambda: any(d.state == "sent" for d in teller.tell(fired)))

        assert hook.next("firing")["labels"] == fired.labels
