"""OTLP/HTTP on the wire: bodies in, answers out, both as protobuf and as JSON.

Source: OTLP specification 1.x, sections "OTLP/HTTP Request", "OTLP/HTTP Response" and "JSON Protobuf
Encoding" (ids in hexadecimal, unknown fields ignored, enums as numbers); google.rpc.Status.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from collectors.weight import check_json, check_protobuf
from observe.errors import PayloadError, PayloadTooLarge, UnsupportedPayload

if TYPE_CHECKING:
    from google.protobuf.message import Message

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
JSON_LIMIT: Final = 16 * 2**20  # bytes; a JSON document takes many times its size while it is read
_KINDS: Final[Mapping[str, str]] = {PROTOBUF: PROTOBUF, "application/protobuf": PROTOBUF, JSON: JSON}

# HTTP status -> google.rpc.Code: INVALID_ARGUMENT 3, PERMISSION_DENIED 7, RESOURCE_EXHAUSTED 8, INTERNAL 13,
# UNAVAILABLE 14, UNAUTHENTICATED 16.
_CODES: Final[Mapping[int, int]] = {400: 3, 401: 16, 403: 7, 413: 3, 415: 3, 429: 8, 503: 14}

# What json_format lets through on hostile input, e.g. OverflowError for int(Infinity), SystemError for a key of "\ud800".
_HOSTILE: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, SystemError, TypeError, ValueError)

M = TypeVar("M", bound="Message")


def kind_of(content_type: str) -> str:
    """PROTOBUF or JSON, whatever parameters the Content-Type header carries.

    Raises:
        UnsupportedPayload: neither of them.
    """
    kind = _KINDS.get(content_type.partition(";")[0].strip().lower())
    if kind is None:
        raise UnsupportedPayload(f"content type {content_type[:100]!r} is not OTLP; send {PROTOBUF} or {JSON}")
    return kind


def read_message(message: M, body: bytes, content_type: str) -> M:
    """Fill an empty OTLP request from its (inflated) body.

    Raises:
        PayloadError: the body is not such a request.
        PayloadTooLarge: JSON of more than 16 MiB, or a body of so many small parts that it would fill memory.
        UnsupportedPayload: the content type is neither protobuf nor JSON.
    """
    from google.protobuf.message import DecodeError

    if kind_of(content_type) == JSON:
        return _read_json(message, body)
    check_protobuf(body, message.DESCRIPTOR)
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise PayloadError(f"the body is not a protobuf {message.DESCRIPTOR.name}: {error}") from error
    return message


def _read_json(message: M, body: bytes) -> M:
    from google.protobuf import json_format

    if len(body) > JSON_LIMIT:
        raise PayloadTooLarge(
            f"an OTLP/JSON body may be {JSON_LIMIT} bytes; export fewer items at once or use protobuf"
        )
    check_json(body)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"the body is not JSON: {str(error)[:200]}") from error
    if not isinstance(document, dict):
        raise PayloadError(f"the body is not a JSON {message.DESCRIPTOR.name}: expected an object")
    for item in _with_ids(document):
        _ids_to_base64(item)
    try:
        json_format.ParseDict(document, message, ignore_unknown_fields=True, max_recursion_depth=50)
    except (json_format.Error, *_HOSTILE) as error:
        raise PayloadError(f"the body is not a JSON {message.DESCRIPTOR.name}: {str(error)[:200]}") from error
    return message


def _with_ids(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Spans, their links and log records of an OTLP/JSON document."""
    for outer, inner, items in (("resourceSpans", "scopeSpans", "spans"), ("resourceLogs", "scopeLogs", "logRecords")):
        for resource in _objects(document, outer):
            for scope in _objects(resource, inner):
                for item in _objects(scope, items):
                    yield item
                    yield from _objects(item, "links")


def _objects(parent: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    children = parent.get(name)
    if isinstance(children, list):
        yield from (child for child in children if isinstance(child, dict))


def _ids_to_base64(item: dict[str, Any]) -> None:
    """OTLP/JSON writes ids in hexadecimal, protojson wants base64; an id that is no hex becomes empty."""
    for name in ("traceId", "spanId", "parentSpanId"):
        value = item.get(name)
        if isinstance(value, str) and value:
            try:
                item[name] = base64.b64encode(bytes.fromhex(value)).decode()
            except ValueError:
                item[name] = ""


def write_message(message: Message, content_type: str) -> tuple[str, bytes]:
    """Content type and body of an answer, in the format the sender used; JSON where that is unknown."""
    from google.protobuf import json_format

    if _KINDS.get(content_type.partition(";")[0].strip().lower()) == PROTOBUF:
        return PROTOBUF, message.SerializeToString()
    return JSON, json_format.MessageToJson(message, indent=None).encode()


def error_response(error: Exception, content_type: str) -> tuple[int, dict[str, str], bytes]:
    """HTTP status, headers and google.rpc.Status body that tell an exporter what went wrong.

    Args:
        error: `http_status` and `retry_after_s` are read from it where it has them; else 500.
        content_type: of the request, for the format of the answer.
    """
    from google.rpc.status_pb2 import Status

    status = int(getattr(error, "http_status", 500))
    kind, body = write_message(Status(code=_CODES.get(status, 13), message=_printable(str(error))), content_type)
    headers = {"Content-Type": kind}
    if status in {429, 503}:
        headers["Retry-After"] = str(getattr(error, "retry_after_s", 1))
    elif status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return status, headers, body


def _printable(message: str) -> str:
    return message[:1000].encode(errors="replace").decode()
