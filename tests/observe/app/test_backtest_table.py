"""Files of any kind become instants and columns to watch, or are refused with what to do."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from observe.app.backtest_table import read, tabulate
from observe.errors import UsageError

T0 = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", b"\xef\xbb\xbfts,x,c\n2026-01-05T00:00Z,1.5,NA\n2026-01-05T01:00Z,NA,b\n"),
        ("semicolons.csv", b"ts;x;c\n2026-01-05 00:00:00;1.5;NA\n2026-01-05 01:00:00;;b\n"),
        ("array.json", b'[{"ts": "2026-01-05T00:00:00Z", "x": 1.5, "c": "NA"}, {"ts": "2026-01-05T01:00:00Z", "c": "b"}]'),
        ("lines.json", b'{"ts": 1767571200, "x": 1.5, "c": "NA"}\n{"ts": 1767574800, "x": null, "c": "b"}\n'),
        ("psql.csv", b"ts,x,c\n2026-01-05 01:00:00+01,1.5,NA\n2026-01-05 02:00:00.000+01,,b\n"),
        ("german.csv", b"ts;x;c\n05.01.2026 00:00;1.5;NA\n05.01.2026 01:00:00;;b\n"),
        ("commas.csv", b"ts;x;c\n05.01.2026 00:00;1,5;NA\n05.01.2026 01:00:00;;b\n"),
        ("bigquery.csv", b"ts,x,c\n2026-01-05 00:00:00 UTC,1.5,NA\n2026-01-05 01:00:00.000 UTC,null,b\n"),
        ("small.csv.gz", gzip.compress(b"ts,x,c\n2026-01-05T00:00Z,1.5,NA\n2026-01-05T01:00Z,None,b\n", mtime=0)),
    ],
)  # fmt: skip
def test_the_same_rows_are_read_from_every_dialect(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    found = read(tmp_path / name, "ts")

    assert found.kinds == {"x": "numeric", "c": "categorical"}
    assert found.rows.rows() == [(T0, 1.5, "NA"), (T0 + timedelta(hours=1), None, "b")]
    assert found.rejected == {}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cut.csv.gz", gzip.compress(b"ts,x\n2026-01-05T00:00Z,1\n" * 99, mtime=0)[:40], "cut.csv.gz cannot be read: "),
        ("only.csv", b"ts,x\n", "only.csv holds no rows"),
        ("zero.csv", b"", "zero.csv cannot be read: "),
        ("twice.csv", b"ts,x,x\n2026-01-05,1,2\n", "two columns are named 'x'"),
        ("notes.md", b"# hello", "is not Parquet, CSV, NDJSON, JSON or Arrow"),
        ("wrong.csv", b"when,x\n2026-01-05,1\n", "has no column 'ts' for --time; there are: when, x"),
        ("never.csv", b"ts,x\nNA,1\nNA,2\n", "never.csv: column 'ts' holds no instants"),
    ],
)
def test_what_cannot_be_read_is_refused_and_the_file_or_column_named(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read(tmp_path / name, "ts")

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["03/02/2026 10:00", "25/02/2026 10:00"], [3, 25]),  # there is no 25th month, so the day comes first
        (["02/03/2026 10:00", "02/25/2026 10:00"], [3, 25]),
        (["02/03/2026", "02/04/2026"], [3, 4]),  # could be either: as before, the month first
    ],
)
def test_dates_with_slashes_are_all_read_in_the_one_order_that_fits_them(written: list[str], meant: list[int]) -> None:
    found = tabulate(pl.DataFrame({"ts": written, "x": [1.0, 2.0]}), "ts")

    assert [(at.month, at.day) for at in found.rows["ts"]] == [(2, day) for day in meant]
    assert found.rejected == {}


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    for k, day in enumerate(("2026-01-05", "2026-01-06")):
        (tmp_path / f"day={day}").mkdir()
        part = pl.DataFrame({"ts": [T0 + timedelta(days=k)], "x": [float(k)]})
        part.write_parquet(tmp_path / f"day={day}" / "part-0.parquet")

    found = read(tmp_path, "ts")

    assert found.rows.rows() == [(T0, 0.0), (T0 + timedelta(days=1), 1.0)]
    assert list(found.left_out) == ["day"]


def test_of_a_folder_without_parquet_files_it_is_said_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder without Parquet files; name one file"):
        read(tmp_path, "ts")


def test_of_a_file_only_the_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    pl.DataFrame({"when": [T0], "a": [1.0], "b": [[1]], "ts": [7]}).write_parquet(tmp_path / "t.parquet")

    assert read(tmp_path / "t.parquet", "when", ["a", "a"]).rows.columns == ["ts", "a"]
    assert read(tmp_path / "t.parquet", "when").left_out == {
        "b": "a column of type List(Int64) is neither numbers nor levels"
    }


def test_a_column_that_is_called_like_our_instants_is_watched_under_another_name() -> None:
    table = tabulate(pl.DataFrame({"when": [T0], "ts": [7], "x": [1.5]}), "when")

    assert table.kinds == {"ts (column)": "numeric", "x": "numeric"}
    assert table.rows.columns == ["ts", "ts (column)", "x"]


def test_postal_codes_are_levels_and_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ts,code,x\n2026-01-05,01069,0.5\n2026-01-06,99084,-0.25\n")

    assert read(tmp_path / "a.csv", "ts").kinds == {"code": "categorical", "x": "numeric"}
