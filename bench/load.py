"""The load to plan for, on one node, for a while: nothing lost, acknowledgements in time, memory bounded.

    python -m bench.load [--seconds 1800] [--scale 1.0]

1,000 GPUs on 125 scraped pages every 15 s; 1,500 spans/s over OTLP; 2,000 predictions/s of 60 features
as Parquet; three pages of the face drawn again and again with new ranges, 20 queries/s in all. Every
body is acknowledged (200) only once its rows are safe; at the end the rows of every acknowledged body must
be readable and none twice. The floor is `GET /healthz` of the same service under the same load. The
generator shares the machine's cores.

Source: TRUST section 3 for the rates.
"""

import argparse
import asyncio
import io
import json
import random
import re
import statistics
import tempfile
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import perf_counter, sleep, time

import httpx
import numpy as np
import polars as pl
from running import Service, running, until

from bench.intake import Connection, body
from bench.page import callback, sign_in

NODES, GPUS = 125, 8
FEATURES = 60
SPANS, PREDICTED = 50, 200  # in one body
SPAN_RATE, PREDICTION_RATE = 1_500, 2_000  # a second
SIZE = "100GB"  # of the store: nothing has to leave for room while it is counted
DRAWN_PER_S = 2.0  # pages a second; each asks about ten queries
COUNTERS = ("observe_accepted_total", "observe_stored_total", "observe_rejected_total", "observe_queued")
METRICS = (
    "PROF_GR_ENGINE_ACTIVE", "PROF_PIPE_TENSOR_ACTIVE", "PROF_DRAM_ACTIVE", "PROF_SM_ACTIVE", "PROF_SM_OCCUPANCY",
    "DEV_GPU_UTIL", "DEV_MEM_COPY_UTIL", "DEV_ENC_UTIL", "DEV_DEC_UTIL", "DEV_SM_CLOCK", "DEV_MEM_CLOCK", "DEV_GPU_TEMP",
    "DEV_MEMORY_TEMP", "DEV_POWER_USAGE", "DEV_TOTAL_ENERGY_CONSUMPTION", "DEV_FB_USED", "DEV_FB_FREE", "DEV_FB_RESERVED",
    "DEV_XID_ERRORS", "DEV_PCIE_REPLAY_COUNTER", "DEV_CLOCKS_EVENT_REASONS", "DEV_CORRECTABLE_REMAPPED_ROWS",
    "DEV_UNCORRECTABLE_REMAPPED_ROWS", "DEV_ROW_REMAP_FAILURE", "DEV_NVLINK_BANDWIDTH_TOTAL",
)  # fmt: skip
RATIOS = ("PROF_",)


def gpu_page(node: int) -> bytes:
    """One node's page; ratios move, the rest stands."""
    lines = []
    for metric in METRICS:
        lines.append(f"# TYPE DCGM_FI_{metric} gauge")
        for gpu in range(GPUS):
            value = f"{random.random():.3f}" if metric.startswith(RATIOS) else "0"
            lines.append(
                f'DCGM_FI_{metric}{{gpu="{gpu}",UUID="GPU-{node:04d}-{gpu}",pci_bus_id="0000:{gpu:02x}:00.0",device="nvidia{gpu}",'
                f'modelName="NVIDIA H100 80GB HBM3",Hostname="node-{node}",DCGM_FI_DRIVER_VERSION="580.95.05"}} {value}'
            )
    return ("\n".join(lines) + "\n").encode()


