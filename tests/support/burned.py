"""Minutes of the SLO of `acted`'s model: an hour before and hours after `T0`, on that day and the same hours of earlier days."""

from datetime import timedelta

import numpy as np
import polars as pl
from acted import T0, World


def burned(world: World, *, before: float, then: float, days: int = 6, ordinary: float = 0.002) -> None:
    """Shares of bad requests before and after `T0`; those of earlier days are `ordinary`."""
    rng = np.random.default_rng(11)
    starts, bad = [], []
    for day in range(days + 1):
        for minute in range(-60, 180):
            share = ordinary if day else before if minute < 0 else then
            starts.append(T0 - timedelta(days=day) + timedelta(minutes=minute))
            bad.append(int(rng.binomial(300, share)))
    frame = pl.DataFrame({
        "ts": pl.Series(starts, dtype=pl.Datetime("us", "UTC")), "window_s": 60, "measure": "chat/slo/ttft", "model": "chat", "n": 300, "events": bad,
        "missing": 0, "nan": 0, "inf": 0, "zero": 0, "late": False,
    })  # fmt: skip
    with world.store.change() as tx:
        tx.insert_frame("summary", frame)
