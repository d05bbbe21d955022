"""A child process that never outlives its parent: `python -m observe.lifeline MODULE ARGUMENTS…`.

The lifeline is tied before MODULE, whose imports may take seconds, is loaded. The child ends at EOF
of its standard input; on Linux the kernel also kills it when its parent dies (PR_SET_PDEATHSIG).
Either alone is not enough: the pipe covers systems without prctl, the signal covers a child stuck in
a C call. The signal comes when the *thread* that started the child ends, so that thread must live as
long as the child may.

Source: prctl(2); our own.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
import threading
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies, and end at EOF of standard input."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_at_eof, name="parent-watch", daemon=True).start()


def _end_at_eof() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    die_with_parent()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
