"""A process that counts late rows again and dies at a moment of it: `recounting.py FOLDER MOMENT`.

Each slice is a transaction with two moments: all of it is written and not committed, and just after
its commit; they are counted from 1. How many there were is told on standard output when the last of
them came first.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from test_recounted import NOW, finish

from observe.clock import EventClock
from observe.store import Store
from observe.store.database import Database

passed = 0
change = Database.change


def moment() -> None:
    global passed  # noqa: PLW0603
    passed += 1
    if passed == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def watched(database: Database) -> Iterator[Any]:
    with change(database) as cursor:
        yield cursor
        moment()
    moment()


if __name__ == "__main__":
    clock = EventClock(NOW)
    store = Store.open(Path(sys.argv[1]) / "data", clock, threads=1, memory="500MB")
    Database.change = watched  # type: ignore[assignment, method-assign]
    finish(store, clock, None)
    print(passed)
