"""An action for an Argo Events webhook: a POST to the event source's endpoint, whose sensor starts the workflow.

The body is the JSON object every trainer is told; a sensor reads it as `body.model`, `body.what`, `body.features` and
so on. It is a CloudEvent in binary mode, too, so an event source that keeps those attributes hands on the action's key
as the event's id. Argo Events starts a workflow for each event it takes: name the workflow by `body.key`, and one that
came twice starts once. `token` is what the event source's `authSecret` holds.

    targets:
      argo: {type: argo-events, url: "http://webhook-eventsource-svc.argo-events:12000/retrain", token: env:ARGO_TOKEN}

Source: Argo Events documentation, "Webhook" and "Webhook Authentication"; CloudEvents 1.0.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alerts import asking
from alerts.asking import Call
from alerts.cloudevents_sink import attributes_of, binary
from alerts.webhook import reached
from observe.errors import ConfigError
from observe.schema.acting import Receipt, key_of

if TYPE_CHECKING:
    from observe.clock import Clock
    from observe.schema import Action
    from observe.spec.acting import Target

_WORDS: Final = {
    401: "the event source does not know us: is the token that of its authSecret?",
    403: "the event source does not know us: is the token that of its authSecret?",
    404: "no event source listens at this path: is it the endpoint of its spec?",
    400: "the event source refuses it",
}


def send(action: Action, target: Target, clock: Clock) -> Receipt:
    """Post it once, and say what became of it."""
    try:
        bearer = asking.shown(target)
    except ConfigError as error:
        return Receipt(False, retry=True, text=error.message)
    headers, body = binary(attributes_of(action, target, clock), asking.written(asking.told(action, target)))
    call = Call("", body, "POST", {**headers, "Idempotency-Key": key_of(action)}, bearer)
    answer = asking.heard(target, call)
    if not answer.ok:
        return answer.receipt(_WORDS.get(answer.status or 0, "the event source did not take it"))
    return Receipt(True, status=answer.status, remote_id=key_of(action), text="the event source took it")


def check(target: Target) -> tuple[bool | None, str]:
    """Whether the event source answers and the token can be read; nothing is started.

    Raises:
        ConfigError: the token cannot be read.
    """
    call = Call(method="HEAD", bearer=asking.shown(target))
    return reached(asking.answered(target, call, asking.CHECK_S), "a POST with this token")
