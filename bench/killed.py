"""A process that stores what it is told on standard input and says on standard output what is durable.

    python -m bench.killed FOLDER

Lines in: `open` once, then numbers of batches. Lines out: `ready`, then numbers whose rows are safe. Every
third of a second commits are held up for as long, so that many of them are safe in the spill only. Every batch holds ROWS attempts and one prediction of three models' tables, minutes to days old, while seals, merges and
retention run beside without a pause: model `m` stays, of model `old` a sample stays, the samples of
serving leave altogether.
"""

import sys
import threading
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from time import sleep

import polars as pl

from observe.clock import WallClock
from observe.schema import Batch
from observe.store import Store

ROWS = 7
HELD_S = 0.3  # as a checkpoint does
RESERVOIR = 5  # rows of a model and day that stay
AGES = tuple(timedelta(minutes=m) for m in (7, 12, 17, 22, 27, 100, 1500, 1510, 3000))
LONG_AGO = timedelta(days=40)
KEEP = {"prediction": timedelta(days=30), "serving_sample": timedelta(days=30)}


def batch(number: int, clock: WallClock) -> Batch:
    now = clock.now()
    ended, left = now - AGES[number % len(AGES)], now - LONG_AGO
    rows = pl.DataFrame({
        "ts": [ended] * ROWS, "attempt_id": [f"{number}-{i}" for i in range(ROWS)], "tokens_in": [number] * ROWS,
    })  # fmt: skip
    features = pl.DataFrame({"ts": [ended], "prediction_id": [str(number)], f"f{number % 40}": [1.0]})
    old = pl.DataFrame({"ts": [left], "prediction_id": [str(number)], "x": [float(number)]})
    serving = pl.DataFrame({"ts": [left], "target": [str(number)], "model_id": ["m"], "engine": [""]})
    tables = {"attempt": rows, "prediction:m": features, "prediction:old": old, "serving_sample": serving}
    return Batch("client", str(number), tables)


def main(folder: Path) -> None:
    clock, speaking = WallClock(), threading.Lock()
    sys.stdin.readline()
    store = Store.open(folder, clock)

    def acknowledge(number: str, done: Future[None]) -> None:
        done.result()
        with speaking:
            print(number, flush=True)

    def keep_house() -> None:
        while True:
            store.seal(clock.now())
            store.retain(clock.now(), KEEP, reservoir=RESERVOIR)

    def hold_up() -> None:
        while True:
            sleep(HELD_S)
            with store.change():
                sleep(HELD_S)

    for task in (keep_house, hold_up):
        threading.Thread(target=task, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        number = line.strip()
        store.submit(batch(int(number), clock)).safe().add_done_callback(lambda done, n=number: acknowledge(n, done))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
