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
from alerts.asking import Call
from alerts.webhook import reached
from observe.errors import ConfigError
from observe.schema.acting import Receipt, key_of

if TYPE_CHECKING:
    from observe.clock import Clock
    from observe.schema import Action
    from observe.spec.acting import Target

ENTITY: Final = "registered_model"


def send(action: Action, target: Target, clock: Clock) -> Receipt:
    """Post it once, and say what became of it."""
    body = asking.written(payload(action, target, clock))
    try:
        headers = {
            "Content-Type": asking.JSON,
            "Idempotency-Key": key_of(action),
            **signed(action, target, clock, body),
        }
        call = Call("", body, "POST", headers, asking.shown(target))
    except ConfigError as error:
        return Receipt(False, retry=True, text=error.message)
    answer = asking.heard(target, call)
    if not answer.ok:
        return answer.receipt("the receiver did not take it")
    return Receipt(True, status=answer.status, remote_id=key_of(action), text="took it")


def check(target: Target) -> tuple[bool | None, str]:
    """Whether the address answers and the secrets can be read; nothing is asked to be done.

    Raises:
        ConfigError: a secret cannot be read.
    """
    if target.spec.secret:
        target.spec.secret.resolve()
    call = Call(method="HEAD", bearer=asking.shown(target))
    return reached(asking.answered(target, call, asking.CHECK_S), "a signed POST")


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
