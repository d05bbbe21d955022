"""Bytes a row takes in the lake: what `observe plan` multiplies.

Rows of the demo's shape (they vary as real ones do: ids random, sensors noisy) are appended, sealed
and merged to one file a day; the figure is file bytes over rows. Predictions carry 60 numeric
features of four digits.
"""

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import polars as pl

from observe.clock import EventClock
from observe.demo import history
from observe.demo.world import LLMS, Plan
from observe.schema import Batch
from observe.store import Store

DAY = datetime(2026, 11, 17, tzinfo=UTC)
FEATURES = 60
ROWS = 200_000


def gpu_samples(rng: np.random.Generator) -> pl.DataFrame:
    """100 GPUs every 15 s for eight hours, sensors as they move."""
    ticks, gpus = 8 * 240, 100
    n = ticks * gpus
    busy = np.clip(0.5 + 0.3 * np.sin(np.arange(ticks) / 200)[:, None] + 0.1 * rng.standard_normal((ticks, gpus)), 0, 1)
    flat = busy.ravel()
    return pl.DataFrame({
        "ts": np.repeat(np.arange(ticks), gpus) * 15_000_000,
        "device_id": [f"GPU-{UUID(int=g * 10**30 + 7)}" for g in range(gpus)] * ticks,
        "cluster": ["eu-west"] * n, "node": [f"gpu-node-{g // 8}" for g in range(gpus)] * ticks,
        "util_ratio": np.round(flat, 3), "util_source": ["sm_active"] * n, "sm_active_ratio": np.round(flat, 3),
        "tensor_active_ratio": np.round(flat * 0.6, 3), "dram_active_ratio": np.round(flat * 0.4, 3),
        "mem_used_mib": np.round(60_000 + 500 * rng.standard_normal(n)), "mem_free_mib": np.round(20_000 + 500 * rng.standard_normal(n)),
        "power_w": np.round(200 + 400 * flat, 1), "energy_j": np.cumsum(200 + 400 * busy, axis=0).ravel() * 15,
        "temp_c": np.round(40 + 30 * flat), "mem_temp_c": np.round(45 + 30 * flat), "sm_clock_mhz": np.full(n, 1980.0),
        "pcie_tx_bps": np.round(rng.gamma(2, 1e8, n)), "pcie_rx_bps": np.round(rng.gamma(2, 1e8, n)),
        "throttle_mask": np.zeros(n, dtype=np.int64), "state": ["ok"] * n, "quality": np.zeros(n, dtype=np.int64),
    }).with_columns((pl.col("ts") + int(DAY.timestamp() * 1e6)).cast(pl.Datetime("us", "UTC")))  # fmt: skip


def attempts(rng: np.random.Generator) -> pl.DataFrame:
    """Calls of one model over a day, ids as random as real ones."""
    t = DAY.timestamp() + np.sort(rng.uniform(0, 86_000, ROWS))
    rows = history.attempt_rows(LLMS[0], t, Plan(DAY + timedelta(days=3)), rng, "x")
    ids = [rng.bytes(8).hex() for _ in range(ROWS)]
    traces = [rng.bytes(16).hex() for _ in range(ROWS)]
    return rows.with_columns(pl.Series("attempt_id", ids), pl.Series("trace_id", traces))


def predictions(rng: np.random.Generator) -> pl.DataFrame:
    """Answers of one model over a day with 60 features."""
    t = DAY.timestamp() + np.sort(rng.uniform(0, 86_000, ROWS))
    columns = {f"f{i}": np.round(rng.lognormal(0, 1, ROWS), 4) for i in range(FEATURES)}
    ids = [str(UUID(bytes=rng.bytes(16))) for _ in range(ROWS)]
    ts = pl.Series((t * 1e6).astype(np.int64)).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame({"ts": ts, "prediction_id": ids, "score": np.round(rng.uniform(size=ROWS), 4), **columns})


def bytes_a_row(table: str, rows: pl.DataFrame, folder: Path) -> float:
    """Appended, sealed and merged; file bytes over rows."""
    store = Store.open(folder, EventClock(DAY + timedelta(days=2)))
    try:
        for i, part in enumerate(rows.iter_slices(20_000)):
            store.append(Batch("bench", f"{table}/{i}", {table: part}))
        for _ in range(3):
            store.seal(DAY + timedelta(days=2))
        key = table
        files = store.read(
            "select sum(bytes)::BIGINT as b, sum(rows)::BIGINT as n from core.manifest where table_name = $key and dead_at is null",
            {"key": key},
        )
        return float(files["b"][0] / files["n"][0])
    finally:
        store.close()


def main() -> None:
    rng = np.random.default_rng(20261121)
    made = {"gpu_sample": gpu_samples, "attempt": attempts, "prediction:bench": predictions}
    for table, make in made.items():
        with tempfile.TemporaryDirectory() as folder:
            size = bytes_a_row(table, make(rng), Path(folder))
        print(
            json.dumps(
                {
                    "name": f"{table.partition(':')[0]}, bytes a row in the lake",
                    "command": "python -m bench.sizing",
                    "figure": round(size, 1),
                    "unit": "B",
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
