"""An action in the form of MLflow's own webhooks, for a receiver that already understands those.

The body is `{"entity", "action", "timestamp", "data"}`; `data` names the model as MLflow does, by `name`, and holds
what every trainer is told. With a secret it is signed as MLflow signs: HMAC-SHA256 over `delivery id.timestamp.body`.
The delivery id is the action's key, the same at every try.

    targets:
      registry: {type: mlflow, url: "https://train.example.com/hooks/mlflow", secret: env:HOOK_SECRET}

Source: MLflow documentation, "Webhooks" (payload, `X-MLflow-Signature`, `-Delivery-Id`, `-Timestamp`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from alerts import asking
from alerts.asking import Call, Words
from observe.schema.acting import key_of

if TYPE_CHECKING:
    from observe.clock import Clock
    from observe.schema import Action
    from observe.schema.acting import Receipt
    from observe.spec.acting import Target

ENTITY: Final = "registered_model"
_WORDS: Final = Words("took it", "the receiver did not take it")


def send(action: Action, target: Target, clock: Clock) -> Receipt:
    """Post it once, and say what became of it."""
    return asking.handed(target, key_of(action), lambda: _call(action, target, clock), _WORDS)


def check(target: Target) -> tuple[bool | None, str]:
    """Whether the address answers and the secrets can be read; nothing is asked to be done.

    Raises:
        ConfigError: a secret cannot be read.
    """
    if target.spec.secret:
        target.spec.secret.resolve()
    return asking.headed(target, "a signed POST")


def payload(action: Action, target: Target, clock: Clock) -> Mapping[str, object]:
    """The body as MLflow would write it."""
    data = {**asking.told(action, target), "name": target.what or action.model}
    said = f"{action.kind}_requested"
    return {"entity": ENTITY, "action": said, "timestamp": clock.now().isoformat(), "data": data}


def signed(action: Action, target: Target, clock: Clock, body: bytes) -> Mapping[str, str]:
    """MLflow's headers; without a signature where there is no secret.

    Raises:
        ConfigError: the secret cannot be read.
    """
    key, now = key_of(action), str(int(clock.now().timestamp()))
    headers = {"X-MLflow-Delivery-Id": key, "X-MLflow-Timestamp": now}
    if target.spec.secret is None:
        return headers
    content = b".".join((key.encode(), now.encode(), body))
    digest = hmac.new(target.spec.secret.resolve().encode(), content, hashlib.sha256).digest()
    return {**headers, "X-MLflow-Signature": "v1," + base64.b64encode(digest).decode()}


def _call(action: Action, target: Target, clock: Clock) -> Call:
    body = asking.written(payload(action, target, clock))
    headers = {"Content-Type": asking.JSON, "Idempotency-Key": key_of(action), **signed(action, target, clock, body)}
    return Call("", body, "POST", headers, asking.shown(target))
