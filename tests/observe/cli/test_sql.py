"""What a query's answer looks like, and what is said where there is nothing to ask."""

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from observe.cli import app, directory, sql
from observe.errors import UsageError


def test_a_table_that_goes_into_a_pipe_has_each_row_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    sql._print(pl.DataFrame({"incident_id": ["inc-" + "0f" * 60], "summary": ["ttft burns " * 20]}), "table")
    head, row = capsys.readouterr().out.splitlines()

    assert head.split() == ["incident_id", "summary"]
    assert row.startswith("inc-" + "0f" * 60)
    assert row.rstrip().endswith("ttft burns")


def test_a_directory_that_is_not_there_yet_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"first start \(observe up\); -d names another"):
        directory.folder(None, tmp_path / "data")


def test_the_version_is_told_by_a_command_and_by_an_option() -> None:
    told = [CliRunner().invoke(app, [asked]).output for asked in ("version", "--version")]

    assert told[0] == told[1] != ""
