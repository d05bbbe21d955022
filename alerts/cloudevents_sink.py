"""An action as a CloudEvent 1.0 over HTTP, for brokers and functions: binary mode, or structured.

Binary puts the attributes into `ce-` headers and the data into the body; structured puts both into one JSON object.
`id` is the action's key and `source` the model's path here, so a receiver knows what it has seen: those two name an
event. `with: {mode: structured, type: …, source: …}` changes what is told.

    targets:
      broker: {type: cloudevents, url: "https://broker.example.com/default", with: {mode: structured}}

Source: CloudEvents 1.0.2, "HTTP Protocol Binding" 3.1 and 3.2, "JSON Event Format".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alerts import asking
from alerts.asking import Call, Words
from alerts.webhook import signature
from alerts.wording import instant
from observe.errors import ConfigError
from observe.schema.acting import key_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from observe.clock import Clock
    from observe.schema import Action
    from observe.schema.acting import Receipt
    from observe.spec.acting import Target

STRUCTURED: Final = "application/cloudevents+json; charset=utf-8"
MODES: Final = ("binary", "structured")
_WORDS: Final = Words("took the event", "the receiver did not take the event")
_PLAIN: Final = frozenset(range(0x21, 0x7F)) - {0x22, 0x25}  # of a header's value: no space, no '"', no '%'


def send(action: Action, target: Target, clock: Clock) -> Receipt:
    """Post the event once, and say what became of it."""
    return asking.handed(target, key_of(action), lambda: _call(action, target, clock, _mode(target)), _WORDS)


def check(target: Target) -> tuple[bool | None, str]:
    """Whether the address answers and what it is shown can be read; no event is sent.

    Raises:
        ConfigError: a secret cannot be read, or there is no such mode.
    """
    return asking.headed(target, f"a CloudEvent in {_mode(target)} mode")


def binary(attributes: Mapping[str, str], data: bytes) -> tuple[Mapping[str, str], bytes]:
    """Headers and body of an event in binary mode."""
    named = {f"ce-{name}": encoded(value) for name, value in attributes.items() if name != "datacontenttype"}
    return {**named, "Content-Type": attributes["datacontenttype"]}, data


def attributes_of(action: Action, target: Target, clock: Clock) -> Mapping[str, str]:
    """The context attributes of an action's event."""
    options = target.spec.options
    return {
        "specversion": "1.0", "id": key_of(action), "type": options.get("type", f"observe.action.{action.kind}"),
        "source": options.get("source", f"/observe/models/{asking.part(action.model)}"), "subject": action.model,
        "time": instant(clock.now()), "datacontenttype": asking.JSON,
    }  # fmt: skip


def encoded(value: str) -> str:
    """A text as a header carries it: what is not printable ASCII, and space, quote and percent, by their UTF-8 bytes.

    >>> encoded("Euro € 100%")
    'Euro%20%E2%82%AC%20100%25'
    """
    return "".join(chr(b) if b in _PLAIN else f"%{b:02X}" for b in value.encode())


def signed(action: Action, target: Target, clock: Clock, body: bytes) -> Mapping[str, str]:
    """The headers that prove who sent a body; none without a secret.

    Raises:
        ConfigError: the secret cannot be read or used.
    """
    key, now = key_of(action), int(clock.now().timestamp())
    if target.spec.secret is None:
        return {}
    made = signature(target.spec.secret.resolve(), key, now, body)
    return {"webhook-id": key, "webhook-timestamp": str(now), "webhook-signature": made}


def _call(action: Action, target: Target, clock: Clock, mode: str) -> Call:
    attributes, document = attributes_of(action, target, clock), asking.told(action, target)
    headers, body = binary(attributes, asking.written(document))
    if mode == "structured":
        headers, body = {"Content-Type": STRUCTURED}, asking.written({**attributes, "data": document})
    proof = signed(action, target, clock, body)
    return Call("", body, "POST", {**headers, **proof, "Idempotency-Key": key_of(action)}, asking.shown(target))


def _mode(target: Target) -> str:
    mode = target.spec.options.get("mode", "binary")
    if mode not in MODES:
        raise ConfigError(
            f"target {target.name!r}: no mode {mode!r}", hint="with: {mode: binary} or {mode: structured}"
        )
    return mode
