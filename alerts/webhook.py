"""A notice as a signed POST of JSON to any address of the site's file.

Signed as Standard Webhooks say: HMAC-SHA256 over "id.timestamp.body", so that a library verifies it; the id is
the idempotency key. The signature is made at each try, for the timestamp is that of the try.

Source: Standard Webhooks 1.0 (standardwebhooks.com); RFC 2104 (HMAC).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from math import isfinite
from typing import Any, Final

from alerts import telling
from alerts.notices import Notice, Receiver
from alerts.posting import Answer, Request, ask, post
from alerts.wording import instant
from observe.errors import ConfigError
from observe.schema import Alert, Message, Reply

CHANNEL: Final = "webhook"
_ENCODED: Final = "whsec_"  # a secret in base64 follows


def compose(notice: Notice, receiver: Receiver, alerts: Sequence[Alert], home: str | None) -> Message:
    """The message that tells a receiver of a notice; the same each time it is made.

    Args:
        notice: what is told.
        receiver: who is told.
        alerts: the alerts of the incident.
        home: where people reach the dashboards.
    """
    said = {
        "notice": notice.kind, "at": instant(notice.at), "receiver": receiver.name, "title": telling.title(notice),
        "link": telling.link(notice, home) or None, "by": notice.by or None, "reason": notice.reason or None,
        "incident": _plain(asdict(notice.incident)), "alerts": [_plain(asdict(a)) for a in alerts],
    }  # fmt: skip
    body = json.dumps(said, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    return Message(
        receiver.message_id(notice), CHANNEL, receiver.url, body, {}, notice.incident.incident_id, notice.kind
    )


def _plain(value: Any) -> Any:
    """As JSON has it: instants as text, what is no finite number as nothing."""
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def send(message: Message, timeout_s: float, receiver: Receiver, now: datetime) -> Reply:
    """Sign and post one message.

    Args:
        message: what to send.
        timeout_s: for everything together, s.
        receiver: whose address and secret.
        now: when it is signed.
    """
    try:
        secret = receiver.spec.secret.resolve() if receiver.spec.secret else ""
        signed = signature(secret, message.message_id, int(now.timestamp()), message.body)
    except ConfigError as error:
        return Reply(False, None, True, error.message)
    headers = {
        "Content-Type": "application/json", "User-Agent": "observe", "Idempotency-Key": message.message_id,
        "webhook-id": message.message_id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signed,
    }  # fmt: skip
    return post(
        Request(str(receiver.spec.url), message.body, headers, secrets=(secret,), ca=receiver.spec.ca), timeout_s
    )


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`.

    Raises:
        ConfigError: what follows `whsec_` is not base64.

    >>> signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    key = secret.encode()
    if secret.startswith(_ENCODED):
        try:
            key = base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
        except binascii.Error:
            raise ConfigError(f"what follows {_ENCODED} in the secret is not base64") from None
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def probe(receiver: Receiver, timeout_s: float) -> tuple[bool | None, str]:
    """Whether the address answers and the secret can be used; nothing is told.

    Raises:
        ConfigError: the secret cannot be read.
    """
    secret = receiver.spec.secret.resolve() if receiver.spec.secret else ""
    signature(secret, "", 0, b"")
    return reached(
        ask(Request(str(receiver.spec.url), method="HEAD", secrets=(secret,), ca=receiver.spec.ca), timeout_s),
        "a signed POST",
    )


def reached(answer: Answer, what: str) -> tuple[bool | None, str]:
    """What a HEAD to an address that only takes a POST says: any answer but a fault of its own is one."""
    status = answer.reply.status
    if status is None or status >= 500:
        return False, f"{answer.reply.error or 'no answer'}" + (f" (status {status})" if status else "")
    if status in (404, 410):
        return None, f"answers {status} to a HEAD; observe check --test shows whether it takes {what}"
    return True, f"answers; observe check --test shows whether it takes {what}"
