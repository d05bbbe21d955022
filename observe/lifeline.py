"""A child process that never outlives its parent: `python -m observe.lifeline MODULE ARGUMENTS…`.

The lifeline is tied before MODULE, whose imports may take seconds, is loaded. The child ends at EOF
of its standard input; on Linux the kernel also kills it when its parent dies (PR_SET_PDEATHSIG).
Either alone is not enough: the pipe covers systems without prctl, the signal covers a child stuck in
a C call. The signal comes when the *thread* that started the child ends, so that thread must live as
long as the child may.

Source: prctl(2); sched(7), "The autogroup feature"; our own.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_TRIES: Final = 10


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies, and end at EOF of standard input."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_at_eof, name="parent-watch", daemon=True).start()


def give_way(pid: int, nice: int) -> None:
    """Let a process of ours that leads a session have processor time after those of less niceness.

    Where Linux groups processes by session, niceness counts within the group only, so the group is niced as well.

    Args:
        pid: of the process.
        nice: 1 to 19.
    """
    os.setpriority(os.PRIO_PROCESS, pid, nice)
    with suppress(OSError):  # only Linux has it, and only with CONFIG_SCHED_AUTOGROUP
        for _ in range(_TRIES):
            try:
                Path(f"/proc/{pid}/autogroup").write_text(str(nice))
            except BlockingIOError:  # it takes one such wish in .1 s from whoever is no administrator
                sleep(0.1)
            else:
                return


def _end_at_eof() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    die_with_parent()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
