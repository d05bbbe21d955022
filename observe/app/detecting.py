"""Detectors at work in a process of their own: Evidence goes over, findings and state come back.

The core keeps one `Detecting`; the child (`observe.app.detecting` behind `observe.lifeline`) is niced, holds no
database and may fall at any time: the core then tries the same windows again.

Source: our own; ARCHITECTURE section 4.
"""

from __future__ import annotations

import os
import socket
import threading
from multiprocessing.connection import Connection
from typing import Any

from observe.errors import SourceError
from observe.schema import Detected, Evidence


class Detecting:
    """The core's end: `detect(name, evidence)` is answered by the child, one call at a time."""

    def __init__(self, patience_s: float = 300.0) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._patience_s = patience_s

    def channel(self) -> tuple[int, ...]:
        """A new channel for a (re)started child; returns the descriptor the child inherits."""
        ours, theirs = socket.socketpair()
        previous, self._connection = self._connection, Connection(ours.detach())
        if previous is not None:
            previous.close()
        return (theirs.detach(),)

    @property
    def stuck(self) -> bool:
        """Whether the child was given up; the supervisor kills and restarts it."""
        return self._connection is None

    def detect(self, name: str, evidence: Evidence) -> Detected:
        """What detector `name` says about `evidence`.

        Raises:
            SourceError: the child fell or the detector failed; nothing was changed, try again.
        """
        return self._call(("detect", name, evidence))  # type: ignore[no-any-return]

    def _call(self, request: tuple[Any, ...]) -> Any:
        with self._lock:
            connection = self._connection
            if connection is None:
                raise SourceError("the detect process is not running")
            try:
                connection.send(request)
                if not connection.poll(self._patience_s):
                    connection.close()
                    self._connection = None
                    raise SourceError(f"no answer within {self._patience_s:g} s; the detect process is started again")
                ok, answer = connection.recv()
            except (OSError, EOFError) as error:
                raise SourceError(f"the detect process ended during a call: {error!r}") from error
        if not ok:
            raise SourceError(f"detector {request[1]} failed: {answer}")
        return answer


def serve(connection: Connection) -> None:
    """Answer calls until the core goes away."""
    from observe.registry import plugin

    while True:
        try:
            _, name, evidence = connection.recv()
        except (OSError, EOFError):
            return
        try:
            answer = (True, plugin("observe.detectors", name).detect(evidence))
        except Exception as error:  # noqa: BLE001 - the boundary of a child: told to the core, never fatal
            answer = (False, f"{type(error).__name__}: {error}")
        connection.send(answer)


if __name__ == "__main__":
    serve(Connection(int(os.environ["OBSERVE_FD"])))
