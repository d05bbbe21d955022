"""Child processes that never outlive the core, restarted with backoff when they fall.

What keeps them from outliving it is `observe.lifeline`.

Source: our own; ARCHITECTURE section 4.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from observe.lifeline import give_way

_LOG = logging.getLogger("observe.children")


@dataclass(slots=True)
class Child:
    """One supervised process: the module and arguments it runs, and what became of it."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    nice: int = 0
    pass_fds: Callable[[], tuple[int, ...]] | None = None  # called at each start; the child gets OBSERVE_FD
    stuck: Callable[[], bool] = lambda: False  # whether it lives but does not answer any more
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0

    def start(self) -> None:
        """Start it; its standard input is a pipe whose other end only we hold."""
        fds = self.pass_fds() if self.pass_fds else ()
        environment = {**os.environ, **self.environment}
        if fds:
            environment["OBSERVE_FD"] = str(fds[0])
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [sys.executable, "-m", "observe.lifeline", *self.argv],
            stdin=subprocess.PIPE,
            env=environment,
            pass_fds=fds,
            start_new_session=True,
        )
        for fd in fds:
            os.close(fd)
        if self.nice:
            give_way(self.process.pid, self.nice)
        self.started = monotonic()

    def stop(self, grace_s: float = 2.0) -> None:
        """Close its input, wait `grace_s`, then kill it."""
        if self.process is None:
            return
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Supervisor:
    """Keeps children alive: a child that ends is counted and restarted after 0.5 s, 1 s, … 30 s."""

    def __init__(self, children: Sequence[Child], on_restart: Callable[[str], None]) -> None:
        self.children = tuple(children)
        self._on_restart = on_restart
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start all children and watch them, from a thread that lives as long as they do."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching, then stop all children."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for child in self.children:
            if child.process and child.process.stdin:
                child.process.stdin.close()
        until = monotonic() + 2.0  # for all of them together: where the processor is scarce each would use up its own
        for child in self.children:
            child.stop(max(0.0, until - monotonic()))

    def _watch(self) -> None:
        for child in self.children:
            child.start()
        while not self._stop.wait(0.2):
            for child in self.children:
                if child.process is not None and child.process.poll() is None and child.stuck():
                    child.process.kill()
                    child.process.wait()
                if child.process is not None and child.process.poll() is not None:
                    self._restart(child)

    def _restart(self, child: Child) -> None:
        code = child.process.returncode if child.process else None
        if child.process and child.process.stdin:
            child.process.stdin.close()
        child.failures = 1 if monotonic() - child.started > 60 else child.failures + 1
        pause = min(0.5 * 2 ** (child.failures - 1), 30.0)
        _LOG.warning("event=child_ended child=%s code=%s restart_in_s=%.1f", child.name, code, pause)
        self._on_restart(child.name)
        if not self._stop.wait(pause):
            child.start()
