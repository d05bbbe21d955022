"""`observe compare` on real files: what it prints, writes, refuses, and exits with."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from observe import compare as exact
from observe.errors import UsageError


def compare(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "observe", "compare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=120, check=False, text=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reference and current, in which `amount` moved, in every format."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(1)
    for name, factor in (("ref", 1.0), ("cur", 1.4), ("same", 1.0)):
        frame = pl.DataFrame(
            {"amount": factor * rng.lognormal(3, 1, 4_000), "zip": [f"0{i % 7}069" for i in range(4_000)]}
        )
        frame.write_parquet(folder / f"{name}.parquet")
        frame.write_csv(folder / f"{name}.csv", separator=";")
        frame.write_ndjson(folder / f"{name}.ndjson")
        frame.write_ipc(folder / f"{name}.arrow")
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress((folder / f"{name}.csv").read_bytes()))
    return folder


def test_drift_is_told_first_and_fails_only_when_asked(files: Path) -> None:
    said = compare(files / "ref.parquet", files / "cur.parquet")
    failed = compare(files / "ref.parquet", files / "cur.parquet", "--fail-on", "drift", "--quiet")

    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[0] == "1 of 2 features drifted: amount"
    assert "rows are taken as exchangeable" in said.stdout
    assert (failed.returncode, failed.stdout) == (1, "")


def test_without_drift_the_exit_code_is_0(files: Path) -> None:
    said = compare(files / "ref.parquet", files / "same.parquet", "--fail-on", "drift", "--features", "amount")

    assert said.returncode == 0, said.stdout
    assert "drifted: " not in said.stdout


def test_every_format_gives_the_same_figures(files: Path) -> None:
    expected = exact(files / "ref.parquet", files / "cur.parquet")["amount"]
    for suffix in ("csv", "csv.gz", "ndjson", "arrow"):
        found = exact(files / "ref.parquet", files / f"cur.{suffix}")
        assert found["amount"].ks == expected.ks, suffix
        assert found["zip"].kind == "category", suffix


def test_json_is_on_stdout_and_html_in_a_file_without_foreign_requests(files: Path, tmp_path: Path) -> None:
    said = compare(files / "ref.csv", files / "cur.csv", "--json", "--html", tmp_path / "r.html", "--min-effect", "5 %")
    page = (tmp_path / "r.html").read_text()

    assert json.loads(said.stdout)["features"][0]["name"] == "amount"
    assert "written: " in said.stderr
    assert page.startswith("<!doctype html>")
    assert not any(part in page for part in ("http://", "https://", "src=", "url(", "<script"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.parquet", None, "no such file"),
        ("broken.parquet", b"PAR1 and then nothing", "cannot be read"),
        ("notes.md", b"# hello", "is not Parquet, CSV, NDJSON, JSON or Arrow"),
        ("other.csv", b"a,b\n1,2\n", "no common column"),
        ("empty.csv", b"amount,zip\n", "holds no rows"),
        ("zero.csv", b"", "cannot be read"),
        ("cut.csv.gz", gzip.compress(b"amount\n1\n" * 99, mtime=0)[:30], "cannot be read"),
        ("ragged.ndjson", b'{"amount": 1}\n{"amount": \n', "cannot be read"),
    ],
)
def test_bad_input_is_refused_and_the_file_named(files: Path, tmp_path: Path, name: str, content: bytes | None, said: str) -> None:  # fmt: skip
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as refused:
        exact(files / "ref.parquet", tmp_path / name)

    assert refused.value.exit_code == 2
    assert said in str(refused.value)
    assert name in str(refused.value)


def test_the_command_prints_the_refusal_and_exits_with_2(files: Path) -> None:
    done = compare(files / "ref.parquet", files / "absent.parquet")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "absent.parquet: no such file" in done.stderr
