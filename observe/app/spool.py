"""Pages on disk until somebody has taken them: oldest first, bounded in bytes.

A page is a file that appears whole or not at all, so a kill at any moment leaves whole pages. When
there is no room the oldest go, and are counted.

Source: our own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from observe.errors import UsageError

MAX_BYTES: Final = 64 * 2**20  # days of pages of 8 GPUs every 15 s: 2-4 kB each, compressed
_NAME: Final = re.compile(r"(\d{16,20})\.page\.gz")  # other files are not ours
_UNREADABLE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENOENT})


class Spool:
    """One folder, one process; names are the instants of pages, ms since 1970.

    Args:
        folder: made when it is not there; readable by its owner alone.
        max_bytes: room for pages; the newest one is kept whatever its size.

    Raises:
        UsageError: another process has it, or it cannot be written.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._max = folder, max_bytes
        self.dropped = 0  # pages that went unsent, for want of room or because they cannot be read, since start
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (folder / ".lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise UsageError(f"{folder}: another agent uses this spool; give each its own folder") from None
        except OSError as error:
            raise UsageError(f"{folder}: {error.strerror}; --spool must be a folder this user may write") from None
        for left in folder.glob("*.page.gz.tmp"):
            with suppress(OSError):  # it takes a little room, no more
                left.unlink()
        found = sorted(page for page in folder.iterdir() if _NAME.fullmatch(page.name) and page.is_file())
        self._pages = deque((page.name, page.stat().st_size) for page in found)
        self.size = sum(size for _, size in self._pages)

    def __len__(self) -> int:
        """Pages that wait."""
        return len(self._pages)

    def put(self, ms: int, page: bytes) -> None:
        """Keep a page of an instant; the oldest go when there is no room.

        Raises:
            OSError: the disk does not take it.
        """
        last = int(self._pages[-1][0].partition(".")[0]) if self._pages else 0
        name = f"{max(ms, last + 1):016d}.page.gz"  # a clock that was set back must not change the order
        self._write(name, page)
        self._pages.append((name, len(page)))
        self.size += len(page)
        while self.size > self._max and len(self._pages) > 1:
            self.drop(self._pages[0][0])
            self.dropped += 1

    def _write(self, name: str, page: bytes) -> None:
        unfinished = self._folder / f"{name}.tmp"
        try:
            with unfinished.open("wb") as file:
                file.write(page)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(self._folder / name)
        except OSError:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise

    def oldest(self) -> tuple[str, bytes] | None:
        """The name and the bytes of the page that has waited longest; one that cannot be read is counted and skipped.

        Raises:
            OSError: no page can be read just now.
        """
        while self._pages:
            name, size = self._pages[0]
            try:
                return name, (self._folder / name).read_bytes()
            except OSError as error:
                if error.errno not in _UNREADABLE:
                    raise
                self._pages.popleft()  # its file, where there is one, is for a person to look at
                self.size -= size
                self.dropped += error.errno != errno.ENOENT
        return None

    def drop(self, name: str) -> None:
        """Let a page go; one that is gone already is fine.

        Raises:
            OSError: its file stays; it is sent again after the next start, and stored once.
        """
        if self._pages and self._pages[0][0] == name:
            self.size -= self._pages.popleft()[1]
        (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()
