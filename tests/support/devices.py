"""GPUs that do the same work, as the detector of stragglers is shown them."""

import numpy as np
import polars as pl
from streams import START


def training(devices: int, windows: int, slower: tuple[int, float] | None = None, seed: int = 31) -> pl.DataFrame:
    """Rows of `device_5m`: one job on one node.

    Args:
        devices: of the job.
        windows: of five minutes.
        slower: from which window device 0 runs at a clock so much lower.
        seed: of the random numbers.
    """
    rng, shape = np.random.default_rng(seed), (windows, devices)
    clock = 1755 + rng.normal(0, 8, shape)
    busy = np.clip(0.9 + rng.normal(0, 0.02, (windows, 1)) + rng.normal(0, 0.01, shape), 0, 1)
    if slower is not None:
        clock[slower[0] :, 0] *= 1 - slower[1]
    power = 600 * busy + rng.normal(0, 8, shape)
    ts = pl.Series(np.repeat(np.arange(windows), devices)) * 300_000_000 + int(START.timestamp() * 1e6)
    return pl.DataFrame({
        "ts": ts.cast(pl.Datetime("us", "UTC")), "device_id": [f"GPU-{i}" for i in range(devices)] * windows,
        "util": busy.ravel(), "power": power.ravel(), "sm_clock": clock.ravel(), "temp": (40 + power / 20).ravel(),
        "gpu_index": list(range(devices)) * windows,
    }).with_columns(
        *(pl.lit(None, pl.Float64).alias(c) for c in ("tensor", "dram")),
        *(pl.lit(None, pl.String).alias(c) for c in ("parent_uuid", "mig_profile")),
        cluster=pl.lit("eu"), node=pl.lit("n1"), sku=pl.lit("H100"), workload=pl.lit("ml/train-7d9fb5c6d4-xk2zv"),
    )  # fmt: skip
