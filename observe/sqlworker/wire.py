"""One message on a socket: a JSON header with its length, then the payload the header announces.

Source: our own.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

_LENGTH: Final = struct.Struct("!I")
_LONGEST_HEADER: Final = 64 * 2**20  # bytes; a request lists the files of every view


def send(
    to: socket.socket, header: Mapping[str, object], payload: bytes | memoryview, deadline: float | None = None
) -> None:
    """Send one message; `deadline` is in `time.monotonic` seconds.

    Raises:
        TimeoutError: the deadline passed.
        OSError: the other end is gone.
    """
    text = json.dumps({**header, "payload": len(payload)}).encode()
    _set_timeout(to, deadline)
    to.sendall(_LENGTH.pack(len(text)) + text)
    if payload:
        _set_timeout(to, deadline)
        to.sendall(payload)


def receive(source: socket.socket, most: int, deadline: float | None = None) -> tuple[Mapping[str, Any], bytes]:
    """Receive one message with a payload of at most `most` bytes.

    Raises:
        TimeoutError: the deadline passed.
        EOFError: the other end is gone, or announced more than `most`.
    """
    (length,) = _LENGTH.unpack(_exactly(source, _LENGTH.size, deadline))
    if length > _LONGEST_HEADER:
        raise EOFError("header too long")
    header = json.loads(_exactly(source, length, deadline))
    size = int(header["payload"])
    if size > most:
        raise EOFError("payload too long")
    return header, _exactly(source, size, deadline)


def _exactly(source: socket.socket, size: int, deadline: float | None) -> bytes:
    buffer = bytearray(size)
    view, got = memoryview(buffer), 0
    while got < size:
        _set_timeout(source, deadline)
        n = source.recv_into(view[got:])
        if n == 0:
            raise EOFError("the other end is gone")
        got += n
    return bytes(buffer)


def _set_timeout(s: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        s.settimeout(None)
        return
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    s.settimeout(left)