@contextmanager
def exporters() -> Iterator[int]:
    """The port of a server of all nodes' pages."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = gpu_page(int(self.path.rpartition("/")[2]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def predicted(first: int, rng: np.random.Generator) -> bytes:
    """Predictions as a Parquet file; ids count from `first`."""
    now = time() * 1e6
    columns = {f"f{i}": rng.standard_normal(PREDICTED) for i in range(FEATURES)}
    ids = [f"p{i}" for i in range(first, first + PREDICTED)]
    ts = pl.Series([int(now)] * PREDICTED).cast(pl.Datetime("us", "UTC"))
    out = io.BytesIO()
    pl.DataFrame({"prediction_id": ids, "ts": ts, "score": rng.uniform(size=PREDICTED), **columns}).write_parquet(
        out, compression="lz4"
    )
    return out.getvalue()


@dataclass
class Seen:
    """What the clients saw."""

    took: dict[str, list[float]] = field(default_factory=dict)
    slow: list[tuple[float, str, float]] = field(default_factory=list)  # s since the start, kind, s
    began: float = field(default_factory=perf_counter)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    rss: list[int] = field(default_factory=list)  # bytes, of the core
    drawn: list[float] = field(default_factory=list)
    spilled: int = 0  # bodies answered before a slow commit

    def note(self, kind: str, status: int, seconds: float, rows: int) -> None:
        """One answer."""
        self.took.setdefault(kind, []).append(seconds)
        self.statuses[kind, status] += 1
        if seconds > 0.5:
            self.slow.append((perf_counter() - self.began, kind, seconds))
        if status == 200:
            self.acknowledged[kind] += rows


class Sender:
    """Bodies of one kind at their due times, over kept connections; what is late waits, and its wait counts."""

    def __init__(self, seen: Seen, service: Service, kind: str, line: str, port: int) -> None:
        self.seen, self.kind, self.line = seen, kind, line
        self.port, self.token = port, service.token
        self.free: asyncio.Queue[Connection] = asyncio.Queue()

    async def run(self, make: Callable[[int], bytes], rows: int, per_s: float, end: float) -> None:
        """`per_s` bodies a second until `end`."""
        for _ in range(24):
            self.free.put_nowait(await Connection(self.port, self.token).open())
        tasks: set[asyncio.Task[None]] = set()
        due, i = perf_counter(), 0
        while due < end:
            await asyncio.sleep(max(0.0, due - perf_counter()))
            payload = make(i * rows)
            task = asyncio.create_task(self.one(due, payload, rows))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            i, due = i + 1, due + 1 / per_s
        await asyncio.gather(*tasks)
        while not self.free.empty():
            writer = self.free.get_nowait().writer
            writer.close()
            await writer.wait_closed()

    async def one(self, due: float, payload: bytes, rows: int) -> None:
        connection = await self.free.get()
        status = await connection.ask(self.line, payload)
        self.seen.note(self.kind, status, perf_counter() - due, rows)
        self.free.put_nowait(connection)


def draw(service: Service, seen: Seen, stop: threading.Event) -> None:
    """Three open pages, each asked for a new range when its turn comes."""
    with httpx.Client(base_url=f"http://127.0.0.1:{service.ui_port}", trust_env=False, timeout=60) as client:
        client.headers["origin"] = str(client.base_url).rstrip("/")
        until(lambda: answers(client), 60)
        sign_in(client, service.token)
        asks = [callback(client, path, 1) for path in ("/", "/model/bench", "/gpu")]
        while not stop.wait(1 / DRAWN_PER_S):
            began = perf_counter()
            answer = client.post("/_dash-update-component", json=next(asks[len(seen.drawn) % 3]))
            answer.raise_for_status()
            seen.drawn.append(perf_counter() - began)


def answers(client: httpx.Client) -> bool:
    """Whether the face is up."""
    try:
        return client.get("/login").status_code == 200
    except httpx.HTTPError:
        return False


def watch(service: Service, seen: Seen, stop: threading.Event) -> None:
    """The core's memory, once a second."""
    assert service.process is not None
    while not stop.wait(1.0):
        status = Path(f"/proc/{service.process.pid}/status").read_text()
        seen.rss.append(int(status.split("VmRSS:")[1].split()[0]) * 1024)


async def load(service: Service, seen: Seen, seconds: float, scale: float) -> None:
    """All senders until the time is over."""
    end = perf_counter() + seconds
    rng = np.random.default_rng(1)
    spans = Sender(seen, service, "spans", "POST /v1/traces", service.otlp_port)
    rows = Sender(seen, service, "predictions", "POST /ingest/predictions/bench", service.port)
    health = Sender(seen, service, "healthz", "GET /healthz", service.port)
    jobs: list[Awaitable[None]] = [
        spans.run(lambda i: body(1 + i, SPANS), SPANS, scale * SPAN_RATE / SPANS, end),
        rows.run(lambda i: predicted(i, rng), PREDICTED, scale * PREDICTION_RATE / PREDICTED, end),
        health.run(lambda _: b"", 0, 20, end),
    ]
    await asyncio.gather(*jobs)


