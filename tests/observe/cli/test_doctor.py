"""`observe doctor` over a stopped directory and a running service: what it says, and what it exits with."""

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from running import Service, running, until

from dashboards import pipeline
from observe.app.doctor import of_clock
from observe.app.publishing import _Views
from observe.clock import WallClock
from observe.schema import CollectorRun
from observe.store import Store

TARGET = '  gpus: {type: prometheus, targets: ["http://127.0.0.1:9/metrics"], every: 1s}\n'


def doctor(*given: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "observe", "doctor", *given]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def kept(folder: Path, error: str | None) -> str:
    clock = WallClock()
    store = Store.open(folder / "data", clock)
    with store.change() as tx:
        tx.insert([CollectorRun(clock.now(), "gpus", "a\x1b[31m", error is None, 1, 1, {}, 0.0, error)])
    store.close()
    return str(folder / "data")


@pytest.mark.slow
def test_a_stopped_directory_is_told_as_it_was_and_a_failing_source_is_wrong(tmp_path: Path) -> None:
    done = doctor("-d", kept(tmp_path, "connection refused"))

    assert done.returncode == 1, done.stderr
    assert "◌ process" in done.stdout
    assert "■ gpus a�[31m" in done.stdout
    assert "failing: never heard" in done.stdout
    assert "connection refused" in done.stdout
    assert done.stderr.startswith("looked at ")


@pytest.mark.slow
def test_nothing_wrong_exits_with_0_also_when_much_is_unknown(tmp_path: Path) -> None:
    done = doctor("-d", kept(tmp_path, None), "--json")
    told = json.loads(done.stdout)

    assert (done.returncode, told["counts"]["wrong"], done.stderr) == (0, 0, "")
    assert ("source", "ok") in {(f["part"], f["state"]) for f in told["findings"]}


@pytest.mark.slow
def test_a_damage_is_told_as_long_as_verify_tells_it(tmp_path: Path) -> None:
    folder = kept(tmp_path, None)
    clock, told = WallClock(), []
    for days in (8, 6):
        store = Store.open(Path(folder), clock)
        with store.change() as tx:
            tx.execute(
                "INSERT INTO core.damage (found_at, kind, subject) VALUES (?, 'file', 'f')",
                [clock.now() - timedelta(days=days)],
            )
        page = store.read(pipeline.DAMAGES).item()
        of_metric = sum(
            s.value for f in _Views(store).collect() for s in f.samples if s.name == "observe_store_damages"
        )
        told.append((len(store.verify().damages), page, of_metric))
        store.close()
        told.append("in the last seven days" in doctor("-d", folder).stdout)

    assert told == [(0, 0, 0), False, (1, 1, 1), True]


@pytest.mark.slow
def test_a_folder_that_is_no_data_directory_is_refused(tmp_path: Path) -> None:
    assert doctor("-d", str(tmp_path / "none")).returncode == 2
    assert doctor("-d", str(tmp_path)).returncode == 2


def test_clocks_that_disagree_are_told_with_the_way_they_do() -> None:
    now = WallClock().now()

    assert of_clock(now + timedelta(seconds=3), now).state == "ok"
    assert of_clock(now + timedelta(minutes=2), now).said == "2m ahead of the clock here"
    assert of_clock(now - timedelta(minutes=2), now).state == "doubt"


@pytest.mark.slow
def test_a_running_service_is_asked_and_one_that_hangs_is_not_reachable(tmp_path: Path) -> None:
    def failing(service: Service) -> bool:
        return not service.sql("select 1 from collector_run where not ok").is_empty()

    with running(tmp_path, collectors=TARGET) as service:
        until(lambda: failing(service))
        done = doctor("-c", str(service.site))
        assert service.process is not None
        os.kill(service.process.pid, signal.SIGSTOP)
        try:
            hanging = doctor("-d", str(tmp_path / "data"))
        finally:
            os.kill(service.process.pid, signal.SIGCONT)

    assert done.returncode == 1, done.stderr
    for words in (f"● {service.url}", "● clock", "● vital signs", "■ gpus http://127.0.0.1:9/metrics", "◌ gateway"):
        assert words in done.stdout
    assert hanging.returncode == 3
    assert "does not answer" in hanging.stderr
