"""A process that seals and dies at a step: `sealing.py FOLDER STEP`; it prints what it acknowledged."""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from observe.clock import EventClock
from observe.schema import Batch
from observe.store import Store, lake, manifest

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
STEPS: dict[str, tuple[Any, str, str]] = {
    "before the copy": (lake.Lake, "_write", "before"),
    "after the copy": (lake.Lake, "_write", "after"),
    "before the rename": (lake.os, "rename", "before"),
    "after the rename": (lake.os, "rename", "after"),
    "after the delete": (manifest.Manifest, "add", "before"),
    "before the commit": (lake, "create_bulk_view", "after"),
    "after the commit": (lake.Lake, "compact", "before"),
    "amid a merge": (manifest.Manifest, "bury", "after"),
    "before unlinking": (manifest.Manifest, "unlink_dead", "before"),
    "after unlinking": (manifest.Manifest, "unlink_dead", "after"),
}


def die_at(step: str) -> None:
    place, name, when = STEPS[step]
    work: Callable[..., Any] = getattr(place, name)

    def dying(*given: Any, **named: Any) -> Any:
        if when == "after":
            work(*given, **named)
        os._exit(9)

    setattr(place, name, dying)


def fill(store: Store, step: str) -> None:
    """Rows sealed hour by hour, then hot ones, closed and open, of three tables."""
    for hour in range(30, 0, -5):
        append(store, f"{step} {hour}", timedelta(hours=hour))
        store.seal(NOON)
    append(store, f"{step} hot", timedelta(minutes=30))
    append(store, f"{step} open", timedelta(0))


def append(store: Store, name: str, ago: timedelta) -> None:
    ended = [NOON - ago + timedelta(seconds=i) for i in range(10)]
    ids = [f"{name}-{i}" for i in range(10)]
    store.append(Batch("client", name, {
        "attempt": pl.DataFrame({"ts": ended, "attempt_id": ids}),
        "prediction:m": pl.DataFrame({"ts": ended, "prediction_id": ids, "x": range(10)}),
    }))  # fmt: skip
    print(name, flush=True)


if __name__ == "__main__":
    opened = Store.open(Path(sys.argv[1]), EventClock(NOON))
    fill(opened, sys.argv[2])
    die_at(sys.argv[2])
    opened.seal(NOON + timedelta(days=3 if sys.argv[2] == "amid a merge" else 0))
    opened.retain(NOON, {"attempt": timedelta(hours=1)})
    opened.seal(NOON + timedelta(days=3))
    sys.exit("the step was never reached")
