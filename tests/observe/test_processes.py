"""Three processes: children are restarted, and nothing outlives the core."""

import os
import signal
from pathlib import Path

import httpx
import polars as pl
import pytest
from running import alive, running, until

pytestmark = pytest.mark.slow


def names(pids: list[int]) -> dict[str, int]:
    return {
        module: pid
        for pid, line in ((pid, command(pid)) for pid in pids)
        for module in ("observe.app.detecting", "dashboards.face", "observe.sqlworker")
        if module in line
    }


def command(pid: int) -> str:
    """Its command line; empty once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_no_child_is_left_two_seconds_after_the_core_has_gone(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path) as service:
        until(lambda: {"observe.app.detecting", "dashboards.face"} <= set(names(service.children())))
        children = service.children()
        code = service.stop(number)

        until(lambda: not any(alive(pid) for pid in children), 2.0)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)


def test_a_child_that_falls_is_restarted_and_intake_never_notices(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        detecting = until(lambda: names(service.children()).get("observe.app.detecting"))
        os.kill(detecting, signal.SIGKILL)

        until(lambda: service.metric("observe_child_restarts_total") != {})
        assert httpx.get(f"{service.url}/healthz", trust_env=False).status_code == 200
        assert sum(service.metric("observe_child_restarts_total").values()) == 1
        until(lambda: names(service.children()).get("observe.app.detecting", detecting) != detecting)


def test_a_second_service_on_the_same_directory_is_refused_with_the_holder(tmp_path: Path) -> None:
    import subprocess
    import sys

    with running(tmp_path) as service:
        assert service.process is not None
        done = subprocess.run(
            [sys.executable, "-m", "observe", "up", "-c", str(service.site)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert done.returncode == 2
        assert str(service.process.pid) in done.stderr


def test_a_child_that_hangs_is_given_up_and_replaced() -> None:
    from observe.app.children import Child, Supervisor
    from observe.app.detecting import Detecting
    from observe.errors import SourceError
    from observe.schema import Evidence

    detecting = Detecting(patience_s=1.0)
    child = Child("detect", ["observe.app.detecting"], pass_fds=detecting.channel, stuck=lambda: detecting.stuck)
    supervisor = Supervisor([child], lambda name: None)
    supervisor.start()
    try:
        first = until(lambda: child.process and child.process.pid)
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(SourceError, match="no answer within 1 s"):
            detecting.detect("level", Evidence((), None, pl.DataFrame(), {}, {}))  # type: ignore[arg-type]
        until(lambda: child.process and child.process.pid != first)
    finally:
        supervisor.stop()
