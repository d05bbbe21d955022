"""How a span's call ended, and what its events tell: when the first token came, which exception was recorded.

Source: OTLP trace.v1; semantic conventions for exceptions and recording errors (status.code, error.type).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from collectors import genai
from collectors.attributes import Facts, count, text
from collectors.outcome import error_kind

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

_ERROR: Final = 2  # status.code of OTLP: 0 unset, 1 ok, 2 error
_OK: Final = 1


def moments(span: Span) -> tuple[int | None, str | None]:
    """When the first token came, ns since the epoch, and the type of the exception recorded, if any."""
    first_token: int | None = None
    exception: str | None = None
    for event in span.events:
        name = event.name
        if first_token is None and name in genai.FIRST_TOKEN_EVENTS:
            first_token = event.time_unix_nano
        elif name == "exception":
            found = [a.value.string_value for a in event.attributes[:128] if a.key == "exception.type"]
            exception = (found[0] if found else "")[:256] or "exception"
    return first_token, exception


@dataclass(frozen=True, slots=True)
class Ending:
    """What a span says about how its call ended."""

    status: str = "ok"
    error_class: str | None = None
    kind: str | None = None
    http_status: int | None = None


_FINE: Final = Ending()


def ending(span: Span, known: Facts, exception: str | None) -> Ending:
    """How a call ended: by status.code, error.type or a recorded exception."""
    code = span.status.code
    if code != _ERROR and exception is None and "error_class" not in known and "http_status" not in known:
        return _FINE  # the usual case
    error_class = text(known.get("error_class"))
    http_status = _http_status(known, error_class)
    if code != _ERROR and error_class is None and (exception is None or code == _OK):
        return Ending(http_status=http_status)
    error_class = error_class or exception
    kind = error_kind(error_class, http_status, _said(span), count(known.get("grpc_status")))
    return Ending("cancelled" if kind == "cancelled" else "error", error_class, kind, http_status)


def _http_status(known: Facts, error_class: str | None) -> int | None:
    status = count(known.get("http_status"))
    if status is None and error_class and error_class.isascii() and error_class.isdigit():
        status = count(error_class)
    return status if status is not None and 100 <= status <= 599 else None


def _said(span: Span) -> str:
    """What an error said, to be looked at and forgotten."""
    said = [
        a.value.string_value for e in span.events if e.name == "exception" for a in e.attributes[:128] if a.key == "exception.message"
    ]  # fmt: skip
    return "\n".join((span.status.message, *said))
