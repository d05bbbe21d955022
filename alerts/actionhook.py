"""An action as a signed POST of JSON to any address of the site's file: the plainest sink of `observe.actions`.

Signed as Standard Webhooks say; `Idempotency-Key` and `webhook-id` are the action's key, the same at every try, so
a receiver that has seen it answers 2xx and does nothing. 409 counts as taken: it has that key already. A bearer token
and a client certificate are shown besides, where the target has them.

Source: Standard Webhooks 1.0 (standardwebhooks.com); docs/actions.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alerts import asking
from alerts.asking import Call
from alerts.posting import hidden
from alerts.webhook import reached, signature
from alerts.wording import instant
from observe.errors import ConfigError
from observe.schema.acting import Receipt, key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alerts.asking import Heard
    from observe.clock import Clock
    from observe.schema import Action
    from observe.spec.acting import Target

KNOWN: Final = 409  # "I have that key already", RFC 9110 and Airflow's habit


def body(action: Action, target: Target) -> bytes:
    """What is posted; the same at every try."""
    said = {
        "key": key_of(action), "action_id": action.action_id, "do": action.kind, "target": target.what,
        "model": action.model, "incident_id": action.incident_id, "reason": action.reason,
        "parameters": dict(action.parameters), "approved_by": action.approved_by, "expires_at": instant(action.expires_at),
        "options": dict(target.spec.options),
    }  # fmt: skip
    return asking.written(said)


def send(action: Action, target: Target, clock: Clock) -> Receipt:
    """Post it once, and say what became of it."""
    content, key, now = body(action, target), key_of(action), int(clock.now().timestamp())
    try:
        secret = target.spec.secret.resolve() if target.spec.secret else ""
        signed, bearer = signature(secret, key, now, content), asking.shown(target)
    except ConfigError as error:
        return Receipt(False, retry=True, text=error.message)
    headers = {
        "Content-Type": asking.JSON, "Idempotency-Key": key, "webhook-id": key, "webhook-timestamp": str(now),
        "webhook-signature": signed,
    }  # fmt: skip
    answer = asking.heard(target, Call("", content, "POST", headers, bearer, (secret,)))
    if answer.ok or answer.status == KNOWN:
        text = "had it already" if answer.status == KNOWN else "took it"
        return Receipt(True, status=answer.status, remote_id=_id_in(answer, (bearer, secret)), text=text)
    return Receipt(False, retry=answer.retry, status=answer.status, text=answer.error)


def check(target: Target) -> tuple[bool | None, str]:
    """Whether the address answers and what it is shown can be used; nothing is asked to be done.

    Raises:
        ConfigError: a secret cannot be read.
    """
    secret = target.spec.secret.resolve() if target.spec.secret else ""
    signature(secret, "", 0, b"")
    call = Call(method="HEAD", bearer=asking.shown(target), secrets=(secret,))
    return reached(asking.answered(target, call, asking.CHECK_S), "a signed POST")


def _id_in(answer: Heard, secrets: Sequence[str]) -> str | None:
    """The `id` of a JSON answer, when it has one: what the receiver calls it."""
    found = answer.json.get("id")
    return hidden(str(found), secrets)[:200] if isinstance(found, str | int) else None
