"""A data directory by commands that list and decide: its rows, of the running service or the stopped store, and people's words.

Source: our own; UX.md, "Command line".
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observe.cli.service import owner
from observe.errors import StoreLocked, UsageError

if TYPE_CHECKING:
    from observe.store import Snapshot, Store

Rows = Sequence[Mapping[str, Any]]


def folder(site: Path | None, directory: Path | None) -> Path:
    """The directory that is named, else the one of the site.

    Raises:
        UsageError: there is none.
    """
    if directory is None:
        from observe.spec import load

        assert site is not None
        directory = load(site).site.store.path
    return present(directory)


def present(directory: Path) -> Path:
    """The data directory.

    Raises:
        UsageError: it is not there.
    """
    if not directory.is_dir():
        raise UsageError(
            f"{directory} is not a directory; the service makes it at its first start (observe up); -d names another"
        )
    return directory


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """The store of a directory that no service owns, or of a backup, to read it; the backup stays as it is.

    Raises:
        UsageError: it is no data directory.
        StoreLocked: a service owns it.
        StoreError: it cannot be opened.
    """
    from observe.store.restoring import readable

    with readable(path) as folder, owned(folder) as store:
        yield store


@contextmanager
def exported(path: Path, query: str) -> Iterator[tuple[Snapshot, list[Path]]]:
    """What a query needs of the same as files of one moment, and the folders that it may read below.

    Raises:
        UsageError: it is no data directory.
        StoreLocked: a service owns it.
        StoreError: it cannot be opened.
    """
    from observe.store import tables_named
    from observe.store.restoring import readable

    with readable(path) as folder:
        with owned(folder) as store:
            snapshot = store.snapshot(tables_named(query))
        roots = (folder / "lake", folder / "snapshot", path / "lake")  # links of a backup's copy lead to the last
        yield snapshot, list(dict.fromkeys(roots))


@contextmanager
def owned(folder: Path) -> Iterator[Store]:
    """The store of a directory that no service owns, to write into it.

    Raises:
        UsageError: it is no data directory, or a backup.
        StoreLocked: a service owns it.
        StoreError: it cannot be opened.
    """
    from observe.clock import WallClock
    from observe.store import Store

    store = Store.open(folder, WallClock(), must_exist=True)
    try:
        yield store
    finally:
        store.close()


def rows(path: Path, asked: str, read: Callable[[Store], Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Rows as the API tells them; instants are text.

    Args:
        path: the data directory.
        asked: path of the API where a service runs.
        read: the same from the store of one that is stopped.

    Raises:
        SourceError: the service owns the directory and does not answer.
    """
    try:
        with opened(path) as store:
            found = list(read(store))
    except StoreLocked:
        return list(owner(path).ask("GET", asked))
    return [{k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()} for row in found]


def printed(found: Rows, line: Callable[[Mapping[str, Any]], str], none: str, *, as_json: bool) -> int:
    """Print rows, one a line, or as JSON; `none` where there are none."""
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    sys.stdout.write("".join(f"{text}\n" for text in map(line, found)) or f"{none}\n")
    return 0


def said(path: Path, command: Mapping[str, Any], told: Callable[[str], str], *, as_json: bool, quiet: bool) -> int:
    """Give somebody's word to the running service.

    Args:
        path: the data directory.
        command: verb, object, reason and parameters.
        told: what is printed, by the id under which it was written down.
        as_json: print the answer instead.
        quiet: print nothing.

    Raises:
        UsageError: it cannot be meant, and why.
        QueryError: the token may not do it.
        SourceError: no service runs there, or it does not answer.
    """
    done = owner(path).ask("POST", "/api/v1/commands", {"parameters": {}, **command})
    if as_json:
        sys.stdout.write(json.dumps(done) + "\n")
    elif not quiet:
        sys.stderr.write(f"{told(done['command_id'])}\n")
    return 0


def minute(instant: str) -> str:
    """An instant as people read it."""
    return f"{datetime.fromisoformat(instant):%Y-%m-%d %H:%M} UTC"
