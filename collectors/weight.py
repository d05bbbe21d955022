"""What a body would take in memory as objects, told before it is decoded.

A JSON text of `{},` takes 25 times its size as Python objects, a protobuf of empty messages 40
times. Telemetry takes two to nine times. So a body that is not small is weighed first: JSON by
counting its signs, protobuf by counting the bytes that can begin a message, and where these are too
many, by following its fields.

Source: our own; sizes measured on CPython 3.11 and upb 5, see `tests/collectors/test_weight.py`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from observe.errors import PayloadError, PayloadTooLarge

if TYPE_CHECKING:
    import numpy.typing as npt
    from google.protobuf.descriptor import Descriptor

_Inner = dict[int, "tuple[int, _Inner]"]  # field number -> bytes of one message, and what it holds
LIMIT: Final = 64 * 2**20  # bytes as objects
PROTOBUF_LIMIT: Final = 48 * 2**20  # bytes as messages; 16 MiB of spans take about 35
SMALL: Final = 2**20  # bytes of a body that is not weighed
_SMALL_PROTOBUF: Final = 2**19
_COUNTED: Final = 2**18  # bytes counted at once; each takes eight
_FIELDS: Final = 3_000_000  # followed at most; 16 MiB of spans have 2 million
_POINTER: Final = 24  # bytes in a list that grew by doubling
_LENGTH: Final = 2  # wire type of text, bytes and messages
_FIXED: Final = {1: 8, 5: 4}  # bytes of the other wire types but varint
_OBJECT, _ARRAY, _VALUE, _QUOTE = 190, 90, 40, 25  # bytes an object, an array, a value and half a string take


def json_weight(text: bytes) -> int:
    """At least about what a JSON text takes as Python objects, bytes.

    >>> json_weight(b'[{"a": 1}, {}]')
    574
    """
    signs = ((b"{", _OBJECT), (b"[", _ARRAY), (b",", _VALUE), (b'"', _QUOTE))
    return len(text) + sum(text.count(sign) * size for sign, size in signs)


def check_json(text: bytes) -> None:
    """Refuse a JSON text that would take too much as objects.

    Raises:
        PayloadTooLarge: more than 64 MiB.
    """
    if len(text) > SMALL and (weight := json_weight(text)) > LIMIT:
        raise PayloadTooLarge(
            f"a JSON body of {len(text)} bytes would take about {weight >> 20} MiB to read, at most {LIMIT >> 20}; send less at once"
        )


def check_protobuf(body: bytes, kind: Descriptor) -> None:
    """Refuse a protobuf body that would take too much as objects; its fields are followed, nothing is decoded.

    Args:
        body: of a message.
        kind: of that message.

    Raises:
        PayloadError: the fields cannot be followed.
        PayloadTooLarge: more than 48 MiB.
    """
    if len(body) <= _SMALL_PROTOBUF or most(body, kind) <= PROTOBUF_LIMIT:
        return
    try:
        taken = _weigh(body, kind)
    except IndexError as error:
        raise PayloadError(f"the body is not a protobuf {kind.name}: it is cut short") from error
    if taken > PROTOBUF_LIMIT:
        raise PayloadTooLarge(
            f"a protobuf body of {len(body)} bytes holds so many small parts that it would take more than "
            f"{PROTOBUF_LIMIT >> 20} MiB to read; export less at once"
        )


def most(body: bytes, kind: Descriptor) -> int:
    """More than which the messages of a body cannot take, bytes, whatever its text says.

    A message begins with its field's tag, of which the first byte has seven bits of field and wire type.
    """
    sizes, all_bytes = _tags(kind), np.frombuffer(body, np.uint8)
    parts = (all_bytes[at : at + _COUNTED] for at in range(0, len(body), _COUNTED))
    return sum(int(np.bincount(part, minlength=256) @ sizes) for part in parts)


@cache
def _tags(kind: Descriptor) -> npt.NDArray[np.int64]:
    """For each byte the most that a message takes whose tag begins with it, of all that a kind can hold."""
    sizes = np.zeros(256, np.int64)
    pending, seen = [_Kinds().of(kind)[1]], set[int]()
    while pending:
        inner = pending.pop()
        if id(inner) in seen:
            continue
        seen.add(id(inner))
        for number, (size, deeper) in inner.items():
            first = (number << 3 | _LENGTH) & 127
            sizes[first] = sizes[first | 128] = max(size, int(sizes[first]))
            pending.append(deeper)
    return sizes


def _weigh(body: bytes, kind: Descriptor) -> int:
    """Bytes that the messages of a body take, strings apart; no more are counted once it is too much."""
    spare, fields = PROTOBUF_LIMIT, _FIELDS
    pending = [(0, len(body), _Kinds().of(kind)[1])]
    while pending and spare >= 0:
        at, end, inner = pending.pop()
        while at < end and spare >= 0:
            fields -= 1
            if fields < 0:
                return PROTOBUF_LIMIT + 1
            number, start, at = _field(body, at)
            known = inner.get(number)
            if known is not None:
                spare -= known[0]
                pending.append((start, min(at, end), known[1]))
    return PROTOBUF_LIMIT - spare


def _field(body: bytes, at: int) -> tuple[int, int, int]:
    """The number of the field that begins at `at`, -1 if it can be no message, and where its value begins and ends."""
    tag = body[at]
    at += 1
    if tag > 127:
        tag, at = _varint(body, at - 1)
    wire = tag & 7
    if wire == _LENGTH:
        length = body[at]
        at += 1
        if length > 127:
            length, at = _varint(body, at - 1)
        return tag >> 3, at, at + length
    if wire == 0:
        _, at = _varint(body, at)
        return -1, at, at
    if wire in _FIXED:
        return -1, at, at + _FIXED[wire]
    return -1, at, len(body)  # a group or nonsense: the decoder will say so


class _Kinds:
    """What every kind of message holds, as they are met: size and kind of the messages inside, by field number."""

    def __init__(self) -> None:
        self._known: dict[str, _Inner] = {}

    def of(self, kind: Descriptor) -> tuple[int, _Inner]:
        """Bytes that upb takes for one message of a kind, and what it holds."""
        inner = self._known.get(kind.full_name)
        if inner is None:
            inner = self._known[kind.full_name] = {}
            for f in kind.fields:
                if f.message_type is not None:
                    size, deeper = self.of(f.message_type)
                    inner[f.number] = (size + (_POINTER if f.is_repeated else 0), deeper)
        return _size(kind), inner


def _size(kind: Descriptor) -> int:
    """Bytes of one message: a header, 8 a field, 16 a text; of a choice only one field is there."""
    own = [f for f in kind.fields if f.containing_oneof is None]
    texts = sum(f.type in (f.TYPE_STRING, f.TYPE_BYTES) for f in own)
    return 8 + 8 * len(own) + 8 * texts + 24 * len(kind.oneofs)


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = body[at]
    at += 1
    if value < 128:
        return value, at
    value &= 127
    for shift in range(7, 70, 7):
        part = body[at]
        at += 1
        value |= (part & 127) << shift
        if part < 128:
            break
    return value, at
