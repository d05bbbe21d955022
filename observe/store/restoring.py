"""A backup becomes a data directory: every file is checked, then copied; the database last. Or it is lent to who reads.

A restore that dies leaves a lake without a database, which no start takes for a store.

Source: our own.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Final

from observe.errors import StoreError, UsageError
from observe.lock import refuse_owned
from observe.store import ddl
from observe.store.backup import DATABASE, FORMAT, LIST, Contents, copied, is_backup, is_free, make_folder
from observe.store.checksums import checksum
from observe.store.durable import sync

_UNCHANGING: Final = ("lake", "reports")  # folders of files that are written once


def restore(source: Path, folder: Path) -> Contents:
    """Make the data directory `folder` from the backup in `source`; what it holds.

    Raises:
        UsageError: `source` is no finished backup, or of a newer Observe, or `folder` holds something.
        StoreError: files of the backup are missing or damaged; nothing was written.
    """
    contents = contents_of(source)
    if not is_free(folder):
        raise UsageError(f"{folder} is not empty; restore into a folder that is, or that is not there yet")
    _check(source, contents)
    make_folder(folder)
    (folder / "lake").mkdir(exist_ok=True)
    for name in sorted(contents.files, key=lambda name: name == DATABASE):
        copied(source / name, folder / name)
        if checksum(folder / name) != contents.files[name]["sha256"]:
            raise StoreError(f"{folder / name} is not what was copied; check the disk, and restore into another folder")
    for path in (*(p for p in folder.rglob("*") if p.is_dir()), folder, folder.parent):
        sync(path)
    return contents


@contextmanager
def readable(folder: Path) -> Iterator[Path]:
    """The directory `folder`; where it is a backup, one like it that is gone afterwards, for a store writes where it is opened.

    Its database is a copy. What lies in `lake/` and `reports/` never changes: links lead there, so that a file
    that is let go of or set aside stays where it is in the backup.

    Raises:
        UsageError: its `backup.json` cannot be used.
        StoreLocked: another process owns it.
        StoreError: files of the backup are missing, or there is no room for the copy.
    """
    if not is_backup(folder):
        yield folder
        return
    refuse_owned(folder)
    source = folder.resolve()
    contents = contents_of(source)
    missing = sorted(name for name in contents.files if not (source / name).is_file())
    if missing:
        raise StoreError(
            f"{folder}: {len(missing)} of {len(contents.files)} files are missing ({', '.join(missing[:3])}); "
            "use another backup"
        )
    with tempfile.TemporaryDirectory(prefix="observe-backup-") as made:
        _lend(source, contents, Path(made))
        yield Path(made)


def _lend(source: Path, contents: Contents, folder: Path) -> None:
    for name in contents.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if Path(name).parts[0] in _UNCHANGING:
            (folder / name).symlink_to(source / name)
            continue
        try:
            shutil.copyfile(source / name, folder / name)
        except OSError as error:
            raise StoreError(
                f"a backup is read from a copy of its {name} ({int(contents.files[name]['bytes']):,} bytes), which could "
                f"not be made in {folder.parent}: {error.strerror or error}; TMPDIR names another folder"
            ) from error


def contents_of(source: Path) -> Contents:
    """What `source` holds by its own word.

    Raises:
        UsageError: it is no finished backup, or of a newer Observe.
    """
    try:
        said = json.loads((source / LIST).read_bytes())
        contents = Contents(**{f.name: said[f.name] for f in fields(Contents)})
        strangers = [n for n in contents.files if Path(n).is_absolute() or ".." in Path(n).parts]
        sums = {n: (str(file["sha256"]), int(file["bytes"])) for n, file in contents.files.items()}
        newer = contents.format > FORMAT or contents.schema_version > ddl.SCHEMA_VERSION
    except FileNotFoundError:
        raise UsageError(
            f"{source} holds no {LIST}: it is no backup of Observe, or one that was not finished"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{source / LIST} cannot be read: {error!r}; use another backup") from error
    if newer:
        raise UsageError(
            f"{source} was made by Observe {contents.observe}; restore it with that version or a newer one"
        )
    if DATABASE not in sums or strangers:
        raise UsageError(f"{source / LIST} names files that no backup has; use another backup")
    return contents


def _check(source: Path, contents: Contents) -> None:
    """Refuse a backup of which a file is missing or changed."""
    bad = changed(source, contents)
    if bad:
        raise StoreError(
            f"{source}: {len(bad)} of {len(contents.files)} files are missing or damaged ({', '.join(sorted(bad)[:3])}); "
            "nothing was written: use another backup"
        )


def changed(source: Path, contents: Contents) -> Mapping[str, str]:
    """What is wrong with each file that is not as it was backed up."""
    return {name: said for name, file in contents.files.items() if (said := _wrong(source / name, file))}


def _wrong(path: Path, file: Mapping[str, str | int]) -> str:
    try:
        found = checksum(path)
    except OSError as error:
        return "it is missing" if isinstance(error, FileNotFoundError) else f"it cannot be read: {error.strerror}"
    return "" if found == file["sha256"] else "its bytes changed since it was backed up (sha256)"
