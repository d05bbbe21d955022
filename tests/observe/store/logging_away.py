"""A process that stores batches and dies, so that its write-ahead log stays: `logging_away.py FOLDER N`."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from observe.clock import EventClock
from observe.schema import Batch
from observe.store import Store

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)

if __name__ == "__main__":
    Store.open(Path(sys.argv[1]), EventClock(NOON)).close()
    store = Store.open(Path(sys.argv[1]), EventClock(NOON))
    for number in range(int(sys.argv[2])):
        rows = pl.DataFrame({"ts": [NOON] * 10, "attempt_id": [f"{number}-{i}" for i in range(10)]})
        store.append(Batch("client", str(number), {"attempt": rows}))
    os._exit(9)
