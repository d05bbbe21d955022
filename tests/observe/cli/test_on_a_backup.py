"""A backup stays as it was made, whatever is asked of it; what would write into it is refused and says what to do."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import chdir
from datetime import timedelta
from pathlib import Path

import drifted
import pytest
from typer.testing import CliRunner, Result

from observe.cli import app
from observe.clock import WallClock
from observe.errors import StoreError, UsageError
from observe.store import Store
from observe.store.backup import LIST
from observe.store.checksums import checksum

SITE = """apiVersion: observe/v1
kind: Site
store: {path: ./backup}
---
apiVersion: observe/v1
kind: Monitoring
metadata: {name: chat}
slos: [{name: availability, good: status = ok, objective: 99%}]
"""
DAY = ("--from", "2026-11-19", "--to", "2026-11-20")
READING = {
    "verify": ("verify",),
    "sql": ("sql", "select count(*) as n from prediction join summary on true limit 1"),
    "doctor": ("doctor",),
    "incidents": ("incidents", "--all"),
    "actions": ("actions", "--all"),
    "tokens": ("tokens",),
    "reports": ("report", "--list"),
    "report": ("report", "fraud", *DAY, "--no-evidently"),
    "backtest": ("backtest", "--fit", "3d"),
    "proposal": ("init", "proposed", "--from-traffic"),
    "rules": ("rules", "-o", "rules", "-c", "observe.yaml"),
    "replay": ("replay", *DAY, "-c", "observe.yaml"),
}
WRITING = {
    "tokens": ("tokens", "create", "gateway", "--role", "ingest", "-d", "backup"),
    "import": ("import", "rows.csv", "--as", "events", "-d", "backup"),
    "command": ("incidents", "acknowledge", "inc-1", "-d", "backup"),
    "into": ("replay", *DAY, "-c", "observe.yaml", "--into", "backup"),
    "up": ("up", "-c", "observe.yaml"),
}


def observe(folder: Path, *argv: str) -> Result:
    with chdir(folder):
        return CliRunner().invoke(app, argv)


def tree(folder: Path) -> Mapping[str, str]:
    """Everything that lies in a folder, by its name: the sha256 of files."""
    return {str(p.relative_to(folder)): checksum(p) if p.is_file() else "" for p in folder.rglob("*")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a site, and a backup of what is hot, what is sealed and a report that is kept."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "observe.yaml").write_text(SITE)
    (folder / "rows.csv").write_text("ts,kind\n2026-11-20T00:00:00Z,deploy\n")
    with drifted.drifted(folder / "data") as store:
        store.seal(drifted.END + timedelta(hours=1))
    assert observe(folder, "report", "fraud", *DAY, "--no-evidently", "-d", "data").exit_code == 0
    assert observe(folder, "backup", "backup", "-d", "data").exit_code == 0
    assert {Path(name).parts[0] for name in tree(folder / "backup")} == {LIST, "observe.duckdb", "lake", "reports"}
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("what", READING)
def test_whoever_reads_a_backup_leaves_it_as_it_was(made: Path, tmp_path: Path, what: str) -> None:
    before = tree(made / "backup")
    shutil.copy(made / "observe.yaml", tmp_path)

    done = observe(tmp_path, *READING[what], "-d", str(made / "backup"))

    assert (done.exit_code, done.exception) == (0, None)
    assert tree(made / "backup") == before


@pytest.mark.slow
@pytest.mark.parametrize("what", WRITING)
def test_whoever_would_write_into_a_backup_is_told_to_restore_it(made: Path, what: str) -> None:
    before = tree(made / "backup")

    done = observe(made, *WRITING[what])

    assert isinstance(done.exception, UsageError)
    assert "is a backup, and nothing is written into one: restore it first: observe restore" in str(done.exception) or (
        what == "into" and "is not empty" in str(done.exception)
    )
    assert tree(made / "backup") == before


@pytest.mark.slow
def test_it_answers_from_all_it_holds_and_is_restored_afterwards(made: Path, tmp_path: Path) -> None:
    rows = "select count(*) as n, count(distinct ts) as t from prediction"
    asked = [observe(made, "sql", rows, "-f", "json", "-d", folder).stdout for folder in ("data", "backup")]
    listed = [json.loads(observe(made, "report", "--list", "--json", "-d", d).stdout) for d in ("data", "backup")]
    told = observe(made, "verify", "-d", "backup", "--json")

    assert asked[0] == asked[1]
    assert json.loads(asked[0])[0]["n"] > 1000
    assert listed[0] == listed[1] != []
    assert json.loads(told.stdout)["checked"]["files of the backup"] == len(tree_files(made / "backup")) - 1
    assert observe(made, "restore", "backup", "-d", str(tmp_path / "again")).exit_code == 0
    assert observe(made, "verify", "-d", str(tmp_path / "again")).exit_code == 0


def tree_files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


@pytest.mark.slow
def test_up_on_a_backup_ends_with_one_line_and_touches_nothing(made: Path) -> None:
    before = tree(made / "backup")

    done = subprocess.run(
        [sys.executable, "-m", "observe", "up"], cwd=made, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 2
    assert f"error: {made / 'backup'} is a backup" in done.stderr
    assert "Traceback" not in done.stderr
    assert tree(made / "backup") == before


@pytest.mark.slow
def test_a_report_of_a_backup_is_made_and_said_not_to_be_kept(made: Path) -> None:
    done = observe(made, "report", "fraud", *DAY, "--no-evidently", "-d", "backup")

    assert done.stdout.startswith("# Drift of fraud")
    assert done.stderr.strip() == "not kept in a backup"


@pytest.mark.slow
def test_verify_names_the_files_of_a_backup_that_changed_or_are_missing(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "backup", tmp_path / "backup")
    sealed, gone = sorted((tmp_path / "backup" / "lake").rglob("*.parquet"))[:2]
    sealed.write_bytes(sealed.read_bytes()[:-1] + b"?")
    gone.unlink()

    done = observe(tmp_path, "verify", "-d", "backup", "--json")
    found = {f["subject"]: f["said"] for f in json.loads(done.stdout)["findings"]}
    asked = observe(tmp_path, "sql", "select 1", "-d", "backup")

    assert done.exit_code == 1
    assert found == {
        str(sealed.relative_to(tmp_path / "backup")): "its bytes changed since it was backed up (sha256)",
        str(gone.relative_to(tmp_path / "backup")): "it is missing",
    }
    assert isinstance(asked.exception, StoreError)
    assert f"backup: 1 of {len(tree_files(made / 'backup')) - 1} files are missing (lake/" in str(asked.exception)


@pytest.mark.slow
def test_a_backup_of_a_backup_is_its_copy(made: Path, tmp_path: Path) -> None:
    done = observe(made, "backup", str(tmp_path / "b"), "-d", "backup")

    assert "is a backup already: copy its folder as it is" in str(done.exception)
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_a_store_is_never_opened_in_a_backup(made: Path) -> None:
    with pytest.raises(UsageError, match="is a backup, and nothing is written into one"):
        Store.open(made / "backup", WallClock())
