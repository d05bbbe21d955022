"""A running service for tests: the real command in a process of its own, on free loopback ports."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import polars as pl

SITE = """\
apiVersion: observe/v1
kind: Site
store: {{path: ./data, size: {size}}}
collectors:
  gateway: {{type: otlp}}
  litellm: {{type: litellm}}
{collectors}
falseAlarms: {{page: 1 per 90d, ticket: 1 per 7d}}
{more}
server: {{listen: "127.0.0.1:{api}", otlp: "127.0.0.1:{otlp}", ui: "127.0.0.1:{ui}"}}
"""


_GIVEN: set[int] = set()
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def free_port() -> int:
    """A port that nobody listens on and that was not given before: the system may offer one twice in a row.

    Of test processes that run side by side each gives ports of its own, pairs of them in turn, since
    Linux offers only even ones to who listens.
    """
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = int(s.getsockname()[1])
        if port not in _GIVEN and port // 2 % _WORKERS == _WORKER:
            _GIVEN.add(port)
            return port


def aside(call, *arguments):  # type: ignore[no-untyped-def]
    """What `call` returns, run in a thread of its own: the browser tests keep an event loop in the main one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call, *arguments).result()


def until(condition, seconds: float = 30.0, every: float = 0.05):  # type: ignore[no-untyped-def]
    """What `condition()` returns once it is true; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"not true within {seconds} s: {condition}")


class Service:
    def __init__(
        self,
        folder: Path,
        collectors: str = "",
        more: str = "",
        models: dict[str, str] | None = None,
        size: str = "1GB",
    ) -> None:
        self.folder, self.port, self.otlp_port, self.ui_port = folder, free_port(), free_port(), free_port()
        self.site = folder / "observe.yaml"
        ports = {"api": self.port, "otlp": self.otlp_port, "ui": self.ui_port}
        self.site.write_text(SITE.format(collectors=collectors, more=more, size=size, **ports))
        (folder / "models").mkdir(exist_ok=True)
        for name, text in (models or {}).items():
            (folder / "models" / f"{name}.yaml").write_text(text)
        self.process: subprocess.Popen[bytes] | None = None
        self.command = [sys.executable, "-m", "observe", "up", "-c", str(self.site)]

    def start(self) -> None:
        with (self.folder / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until(self.ready, 60)

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "service.log").read_text()
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.folder / "data" / "admin.token").read_text().strip()

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=30)

    def sql(self, query: str) -> pl.DataFrame:
        with self.client() as client:
            answer = client.post("/api/v1/sql", json={"sql": query})
        assert answer.status_code == 200, answer.text
        return pl.read_ipc_stream(io.BytesIO(answer.content))

    def metric(self, name: str) -> dict[str, float]:
        """Values of a metric by its label text."""
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        return {
            line.rpartition(" ")[0].removeprefix(name): float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith((name + "{", name + " "))
        }

    def children(self) -> list[int]:
        assert self.process is not None
        return descendants(self.process.pid)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        return self.process.wait(30)


def descendants(pid: int) -> list[int]:
    """Process ids beneath `pid`, from /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [p for p, parent in parents.items() if parent == pid]
    return found + [d for p in found for d in descendants(p)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def started(service: Service) -> Iterator[Service]:
    """The service while it runs."""
    try:
        service.start()
        yield service
    finally:
        if service.process is not None and service.process.poll() is None:
            service.stop()


@contextmanager
def running(folder: Path, **kinds) -> Iterator[Service]:  # type: ignore[no-untyped-def]
    """A new service while it runs."""
    with started(Service(folder, **kinds)) as service:
        yield service
