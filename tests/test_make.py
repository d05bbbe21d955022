"""`make test` runs every test once, on several processes side by side that do not get in each other's way."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

LEFT_OUT = r"\s(-m|-k|--deselect|--ignore|--ignore-glob|--lf|--last-failed|--maxfail|-x)\b"


def pytest_line(project: Path, target: str) -> str:
    """What `make` gives pytest for that target."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    said = subprocess.run(["make", "-n", target], cwd=project, env=clean, capture_output=True, text=True, check=True)
    [given] = [line.partition(" -m pytest ")[2] for line in said.stdout.splitlines() if " -m pytest " in line]
    return " " + given


def test_make_test_leaves_no_test_out_and_keeps_those_of_a_file_together(project: Path) -> None:
    given = pytest_line(project, "test")

    assert re.findall(LEFT_OUT, given) == []
    assert "--dist loadfile" in given


def test_make_check_leaves_out_by_marker_only(project: Path) -> None:
    given = pytest_line(project, "check")

    assert re.findall(LEFT_OUT, given) == ["-m"]
    assert set(re.findall(r"not (\w+)", given)) == {"slow", "servers", "browser"}


def test_processes_side_by_side_never_give_one_port_twice(project: Path) -> None:
    def given(worker: str) -> set[str]:
        code = "from running import free_port; print(*(free_port() for _ in range(100)))"
        env = {**os.environ, "PYTEST_XDIST_WORKER": worker, "PYTEST_XDIST_WORKER_COUNT": "2"}
        folder = project / "tests" / "support"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=True
        )
        return set(done.stdout.split())

    first, second = given("gw0"), given("gw1")

    assert len(first) == len(second) == 100
    assert not first & second


def test_no_test_is_named_after_the_moment_it_was_collected_in(request: pytest.FixtureRequest) -> None:
    named = [item.nodeid for item in request.session.items if "\\x1f\\x8b\\x08" in item.nodeid]  # gzip, with its time

    assert [name for name in named if "\\x1f\\x8b\\x08\\x00\\x00\\x00\\x00\\x00" not in name] == []
