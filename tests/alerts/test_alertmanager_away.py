"""Alertmanager is away for half an hour, scaled: what fired, what ended and what began meanwhile is told once."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty

import httpx
import pytest
from delivered import alert, incident, site
from running import free_port, until

from alerts import alertmanager
from observe.access import Principal
from observe.app.delivering import Delivering
from observe.app.people import written
from observe.clock import WallClock
from observe.store import Store
from observe.telemetry import Telemetry

pytestmark = [pytest.mark.servers, pytest.mark.slow]


def now() -> datetime:
    return datetime.now(UTC)


def test_an_alertmanager_that_was_away_for_long_is_told_everything_once(  # type: ignore[no-untyped-def]
    tmp_path: Path, hook, start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alertmanager, "REPEAT_RESOLVED", timedelta(seconds=2))  # for 15 minutes: one to 450
    port = free_port()
    config = site(tmp_path, f'  alertmanager: ["http://127.0.0.1:{port}"]\n  interval: 30s\n')
    store = Store.open(tmp_path / "data", WallClock())
    delivering = Delivering(config, store, WallClock(), Telemetry())
    delivering.start()
    try:
        with start(port) as server:
            with store.change() as tx:
                tx.insert([alert("a", starts_at=now(), changed_at=now())])
                tx.insert([incident("a", changed_at=now())])
            assert hook.next("firing")["labels"]["slo_id"] == "chat.ttfta"
            until(lambda: _has_noted(server.url))  # whom it told nothing it would not tell the end either
        began = now() - timedelta(seconds=2)
        with store.change() as tx:
            tx.insert([alert("a", state="resolved", starts_at=began, ends_at=now(), changed_at=now())])
            tx.insert(
                [
                    alert(
                        "b",
                        model="other",
                        starts_at=now(),
                        changed_at=now(),
                        labels={"alertname": "b", "model": "other"},
                    )
                ]
            )
        time.sleep(4)  # half an hour
        with start(port):
            heard = sorted(_next(hook) for _ in range(2))
            time.sleep(1)
            with pytest.raises(Empty):
                hook.bodies.get_nowait()
    finally:
        delivering.stop()
        store.close()

    assert heard == [("b", "firing"), ("chat.ttfta", "resolved")]


def test_what_a_person_mutes_is_heard_there_and_told_to_nobody_until_it_is_unmuted(  # type: ignore[no-untyped-def]
    tmp_path: Path, hook, start: Callable
) -> None:
    with start(free_port()) as server:
        config = site(tmp_path, f'  alertmanager: ["{server.url}"]\n  interval: 30s\n')
        store = Store.open(tmp_path / "data", WallClock())
        delivering = Delivering(config, store, WallClock(), Telemetry())

        def say(verb: str, **parameters: str) -> None:
            with store.change() as tx:
                said = {"verb": verb, "object": "chat", "reason": "because", "parameters": parameters}
                written(tx, now(), Principal("ada", "operator"), said)

        try:
            say("mute", until=(now() + timedelta(hours=1)).isoformat())
            with store.change() as tx:
                tx.insert([alert("a", starts_at=now(), changed_at=now())])
            delivering.once()
            (there,) = until(server.alerts)
            assert there["status"]["state"] == "suppressed"
            assert hook.bodies.empty()

            say("unmute")
            delivering.once()
            assert hook.next("firing")["labels"]["slo_id"] == "chat.ttfta"
        finally:
            delivering.stop()
            store.close()


def _has_noted(url: str) -> bool:
    """Whether an Alertmanager is through with a notification: it writes it down after the receiver's answer."""
    metrics = httpx.get(f"{url}/metrics", trust_env=False, timeout=30).text
    done = 'alertmanager_notification_latency_seconds_count{integration="webhook"} '
    if not any(line.startswith(done) and float(line.removeprefix(done)) > 0 for line in metrics.splitlines()):
        return False
    time.sleep(0.5)
    return True


def _next(hook) -> tuple[str, str]:  # type: ignore[no-untyped-def]
    (told,) = hook.bodies.get(timeout=90)["alerts"]
    return told["labels"].get("slo_id", told["labels"]["alertname"]), told["status"]
