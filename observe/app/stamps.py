"""What tells that a file was changed: its stamp at once, its digest for sure.

Source: our own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

Stamps = Mapping[Path, tuple[int, int, int]]  # when it was written, inode, size


def stamped(files: Sequence[Path]) -> Stamps:
    """Stamps of those files that are there."""
    found = {}
    for path in files:
        try:
            stat = path.stat()
        except OSError:
            continue
        found[path] = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
    return found


def digest(path: Path) -> str:
    """The sha256 of what a file holds; "" where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
