"""A write-ahead log that DuckDB refuses is kept aside, and what comes before the damage is used.

DuckDB checks every entry of its log and refuses to open when one does not fit, which would keep a
whole service down for one bad block. Entries before the bad one are whole; the journal says what
the others held (see journal.py). The log may be read and cut because no database is open yet.

Source: our own; messages of duckdb 2.0.0.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from pathlib import Path
from typing import Final

from observe.errors import StoreError
from observe.store.damage import Damage
from observe.store.database import Database

ASIDE: Final = "damaged"  # folder of the data directory that holds what was set aside
_REPLAY: Final = re.compile(r'Failure while replaying WAL file "(?P<path>[^"]+)": (?P<said>.*)', re.DOTALL)
_DAMAGED: Final = re.compile(r"corrupt|does not match stored checksum|invalid WAL entry", re.IGNORECASE)
_POSITION: Final = re.compile(r"at byte position (\d+)")
_LOG = logging.getLogger("observe.store")


def open_database(path: Path, *, threads: int, memory: str) -> tuple[Database, list[Damage]]:
    """The database at `path`, and what was cut off its log to open it.

    Raises:
        StoreError: it cannot be opened; nothing was changed.
    """
    try:
        return Database(path, threads=threads, memory=memory), []
    except StoreError as error:
        refused = _REPLAY.search(str(error))
        if refused is None or not _DAMAGED.search(refused["said"]):
            raise
        damage = _cut(path.parent, Path(refused["path"]), refused["said"])
    return Database(path, threads=threads, memory=memory), [damage]


def _cut(folder: Path, log: Path, said: str) -> Damage:
    """Keep `log` under `damaged/` and shorten it to what is whole."""
    position = _POSITION.search(said)
    whole, size = int(position[1]) if position else 0, log.stat().st_size
    aside = folder / ASIDE / f"{log.name}.{log.stat().st_mtime_ns:x}"
    aside.parent.mkdir(exist_ok=True)
    shutil.copyfile(log, aside)
    with aside.open("rb") as stream:
        os.fsync(stream.fileno())
    if whole:
        os.truncate(log, whole)
    else:
        log.unlink()
    _LOG.error("event=log_damaged path=%s bytes=%d whole=%d aside=%s", log, size, whole, aside)
    return Damage(
        "log", aside.name, None, None, None,
        f"{log.name} was damaged at byte {whole} of {size}; what came before was used, all of it is kept as {ASIDE}/{aside.name}",
        "check the disk; what the rest held is told as lost commits, if anything was acknowledged; remove the file when it is of no use",
    )  # fmt: skip
