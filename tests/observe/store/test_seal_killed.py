"""A seal that dies at any of its steps loses and doubles nothing."""

import importlib.util
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from observe.clock import EventClock
from observe.store import Store

SEALING = Path(__file__).with_name("sealing.py")
SPEC = importlib.util.spec_from_file_location("sealing", SEALING)
assert SPEC
assert SPEC.loader
sealing = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(sealing)


@pytest.mark.slow
@pytest.mark.parametrize("step", sealing.STEPS)
def test_a_seal_killed_at_a_step_loses_and_doubles_nothing(tmp_path: Path, step: str, noon) -> None:
    folder = tmp_path / "data"
    done = subprocess.run(
        [sys.executable, str(SEALING), str(folder), step], capture_output=True, text=True, check=False
    )
    assert done.returncode == 9, done.stderr
    expected = sorted(f"{name}-{i}" for name in done.stdout.splitlines() for i in range(10))

    for _ in range(2):
        store = Store.open(folder, EventClock(noon))
        found = store.read("SELECT prediction_id AS id FROM predictions.m ORDER BY 1")["id"].to_list()
        rolled = store.read("SELECT sum(attempts)::BIGINT AS n FROM traffic_1m").item()
        named = [p for (p,) in store.read("SELECT path FROM core.manifest").iter_rows()]
        files = sorted(str(f.relative_to(folder)) for f in (folder / "lake").rglob("*") if f.is_file())
        store.seal(noon + timedelta(days=1))
        store.close()

        assert (found, rolled) == (expected, len(expected))
        assert files == sorted(named)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["after the copy", "after the rename", "after the delete"])
def test_the_seal_after_it_seals_what_was_left(tmp_path: Path, step: str, noon) -> None:
    folder = tmp_path / "data"
    subprocess.run([sys.executable, str(SEALING), str(folder), step], capture_output=True, check=False)

    store = Store.open(folder, EventClock(noon))
    sealed = store.seal(noon)

    assert sealed.rows["attempt"] == 10
    assert sealed.duplicates == 0
    assert store.stats()["hot_rows"]["attempt"] == 10
    store.close()
