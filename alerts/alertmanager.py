"""Alerts as Alertmanager wants them: startsAt always, endsAt ahead while firing, said again every interval.

A firing alert ends, unless said again, four intervals from now: should we fall silent, it resolves by
itself. A resolved one is said for 15 minutes more, so that a receiver that was away hears of it.

Each interval's message is made anew from the alerts as they stand; an old one is never sent late, its
endsAt would resolve what still burns.

Source: Alertmanager API v2 (`POST /api/v2/alerts`); Prometheus' notifier (resend delay, endsAt = 4 x
the longer of resend delay and interval, 64 alerts a request).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from alerts.wording import instant
from observe.schema import Alert, Message, Reply

if TYPE_CHECKING:
    import httpx

    from observe.spec import Config

CHANNEL: Final = "alertmanager"
AHEAD: Final = 4  # intervals
REPEAT_RESOLVED: Final = timedelta(minutes=15)
BATCH: Final = 64  # alerts in one request, as Prometheus sends them
REPLY_CAP: Final = 64 * 1024  # bytes read of an answer; TRUST section 2
_AGAIN: Final = frozenset({408, 425, 429})  # statuses besides 5xx that another try can cure


def messages(alerts: Sequence[Alert], config: Config, now: datetime) -> list[Message]:
    """What to tell each Alertmanager of the site at this moment; nothing in mode `rules`.

    Args:
        alerts: newest row of every alert that fires or has resolved within the last 15 minutes.
        config: the site's Alertmanagers and interval.
        now: the present.

    Returns:
        Per address one message for at most 64 alerts. Ids are `<content>@<interval>`: the same within
        an interval as long as nothing changes, so that a taken message is not sent twice.
    """
    site = config.site.alerts
    if site.mode != "push":
        return []
    told = sorted((a for a in alerts if _is_told(a, now)), key=lambda a: (a.starts_at, a.alert_id))
    made = []
    for address in site.alertmanager:
        for start in range(0, len(told), BATCH):
            made.append(_message(address, told[start : start + BATCH], site.interval_s, now))
    return made


def _is_told(alert: Alert, now: datetime) -> bool:
    if alert.severity == "inform":
        return False
    return alert.state == "firing" or now - alert.changed_at < REPEAT_RESOLVED


def _message(address: str, alerts: Sequence[Alert], interval_s: float, now: datetime) -> Message:
    ends = now + AHEAD * timedelta(seconds=interval_s)
    body = json.dumps([posted(a, ends) for a in alerts], sort_keys=True).encode()
    said = json.dumps([posted(a, a.starts_at) for a in alerts], sort_keys=True)  # without the moving end
    content = sha256(f"{address}\0{said}".encode()).hexdigest()[:16]
    message_id = f"am-{content}@{int(now.timestamp() // interval_s)}"
    headers = {"Content-Type": "application/json", "Idempotency-Key": message_id}
    return Message(message_id, CHANNEL, f"{address.rstrip('/')}/api/v2/alerts", body, headers)


def posted(alert: Alert, ends_at: datetime) -> dict[str, Any]:
    """One alert of the API's `postableAlerts`; `ends_at` is when a firing one ends unless said again."""
    made: dict[str, Any] = {
        "labels": {k: str(v) for k, v in alert.labels.items()},
        "annotations": {k: str(v) for k, v in alert.annotations.items()},
        "startsAt": instant(alert.starts_at),
        "endsAt": instant(alert.ends_at or ends_at),
    }
    if alert.annotations.get("dashboard_url"):
        made["generatorURL"] = str(alert.annotations["dashboard_url"])
    return made


def send(message: Message, timeout_s: float) -> Reply:
    """Post one message; redirects are refused, at most 64 KiB of the answer are read.

    Args:
        message: what to send; its address stands in the site configuration.
        timeout_s: for everything together, seconds.
    """
    try:
        return asyncio.run(_post(message, timeout_s))
    except TimeoutError:
        return Reply(False, None, True, f"no complete answer within {timeout_s:g} s")


async def _post(message: Message, timeout_s: float) -> Reply:
    import httpx

    try:
        async with (
            asyncio.timeout(timeout_s),
            httpx.AsyncClient(timeout=timeout_s, follow_redirects=False, trust_env=False) as client,
            client.stream("POST", message.url, content=message.body, headers=dict(message.headers)) as answer,
        ):
            return _reply(answer, await _text(answer))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Reply(False, None, True, f"{type(error).__name__}: {error}"[:500])


async def _text(answer: httpx.Response) -> str:
    """The answer's first 64 KiB, as it came on the wire."""
    taken = bytearray()
    async for part in answer.aiter_raw(4096):
        taken += part
        if len(taken) >= REPLY_CAP:
            break
    return bytes(taken[:REPLY_CAP]).decode("utf-8", "replace")


def _reply(answer: httpx.Response, text: str) -> Reply:
    status = answer.status_code
    if 200 <= status < 300:
        return Reply(True, status)
    if 300 <= status < 400:
        return Reply(
            False, status, False, f"redirected to {answer.headers.get('location', '?')[:200]}; write that address"
        )
    return Reply(False, status, status >= 500 or status in _AGAIN, text.strip()[:500] or answer.reason_phrase)
