"""A JSON body is read item by item, so that a large body never stands in memory as Python objects.

A body is an array, an object that holds an array under a known key, one object, or one object a
line; which of them is seen from its text, whatever the content type says.

Source: RFC 8259; https://github.com/ndjson/ndjson-spec. A text of 3 bytes a value (`{},`) takes
about 25 times its size as objects, so an element may be 1 MiB, and a larger line or document is
weighed before it is read.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from collectors.weight import LIMIT, json_weight
from observe.errors import PayloadError, PayloadTooLarge

ITEMS: Final = 1_000_000  # of one body
ITEM_LIMIT: Final = 2**20  # characters of an element; bytes of a line that is not weighed
_STEP: Final = 2**18  # bytes of text decoded at a time
_BOM: Final = codecs.BOM_UTF8
_OPENING: Final = rb'(\{[ \t\r\n]*"%s"[ \t\r\n]*:[ \t\r\n]*)\[[ \t\r\n]*[{\]]'  # of an object that holds objects
_BLANK: Final = re.compile(rb"[ \t\r\n]*")
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODE: Final = json.JSONDecoder().raw_decode
_REFUSED: Final = (ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that is no JSON."""

    text: bytes  # its beginning

    def __repr__(self) -> str:
        """As an example shows it."""
        return repr(self.text)


def items(payload: bytes, wrapper: str = "", most: int = ITEMS) -> Iterator[Any]:
    r"""The items of a body in order; a line that is no JSON comes as `Broken`.

    Args:
        payload: UTF-8, with or without a byte order mark.
        wrapper: key of an object that holds the items in an array.
        most: items of one body.

    Raises:
        PayloadError: a body that begins like an array and is none.
        PayloadTooLarge: an element of more than 1 MiB, or more items.

    >>> list(items(b'{"rows": [{"a": 1}, 2]}', "rows")), list(items(b'[1]')), list(items(b'1\n{"b": 2}'))
    ([{'a': 1}, 2], [1], [1, {'b': 2}])
    """
    for n, item in enumerate(_items(payload, wrapper)):
        if n >= most:
            raise PayloadTooLarge(f"a body may hold {most} items; send fewer at once")
        yield item


def _items(payload: bytes, wrapper: str) -> Iterator[Any]:
    start = _blank(payload, len(_BOM) if payload.startswith(_BOM) else 0)
    if payload[start : start + 1] == b"[":
        yield from _elements(payload, start)
        return
    wrapped = re.compile(_OPENING % re.escape(wrapper.encode())).match(payload, start) if wrapper else None
    if wrapped:
        yield from _elements(payload, wrapped.end(1))
        return
    whole = _spread(payload, start)
    for item in _lines(payload, start) if whole is None else [whole]:
        held = item.get(wrapper) if isinstance(item, dict) and wrapper else None
        yield from held if isinstance(held, list) and all(isinstance(i, dict) for i in held) else [item]


def _blank(payload: bytes, at: int) -> int:
    match = _BLANK.match(payload, at)
    return match.end() if match else at


def _spread(payload: bytes, start: int) -> Any:
    """One object written over several lines; None when the body is something else."""
    end = payload.find(b"\n", start)
    if end < 0 or not isinstance(_line(payload[start:end]), Broken):
        return None
    whole = _line(payload[start:])
    return None if isinstance(whole, Broken) else whole


def _lines(payload: bytes, start: int) -> Iterator[Any]:
    while 0 <= start < len(payload):
        end = payload.find(b"\n", start)
        line = payload[start:] if end < 0 else payload[start:end]
        if line.strip():
            yield _line(line)
        start = end + 1 if end >= 0 else -1


def _line(line: bytes) -> Any:
    try:
        if len(line) <= ITEM_LIMIT or json_weight(line) <= LIMIT:
            return json.loads(line)
    except _REFUSED:
        pass
    return Broken(line[:100])


def _elements(payload: bytes, start: int) -> Iterator[Any]:
    """The elements of the array that begins at `start`."""
    try:
        text = _Text(payload, start)
        text.at = 1
        if text.next() == "]":
            return
        while True:
            yield text.value()
            sign = text.next()
            if sign == "]":
                return
            if sign != ",":
                raise PayloadError(f"the body begins like a JSON array but is none: {sign!r} follows an element")
            text.at += 1
            text.next()
    except _REFUSED as error:
        raise PayloadError(f"the body begins with '[' but is not a JSON array: {str(error)[:200]}") from error


class _Text:
    """The text of a body from a place on, a piece in memory at a time."""

    def __init__(self, payload: bytes, start: int) -> None:
        self._payload, self._read = payload, start
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.text, self.at = "", 0
        self._more()

    def _more(self) -> bool:
        """Whether there was another piece; what lies behind is let go."""
        if self._read >= len(self._payload):
            return False
        piece = self._payload[self._read : self._read + _STEP]
        self._read += len(piece)
        final = self._read >= len(self._payload)
        self.text, self.at = self.text[self.at :] + self._decoder.decode(piece, final), 0
        return True

    def next(self) -> str:
        """The next sign that is not blank, not taken; empty at the end."""
        while True:
            blank = _SPACE.match(self.text, self.at)
            self.at = blank.end() if blank else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def value(self) -> Any:
        """The value that begins here, taken."""
        while True:
            try:
                value, end = _DECODE(self.text, self.at)
            except _REFUSED:
                if len(self.text) - self.at > ITEM_LIMIT:
                    raise PayloadTooLarge(
                        f"an element of a JSON array may be {ITEM_LIMIT} characters long, or this one is no JSON"
                    ) from None
                if not self._more():
                    raise
                continue
            if end == len(self.text) and self._more():  # a number may go on
                continue
            self.at = end
            return value
