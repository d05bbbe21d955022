"""The sha256 of a file, read once and in pieces.

Source: FIPS 180-4.
"""

from __future__ import annotations

from hashlib import file_digest
from pathlib import Path


def checksum(path: Path) -> str:
    """64 hex digits over the bytes of the file at `path`."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
