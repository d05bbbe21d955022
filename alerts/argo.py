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
from alerts.asking import Call, Words
from alerts.cloudevents_sink import attributes_of, binary
from observe.schema.acting import key_of

if TYPE_CHECKING:
    from observe.clock import Clock
    from observe.schema import Action
    from observe.schema.acting import Receipt
    from observe.spec.acting import Target

_STRANGER: Final = "the event source does not know us: is the token that of its authSecret?"
_WORDS: Final = Words("the event source took it", "the event source did not take it", {
    401: _STRANGER, 403: _STRANGER, 404: "no event source listens at this path: is it the endpoint of its spec?",
    400: "the event source refuses it",
})  # fmt: skip


def send(action: Action, target: Target, clock: Clock) -> Receipt:
    """Post it once, and say what became of it."""
    return asking.handed(target, key_of(action), lambda: _call(action, target, clock), _WORDS)


def check(target: Target) -> tuple[bool | None, str]:
    """Whether the event source answers and the token can be read; nothing is started.

    Raises:
        ConfigError: the token cannot be read.
    """
    return asking.headed(target, "a POST with this token")


def _call(action: Action, target: Target, clock: Clock) -> Call:
    headers, body = binary(attributes_of(action, target, clock), asking.written(asking.told(action, target)))
    return Call("", body, "POST", {**headers, "Idempotency-Key": key_of(action)}, asking.shown(target))
