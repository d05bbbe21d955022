"""Few files per table, whatever the order in which rows come; no row is lost or doubled by it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observe.schema import Batch
from observe.store.manifest import Sheet
from observe.store.merging import MERGED_BYTES, merges

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 11, 20, tzinfo=UTC)


def sheet(number: int, start: datetime, end: datetime, size: int) -> Sheet:
    return Sheet("attempt", f"f{number}", start, end, size // 10 + 1, size, number, end)


def merged(sheets: list[Sheet], now: datetime) -> list[Sheet]:
    """The files after one seal's merges."""
    left = list(sheets)
    for group in merges(sheets, now):
        left = [s for s in left if s not in group]
        size, rows = sum(s.size for s in group), sum(s.rows for s in group)
        left.append(
            replace(group[0], t_max=max(s.t_max for s in group), size=size, rows=rows, path=f"m{group[0].path}")
        )
    return left


@settings(max_examples=4)
@given(st.lists(st.integers(0, 34), min_size=1, max_size=5, unique=True), st.integers(1_000, 200_000))
def test_a_trickle_of_late_rows_leaves_few_files(days, size) -> None:
    now = START + 35 * DAY
    sheets = [sheet(i, START + i * DAY, START + i * DAY + 23 * HOUR, 80 << 20) for i in range(35)]
    for number in range(200):
        now += 5 * MINUTE
        for day in days if number % 2 else range(35):
            sheets.append(sheet(1000 + number, START + day * DAY, START + day * DAY + HOUR, size))
        sheets.append(sheet(5000 + number, now - 5 * MINUTE, now - 4 * MINUTE, 2_000_000))
        sheets.append(sheet(9000 + number, START + 35 * DAY, max(START + 35 * DAY, now - 3 * HOUR), 3_000))
        sheets = merged(sheets, now)

        assert len(sheets) <= 400
    rows = sum(s.rows for s in sheets)
    assert rows == 35 * ((80 << 20) // 10 + 1) + 200 * (200_001 + 301) + (100 * 35 + 100 * len(days)) * (size // 10 + 1)


def test_a_large_file_is_not_rewritten_for_a_few_late_rows() -> None:
    large, late = sheet(1, START, START + 20 * HOUR, 80 << 20), sheet(2, START, START + HOUR, 5_000)

    assert merges([large, late], START + 3 * DAY) == []


def test_files_are_not_merged_beyond_the_largest_size() -> None:
    halves = [sheet(i, START, START + 20 * HOUR, MERGED_BYTES // 2 + 1) for i in range(3)]

    assert merges(halves, START + 3 * DAY) == []


@pytest.mark.slow
def test_ids_and_counts_are_exact_under_a_late_trickle(store, noon) -> None:
    sent = 0
    for number in range(4):
        now = noon + number * 5 * MINUTE
        times = [noon - day * DAY - number * MINUTE for day in range(1, 36)]
        rows = pl.DataFrame({"ts": times, "attempt_id": [f"{number}-{d}" for d in range(35)]})
        store.append(Batch("s", str(number), {"attempt": rows}))
        store.seal(now)
        sent += 35
        assert store.stats()["files"]["attempt"] <= 35 * 3

    counted = "SELECT count(*), count(DISTINCT attempt_id) FROM attempt"
    assert store.read(counted).row(0) == (sent, sent)
    assert store.read("SELECT sum(attempts)::BIGINT AS n FROM attempt_1m").item() == sent
