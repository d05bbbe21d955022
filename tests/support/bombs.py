"""Bodies made to fill memory, and a process that takes one and tells how much it grew.

python bombs.py NAME ...
"""

import contextlib
import ctypes
import gzip
import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime

MIB = 2**20
WIRE = 16 * MIB
MODEL = {"model": "fraud", "source": "bomb"}
OTLP_JSON = {"content_type": "application/json"}
Bomb = tuple[str, Callable[[], bytes], dict[str, str]]  # collector, body, labels


def sized(field: int, body: bytes) -> bytes:
    """A field of protobuf that holds `body`."""
    length, n = b"", len(body)
    while n > 127:
        length, n = length + bytes([n & 127 | 128]), n >> 7
    return bytes([field << 3 | 2]) + length + bytes([n]) + body


def span(body: bytes) -> bytes:
    """A trace request with one span."""
    return sized(1, sized(2, sized(2, body)))


def nested(depth: int) -> bytes:
    """A span whose attribute is an array in an array in an array ..."""
    value = sized(3, b"x")
    for _ in range(depth):
        value = sized(5, sized(1, value))
    return span(sized(9, sized(2, value)))


def parquet(rows: int, columns: int) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    body, ids = io.BytesIO(), {n: pa.repeat(v, rows) for n, v in (("prediction_id", "p"), ("ts", 1795172400))}
    pq.write_table(pa.table({**ids, **{f"x{i}": pa.repeat(1.0, rows) for i in range(columns)}}), body, compression="zstd")  # fmt: skip
    return body.getvalue()


