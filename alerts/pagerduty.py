"""A notice as an event of PagerDuty: trigger, acknowledge, resolve, all of one incident under one key.

Source: PagerDuty, "Events API v2": fields, severities, lengths; 202 is taken, 429 and 5xx are to be tried again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from alerts import telling
from alerts.notices import Notice, Receiver
from alerts.posting import Request, ask, post
from alerts.webhook import reached
from alerts.wording import instant
from observe.errors import ConfigError
from observe.schema import Alert, Message, Reply

CHANNEL: Final = "pagerduty"
URL: Final = "https://events.pagerduty.com/v2/enqueue"
_ACTIONS: Final[Mapping[str, str]] = {
    "acknowledged": "acknowledge",
    "resolved": "resolve",
    "joined": "resolve",
}  # else trigger
_SEVERITIES: Final[Mapping[str, str]] = {"page": "critical", "ticket": "warning"}
_SUMMARY: Final = 1024  # characters at most


def compose(notice: Notice, receiver: Receiver, alerts: Sequence[Alert], home: str | None) -> Message:
    """The message that tells a receiver of a notice; its routing key is added when it is sent."""
    event = {"event_action": _ACTIONS.get(notice.kind, "trigger"), "dedup_key": notice.incident.incident_id}
    if event["event_action"] == "trigger":
        event |= _triggered(notice, alerts, telling.link(notice, home))
    body = json.dumps(event, sort_keys=True, ensure_ascii=False).encode()
    return Message(
        receiver.message_id(notice), CHANNEL, receiver.url, body, {}, notice.incident.incident_id, notice.kind
    )


def _triggered(notice: Notice, alerts: Sequence[Alert], link: str) -> dict[str, Any]:
    incident = notice.incident
    told = {str(a.annotations.get("runbook_url") or "") for a in alerts}
    runbooks = sorted(r for r in told if r.startswith(("https://", "http://")))  # no other scheme may be clicked
    links = [*([(link, "Observe")] if link else []), *((r, "Runbook") for r in runbooks)]
    severity = "info" if notice.kind == "test" else _SEVERITIES.get(incident.severity, "warning")
    return {
        "payload": {
            "summary": telling.title(notice)[:_SUMMARY], "source": incident.model, "severity": severity,
            "timestamp": instant(notice.at), "component": incident.model, "class": incident.kind,
            "custom_details": dict(telling.facts(notice)),
        },
        "client": "Observe", "links": [{"href": href, "text": text} for href, text in links],
        **({"client_url": link} if link else {}),
    }  # fmt: skip


def send(message: Message, timeout_s: float, receiver: Receiver, now: datetime) -> Reply:
    """Post one event under the receiver's routing key."""
    try:
        key = _key(receiver)
    except ConfigError as error:
        return Reply(False, None, True, error.message)
    body = json.dumps({**json.loads(message.body), "routing_key": key}, sort_keys=True, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "observe", "Idempotency-Key": message.message_id}
    return post(Request(str(receiver.spec.url or URL), body, headers, secrets=(key,), ca=receiver.spec.ca), timeout_s)


def probe(receiver: Receiver, timeout_s: float) -> tuple[bool | None, str]:
    """Whether the address answers and the key can be read; PagerDuty says nothing of a key without an event.

    Raises:
        ConfigError: the key cannot be read.
    """
    key = _key(receiver)
    request = Request(str(receiver.spec.url or URL), method="HEAD", secrets=(key,), ca=receiver.spec.ca)
    return reached(ask(request, timeout_s), "the key")


def _key(receiver: Receiver) -> str:
    assert receiver.spec.routing_key is not None
    return receiver.spec.routing_key.resolve()
