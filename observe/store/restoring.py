"""A backup becomes a data directory: every file is checked, then copied; the database last.

A restore that dies leaves a lake without a database, which no start takes for a store.

Source: our own.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from observe.errors import StoreError, UsageError
from observe.store import ddl
from observe.store.backup import DATABASE, FORMAT, LIST, Contents, copied, is_free, make_folder
from observe.store.checksums import checksum
from observe.store.durable import sync


def restore(source: Path, folder: Path) -> Contents:
    """Make the data directory `folder` from the backup in `source`; what it holds.

    Raises:
        UsageError: `source` is no finished backup, or of a newer Observe, or `folder` holds something.
        StoreError: files of the backup are missing or damaged; nothing was written.
    """
    contents = _contents(source)
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


def _contents(source: Path) -> Contents:
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
    except (ValueError, KeyError, TypeError, AttributeError) as error:
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
    bad = [
        name for name, file in contents.files.items()
        if not (source / name).is_file() or checksum(source / name) != file["sha256"]
    ]  # fmt: skip
    if bad:
        raise StoreError(
            f"{source}: {len(bad)} of {len(contents.files)} files are missing or damaged ({', '.join(sorted(bad)[:3])}); "
            "nothing was written: use another backup"
        )
