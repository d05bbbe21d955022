"""Muted alerts at the real Alertmanager: it keeps hearing of them, tells nobody, and never says "resolved" for it."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alarms import configured
from delivered import alert
from receivers import Heard, http
from running import free_port, until

from alerts import alertmanager, silences
from alerts.muting import Mute, Quiet
from observe.schema import Alert, Message


def now() -> datetime:
    return datetime.now(UTC)


def fired(name: str = "1", **more) -> Alert:  # type: ignore[no-untyped-def]
    return alert(name, starts_at=now() - timedelta(minutes=1), changed_at=now(), **more)


def tell(folder: Path, url: str, *alerts: Alert) -> list[bool]:
    made = alertmanager.messages(alerts, configured(folder, url, "60s"), now())
    return [alertmanager.send(m, 5.0).ok for m in made]


def muted(what: str, minutes: float = 60) -> Quiet:
    return Quiet([Mute(what, now() - timedelta(seconds=1), now() + timedelta(minutes=minutes), "ada: load test")])


@pytest.mark.servers
def test_what_is_muted_is_suppressed_there_and_told_when_the_mute_is_taken_back(
    tmp_path: Path,
    hook,
    start: Callable,  # type: ignore[no-untyped-def,type-arg]
) -> None:
    one = fired()
    with start(free_port()) as server:
        wanted = silences.wanted([one], muted("chat"), now())
        assert silences.agree(server.url, wanted, now(), 5.0).ok
        assert silences.agree(server.url, wanted, now(), 5.0).ok  # twice is once
        tell(tmp_path, server.url, one)
        (there,) = until(server.alerts)
        assert (there["status"]["state"], len(there["status"]["silencedBy"])) == ("suppressed", 1)
        time.sleep(0.5)  # several group intervals of the receiver's
        assert hook.bodies.empty()

        assert silences.agree(server.url, (), now(), 5.0).ok
        assert hook.next("firing")["labels"] == one.labels


@pytest.mark.servers
def test_a_mute_after_the_notification_does_not_read_as_resolved(
    tmp_path: Path,
    hook,
    start: Callable,  # type: ignore[no-untyped-def,type-arg]
) -> None:
    one = fired()
    with start(free_port()) as server:
        tell(tmp_path, server.url, one)
        assert hook.next("firing")
        silences.agree(server.url, silences.wanted([one], muted("inc-1"), now()), now(), 5.0)
        tell(tmp_path, server.url, one)
        time.sleep(0.5)
        assert hook.bodies.empty()


@pytest.mark.servers
def test_of_several_alerts_one_that_is_refused_keeps_no_other_from_being_told(
    tmp_path: Path,
    hook,
    start: Callable,  # type: ignore[no-untyped-def,type-arg]
) -> None:
    bad = replace(fired("bad"), labels={"no label name": "x", "alertname": "Bad"})
    with start(free_port()) as server:
        (message,) = alertmanager.messages([fired("a"), bad, fired("b")], configured(tmp_path, server.url), now())
        reply = alertmanager.send(message, 5.0)
        assert (reply.ok, reply.status) == (True, 400)
        assert "1 of 3 refused: Bad:" in (reply.error or "")
        assert sorted(a["labels"]["slo_id"] for a in server.alerts()) == ["chat.ttfta", "chat.ttftb"]


def test_a_whole_that_is_refused_is_said_piece_by_piece() -> None:
    with http() as box:
        box.answer = lambda heard: (422, b"too many") if len(heard.json) > 1 else (200, b"")
        body = b'[{"labels": {"alertname": "a"}}, {"labels": {"alertname": "b"}}]'
        reply = alertmanager.send(Message("m", "alertmanager", f"{box.url}/api/v2/alerts", body), 5.0)

    assert (reply.ok, reply.error) == (True, None)
    assert [h.json[0]["labels"]["alertname"] for h in box.taken] == ["a", "b"]


class Cluster:
    """Two Alertmanagers that tell each other of silences, told the same at once."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, Any]] = {}

    def put(self, by: str, comment: str, name: str, state: str = "active") -> None:
        self.held[name] = {"id": name, "createdBy": by, "comment": comment, "status": {"state": state}}

    def answer(self, heard: Heard) -> tuple[int, bytes]:
        if heard.method == "GET":
            return 200, json.dumps(list(self.held.values())).encode()
        if heard.method == "DELETE":
            self.held[heard.path.rpartition("/")[2]]["status"]["state"] = "expired"
            return 200, b""
        self.put(heard.json["createdBy"], heard.json["comment"], f"s{len(self.held)}")
        return 200, b"{}"

    def active(self) -> list[str]:
        return sorted(name for name, s in self.held.items() if s["status"]["state"] == "active")


def test_of_silences_that_two_replicas_were_told_at_once_one_stays_and_all_go_when_it_ends() -> None:
    cluster, wanted = Cluster(), silences.wanted([fired()], muted("chat"), now())
    for name in ("b", "a", "c"):
        cluster.put("observe 1f", wanted[0].comment, name)
    with http() as box:
        box.answer = cluster.answer
        assert silences.agree(box.url, wanted, now(), 5.0, "observe 1f").ok
        assert cluster.active() == ["a"]
        cluster.put("observe 1f", wanted[0].comment, "d")
        assert silences.agree(box.url, (), now(), 5.0, "observe 1f").ok

    assert cluster.active() == []


def test_silences_of_others_are_left_alone() -> None:
    cluster = Cluster()
    cluster.put("observe", "by a person of that name", "p")
    cluster.put("observe 2e", "alr-9 until 2026: of another site", "q")
    with http() as box:
        box.answer = cluster.answer
        assert silences.agree(box.url, silences.wanted([fired()], muted("chat"), now()), now(), 5.0, "observe 1f").ok

    assert cluster.active() == ["p", "q", "s2"]
    assert cluster.held["s2"]["createdBy"] == "observe 1f"


def test_an_end_is_said_beyond_its_quarter_of_an_hour_to_a_replica_that_was_away(tmp_path: Path) -> None:
    config = configured(tmp_path)
    address, at = alertmanager.where("http://127.0.0.1:9"), now()
    over = alert(state="resolved", ends_at=at, changed_at=at)

    def said(minutes: float, reached: dict[str, datetime]) -> int:
        return len(alertmanager.messages([over], config, at + timedelta(minutes=minutes), reached))

    heard_before, heard_of_it = {address: at - timedelta(minutes=1)}, {address: at + timedelta(minutes=1)}
    assert [said(m, heard_before) for m in (14, 40, 1441)] == [1, 1, 0]
    assert [said(m, heard_of_it) for m in (14, 16)] == [1, 0]
