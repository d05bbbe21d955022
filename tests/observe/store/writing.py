"""A process that stores what it is told on standard input and says on standard output what is durable.

Lines in: `open` once, then numbers of batches. Lines out: `ready`, then numbers acknowledged.
Every batch holds ROWS attempts, old enough that the seals which run beside move them to the lake.
"""

import sys
import threading
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path

import polars as pl

from observe.clock import WallClock
from observe.schema import Batch, Receipt
from observe.store import Store

ROWS = 7


def batch(number: int, clock: WallClock) -> Batch:
    ended = clock.now() - timedelta(minutes=7 + number % 5 * 5)
    rows = pl.DataFrame({
        "ts": [ended] * ROWS, "attempt_id": [f"{number}-{i}" for i in range(ROWS)], "tokens_in": [number] * ROWS,
    })  # fmt: skip
    features = pl.DataFrame({"ts": [ended], "prediction_id": [str(number)], f"f{number % 40}": [1.0]})
    return Batch("client", str(number), {"attempt": rows, "prediction:m": features})


def main(folder: Path) -> None:
    clock, speaking = WallClock(), threading.Lock()
    sys.stdin.readline()
    store = Store.open(folder, clock)

    def acknowledge(number: str, done: Future[Receipt]) -> None:
        done.result()
        with speaking:
            print(number, flush=True)

    def keep_sealing() -> None:
        while True:
            store.seal(clock.now())

    threading.Thread(target=keep_sealing, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        number = line.strip()
        store.submit(batch(int(number), clock)).add_done_callback(lambda done, n=number: acknowledge(n, done))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
