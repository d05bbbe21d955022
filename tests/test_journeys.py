"""What a person does with the product, from the command to what they see."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from running import running

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
