"""Spill a batch again and again while another thread reads its rows, as the committer does."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from sys import argv

import polars as pl

from observe.store.entry import Entry
from observe.store.rows import hashed, part
from observe.store.spill import Spill

ROWS = 200
columns = {f"f{i}": [0.5] * ROWS for i in range(60)}
frame = pl.DataFrame({"ts": [datetime.now(UTC)] * ROWS, "prediction_id": [str(i) for i in range(ROWS)], **columns})
entry = Entry("s", "b", (part("prediction:m", frame, "s"),), {}, 1)
stop = threading.Event()


def read() -> None:
    while not stop.is_set():
        hashed(entry.parts)


reader = threading.Thread(target=read, daemon=True)
reader.start()
spill = Spill(Path(argv[1]))
for _ in range(100):
    spill.keep([entry])
stop.set()
reader.join()
