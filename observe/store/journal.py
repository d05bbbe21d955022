"""What was acknowledged lately, beside the database: the witness that finds rows its log lost.

DuckDB ends the replay of its write-ahead log at an entry whose length makes no sense, as it must
after a kill, and says nothing; ledger lines vanish together with their rows. So every commit that
holds batches leaves a line here before its receipts go out, without fsync: the line survives the
death of the process, and after a power cut this file may at most know too little. What it names and
the ledger lacks at the next start was lost.

Source: our own; TRUST section 1, fact 3. Measured on duckdb 2.0.0: of 150 flipped bits of a log, 126
refused the opening and 24 opened with rows missing.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

FILE_BYTES: Final = 1 << 20  # then a new file is begun; the one before is kept
_LOG = logging.getLogger("observe.store")


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of batches: its number, when it was made, and how many batches and rows it held."""

    seq: int
    at: datetime
    batches: int
    rows: int
    sources: tuple[str, ...]


class Journal:
    """The newest commits of one data directory, some thousands at least; used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._path, self._older = folder / "journal", folder / "journal.1"
        self._fd = -1
        self._size = 0

    def read(self) -> list[Commit]:
        """All commits it knows, oldest first; torn lines are left out."""
        return [c for path in (self._older, self._path) if path.is_file() for c in _commits(path)]

    def restart(self) -> None:
        """Forget everything, because the ledger was compared; `note` may be called from now on."""
        self._older.unlink(missing_ok=True)
        self.close()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = 0

    def note(self, commit: Commit) -> None:
        """Add a commit that is durable; when the disk is full it is left out."""
        said = [commit.seq, commit.at.isoformat(), commit.batches, commit.rows, list(commit.sources)]
        try:
            if self._size > FILE_BYTES:
                self._turn()
            self._size += os.write(self._fd, f"\n{json.dumps(said)}".encode())  # the line break ends a torn line
        except OSError as error:
            _LOG.warning("event=journal_failed seq=%d error=%s", commit.seq, error)

    def _turn(self) -> None:
        os.replace(self._path, self._older)
        self.close()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = 0

    def close(self) -> None:
        """Close the file; it stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def lost(noted: Sequence[Commit], stored: frozenset[int], oldest: int | None) -> list[Commit]:
    """Which of the commits `noted` the ledger lacks.

    Args:
        noted: what the journal knows.
        stored: numbers of all commits in the ledger.
        oldest: the smallest of them; older ones were trimmed. None when the ledger is empty.
    """
    return [c for c in noted if c.seq not in stored and (oldest is None or c.seq > oldest)]


def _commits(path: Path) -> Iterator[Commit]:
    for line in path.read_bytes().splitlines():
        try:
            seq, at, batches, rows, sources = json.loads(line)
            yield Commit(seq, datetime.fromisoformat(at), batches, rows, tuple(sources))
        except (ValueError, TypeError):
            continue
