"""A child process that is called, one call at a time, over a channel it inherits.

A child that does not answer is given up: its channel is closed and the supervisor starts another one.

Source: our own; ARCHITECTURE section 4.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from observe.errors import SourceError


class Ending(SourceError):
    """The child was ended on purpose, as the service ends: nothing is wrong, and the call is made again after the next start."""


class Line:
    """One call under way: what we say, and what the child says."""

    def __init__(self, connection: Connection, patience_s: float) -> None:
        self._connection, self._patience_s = connection, patience_s

    def say(self, message: object) -> None:
        """Send anything that pickles."""
        self._connection.send(message)

    def hear(self) -> Any:
        """What the child says next.

        Raises:
            TimeoutError: nothing within our patience.
        """
        if not self._connection.poll(self._patience_s):
            raise TimeoutError(f"no answer within {self._patience_s:g} s")
        return self._connection.recv()


class Calling:
    """The core's end of the channel to the child `name`.

    Args:
        name: of the process, for errors.
        patience_s: the longest silence within a call.
    """

    def __init__(self, name: str, patience_s: float) -> None:
        self._name, self._patience_s = name, patience_s
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._ending = False

    def channel(self) -> tuple[int, ...]:
        """A new channel for a (re)started child; returns the descriptor the child inherits."""
        ours, theirs = socket.socketpair()
        previous, self._connection = self._connection, Connection(ours.detach())
        if previous is not None:
            previous.close()
        return (theirs.detach(),)

    def end(self) -> None:
        """Whoever calls from now on, or whose child ends during a call, is told that it was meant."""
        self._ending = True

    @property
    def stuck(self) -> bool:
        """Whether the child was given up; the supervisor kills and restarts it."""
        return self._connection is None

    @contextmanager
    def line(self) -> Iterator[Line]:
        """The channel, ours until the block ends.

        Raises:
            SourceError: the child is not there, fell during the call, or is given up as it says nothing.
            Ending: the service ends.
        """
        with self._lock:
            connection = self._connection
            if self._ending:
                raise Ending(f"the {self._name} process is ended")
            if connection is None:
                raise SourceError(f"the {self._name} process is not running")
            try:
                yield Line(connection, self._patience_s)
            except TimeoutError as error:
                connection.close()
                self._connection = None
                raise SourceError(f"{error}; the {self._name} process is started again") from None
            except (OSError, EOFError) as error:
                if self._ending:
                    raise Ending(f"the {self._name} process was ended during a call") from None
                raise SourceError(f"the {self._name} process ended during a call: {error!r}") from error
