"""The database file stays ours, whoever opens it: the directory's lock holds, and no code of ours opens the file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SECOND = """
import sys; from pathlib import Path
from observe.clock import WallClock; from observe.store import Store; from observe.errors import StoreLocked
try: Store.open(Path(sys.argv[1]), WallClock()); print("opened")
except StoreLocked as refused: print(refused)
"""
LIFE = """
import sys
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
from datetime import timedelta; from pathlib import Path; import polars as pl
from observe.clock import WallClock; from observe.schema import Batch; from observe.store import Store
folder, clock = Path(sys.argv[1]), WallClock()
for number in range(2):
    store = Store.open(folder / "data", clock)
    store.append(Batch("s", str(number), {"attempt": pl.DataFrame({"ts": [clock.now()], "attempt_id": [str(number)]})}))
    store.seal(clock.now() + timedelta(days=1)); store.retain(clock.now(), {}); store.snapshot(); store.stats()
    assert not store.verify().damages
    store.backup(folder / f"backup{number}")
    store.close()
print([p for p in opened if Path(p).name.startswith("observe.duckdb") and "backup" not in p])
"""


def run(script: str, *given: Path) -> str:
    done = subprocess.run([sys.executable, "-c", script, *map(str, given)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_file_opened_and_closed_by_its_owner_lets_no_second_writer_in(store, folder, attempts) -> None:
    with (folder / "observe.duckdb").open("rb") as stream:  # drops DuckDB's own POSIX lock, see TRUST
        stream.read(1)

    refused = run(SECOND, folder)

    assert f"another process owns this data directory (pid {os.getpid()})" in refused
    assert store.append(attempts("a")).stored == {"attempt": 3}


def test_a_foreign_program_that_opens_the_file_harms_nothing(store, folder, attempts) -> None:
    run("import sys; open(sys.argv[1], 'rb').close()", folder / "observe.duckdb")

    assert store.append(attempts("a")).stored == {"attempt": 3}
    assert "another process owns" in run(SECOND, folder)
    assert store.verify().damages == []


def test_no_code_of_ours_opens_the_database_file(tmp_path: Path) -> None:
    assert run(LIFE, tmp_path) == "[]"
