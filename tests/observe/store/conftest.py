"""An open store over a clock that stands still, and batches to put into it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from observe.clock import EventClock
from observe.schema import Batch
from observe.store import Store

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Attempts = Callable[..., Batch]


@pytest.fixture
def noon() -> datetime:
    return NOON


@pytest.fixture
def clock() -> EventClock:
    return EventClock(NOON)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(folder: Path, clock: EventClock) -> Iterator[Store]:
    opened = Store.open(folder, clock)
    yield opened
    opened.close()


@pytest.fixture
def attempts() -> Attempts:
    """`attempts(name, n, ago, source=…, **columns)`: a batch of n attempts that ended `ago` before noon, 1 s apart."""

    def make(name: str, n: int = 3, ago: timedelta = timedelta(0), source: str = "otlp", **columns: object) -> Batch:
        ended = [NOON - ago + timedelta(seconds=i) for i in range(n)]
        rows = pl.DataFrame({
            "ts": ended, "ts_start": [t - timedelta(seconds=2) for t in ended],
            "attempt_id": [f"{name}-{i}" for i in range(n)], "status": ["ok"] * n, "duration_s": [2.0] * n,
        }).with_columns(**{k: pl.lit(v) for k, v in columns.items()})  # fmt: skip
        return Batch(source, name, {"attempt": rows})

    return make
