"""Where one body of a CSV file ends: after a whole record, and a stray quote costs its row only."""

import csv
import io
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observe.app import files
from observe.app.files import bodies


def read(path: Path) -> tuple[int, int]:
    found = list(bodies(path))
    assert sum(body.rows for body in found) == sum(pl.read_parquet(b.content).height for b in found if b.content)
    return sum(body.rows for body in found), sum(body.lost for body in found)


@pytest.mark.slow
@pytest.mark.parametrize("stray", [b'x"y', b'"xy'], ids=["within a field", "at the start of one"])
def test_one_stray_quote_costs_at_most_its_row(tmp_path: Path, stray: bytes) -> None:
    lines = [b"%07d,%s" % (i, b"z" * 40) for i in range(400_000)]  # more than a body may hold
    lines[150_000] = b"0," + stray
    (tmp_path / "q.csv").write_bytes(b"n,said\n" + b"\n".join(lines) + b"\n")

    lost = 1 if stray.startswith(b'"') else 0
    assert read(tmp_path / "q.csv") == (400_000 - lost, lost)


def test_a_quote_open_at_the_end_of_a_file_costs_its_line(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text('n,said\n1,a\n2,"b\n3,c\n4,d\n')
    assert read(tmp_path / "q.csv") == (3, 1)


def test_a_block_is_looked_at_once_whatever_its_quotes() -> None:
    def took(rows: int) -> float:
        block, start = b'"' + b"1,2\n" * rows, time.thread_time()  # what it costs us, however busy the machine is
        assert files._whole_records(block) == 0
        return time.thread_time() - start

    took(1000)
    assert took(800_000) < 30 * (took(80_000) + 0.002)


@given(
    st.lists(st.lists(st.text('a",\n', max_size=6), min_size=2, max_size=3), min_size=1, max_size=6), st.integers(0, 60)
)
def test_what_is_cut_off_a_block_is_whole_records(rows: list[list[str]], at: int) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    block = text.getvalue()[:at]
    end = files._whole_records(block.encode())

    records = list(csv.reader(io.StringIO(block[:end], newline="")))
    assert records == rows[: len(records)]
    rest = rows[len(records)] if len(records) < len(rows) else []
    assert not rest or len(block) - end <= sum(2 * len(v) + 3 for v in rest)
