"""A process that opens a data directory and dies at a moment of it: `migrating.py FOLDER MOMENT`.

A moment is one statement of a writing transaction, or just before or after a commit; they are
counted from 1, and the last is told on standard output when it was never reached.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from observe.clock import EventClock
from observe.store import Store
from observe.store.database import Database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
passed = 0
change = Database.change


def moment() -> None:
    global passed  # noqa: PLW0603
    passed += 1
    if passed == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)


class Watched:
    """A cursor whose statements are moments."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor

    def execute(self, *given: Any) -> Any:
        moment()
        return self.cursor.execute(*given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cursor, name)


@contextmanager
def watched(database: Database) -> Iterator[Watched]:
    with change(database) as cursor:
        yield Watched(cursor)
        moment()
    moment()


if __name__ == "__main__":
    Database.change = watched  # type: ignore[assignment, method-assign]
    Store.open(Path(sys.argv[1]), EventClock(NOON)).close()
    print(passed)
