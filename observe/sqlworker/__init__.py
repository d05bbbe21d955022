"""People's SQL, answered by a process that can read sealed data and do nothing else.

A zygote (`python -m observe.sqlworker`) imports DuckDB and Arrow but never opens a database. For each
query it forks a child, which confines itself (Landlock, resource limits), opens an in-memory DuckDB
over the snapshot's views, answers as Arrow IPC and ends. Whoever asked kills the child when its time
is over. DuckDB's own settings are locked as well, but they are not the boundary.

Source: TRUST section 1.5; MECHANISMS (f).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from observe.errors import Overloaded, QueryError, SourceError
from observe.lifeline import give_way
from observe.sqlworker import landlock, wire

_START_S: Final = 30.0  # imports of the zygote on a busy machine, s
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SYSTEMROOT")
_NICE: Final = 5  # intake goes first
_ONE_THREAD: Final = {"JE_ARROW_MALLOC_CONF": "background_thread:false", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may cost."""

    seconds: float = 6.0  # wall time from fork to answer
    rows: int = 100_000
    answer_bytes: int = 64 * 2**20  # of the Arrow answer
    memory_bytes: int = 512 * 2**20  # of DuckDB; the process gets half as much again
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave: an Arrow IPC stream, and whether a cap cut it short."""

    arrow_ipc: bytes
    rows: int
    truncated: bool


class SqlWorker:
    """Owns the zygote; `query` may be called from any thread.

    Args:
        roots: folders a query may read below: the lake and the snapshot.
        allow_unsandboxed: answer also where the kernel has no Landlock. Only for a person who
            could read the files anyway: a stopped directory of the same user.
        at_once: queries that may run at the same time; more wait for their turn.
    """

    def __init__(self, roots: Sequence[Path], *, allow_unsandboxed: bool = False, at_once: int = 2) -> None:
        self._roots = tuple(Path(r).absolute() for r in roots)
        self._allow_unsandboxed = allow_unsandboxed
        self._turns = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the zygote, None when it is not running."""
        return self._zygote.pid if self._zygote is not None and self._zygote.poll() is None else None

    def start(self) -> None:
        """Start the zygote; without Landlock nothing starts and every query is refused with the reason."""
        with self._lock:
            if self.pid is None and self._refusal() is None:
                self._spawn()

    def stop(self) -> None:
        """End the zygote and, with it, every query under way."""
        with self._lock:
            self._bury()

    def query(self, sql: str, views: Mapping[str, str], limits: Limits | None = None) -> Answer:
        """Answer one SELECT.

        Args:
            sql: what the person wrote.
            views: SQL of each view it may name, by name (`incident`, `predictions."fraud"`), in an
                order in which each needs only earlier ones.
            limits: what it may cost.

        Raises:
            QueryError: not one SELECT, DuckDB's own complaint, or a limit was met.
            Overloaded: too many queries are running.
            SourceError: the worker could not be started.
        """
        limits = limits or Limits()
        refusal = self._refusal()
        if refusal is not None:
            raise QueryError(refusal)
        if not self._turns.acquire(timeout=limits.seconds):
            raise Overloaded("too many queries are running", retry_after_s=5, http_status=429)
        try:
            return self._ask(sql, views, limits)
        finally:
            self._turns.release()

    def _refusal(self) -> str | None:
        if self._allow_unsandboxed or landlock.abi() > 0:
            return None
        return (
            "SQL is off: this kernel has no Landlock to keep a query in; stop the service and use `observe sql -d DIR`"
        )

    def _bury(self) -> None:
        """End the zygote by closing its socket, kill it when it does not listen, and reap it."""
        if self._control is not None:
            self._control.close()
        if self._zygote is not None:
            try:
                self._zygote.wait(2.0)
            except subprocess.TimeoutExpired:
                self._zygote.kill()
                self._zygote.wait()
        self._control = self._zygote = None

    def _spawn(self) -> None:
        self._bury()
        ours, theirs = socket.socketpair()
        home = str(Path(__file__).resolve().parent.parent.parent)
        environment = {k: v for k, v in os.environ.items() if k in _KEPT} | _ONE_THREAD | {"TZ": "UTC"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
        with theirs:
            self._zygote = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", "observe.sqlworker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        give_way(self._zygote.pid, _NICE)
        self._control = ours

    def _ask(self, sql: str, views: Mapping[str, str], limits: Limits) -> Answer:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._hand_over(theirs)
            pidfd = self._child(ours)
            try:
                return _converse(ours, pidfd, self._request(sql, views, limits), limits)
            finally:
                _kill(pidfd)
                os.close(pidfd)

    def _hand_over(self, theirs: socket.socket) -> None:
        with self._lock:
            if self.pid is None:
                self._spawn()
            assert self._control is not None
            try:
                socket.send_fds(self._control, [b"q"], [theirs.fileno()])
            except OSError as error:
                raise SourceError(
                    f"the SQL worker ended: {error.strerror}; it is started again for the next query"
                ) from error

    def _child(self, ours: socket.socket) -> int:
        ours.settimeout(_START_S)
        try:
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        except OSError as error:
            raise SourceError(f"the SQL worker did not answer within {_START_S:g} s") from error
        if not fds:
            raise SourceError("the SQL worker could not start a query; its log says why")
        return fds[0]

    def _request(self, sql: str, views: Mapping[str, str], limits: Limits) -> Mapping[str, object]:
        return {
            "sql": sql, "views": dict(views), "roots": [str(r) for r in self._roots], "sandbox": landlock.abi() > 0,
            "seconds": limits.seconds, "rows": limits.rows, "answer_bytes": limits.answer_bytes,
            "memory_bytes": limits.memory_bytes, "threads": limits.threads,
        }  # fmt: skip


def _converse(ours: socket.socket, pidfd: int, request: Mapping[str, object], limits: Limits) -> Answer:
    """Send the request, take the answer; the child is killed when its time is over."""
    deadline = monotonic() + limits.seconds
    try:
        wire.send(ours, request, b"", deadline)
        header, payload = wire.receive(ours, limits.answer_bytes + 2**20, deadline)
    except TimeoutError:
        _kill(pidfd)
        raise QueryError(f"stopped after {limits.seconds:g} s; ask for less: a shorter span, or an aggregate") from None
    except (EOFError, OSError):
        mebibytes = limits.memory_bytes // 2**20
        raise QueryError(f"ended without an answer: it needed more than {mebibytes} MiB or broke the sandbox") from None
    if not header["ok"]:
        raise QueryError(str(header["error"]))
    return Answer(payload, int(header["rows"]), bool(header["truncated"]))


def _kill(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return
