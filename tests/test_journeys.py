"""What a person does with the product, from the command to what they see."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from running import alive, descendants, running, until

pytestmark = pytest.mark.slow


@pytest.mark.timeout(300)
def test_the_demo_finds_both_planted_incidents() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "observe", "demo", "--once", "--json"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    found = {i["kind"]: i for i in result["incidents"]}
    assert found["drift"]["model"] == "fraud"
    assert found["drift"]["effect"]["unit"] == "σ"
    low, high = found["drift"]["effect"]["ci"]
    assert low <= 0.42 <= high
    assert found["slo"]["model"] == "llama-70b-chat"
    assert found["slo"]["severity"] == "page"
    assert found["slo"]["cause"]["kind"] == "gpu"
    assert result["rows"]["gpu_sample"] >= 34_560


def test_sql_says_the_same_through_the_service_and_on_the_stopped_directory(tmp_path: Path) -> None:
    query = [
        sys.executable,
        "-m",
        "observe",
        "sql",
        "select count(*) as n from collector_run",
        "-d",
        str(tmp_path / "data"),
        "--format",
        "json",
    ]
    with running(tmp_path):
        through = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    stopped = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)

    assert json.loads(through.stdout) == json.loads(stopped.stdout) == [{"n": 0}], through.stderr + stopped.stderr


def test_control_c_ends_the_demo_cleanly_and_leaves_nothing_running() -> None:
    argv = [sys.executable, "-m", "observe", "demo"]
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stderr is not None
        said = [next(line for line in demo.stderr if "login?once=" in line)]
        family = descendants(demo.pid)
        link = said[0].split()[1]
        page = httpx.get(link, trust_env=False, follow_redirects=True, timeout=60)
        demo.send_signal(signal.SIGINT)
        _, rest = demo.communicate(timeout=30)

    assert page.status_code == 200
    assert demo.returncode == 0, rest
    until(lambda: not any(alive(pid) for pid in family), 2.0)
