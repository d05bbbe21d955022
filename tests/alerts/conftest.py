"""Alertmanager as Debian ships it, and a receiver for its webhooks; findings as detectors make them."""

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

PROGRAM = "prometheus-alertmanager"
ROUTES = """\
route: {{receiver: hook, group_by: [model], group_wait: 50ms, group_interval: 100ms, repeat_interval: 1h}}
receivers:
  - name: hook
    webhook_configs: [{{url: "{url}", send_resolved: true}}]
"""


@dataclass
class Hook:
    """What a receiver on loopback is sent."""

    url: str
    bodies: "queue.Queue[dict]" = field(default_factory=queue.Queue)

    def next(self, status: str) -> dict:
        """The next notification's first alert of that status."""
        while True:
            for alert in self.bodies.get(timeout=90)["alerts"]:
                if alert["status"] == status:
                    return alert


@pytest.fixture
def hook() -> Iterator[Hook]:
    box: queue.Queue[dict] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            box.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Hook(f"http://127.0.0.1:{server.server_port}/hook", box)
    server.shutdown()
    server.server_close()


@dataclass
class Server:
    """A running Alertmanager."""

    url: str
    process: subprocess.Popen[bytes]

    def alerts(self) -> list[dict]:
        return httpx.get(f"{self.url}/api/v2/alerts", trust_env=False).json()


@contextmanager
def running(folder: Path, hook: Hook, port: int) -> Iterator[Server]:
    folder.mkdir(exist_ok=True)
    config = folder / "alertmanager.yml"
    config.write_text(ROUTES.format(url=hook.url))
    argv = [
        shutil.which(PROGRAM) or PROGRAM, f"--config.file={config}", f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=warn",
    ]  # fmt: skip
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        server = Server(f"http://127.0.0.1:{port}", process)
        _until_ready(server, folder / "log")
        yield server
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(20)


def _until_ready(server: Server, log: Path) -> None:
    for _ in range(600):
        assert server.process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{server.url}/-/ready", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture
def start(tmp_path: Path, hook: Hook) -> Callable[[int], object]:
    """Starts Alertmanager on a port, with storage that outlives it within the test."""
    return lambda port: running(tmp_path / "alertmanager", hook, port)
