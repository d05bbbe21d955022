"""A damaged or vanished file is set aside and told; the others go on answering."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from observe.errors import QueryError
from observe.schema import Window
from observe.store import Store

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SETTING_ASIDE = Path(__file__).with_name("setting_aside.py")
COUNT = "SELECT count(*), max(attempt_id), max(ts), sum(duration_s) FROM attempt"


@pytest.fixture
def files(store, attempts, noon, folder):
    """Three sealed files of 1,000 attempts each, in order of time."""
    for ago in (3, 2, 1):
        store.append(attempts(f"a{ago}", 1000, ago=ago * DAY))
        store.seal(noon)
    return sorted((folder / "lake" / "attempt").rglob("*.parquet"))


def overwrite(path, start: float, with_: bytes) -> None:
    body = bytearray(path.read_bytes())
    at = int(len(body) * start)
    body[at : at + len(with_)] = with_
    path.write_bytes(body)


DAMAGES = {
    "bytes in the middle": lambda f: overwrite(f, 0.5, b"\xff" * 200),
    "bytes of the footer": lambda f: overwrite(f, 0.97, b"\x00" * 60),
    "its end cut off": lambda f: f.write_bytes(f.read_bytes()[:-100]),
    "all of it": lambda f: f.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_query_answers_from_the_other_files(store, files, damage) -> None:
    DAMAGES[damage](files[1])

    assert store.read(COUNT).row(0)[:2] == (2000, "a3-999")
    [(kind, subject, rows)] = store.read("SELECT kind, subject, rows FROM core.damage").rows()
    assert (kind, rows) == ("file", 1000)
    assert subject.endswith(files[1].name)
    assert files[1].exists() is False
    assert files[1].with_name(f"{files[1].name}.damaged").exists() is (damage != "all of it")


def test_a_window_beside_the_damage_is_answered_without_finding_it(store, files, noon) -> None:
    DAMAGES["bytes in the middle"](files[1])

    assert store.read(COUNT, window=Window(noon - 1.5 * DAY, noon)).row(0)[0] == 1000
    assert store.read("SELECT count(*) FROM core.damage").item() == 0


def test_several_damaged_files_are_set_aside_together(store, files) -> None:
    for file in files[:2]:
        DAMAGES["its end cut off"](file)

    assert store.read(COUNT).row(0)[0] == 1000


def test_a_start_does_not_fail_on_a_damaged_footer(store, files, folder, clock) -> None:
    store.close()
    DAMAGES["its end cut off"](files[2])

    again = Store.open(folder, clock)

    assert again.read(COUNT).row(0)[0] == 2000
    again.close()


def test_a_merge_goes_on_without_the_damaged_file(store, attempts, noon, folder) -> None:
    for name in "abc":
        store.append(attempts(name, 1000, ago=DAY))
        store.seal(noon - DAY + timedelta(minutes=25))
    broken = min((folder / "lake" / "attempt").rglob("*.parquet"))
    DAMAGES["bytes in the middle"](broken)

    store.seal(noon + DAY)

    assert store.stats()["files"]["attempt"] == 1
    assert store.read(COUNT).row(0)[0] == 2000


def test_a_mistake_in_a_query_sets_nothing_aside(store, files) -> None:
    with pytest.raises(QueryError, match="lake/nothing"):
        store.read("SELECT * FROM read_parquet('lake/nothing.parquet')")

    assert store.read(COUNT).row(0)[0] == 3000


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_damaged_file_stays_when_the_process_dies_while_it_is_set_aside(store, files, folder, clock, moment) -> None:
    store.close()
    DAMAGES["its end cut off"](files[1])
    done = subprocess.run(
        [sys.executable, str(SETTING_ASIDE), str(folder), moment], capture_output=True, text=True, check=False
    )
    assert done.returncode == -9, done.stderr

    again = Store.open(folder, clock)

    assert again.read(COUNT).row(0)[0] == 2000
    assert [d.kind for d in again.verify().damages if d.kind == "file"] == ["file"]
    assert files[1].with_name(f"{files[1].name}.damaged").exists()
    again.close()
