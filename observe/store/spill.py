"""Batches that a slow commit holds up, made safe in files beside the database until they are stored.

A checkpoint or a seal holds every commit up for .2 to 1 s, and DuckDB has no way to write beside it. So whoever waits
that long for an acknowledgement gets it from here: all batches that wait go into one file, written, synced and renamed
before anybody is told. A file goes when all its batches are stored; what a kill leaves is stored at the next start,
where the ledger knows those that a commit had stored already.

Source: our own, after write-ahead logging; TRUST section 1, `bench.load` for what it saves.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from observe.errors import StoreError
from observe.store.damage import Damage
from observe.store.durable import sync
from observe.store.entry import Entry
from observe.store.rows import Part, table_of

SPILL: Final = "spill"  # the folder, in the data directory
_UNFINISHED, _DAMAGED = ".part", ".damaged"
_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, StoreError, pl.exceptions.PolarsError)


class Spill:
    """The files of one data directory; safe to call from any thread.

    `found` is what an earlier process left, oldest first; a file that could not be read is set aside and in `damages`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / SPILL
        self._folder.mkdir(exist_ok=True)
        self._lock = threading.Lock()
        self._left: dict[Path, set[Entry]] = {}  # by file, what is not stored yet
        self.found: list[Entry] = []
        self.damages: list[Damage] = []
        numbers = [int(path.name.partition(".")[0]) for path in self._folder.glob("[0-9]*")]
        self._next = max(numbers, default=0) + 1
        self._recall()

    def keep(self, entries: Sequence[Entry]) -> None:
        """Make `entries` safe, and say so to those who wait.

        Raises:
            OSError: they could not be written; none is safe.
        """
        with self._lock:
            path, self._next = self._folder / f"{self._next:012d}", self._next + 1
        unfinished = path.with_suffix(_UNFINISHED)
        try:
            unfinished.write_bytes(_packed(entries))
            sync(unfinished)
            os.replace(unfinished, path)
            sync(self._folder)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        safe = [e for e in entries if e.future.keep()]
        with self._lock:
            self._left[path] = {e for e in safe if not e.future.done()}
        self.stored(())

    def stored(self, entries: Iterable[Entry]) -> None:
        """`entries` are in the database, so files that hold nothing else may go."""
        with self._lock:
            for path, left in list(self._left.items()):
                left.difference_update(entries)
                if not left:
                    path.unlink(missing_ok=True)
                    del self._left[path]

    def _recall(self) -> None:
        for unfinished in self._folder.glob(f"*{_UNFINISHED}"):  # nobody was told of it
            unfinished.unlink()
        for path in sorted(p for p in self._folder.glob("[0-9]*") if not p.suffix):
            try:
                entries = _unpacked(path.read_bytes())
            except _UNREADABLE as error:
                self.damages.append(_damage(path.rename(path.with_suffix(_DAMAGED)), error))
                continue
            self._left[path] = set(entries)
            self.found += entries
        for entry in self.found:
            entry.future.keep()


def _packed(entries: Sequence[Entry]) -> bytes:
    """A line of JSON that says what follows, then the rows of every part as an Arrow stream."""
    rows, said = io.BytesIO(), []
    for entry in entries:
        parts = []
        for part in entry.parts:
            start = rows.tell()
            part.frame.clone().write_ipc_stream(rows)  # a frame is locked while it is written, and others read it
            parts.append([part.key, part.missing_key, rows.tell() - start])
        said.append([entry.source, entry.batch_id, dict(entry.rejected), entry.size, parts])
    body = rows.getvalue()
    header = json.dumps(said)
    digest = hashlib.blake2b(header.encode() + body, digest_size=16).hexdigest()
    return f"{digest} {header}\n".encode() + body


def _unpacked(content: bytes) -> list[Entry]:
    line, _, body = content.partition(b"\n")
    digest, _, header = line.partition(b" ")
    if hashlib.blake2b(header + body, digest_size=16).hexdigest().encode() != digest:
        raise ValueError("its checksum does not fit its content")
    rows = io.BytesIO(body)
    return [_entry(rows, said) for said in json.loads(header)]


def _entry(rows: io.BytesIO, said: list[Any]) -> Entry:
    source, batch_id, rejected, size, parts = said
    read = [
        Part(key, table_of(key), pl.read_ipc_stream(io.BytesIO(rows.read(length))), missing)
        for key, missing, length in parts
    ]
    return Entry(source, batch_id, tuple(read), rejected, size)


def _damage(path: Path, error: Exception) -> Damage:
    return Damage(
        "spill", path.name, None, None, None,
        f"{path.name} in {SPILL}/ holds acknowledged batches that were not stored yet, and cannot be read: {error}",
        "check the disk; let sources send again what they sent just before the last stop (batches that are stored "
        "are recognised); the file is kept",
    )  # fmt: skip
