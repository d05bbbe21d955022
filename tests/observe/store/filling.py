"""A process whose files may grow no further for a while, as on a full disk: `filling.py FOLDER`.

Prints one line a batch: its name, and `stored` or `refused`.
"""

import resource
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from observe.clock import EventClock
from observe.errors import StoreError
from observe.schema import Batch
from observe.store import Store

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def send(store: Store, name: str, n: int) -> None:
    ids = [f"{name}-{i}" for i in range(n)]
    rows = pl.DataFrame({"ts": [NOON] * n, "attempt_id": ids, "trace_id": [f"{i:0>400}" for i in ids]})
    try:
        store.append(Batch("client", name, {"attempt": rows}))
        print(name, "stored", flush=True)
    except StoreError:
        print(name, "refused", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails like one on a full disk
    folder = Path(sys.argv[1])
    opened = Store.open(folder, EventClock(NOON))
    send(opened, "before", 100)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(f.stat().st_size for f in folder.glob("observe.duckdb*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 20_000, most))
    for number in range(4):
        send(opened, f"full{number}", 400)
    assert opened.read("SELECT count(DISTINCT attempt_id) >= 100 FROM attempt").item(), "reads stay alive"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, most))
    for number in range(4):
        send(opened, f"after{number}", 100)
    opened.close()