def measure(seconds: float, scale: float, folder: Path) -> tuple[Seen, dict[str, int]]:
    """Run the load; what clients saw, and rows lost and doubled at the end by kind."""
    seen, stop = Seen(), threading.Event()
    with exporters() as port:
        targets = ", ".join(f'"http://127.0.0.1:{port}/node/{n}"' for n in range(int(NODES * scale)))
        site = f"  gpus: {{type: prometheus, targets: [{targets}], every: 15s, labels: {{cluster: eu-west}}}}"
        model = "apiVersion: observe/v1\nkind: Monitoring\nmetadata: {name: bench}\ndrift: {source: predictions}\n"
        with running(folder, collectors=site, models={"bench": model}, size=SIZE) as service:
            others = [threading.Thread(target=f, args=(service, seen, stop), daemon=True) for f in (draw, watch)]
            for thread in others:
                thread.start()
            asyncio.run(load(service, seen, seconds, scale))
            stop.set()
            for thread in others:
                thread.join()
            sleep(1.0)
            seen.spilled = round(service.metric("observe_spilled_bodies_total")[""])
            return seen, lost(service, seen)


def lost(service: Service, seen: Seen) -> dict[str, int]:
    """Acknowledged rows that cannot be read, and rows that are there twice."""
    asked = {
        "spans": "select count(*) as n, count(distinct attempt_id) as d from attempt",
        "predictions": "select count(*) as n, count(distinct prediction_id) as d from predictions.bench",
    }
    found: dict[str, int] = {}
    for kind, sql in asked.items():
        stored, distinct = service.sql(sql).row(0)
        found[f"{kind} lost"] = max(0, seen.acknowledged[kind] - distinct)
        found[f"{kind} doubled"] = stored - distinct
    with suppress(AssertionError):  # targets go on being scraped: a row may be counted between two counters
        until(lambda: gap(service) == 0, 20)
    found["accounting gap"] = gap(service)
    return found


def gap(service: Service) -> int:
    """Rows that were accepted and are neither stored nor rejected nor waiting."""
    with service.client() as client:
        page = client.get("/metrics").text
    told = {n: sum(float(v) for v in re.findall(rf"^{n}\{{.*\}} (\S+)$", page, re.MULTILINE)) for n in COUNTERS}
    accepted, *others = told.values()
    return round(accepted - sum(others))


def p(took: list[float], percent: int) -> float:
    """A percentile in ms."""
    return statistics.quantiles(took, n=100)[percent - 1] * 1000


def report(name: str, figure: float, unit: str, peer: str, command: str) -> None:
    """One line of figures."""
    print(
        json.dumps({"name": name, "command": command, "figure": round(figure, 1), "unit": unit, "peer": peer}),
        flush=True,
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--scale", type=float, default=1.0)
    asked = parser.parse_args()
    command = f"python -m bench.load --seconds {asked.seconds:g} --scale {asked.scale:g}"
    with tempfile.TemporaryDirectory() as folder:
        seen, gaps = measure(asked.seconds, asked.scale, Path(folder))
    floor = f"GET /healthz p99 {p(seen.took['healthz'], 99):.1f} ms"
    for kind in ("spans", "predictions"):
        report(f"{kind} acknowledged", seen.acknowledged[kind] / asked.seconds, "rows/s", "", command)
        report(f"{kind}, acknowledgement p50", p(seen.took[kind], 50), "ms", floor, command)
        report(f"{kind}, acknowledgement p99", p(seen.took[kind], 99), "ms", floor, command)
    report("pages drawn, p95", p(seen.drawn, 95), "ms", f"{len(seen.drawn)} pages", command)
    report("resident memory of the core, most", max(seen.rss) / 2**20, "MiB", "goal 1536", command)
    report("answered from the spill", seen.spilled, "bodies", f"{sum(seen.statuses.values())} answers", command)
    for name, n in gaps.items():
        report(name, n, "rows", "goal 0", command)
    print(json.dumps({"slower than 0.5 s, by 5 s of the run": Counter(f"{int(t // 5) * 5}" for t, _, _ in seen.slow)}))
    print(json.dumps({"statuses": {f"{k} {s}": n for (k, s), n in sorted(seen.statuses.items())}}))


if __name__ == "__main__":
    main()
