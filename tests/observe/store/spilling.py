"""Have a crowd acknowledged while nobody can commit, and die; the folder is the argument."""

import os
import signal
import sys
from concurrent.futures import wait
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from observe.clock import EventClock
from observe.schema import Batch
from observe.store import Store
from observe.store.committer import CROWD

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def batch(name: str) -> Batch:
    ended = [NOON + timedelta(seconds=i) for i in range(3)]
    rows = pl.DataFrame({
        "ts": ended, "ts_start": ended, "attempt_id": [f"{name}-{i}" for i in range(3)], "status": ["ok"] * 3,
    })  # fmt: skip
    return Batch("otlp", name, {"attempt": rows})


store = Store.open(Path(sys.argv[1]), EventClock(NOON))
store.append(batch("before"))
with store.change():
    crowd = [store.submit(batch(f"b{i}")).safe() for i in range(CROWD)]
    print("safe" if not wait(crowd, 30).not_done else "not safe", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
