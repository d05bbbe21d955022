"""Compressed bodies are inflated piece by piece, and a bomb is refused long before it fills memory.

Source: RFC 1952 (gzip, several members allowed), RFC 1950 and 1951 (deflate, with and without the
zlib header, as RFC 9110 section 8.4.1.2 warns); the caps are those of TRUST section 2.
"""

from __future__ import annotations

import zlib
from typing import Final

from observe.errors import PayloadError, PayloadTooLarge, UnsupportedPayload

WIRE_LIMIT: Final = 16 * 2**20  # bytes as received
INFLATED_LIMIT: Final = 64 * 2**20  # bytes after inflating
RATIO_LIMIT: Final = 200.0  # inflated over received; telemetry reaches about 20, a bomb 1028
RATIO_FROM: Final = 2**20  # bytes inflated before the ratio is looked at
MEMBER_LIMIT: Final = 64  # gzip members of one body; each costs a decoder and a copy of the rest
_STEP: Final = 2**20  # bytes inflated at a time
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_BITS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


class Inflating:
    """One body on its way in: feed what arrives, then finish.

    Args:
        encoding: the Content-Encoding header: gzip, deflate, identity or empty.

    Raises:
        UnsupportedPayload: any other encoding, or several at once.
    """

    def __init__(self, encoding: str = "") -> None:
        name = encoding.strip().lower()
        if name not in {"", "identity", *_BITS}:
            raise UnsupportedPayload(
                f"content encoding {encoding[:64]!r} is not understood; send gzip, deflate or identity"
            )
        self._bits = _BITS.get(name)
        self._name = name
        self._decoder = zlib.decompressobj(self._bits) if self._bits is not None else None
        self._parts: list[bytes] = []
        self._wire = self._size = 0
        self._members = 1

    def feed(self, piece: bytes) -> None:
        """Take the next bytes from the wire.

        Raises:
            PayloadTooLarge: a cap on received bytes, inflated bytes or their ratio is exceeded.
            PayloadError: the bytes are not what the encoding says.
        """
        self._wire += len(piece)
        if self._wire > WIRE_LIMIT:
            raise PayloadTooLarge(f"a body may be at most {WIRE_LIMIT} bytes on the wire; send it in parts")
        if self._decoder is None:
            self._keep(piece)
            return
        try:
            self._inflate(piece)
        except zlib.error as error:
            raise PayloadError(f"the body is not {self._name}: {error}") from error

    def finish(self) -> bytes:
        """The whole inflated body.

        Raises:
            PayloadError: the body ends before its compressed stream does.
        """
        if self._decoder is not None and not self._decoder.eof and self._wire:
            raise PayloadError(f"the {self._name} body is cut short after {self._wire} bytes")
        return b"".join(self._parts)

    def _inflate(self, piece: bytes) -> None:
        while piece:
            decoder = self._next_decoder()
            try:
                part = decoder.decompress(piece, _STEP)
            except zlib.error:
                if self._bits != _ZLIB or self._size:
                    raise
                self._bits, self._decoder = _RAW, zlib.decompressobj(_RAW)  # deflate without the zlib header
                continue
            piece = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            self._keep(part, len(piece))

    def _next_decoder(self) -> zlib._Decompress:
        assert self._decoder is not None
        assert self._bits is not None
        if self._decoder.eof:
            self._members += 1
            if self._bits != _GZIP:
                raise PayloadError("bytes follow the end of the deflate stream")
            if self._members > MEMBER_LIMIT:
                raise PayloadError(f"a gzip body may have at most {MEMBER_LIMIT} members; compress it as one")
            self._decoder = zlib.decompressobj(self._bits)
        return self._decoder

    def _keep(self, part: bytes, unread: int = 0) -> None:
        """Take a part of the body; `unread` bytes of what was received are not in it yet."""
        self._size += len(part)
        if self._size > INFLATED_LIMIT:
            raise PayloadTooLarge(f"a body may be at most {INFLATED_LIMIT} bytes when inflated; send it in parts")
        if self._size > RATIO_FROM and self._size > RATIO_LIMIT * (self._wire - unread):
            raise PayloadTooLarge(
                f"a body may inflate to at most {RATIO_LIMIT:.0f} times its size on the wire; send it plain"
            )
        if part:
            self._parts.append(part)


def inflate(body: bytes, encoding: str = "") -> bytes:
    """A body that has arrived whole, inflated.

    Args:
        body: as received.
        encoding: its Content-Encoding header; empty or identity returns the body as it is.

    Raises:
        PayloadError: not what the encoding says, or cut short.
        PayloadTooLarge: a cap is exceeded.
        UnsupportedPayload: an encoding we do not speak.

    >>> import gzip
    >>> inflate(gzip.compress(b"spans"), "gzip")
    b'spans'
    """
    inflating = Inflating(encoding)
    inflating.feed(body)
    return inflating.finish()
