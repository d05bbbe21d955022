"""`observe init`: a commented beginning, or a proposal from what was seen; nothing is ever overwritten.

Source: our own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Final

from observe.cli.directory import present
from observe.errors import UsageError

_STARTER: Final = ("observe.yaml", "models/chat.yaml", "models/fraud.yaml")


def run(folder: Path | None, *, from_traffic: bool, data: Path | None, site: Path | None, quiet: bool) -> int:
    """Write a configuration that `observe check` accepts into `folder`; without one, beside the site, or here.

    Raises:
        UsageError: a file is there already, or cannot be written; then nothing was written.
    """
    folder = folder or (site.parent if from_traffic and site else Path())
    made = _proposed(data, site) if from_traffic else _starter()
    _write(folder, made)
    if not quiet:
        for name in made:
            sys.stderr.write(f"wrote {folder / name}\n")
        main = site if from_traffic and site else folder / "observe.yaml"
        sys.stderr.write(f"next: observe check -c {main}\n")
    return 0


def _starter() -> dict[str, str]:
    home = files("observe.cli") / "starter"
    return {name: home.joinpath(name).read_text(encoding="utf-8") for name in _STARTER}


def _proposed(data: Path | None, site: Path | None) -> dict[str, str]:
    from observe.cli.proposal import files as proposals
    from observe.cli.traffic import asking, seen
    from observe.spec import load

    known = load(site) if site is not None else None
    if data is None and known is None:
        raise UsageError("whose traffic? name a data directory with -d, or the site with -c observe.yaml")
    directory = (data or known.site.store.path) if known else data
    assert directory is not None
    with asking(present(directory)) as ask:
        found = seen(ask)
    watched = {m.name for m in known.models.values() if m.monitoring is not None} if known else set[str]()
    made = proposals(found, watched, None if known else directory.absolute())
    if not any(name.startswith("models/") for name in made):
        raise UsageError(f"{directory} has seen no model that is not watched already")
    return made


def _write(folder: Path, made: Mapping[str, str]) -> None:
    """Write all or nothing: a file that exists stops it before the first one, and one that fails takes back the others."""
    there = [str(folder / name) for name in made if (folder / name).exists()]
    if there:
        raise UsageError(f"{', '.join(there)} exists already; nothing was written. Name an empty folder")
    mine: list[Path] = []
    try:
        for name, text in made.items():
            path = folder / name
            mine += [p for p in reversed((path, *path.parents)) if not p.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        _take_back(mine)
        raise UsageError(f"cannot write {path}: {error.strerror}; nothing was written") from error


def _take_back(mine: Sequence[Path]) -> None:
    """Remove the files and folders that were made, as far as they are there and hold nothing of others."""
    for path in reversed(mine):
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
