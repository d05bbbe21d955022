"""A process that is to give way does so beyond its own session."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from observe.lifeline import give_way


def test_niceness_holds_between_sessions_where_the_kernel_groups_by_them() -> None:
    asleep = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    started = [subprocess.Popen(asleep, stdin=subprocess.PIPE, start_new_session=True) for _ in range(2)]
    try:
        for child in started:
            give_way(child.pid, 7)
        nice = [os.getpriority(os.PRIO_PROCESS, child.pid) for child in started]
        groups = [Path(f"/proc/{child.pid}/autogroup") for child in started]
        if not all(group.exists() for group in groups):
            pytest.skip("this kernel does not group by session")
        told = [group.read_text().split()[-1] for group in groups]
    finally:
        for child in started:
            child.communicate()

    assert nice == [7, 7]
    assert told == ["7", "7"]
