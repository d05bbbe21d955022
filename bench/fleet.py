"""A large site's past in a data directory: GPUs as rollups, requests as attempts, as sealing leaves them.

Used by `bench.page`. Samples of GPUs are there raw for the last hour, before it as `gpu_1m` and
`gpu_fleet_5m`; attempts are all appended raw, so that `attempt_1m` is what the store makes of them.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from observe.clock import EventClock
from observe.schema import Batch
from observe.store import Store

MODELS, TEAMS, CLUSTERS = 10, 20, ("eu-west", "us-east")
CHUNK = 250_000  # rows a batch
MINUTE = timedelta(minutes=1)
MODEL = """\
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat-0}
selector: {gatewayModels: [chat-0]}
slos:
  - {name: ttft, latency: ttft_s, below: 800ms, objective: 99%, window: 30d}
"""
SITE = """\
apiVersion: observe/v1
kind: Site
store: {path: ./data, size: 100GB}
collectors: {gateway: {type: otlp}}
server: {listen: "127.0.0.1:%d", otlp: "127.0.0.1:%d", ui: "127.0.0.1:%d"}
"""


def fill(folder: Path, now: datetime, days: float, gpus: int, requests: int) -> None:
    """Write the past of `days` before `now` into the data directory `folder`."""
    rng = np.random.default_rng(11)
    store = Store.open(folder, EventClock(now))
    names = [f"GPU-{i:06d}" for i in range(gpus)]
    with store.change() as change:
        change.insert_frame("gpu_device", pl.DataFrame({
            "device_id": names, "model": ["H100 80GB"] * gpus, "cluster": [CLUSTERS[i % 2] for i in range(gpus)],
            "node": [f"node-{i // 8}" for i in range(gpus)], "gpu_index": [i % 8 for i in range(gpus)], "last_seen": [now] * gpus,
        }))  # fmt: skip
    frames = (*minutes(rng, now, days, names), *fleet(rng, now, days, gpus), *samples(rng, now, names))
    for number, (table, frame) in enumerate((*frames, *attempts(rng, now, days, requests))):
        store.append(Batch("past", str(number), {table: frame}))
    for _ in range(20):
        store.seal(now)
    store.close()


def _instants(start: datetime, seconds: np.ndarray) -> pl.Series:
    return pl.Series((start.timestamp() * 1e6 + seconds * 1e6).astype(np.int64)).cast(pl.Datetime("us", "UTC"))


def minutes(
    rng: np.random.Generator, now: datetime, days: float, names: list[str]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """`gpu_1m` of every device."""
    gpus, step = len(names), max(1, CHUNK // len(names))
    start = now.replace(second=0, microsecond=0) - timedelta(days=days)
    for first in range(0, int(days * 1440) - 60, step):
        at = np.repeat(np.arange(first, min(first + step, int(days * 1440) - 60)), gpus)
        util = np.clip(0.5 + 0.2 * rng.standard_normal(at.size), 0, 1)
        four = np.full(at.size, 4)
        yield "gpu_1m", pl.DataFrame({
            "ts": _instants(start, at * 60.0), "device_id": names * (at.size // gpus), "cluster": [CLUSTERS[i % 2] for i in range(gpus)] * (at.size // gpus),
            "samples": four, "util_count": four, "util_sum": 4 * util, "util_max": util, "power_count": four, "power_sum": 4 * (200 + 400 * util),
            "sm_clock_count": four, "sm_clock_sum": np.full(at.size, 4 * 1980.0), "temp_max": np.round(40 + 30 * util),
        })  # fmt: skip


def fleet(rng: np.random.Generator, now: datetime, days: float, gpus: int) -> Iterator[tuple[str, pl.DataFrame]]:
    """`gpu_fleet_5m` of both clusters."""
    start, n = now.replace(minute=0, second=0, microsecond=0) - timedelta(days=days), int(days * 288) - 24
    for cluster in CLUSTERS:
        util, half = 0.5 + 0.1 * rng.standard_normal(n), np.full(n, gpus // 2)
        yield "gpu_fleet_5m", pl.DataFrame({
            "ts": _instants(start, np.arange(n) * 300.0), "cluster": [cluster] * n, "sku": ["H100 80GB"] * n, "devices": half, "util_devices": half,
            "util_sum": half * util, "idle_devices": half // 50, "saturated_devices": half // 10, "power_w_sum": half * 400.0,
        })  # fmt: skip


def samples(rng: np.random.Generator, now: datetime, names: list[str]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Raw samples of the last hour, every 15 s."""
    for tick in range(0, 240, 60):
        at = np.repeat(np.arange(tick, tick + 60), len(names))
        util = np.clip(0.5 + 0.2 * rng.standard_normal(at.size), 0, 1)
        yield "gpu_sample", pl.DataFrame({
            "ts": _instants(now - timedelta(hours=1), at * 15.0), "device_id": names * 60, "cluster": [CLUSTERS[i % 2] for i in range(len(names))] * 60,
            "util_ratio": util, "power_w": 200 + 400 * util, "temp_c": 40 + 30 * util, "sm_clock_mhz": np.full(at.size, 1980.0),
        })  # fmt: skip


def attempts(rng: np.random.Generator, now: datetime, days: float, requests: int) -> Iterator[tuple[str, pl.DataFrame]]:
    """Attempts in order of time; one in 100 fails and every second of those is tried again."""
    seconds = np.sort(rng.uniform(0, days * 86400, requests))
    for first in range(0, requests, CHUNK):
        t = seconds[first : first + CHUNK]
        n = t.size
        ttft = rng.lognormal(-1.2, 0.5, n)
        failed = rng.random(n) < 0.01
        yield "attempt", pl.DataFrame({
            "ts": _instants(now - timedelta(days=days), t), "ts_start": _instants(now - timedelta(days=days), t - 4 * ttft),
            "attempt_id": [f"{first + i:x}" for i in range(n)], "trace_id": [f"t{first + i - bool(f and i % 2):x}" for i, f in enumerate(failed)],
            "model_id": [f"chat-{i}" for i in rng.integers(0, MODELS, n)], "team_id": [f"team-{i}" for i in rng.integers(0, TEAMS, n)],
            "cluster": [CLUSTERS[i] for i in rng.integers(0, 2, n)], "provider": ["vllm"] * n, "status": np.where(failed, "error", "ok"),
            "ttft_s": ttft, "tpot_s": ttft / 20, "duration_s": 4 * ttft, "stream": [True] * n, "attempt_no": [0] * n,
            "tokens_in": rng.integers(50, 4000, n), "tokens_out": rng.integers(10, 800, n), "cost_usd": rng.uniform(0, 0.01, n), "cost_known": [True] * n,
        })  # fmt: skip
