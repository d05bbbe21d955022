"""OTLP requests through intake, and the answers the specification asks for.

Source: OTLP specification 1.x; `collectors.otlp` speaks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collectors import otlp
from observe.app.intake import Intake, Taken
from observe.errors import ObserveError

Signal = otlp.Signal


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back, once the rows are durable."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def take(intake: Intake, signal: Signal, wire: bytes, content_type: str, encoding: str) -> tuple[Taken, Answer]:
    """Decode, parse and queue one request of `traces`, `metrics` or `logs`; its answer holds once the rows are safe.

    Raises:
        PayloadError: 400, 413 or 415.
        Overloaded: 429 or 503.
    """
    request = otlp.decode(wire, content_type, encoding, signal)
    now, twins = intake.now(), intake.twins
    labels = intake.told({"source": "otlp", **intake.place("otlp")})
    parsed = otlp.parse_request(request, now, labels, intake.cardinality)
    parsed, mine = twins.once(parsed, now)
    try:
        taken = intake.store_parsed("otlp", parsed, intake.content_id("otlp", wire), admitted=True)
    except ObserveError:
        twins.forget(mine)
        raise
    taken.receipt.add_done_callback(lambda done: twins.forget(mine) if done.exception() else None)
    status, kind, body = otlp.response(taken.parsed, content_type, signal)
    return taken, Answer(status, {"Content-Type": kind}, body)


def refusal(error: Exception, content_type: str) -> Answer:
    """The google.rpc.Status answer to a request that was refused whole."""
    status, headers, body = otlp.error_response(error, content_type)
    return Answer(status, headers, body)
