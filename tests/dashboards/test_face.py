"""The face process: it needs its key, listens, and is gone when its parent is."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import core
import httpx
import pytest
from running import free_port


def start(url: str, port: int, key: str = core.FACE_KEY) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "observe.lifeline",
        "dashboards.face",
        "--core",
        url,
        "--listen",
        f"127.0.0.1:{port}",
    ]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "OBSERVE_FACE_KEY": key}
    )


@pytest.mark.slow
def test_the_face_serves_and_dies_when_its_input_ends(core_url: str) -> None:
    port = free_port()
    process = start(core_url, port)
    try:
        assert answered(port, process) == 200
        assert process.stdin
        process.stdin.close()
        process.wait(60)
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def test_the_face_without_its_key_says_so(core_url: str) -> None:
    process = start(core_url, 1, key="")
    code = process.wait(60)
    assert process.stdin is not None
    assert process.stderr is not None
    with process.stdin, process.stderr:
        said = process.stderr.read()

    assert code == 1
    assert b"OBSERVE_FACE_KEY is not set" in said


def answered(port: int, process: subprocess.Popen[bytes]) -> int:
    for _ in range(600):
        try:
            return httpx.get(f"http://127.0.0.1:{port}/login", trust_env=False).status_code
        except httpx.TransportError:  # nobody there yet, or slow with its first answer
            assert process.poll() is None
            time.sleep(0.1)
    return 0
