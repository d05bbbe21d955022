"""Alerts as Alertmanager wants them: startsAt always, endsAt ahead while firing, said again every interval.

A firing alert ends, unless said again, four intervals from now: should we fall silent, it resolves by
itself. A resolved one is said for 15 minutes more, and after that, for a day, to whom it never reached.

Each interval's message is made anew from the alerts as they stand; an old one is never sent late, its
endsAt would resolve what still burns.

Source: Alertmanager API v2 (`POST /api/v2/alerts`); Prometheus' notifier (resend delay, endsAt = 4 x
the longer of resend delay and interval, 64 alerts a request).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from alerts.posting import SHOWN, Request, post
from alerts.wording import instant
from observe.schema import Alert, Message, Reply

if TYPE_CHECKING:
    from observe.spec import Config

CHANNEL: Final = "alertmanager"
AHEAD: Final = 4  # intervals
REPEAT_RESOLVED: Final = timedelta(minutes=15)
KEPT: Final = timedelta(hours=24)  # a resolve is said for so long to whom it never reached
BATCH: Final = 64  # alerts in one request, as Prometheus sends them
PATH: Final = "/api/v2/alerts"
_INVALID: Final = frozenset({400, 422})


def messages(
    alerts: Sequence[Alert], config: Config, now: datetime, reached: Mapping[str, datetime] | None = None
) -> list[Message]:
    """What to tell each Alertmanager of the site at this moment; nothing in mode `rules`.

    Args:
        alerts: newest row of every alert that fires or has resolved within the last day.
        config: the site's Alertmanagers and interval.
        now: the present.
        reached: when each address last took something; without it all are taken to have heard everything.

    Returns:
        Per address one message for at most 64 alerts. Ids are `<content>@<interval>`: the same within
        an interval as long as nothing changes, so that a taken message is not sent twice.
    """
    site = config.site.alerts
    if site.mode != "push":
        return []
    ordered = sorted(alerts, key=lambda a: (a.starts_at, a.alert_id))
    made = []
    for address in site.alertmanager:
        heard = None if reached is None else reached.get(where(address))
        told = [
            a for a in ordered if _is_told(a, now, away=reached is not None and (heard is None or heard < a.changed_at))
        ]
        for start in range(0, len(told), BATCH):
            made.append(_message(address, told[start : start + BATCH], site.interval_s, now))
    return made


def where(address: str) -> str:
    """Where alerts of an Alertmanager are posted."""
    return f"{address.rstrip('/')}{PATH}"


def _is_told(alert: Alert, now: datetime, *, away: bool) -> bool:
    if alert.severity == "inform":
        return False
    return alert.state == "firing" or now - alert.changed_at < (KEPT if away else REPEAT_RESOLVED)


def _message(address: str, alerts: Sequence[Alert], interval_s: float, now: datetime) -> Message:
    ends = now + AHEAD * timedelta(seconds=interval_s)
    body = json.dumps([posted(a, ends) for a in alerts], sort_keys=True).encode()
    said = json.dumps([posted(a, a.starts_at) for a in alerts], sort_keys=True)  # without the moving end
    content = sha256(f"{address}\0{said}".encode()).hexdigest()[:16]
    message_id = f"am-{content}@{int(now.timestamp() // interval_s)}"
    headers = {"Content-Type": "application/json", "Idempotency-Key": message_id}
    return Message(message_id, CHANNEL, where(address), body, headers)


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
    """Post one message; of several alerts that are refused together each is said alone.

    Alertmanager takes what is valid beside what is not and answers 400 all the same; what stands before it may
    refuse the whole. Said alone, the good ones are taken for sure, and the reason of the others is known.

    Args:
        message: what to send; its address stands in the site configuration.
        timeout_s: for one request, seconds.
    """
    reply = post(Request(message.url, message.body, message.headers), timeout_s)
    alerts: list[dict[str, Any]] = json.loads(message.body) if reply.status in _INVALID else []
    if len(alerts) < 2:
        return reply
    alone = [(alert, post(_alone(message, alert), timeout_s)) for alert in alerts]
    bad = [(alert, said) for alert, said in alone if not said.ok]
    if any(said.retry for _, said in bad):
        return next(said for _, said in bad if said.retry)
    told = "; ".join(f"{alert['labels'].get('alertname', '?')}: {said.error}" for alert, said in bad)
    if len(bad) == len(alerts):
        return Reply(False, reply.status, False, told[:SHOWN])
    return Reply(True, reply.status, False, f"{len(bad)} of {len(alerts)} refused: {told}"[:SHOWN] if bad else None)


def _alone(message: Message, alert: Mapping[str, Any]) -> Request:
    return Request(message.url, json.dumps([alert], sort_keys=True).encode(), message.headers)
