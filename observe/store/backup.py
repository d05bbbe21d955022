"""A copy of one moment of a data directory, made while it is in use, and the way back.

The process that owns the database copies it with `COPY FROM DATABASE` (opening the file from outside
would drop its lock), all in one read transaction; sealed files never change, so they are linked, or
copied to another disk, while no seal runs; so are the files of kept reports. `backup.json` is written last and names every file with
its sha256: what has none was not finished.

Source: our own; TRUST section 1, fact 4.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Final
from uuid import uuid4

import duckdb

from observe.errors import StoreError, UsageError
from observe.store import ddl
from observe.store.checksums import checksum
from observe.store.database import STORAGE_VERSION, Database
from observe.store.ddl import core_table, literal, native_tables
from observe.store.durable import sync
from observe.store.manifest import Manifest, Sheet
from observe.store.predictions import all_bulks
from observe.store.reportfiles import link_reports

FORMAT: Final = 1  # of backup.json
LIST: Final = "backup.json"
DATABASE: Final = "observe.duckdb"
_OF_EXT4: Final = "lost+found"  # stands in the root of every ext4 disk
_STAGE: Final = "backup-"  # folders of links in tmp/


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup holds, as `backup.json` says it."""

    format: int
    observe: str  # version that made it
    schema_version: int
    made_at: str
    rows: Mapping[str, int]  # by table key
    files: Mapping[str, Mapping[str, str | int]]  # by path: sha256 and bytes

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(int(file["bytes"]) for file in self.files.values())


def back_up(database: Database, manifest: Manifest, sealing: Lock, dest: Path, now: datetime) -> Contents:
    """Write everything committed before this call into the folder `dest`.

    Raises:
        UsageError: `dest` holds something, or lies within the data directory.
        StoreError: it could not be written; `dest` is empty again.
    """
    dest = _free(dest, manifest.folder)
    make_folder(dest, 0o700)
    try:
        rows = _copy(database, manifest, sealing, dest)
        files = {str(p.relative_to(dest)): p for p in sorted(dest.rglob("*")) if p.is_file()}
        listed: Mapping[str, Mapping[str, str | int]] = {
            name: {"sha256": checksum(p), "bytes": p.stat().st_size} for name, p in files.items()
        }
        done = Contents(FORMAT, version("observe"), ddl.SCHEMA_VERSION, now.isoformat(), rows, listed)
        _write(dest / LIST, json.dumps(asdict(done), indent=1).encode())
    except (duckdb.Error, OSError) as error:
        _empty(dest)
        raise StoreError(f"no backup was made, {dest} is empty again: {error}") from error
    except BaseException:
        _empty(dest)
        raise
    return done


def is_backup(folder: Path) -> bool:
    """Whether `folder` is a finished backup."""
    return (folder / LIST).is_file()


def refuse_backup(folder: Path) -> None:
    """Refuse a backup: what is written into one makes its checksums wrong.

    Raises:
        UsageError: it is one.
    """
    if is_backup(folder):
        raise UsageError(
            f"{folder} is a backup, and nothing is written into one: restore it first: observe restore {folder} -d NEW"
        )


def is_free(folder: Path) -> bool:
    """Whether `folder` is absent or empty; the root of a new ext4 disk is, too."""
    return not folder.exists() or (folder.is_dir() and all(p.name == _OF_EXT4 for p in folder.iterdir()))


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make `folder` where it is not there.

    Raises:
        UsageError: whoever runs this may not.
    """
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror}; give a folder that this user may write"
        ) from error


def _free(dest: Path, folder: Path) -> Path:
    """`dest`, if a backup or a data directory can be made there."""
    dest = dest.absolute()
    if not is_free(dest):
        raise UsageError(f"{dest} is not empty; give a folder that is, or that is not there yet")
    if folder in (dest.resolve(), *dest.resolve().parents):
        raise UsageError(f"{dest} lies in the data directory {folder} itself; give a folder elsewhere")
    return dest


def _copy(database: Database, manifest: Manifest, sealing: Lock, dest: Path) -> Mapping[str, int]:
    """Copy database and lake of one moment; rows by table."""
    name, stage = f"backup_{uuid4().hex}", _stage(manifest.folder, dest)
    with database.cursor() as cursor, _attached(cursor, dest / DATABASE, name):
        try:
            cursor.execute("BEGIN")
            with sealing:  # no file leaves between the list and the links
                sheets = [s for bulk in all_bulks(cursor) for s in manifest.sheets(cursor, bulk.key)]
                for sheet in sheets:
                    _link(manifest.folder / sheet.path, stage / sheet.path)
            link_reports(cursor, manifest.folder, stage)
            [(source,)] = cursor.execute("SELECT current_database()").fetchall()
            cursor.execute(f"COPY FROM DATABASE {ddl.quoted(source)} TO {name}")
            rows = _rows(cursor, sheets)
            cursor.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):
                cursor.execute("ROLLBACK")
            raise
        finally:
            if stage != dest:
                _move(stage, dest)
    for path in (dest / DATABASE, *sorted((p for p in dest.rglob("*") if p.is_dir()), reverse=True), dest):
        sync(path)
    return rows


def _stage(folder: Path, dest: Path) -> Path:
    """Where sealed files can be linked to: `dest`, or when that is another disk a folder of ours."""
    if _links(folder, dest):
        return dest
    stage = folder / "tmp" / f"{_STAGE}{uuid4().hex[:12]}"
    stage.mkdir(parents=True)
    return stage


def remove_stages(folder: Path) -> None:
    """Forget the links of backups that a process did not finish; to be called by the one that owns `folder`."""
    for stage in (folder / "tmp").glob(f"{_STAGE}*"):
        shutil.rmtree(stage, ignore_errors=True)


def _links(folder: Path, dest: Path) -> bool:
    """Whether files of `folder` can be linked to under `dest`."""
    probe = dest / ".linked"
    try:
        os.link(folder / "LOCK", probe)
    except OSError:
        return False
    probe.unlink()
    return True


@contextmanager
def _attached(cursor: duckdb.DuckDBPyConnection, path: Path, name: str) -> Iterator[None]:
    cursor.execute(f"ATTACH {literal(str(path))} AS {name} (STORAGE_VERSION {literal(STORAGE_VERSION)})")
    try:
        yield
    finally:
        cursor.execute(f"DETACH {name}")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, target)


def _move(stage: Path, dest: Path) -> None:
    """Copy what was linked under `stage` to another disk, then forget the links."""
    try:
        for path in sorted(p for p in stage.rglob("*") if p.is_file()):
            copied(path, dest / path.relative_to(stage))
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def copied(source: Path, target: Path) -> None:
    """Copy a file so that it is durable."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    sync(target)


def _rows(cursor: duckdb.DuckDBPyConnection, sheets: Sequence[Sheet]) -> Mapping[str, int]:
    """Rows by table key, in the transaction that is copied."""
    rows = {t.name: cursor.execute(f"SELECT count(*) FROM {core_table(t)}").fetchall()[0][0] for t in native_tables()}
    for bulk in all_bulks(cursor):
        [(hot,)] = cursor.execute(f"SELECT count(*) FROM {bulk.hot}").fetchall()
        rows[bulk.key] = hot + sum(s.rows for s in sheets if s.key == bulk.key)
    return rows


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    sync(path)
    sync(path.parent)


def _empty(folder: Path) -> None:
    for entry in (p for p in folder.iterdir() if p.name != _OF_EXT4):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
