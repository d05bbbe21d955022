"""OTLP spans acknowledged = stored = queryable: spans per second, and acknowledgement p50/p99.

Two runs against one running service on loopback, both with durable commits before the answer:
closed loop with 8 connections x 100 spans (throughput), and open loop 200 bodies/s x 5 spans
(latency). The floor is the same service answering `GET /healthz` in the same way. The load
generator shares the machine's cores.
"""

import asyncio
import json
import statistics
import tempfile
from pathlib import Path
from time import perf_counter, time_ns

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from running import Service, running

SECONDS = 10.0


def attributes(values: dict[str, str | int | float | bool]) -> list[KeyValue]:
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
    return [KeyValue(key=k, value=AnyValue(**{kinds[type(v)]: v})) for k, v in values.items()]


def body(first: int, spans: int) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    end = time_ns()
    for i in range(first, first + spans):
        span = scope.spans.add(
            trace_id=i.to_bytes(16, "big"),
            span_id=i.to_bytes(8, "big"),
            name="chat",
            start_time_unix_nano=end - 10**9,
            end_time_unix_nano=end,
        )
        span.attributes.extend(attributes({
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m", "gen_ai.response.model": "m-1",
            "gen_ai.usage.input_tokens": 900, "gen_ai.usage.output_tokens": 100, "gen_ai.response.time_to_first_chunk": 0.31,
            "gen_ai.request.stream": True,
        }))  # fmt: skip
    return request.SerializeToString()


class Connection:
    """One keep-alive HTTP/1.1 connection."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.head = port, f"Host: x\r\nAuthorization: Bearer {token}\r\n"

    async def open(self) -> "Connection":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def ask(self, line: str, payload: bytes = b"") -> int:
        head = f"{line} HTTP/1.1\r\n{self.head}Content-Type: application/x-protobuf\r\nContent-Length: {len(payload)}\r\n\r\n"
        self.writer.write(head.encode() + payload)
        status = int((await self.reader.readline()).split()[1])
        length = 0
        while (header := await self.reader.readline()) != b"\r\n":
            if header.lower().startswith(b"content-length:"):
                length = int(header.split(b":")[1])
        await self.reader.readexactly(length)
        return status


async def closed_loop(port: int, token: str, spans: int, connections: int) -> tuple[int, float]:
    ids = iter(range(1, 10**9, spans))
    sent = 0

    async def worker() -> None:
        nonlocal sent
        connection = await Connection(port, token).open()
        while perf_counter() < end:
            status = await connection.ask("POST /v1/traces", body(next(ids), spans))
            assert status == 200, status
            sent += spans

    began = perf_counter()
    end = began + SECONDS
    await asyncio.gather(*(worker() for _ in range(connections)))
    return sent, perf_counter() - began


async def open_loop(port: int, token: str, line: str, per_s: int, spans: int) -> list[float]:
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(32):
        free.put_nowait(await Connection(port, token).open())
    bodies = [body(10**12 + i * spans, spans) if spans else b"" for i in range(int(per_s * SECONDS))]
    took: list[float] = []

    async def one(due: float, payload: bytes) -> None:
        await asyncio.sleep(max(0.0, due - perf_counter()))
        connection = await free.get()
        status = await connection.ask(line, payload)
        took.append(perf_counter() - due)
        assert status in {200, 404}, status
        free.put_nowait(connection)

    began = perf_counter() + 0.2
    await asyncio.gather(*(one(began + i / per_s, payload) for i, payload in enumerate(bodies)))
    return took


def quantiles(seconds: list[float]) -> tuple[float, float]:
    cut = statistics.quantiles(seconds, n=100)
    return cut[49] * 1000, cut[98] * 1000


def measure(service: Service) -> None:
    sent, seconds = asyncio.run(closed_loop(service.otlp_port, service.token, 100, 8))
    stored = service.sql("select count(*) from attempt").item()
    assert stored == sent, (stored, sent)
    command = "python -m bench.intake"
    print(
        json.dumps(
            {
                "name": "OTLP spans acknowledged = stored = queryable",
                "command": command,
                "figure": round(sent / seconds),
                "unit": "spans/s",
                "peer": "goal 15,000",
                "ratio": round(sent / seconds / 15_000, 2),
            }
        )
    )
    p50, p99 = quantiles(asyncio.run(open_loop(service.otlp_port, service.token, "POST /v1/traces", 200, 5)))
    f50, f99 = quantiles(asyncio.run(open_loop(service.port, service.token, "GET /healthz", 200, 0)))
    print(
        json.dumps(
            {
                "name": "acknowledgement p50, 200 bodies/s x 5 spans",
                "command": command,
                "figure": round(p50, 1),
                "unit": "ms",
                "peer": f"GET /healthz {f50:.1f} ms",
                "ratio": round(p50 / f50, 1),
            }
        )
    )
    print(
        json.dumps(
            {
                "name": "acknowledgement p99, 200 bodies/s x 5 spans",
                "command": command,
                "figure": round(p99, 1),
                "unit": "ms",
                "peer": f"GET /healthz {f99:.1f} ms",
                "ratio": round(p99 / f99, 1),
            }
        )
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as service:
        measure(service)


if __name__ == "__main__":
    main()
