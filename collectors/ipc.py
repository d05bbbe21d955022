"""An Arrow IPC stream or file, as bytes, becomes an Arrow table; see `collectors.arrow` for what becomes of that.

Buffers may be compressed, and a kilobyte of zstd can announce a terabyte. So the lengths that every
record batch announces are added up from its metadata before anything is decoded.

Source: Apache Arrow, "Columnar Format" (encapsulated messages, `Message.fbs`, `BodyCompression`);
FlatBuffers' binary layout.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from collectors.arrow import LAID_OUT, LAID_OUT_RATIO, check_size, check_text, is_features, is_flat, read_table
from collectors.shape import Records, Shape
from observe.errors import PayloadError, PayloadTooLarge

FILE_MAGIC: Final = b"ARROW1"
STREAM_MAGIC: Final = b"\xff\xff\xff\xff"
_FORM: Final = "Arrow body"
_DICTIONARY, _BATCH = 2, 3  # MessageHeader of Message.fbs
_MESSAGES: Final = 10_000  # messages of one body


def is_ipc(payload: bytes) -> bool:
    """Whether a body begins like an Arrow file or stream."""
    return payload.startswith((FILE_MAGIC, STREAM_MAGIC))


def read_ipc(payload: bytes, shape: Shape) -> Records:
    """The rows of an Arrow IPC stream or file.

    Raises:
        PayloadError: neither, damaged, or with two columns of one name.
        PayloadTooLarge: it would decode to more rows, cells or text than a body of its size may.
    """
    import pyarrow as pa

    try:
        rows, claimed = _announced(payload)
        most = max(LAID_OUT, LAID_OUT_RATIO * len(payload))
        if claimed > most:
            raise PayloadTooLarge(
                f"an {_FORM} of {len(payload)} bytes may hold {most} uncompressed; this one claims {claimed}"
            )
        table, nested = _table(payload, rows)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise PayloadError(f"the body is not a readable {_FORM}: {str(error)[:200]}") from error
    check_text(table, len(payload), _FORM)
    return read_table(table, shape, _FORM, nested)


def _table(payload: bytes, rows: int) -> tuple[Any, tuple[str, ...]]:
    """The flat columns, and the names of the others."""
    import pyarrow as pa

    source = pa.BufferReader(payload)
    reader = pa.ipc.open_file(source) if payload.startswith(FILE_MAGIC) else pa.ipc.open_stream(source)
    schema = reader.schema
    if len(set(schema.names)) != len(schema.names):
        raise PayloadError("an Arrow body has two columns of one name")
    check_size(rows, max(len(schema), 1), len(payload), _FORM)
    table = reader.read_all()
    table.validate(full=True)
    kept = [f.name for f in schema if is_flat(f.type) or is_features(f)]
    return table.select(kept), tuple(name for name in schema.names if name not in set(kept))


def _announced(payload: bytes) -> tuple[int, int]:
    """Rows and uncompressed bytes that all batches of a body announce together.

    Raises:
        ValueError: the messages cannot be followed.
    """
    rows = size = 0
    try:
        for message in _filed(payload) if payload.startswith(FILE_MAGIC) else _streamed(payload):
            more_rows, more = _batch(payload, message)
            rows, size = rows + more_rows, size + more
    except struct.error as error:
        raise ValueError(f"a message is cut short: {error}") from error
    return rows, size


def _filed(payload: bytes) -> Iterator[tuple[int, int]]:
    """Where the metadata of each message of a file begins, and where its body does, as the footer has it."""
    [length] = struct.unpack_from("<i", payload, len(payload) - len(FILE_MAGIC) - 4)
    start = len(payload) - len(FILE_MAGIC) - 4 - length
    if length <= 0 or start < 0:
        raise ValueError("a file without a footer")
    footer = _Table(payload, start + _u32(payload, start))
    for field in (2, 3):  # dictionaries, recordBatches
        for offset, metadata, _ in footer.structs(field, "<qi4xq"):
            if offset < 0 or metadata < 0:
                raise ValueError("a message before the body")
            yield offset + _prefix(payload, offset), offset + metadata


def _streamed(payload: bytes) -> Iterator[tuple[int, int]]:
    """The same of a stream."""
    at = 0
    for _ in range(_MESSAGES):
        if at == len(payload):
            return
        metadata = at + _prefix(payload, at)
        [length] = struct.unpack_from("<i", payload, metadata - 4)
        if length == 0:
            return
        body = metadata + length
        yield metadata, body
        at = body + _Table(payload, metadata + _u32(payload, metadata)).number(3, "<q")
        if not metadata < body <= at <= len(payload):
            raise ValueError("a message is longer than the body")
    raise ValueError(f"more than {_MESSAGES} messages")


def _prefix(payload: bytes, at: int) -> int:
    """Bytes before the metadata of a message: its length, since Arrow 0.15 behind a mark."""
    return 8 if payload[at : at + 4] == STREAM_MAGIC else 4


def _batch(payload: bytes, place: tuple[int, int]) -> tuple[int, int]:
    """Rows and uncompressed bytes of one message; nothing where it is no batch."""
    metadata, body = place
    message = _Table(payload, metadata + _u32(payload, metadata))
    kind = message.number(1, "<B")
    if kind not in (_DICTIONARY, _BATCH):
        return 0, 0
    header = message.table(2)
    batch = header.table(1) if kind == _DICTIONARY else header
    rows = batch.number(0, "<q")
    if rows < 0:
        raise ValueError("a batch of a negative number of rows")
    compressed = bool(batch.place(3))
    size = 0
    for start, length in batch.structs(2, "<qq"):
        told = struct.unpack_from("<q", payload, body + start)[0] if compressed and length >= 8 else -1
        size += length if told < 0 else told
    return (rows if kind == _BATCH else 0), size


def _u32(payload: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", payload, at)[0])


class _Table:
    """A table of FlatBuffers: fields by their number, absent ones 0."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]

    def place(self, field: int) -> int:
        """Where a field lies; 0 when it is absent."""
        if self._fields < 0:
            raise ValueError("a table outside the body")
        [size] = struct.unpack_from("<H", self._data, self._fields)
        if 4 + 2 * field >= size:
            return 0
        [offset] = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * field)
        return self._at + offset if offset else 0

    def number(self, field: int, kind: str) -> int:
        """A scalar field."""
        at = self.place(field)
        return int(struct.unpack_from(kind, self._data, at)[0]) if at else 0

    def table(self, field: int) -> _Table:
        """A field that is a table.

        Raises:
            ValueError: it is absent.
        """
        at = self.place(field)
        if not at:
            raise ValueError("a message without its header")
        return _Table(self._data, at + _u32(self._data, at))

    def structs(self, field: int, form: str) -> Iterator[tuple[int, ...]]:
        """A vector of structs."""
        at = self.place(field)
        if at:
            at += _u32(self._data, at)
            n, size = _u32(self._data, at), struct.calcsize(form)
            if n > _MESSAGES or n * size > len(self._data):
                raise ValueError("a vector longer than the body")
            yield from struct.iter_unpack(form, self._data[at + 4 : at + 4 + size * n])
