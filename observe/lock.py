"""One process owns a data directory: an flock on its LOCK file, which names the owner.

Light to import, so that a second start is refused before it has loaded anything.

Source: flock(2); TRUST section 1, fact 4: DuckDB's own lock is lost when anybody opens and closes the file.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from observe.errors import StoreLocked


class DirectoryLock:
    """Held from construction until `release`; the kernel releases it when the process dies.

    Raises:
        StoreLocked: another process holds it; the message names its pid.
    """

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            refused = _refusal(folder, self._fd)
            os.close(self._fd)
            raise refused from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; the file stays, empty."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def refuse_owned(folder: Path) -> None:
    """Refuse a directory that another process owns; nothing is changed.

    Raises:
        StoreLocked: another process holds it; the message names its pid.
    """
    try:
        fd = os.open(folder / "LOCK", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # nobody ever owned it, or it is said better by who opens it
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _refusal(folder, fd) from None
    finally:
        os.close(fd)


def _refusal(folder: Path, fd: int) -> StoreLocked:
    holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
    return StoreLocked(
        f"{folder}: another process owns this data directory (pid {holder}); "
        "stop it, or use another directory with store.path"
    )