def arrow() -> bytes:
    import pyarrow as pa

    body, table = io.BytesIO(), pa.table({f"x{i}": pa.repeat(1.0, 400_000) for i in range(100)})
    with pa.ipc.new_stream(body, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return body.getvalue()


def sparse() -> bytes:
    return b"\n".join(b'{"prediction_id":1,"ts":1,"k%d":1}' % (i % 480) for i in range(450_000))


def many(item: bytes, size: int = WIRE) -> bytes:
    return b"[" + item * (size // len(item) - 1) + b"0]"


BOMBS: dict[str, Bomb] = {
    "gzip of zeros": ("predictions", lambda: gzip.compress(bytes(WIRE * 8), 9), {**MODEL, "encoding": "gzip"}),
    "gzip just below the ratio": ("predictions", lambda: gzip.compress(b"".join(i.to_bytes(4, "big") * 60 for i in range(70 * MIB // 240)), 9), {**MODEL, "encoding": "gzip"}),
    "deep array": ("predictions", lambda: b"[" * WIRE, MODEL), "deep line": ("predictions", lambda: b'{"a":' * (WIRE // 5), MODEL),
    "deep event": ("events", lambda: b'{"a":' * (8 * MIB // 5), {}), "deep litellm": ("litellm", lambda: b"[" * WIRE, {}), "deep otlp": ("otlp", lambda: b"[" * WIRE, OTLP_JSON),
    "objects in an array": ("predictions", lambda: many(b"{},"), MODEL), "objects in a label array": ("labels", lambda: many(b"{},"), MODEL),
    "objects in one line": ("predictions", lambda: b'{"x":' + many(b"{},") + b"}", MODEL), "sparse lines": ("predictions", sparse, {**MODEL, "accept_past_s": "inf"}),
    "litellm objects": ("litellm", lambda: many(b"{},"), {}), "event objects": ("events", lambda: many(b"{},", 8 * MIB), {}),
    "cloud events": ("cloudevents", lambda: many(b"{},"), {}), "otlp json": ("otlp", lambda: b'{"resourceSpans":' + many(b"{},") + b"}", OTLP_JSON),
    "commas": ("predictions", lambda: b"," * WIRE, {**MODEL, "content_type": "text/csv"}),
    "short csv": ("predictions", lambda: b"prediction_id,ts,a,b\n" + b"1,1,1,1\n" * (WIRE // 8), {**MODEL, "content_type": "text/csv"}),
    "nested protobuf": ("otlp", lambda: nested(3000), {}), "empty attributes": ("otlp", lambda: span(b"\x4a\x00" * (WIRE // 2)), {}),
    "tiny attributes": ("otlp", lambda: span(b"\x4a\x07\x0a\x01a\x12\x02\x18\x01" * (WIRE // 9)), {}), "empty spans": ("otlp", lambda: sized(1, sized(2, b"\x12\x00" * (WIRE // 2))), {}),
    "empty values": ("otlp", lambda: span(sized(9, sized(2, sized(5, b"\x0a\x00" * (WIRE // 2))))), {}), "empty links": ("otlp", lambda: span(b"\x6a\x00" * (WIRE // 2)), {}),
    "many attributes": ("otlp", lambda: span(b"\x4a\x00" * (5 * MIB // 8)), {}), "many spans": ("otlp", lambda: sized(1, sized(2, b"\x12\x00" * (5 * MIB // 8 - 8))), {}),
    "many values": ("otlp", lambda: span(sized(9, sized(2, sized(5, b"\x0a\x00" * (5 * MIB // 8 - 16))))), {}), "many resources": ("otlp", lambda: b"\x0a\x00" * (5 * MIB // 8), {}),
    "many metrics": ("otlp", lambda: sized(1, sized(2, b"\x12\x00" * (5 * MIB // 8 - 8))), {"signal": "metrics"}), "many points": ("otlp", lambda: sized(1, sized(2, sized(2, sized(9, b"\x0a\x00" * (5 * MIB // 8 - 16))))), {"signal": "metrics"}),
    "many records": ("otlp", lambda: sized(1, sized(2, b"\x12\x00" * (5 * MIB // 8 - 8))), {"signal": "logs"}),
    "parquet of one number": ("predictions", lambda: parquet(1_900_000, 20), MODEL), "arrow of one number": ("predictions", arrow, MODEL),
    "csv below the caps": ("predictions", lambda: b"prediction_id,ts,a,b,c,d,e,f\n" + b"1,1795172400,1,1,1,1,1,1\n" * 490_000, MODEL),
    "lines below the caps": ("predictions", lambda: b'{"prediction_id":1,"ts":1795172400,"a":1,"b":2}\n' * 340_000, MODEL),
    "texts below the caps": ("predictions", lambda: b'{"prediction_id":1,"ts":1795172400,"a":"thirteen char","b":"thirteen char"}\n' * 220_000, MODEL),
    "parquet below the caps": ("predictions", lambda: parquet(440_000, 7), MODEL), "attributes below the weight": ("otlp", lambda: span(b"\x4a\x07\x0a\x01a\x12\x02\x18\x01" * 600_000), {}),
    "litellm below the weight": ("litellm", lambda: many(b'{"id":1},', 3 * MIB // 2), {}), "otlp json below the weight": ("otlp", lambda: b'{"resourceSpans":' + many(b'{"a":1},', 3 * MIB // 2) + b"}", OTLP_JSON),
    "a line of no end": ("prometheus", lambda: b'a{b="' + b"x" * WIRE, {"target": "http://t/"}), "labels without end": ("prometheus", lambda: b"a{" + b'b="c",' * (WIRE // 6), {"target": "http://t/"}),
}  # fmt: skip


def peak() -> int:
    """The most memory this process ever had, bytes."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024


def take(name: str) -> dict[str, object]:
    """Take one bomb after a harmless body, and tell what it was answered with and how the process grew."""
    from collectors.inflate import inflate
    from observe.errors import PayloadError
    from observe.registry import plugin

    kind, make, labels = BOMBS[name]
    at, parse = datetime(2026, 11, 20, 12, tzinfo=UTC), plugin("observe.collectors", kind).parse
    for harmless in (b"{}", b"[]", b"a 1\n"):  # imports are no bomb
        with contextlib.suppress(PayloadError):
            parse(harmless, at, labels)
    body = make()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")  # the high-water mark begins here
    before = peak()
    try:
        parsed = parse(inflate(body, labels.get("encoding", "")), at, labels)
        answer = dict(parsed.rejected) | dict(parsed.notes) or f"{parsed.items} items"
    except PayloadError as error:
        answer = type(error).__name__
    return {"grown_mib": round((peak() - before) / MIB), "answer": answer, "wire_mib": round(len(body) / MIB, 1)}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(json.dumps(take(name)))
