"""The process that forks one confined child per query and never opens a database itself.

It has one thread, so a fork copies all of it; it ends when the core's end of the control socket
closes, and its children are killed by the kernel when it ends. A parent-death signal for the zygote
itself would fire when the *thread* that started it ends, so it relies on the socket alone.

Source: TRUST section 1.5; MECHANISMS (d) and (f); prctl(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import socket
from typing import Final

from observe.sqlworker.landlock import threads

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_LOG = logging.getLogger("observe.sqlworker")


def serve(control: socket.socket) -> None:
    """Fork a child for each descriptor that arrives, until the core goes away."""
    from observe.sqlworker import answering  # all that a child will ever import is imported here

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    if threads() != 1:
        _LOG.warning("event=zygote_threads n=%d", threads())
    me = os.getpid()
    while True:
        try:
            message, fds, _, _ = socket.recv_fds(control, 1, 1)
        except OSError:
            return
        if not message or not fds:
            return
        connection = socket.socket(fileno=fds[0])
        pid = os.fork()
        if pid == 0:
            try:
                _become_child(control, me)
                answering.answer(connection)
            finally:
                os._exit(0)  # never back into this loop, whatever happened
        _tell(connection, pid)


def _become_child(control: socket.socket, parent: int) -> None:
    """Die with the zygote, hold nothing of it but the query's socket, and say nothing."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    control.close()
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    os.close(silence)


def _tell(connection: socket.socket, pid: int) -> None:
    """Hand the core a handle on the child, to kill exactly this one."""
    with connection, contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            socket.send_fds(connection, [b"p"], [pidfd])
        finally:
            os.close(pidfd)
