"""A data directory of every release opens with today's code, whole, and also after dying on the way."""

import json
import re
import subprocess
import sys
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from observe.clock import EventClock
from observe.schema import Window
from observe.store import Store, ddl
from observe.store.migrations import MIGRATIONS
from observe.store.views import derived

FORMATS = Path(__file__).parents[2] / "golden" / "formats"
RELEASES = sorted(p.name.removesuffix(".tar.gz") for p in FORMATS.glob("*.tar.gz"))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MIGRATING = Path(__file__).with_name("migrating.py")


def unpacked(release: str, folder: Path) -> Path:
    with tarfile.open(FORMATS / f"{release}.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    return folder / "data"


def differences(store: Store, folder: Path) -> list[str]:
    """Tables whose rows are not those the release told of, over the columns it had."""
    wrong = []
    for name, rows in json.loads((folder / "rows.json").read_text()).items():
        columns = ", ".join(f'"{c}"' for c in rows[0])
        schema, _, table = name.partition(".")
        found = store.read(f'SELECT {columns} FROM {schema}."{table}"').to_dicts()
        if sorted(json.loads(json.dumps(found, default=str)), key=str) != sorted(rows, key=str):
            wrong.append(name)
    return wrong


def test_there_is_a_migration_to_every_version() -> None:
    assert sorted(MIGRATIONS) == list(range(2, ddl.SCHEMA_VERSION + 1))


@pytest.mark.parametrize("release", RELEASES)
def test_all_rows_of_a_release_are_there(tmp_path: Path, release: str) -> None:
    store = Store.open(unpacked(release, tmp_path), EventClock(NOON))

    version = store.read("SELECT value FROM core.meta WHERE key = 'schema_version'").item()
    assert version == str(ddl.SCHEMA_VERSION)
    assert differences(store, tmp_path) == []
    assert store.verify().damages == []
    store.close()


@pytest.mark.parametrize("release", RELEASES)
def test_every_view_answers_over_the_data_of_a_release(tmp_path: Path, release: str) -> None:
    store = Store.open(unpacked(release, tmp_path), EventClock(NOON))
    views = [*derived(), *(b.name for b in ddl.bulk_tables()), "prediction", 'predictions."fraud"']

    for view in views:
        everything = store.read(f"SELECT * FROM {view}")
        recent = store.read(f"SELECT * FROM {view}", window=Window(NOON - timedelta(days=3), NOON))
        assert everything.columns == recent.columns
    assert store.read("SELECT count(*) FROM prediction").item() == 24
    store.close()


@pytest.mark.parametrize("release", RELEASES)
def test_a_release_goes_on_after_the_migration(tmp_path: Path, release: str, attempts) -> None:
    store = Store.open(unpacked(release, tmp_path), EventClock(NOON))

    assert store.append(attempts("new")).stored == {"attempt": 3}
    store.seal(NOON + timedelta(days=1))
    store.seal(NOON + timedelta(days=2))
    assert store.read("SELECT count(*) FROM attempt").item() == 15
    assert store.verify().damages == []
    store.close()


@pytest.mark.parametrize("release", RELEASES)
def test_a_release_with_a_damaged_file_opens_without_it(tmp_path: Path, release: str) -> None:
    folder = unpacked(release, tmp_path)
    broken = min((folder / "lake" / "attempt").rglob("*.parquet"))
    broken.write_bytes(broken.read_bytes()[:-50])

    store = Store.open(folder, EventClock(NOON))

    assert [d.subject for d in store.verify().damages if d.kind == "file"] == [str(broken.relative_to(folder))]
    assert 0 < store.read("SELECT count(*) FROM attempt").item() < 12
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("moment", [1, 2, 3, 4, 5, 6, 30, -2, -1])
def test_a_migration_killed_at_any_moment_loses_nothing(tmp_path: Path, release: str, moment: int) -> None:
    if moment < 0:
        whole = unpacked(release, tmp_path / "whole")
        argv = [sys.executable, str(MIGRATING), str(whole), "0"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        moment += int(re.findall(r"\d+", done.stdout)[-1]) + 1
    folder = unpacked(release, tmp_path)
    done = subprocess.run(
        [sys.executable, str(MIGRATING), str(folder), str(moment)], capture_output=True, text=True, check=False
    )

    assert done.returncode == -9, done.stderr
    store = Store.open(folder, EventClock(NOON))
    assert differences(store, tmp_path) == []
    store.close()
