"""A disk of a service that can be filled and emptied: a small tmpfs, or where none may be mounted a limit on file sizes.

With the limit writes fail as on a full disk (EFBIG in place of ENOSPC), but the free space that the
system tells of stays what it is.
"""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Disk:
    folder: Path
    mounted: bool

    def fill(self, pid: int) -> None:
        """Leave no room, down to the last byte, for process `pid`."""
        if not self.mounted:
            largest = max(f.stat().st_size for f in self.folder.glob("observe.duckdb*"))
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
            return
        fd = os.open(self.folder / "filler", os.O_WRONLY | os.O_CREAT)
        for size in (1 << 20, 4096, 1):
            try:
                while os.write(fd, b"x" * size):
                    pass
            except OSError:
                continue
        os.close(fd)

    def free(self, pid: int) -> None:
        if self.mounted:
            (self.folder / "filler").unlink()
        else:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def small_disk(folder: Path, *, mount: bool) -> Iterator[Disk]:
    """A disk at `folder`, mounted if that is wanted and allowed."""
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=420m", "tmpfs", str(folder)]
    done = mount and shutil.which("mount") and subprocess.run(argv, capture_output=True, check=False).returncode == 0
    try:
        yield Disk(folder, bool(done))
    finally:
        if done:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
