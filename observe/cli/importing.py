"""`observe import`: files of the past become rows, in a stopped data directory or through its service.

Source: our own; UX.md, "Command line".
"""

from __future__ import annotations

import glob
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from observe.errors import Overloaded, SourceError, StoreLocked, UsageError

if TYPE_CHECKING:
    from observe.app.files import Body
    from observe.app.importing import Counted, Told
    from observe.cli.service import Service
    from observe.spec import Config

_TRIES: Final = 60  # of one body, while the service says "later"
_MIXED: Final = "mixed_column:"


class Desk(Protocol):
    """Whoever stores bodies: this process, or the service that owns the directory."""

    def mark(self, told: Told, fingerprint: str) -> Mapping[str, Any]:
        """How far a file came."""
        ...

    def take(self, told: Told, body: Body, fingerprint: str) -> Counted:
        """Store one body, once."""
        ...

    def finish(self, told: Told, fingerprint: str) -> None:
        """The file is done to its end."""
        ...


def run(
    files: Sequence[str],
    told: tuple[str, str, str],
    site: Path | None,
    directory: Path | None,
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    """Import every file; 0 when rows are stored or were before, 1 when none could be."""
    from observe.app.importing import Counted, Told
    from observe.spec import Config, Site, load

    what = Told(*told).checked()
    paths = _found(files)
    config = load(site) if site is not None else Config(Site())
    where = directory or config.site.store.path
    results: list[tuple[Path, Counted, str]] = []
    with _desk(config, where) as desk, _progress(paths, quiet=quiet) as moved:
        for path in paths:
            results.append((path, *_import(path, what, desk, moved)))
    total = Counted()
    for _, counted, _ in results:
        total.add(counted)
    if as_json:
        each = [{"file": str(path), **counted.as_json(), "told": said} for path, counted, said in results]
        sys.stdout.write(json.dumps({"files": each, **total.as_json()}, ensure_ascii=False) + "\n")
    elif not quiet:
        _tell(results, total)
    return 0 if total.stored or total.duplicate else 1


def _found(patterns: Sequence[str]) -> list[Path]:
    """The files named, patterns expanded, each once.

    Raises:
        UsageError: a name or pattern matches no file.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        named = Path(pattern)
        matches = [named] if named.is_file() else [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]
        matches = [p for p in matches if p.is_file()]
        if not matches:
            raise UsageError(f"no file matches {pattern!r}")
        found.update(dict.fromkeys(matches))
    return list(found)


def _import(path: Path, told: Told, desk: Desk, moved: Callable[[Path, float], None]) -> tuple[Counted, str]:
    """Hand over the bodies of one file that are not stored yet; what became of its rows, and a word about it."""
    from observe.app.files import bodies, fingerprint
    from observe.app.importing import Counted

    name = fingerprint(path)
    mark = desk.mark(told, name)
    counted, done = _before(mark), int(mark.get("bodies", 0))
    if mark.get("whole"):
        moved(path, 1.0)
        return counted, "imported before, nothing new"
    for body in bodies(path, features=told.kind == "predictions"):
        if body.number >= done:
            try:
                counted.add(desk.take(told, body, name))
            except UsageError as error:
                raise UsageError(f"{path}: {error}") from error
        moved(path, body.share)
    desk.finish(told, name)
    if counted.read == 0:
        return Counted(), "it holds no rows"
    return counted, f"went on after {done} parts" if done else ""


def _before(mark: Mapping[str, Any]) -> Counted:
    """What an earlier run counted of a file: its rows are duplicates now."""
    from observe.app.importing import Counted

    counted = Counted.of(mark)
    counted.duplicate, counted.stored = counted.duplicate + counted.stored, 0
    return counted


@contextmanager
def _desk(config: Config, directory: Path) -> Iterator[Desk]:
    from observe.app.importing import Importing
    from observe.app.intake import Intake
    from observe.cli.service import owner
    from observe.clock import WallClock
    from observe.store import Store
    from observe.telemetry import Telemetry

    clock = WallClock()
    try:
        store = Store.open(directory, clock)
    except StoreLocked:
        yield Through(owner(directory))
        return
    telemetry = Telemetry()
    try:
        yield Importing(store, Intake(store, clock, telemetry, config), clock)
    finally:
        store.close()
        telemetry.close()


@dataclass(frozen=True, slots=True)
class Through:
    """The service that owns the directory, asked over HTTP."""

    service: Service

    def mark(self, told: Told, fingerprint: str) -> Mapping[str, Any]:
        """How far a file came."""
        return self._ask(told, {"file": fingerprint})

    def take(self, told: Told, body: Body, fingerprint: str) -> Counted:
        """Store one body, once."""
        from observe.app.importing import Counted

        asked = {"file": fingerprint, "body": body.number, "rows": body.rows, "lost": body.lost}
        return Counted.of(self._ask(told, asked, body.content, body.content_type))

    def finish(self, told: Told, fingerprint: str) -> None:
        """The file is done to its end."""
        self._ask(told, {"file": fingerprint, "whole": 1})

    def _ask(self, told: Told, asked: Mapping[str, Any], content: bytes = b"", kind: str = "") -> Mapping[str, Any]:
        import httpx

        params = {"model": told.model, "source": told.source, **asked}
        for _ in range(_TRIES):
            try:
                with self.service.client(600.0) as client:
                    answer = client.post(
                        f"/api/v1/import/{told.kind}", params=params, content=content, headers={"Content-Type": kind}
                    )
            except httpx.HTTPError as error:
                raise SourceError(f"the service at {self.service.url} did not answer: {error}") from error
            if answer.status_code not in (429, 503):
                return _said(answer)
            time.sleep(float(answer.headers.get("retry-after") or 1))
        raise Overloaded(
            "the service is too busy to take more; run the same command again later: it goes on where it is"
        )


def _said(answer: Any) -> Mapping[str, Any]:
    said: Mapping[str, Any] = (
        answer.json() if "json" in answer.headers.get("content-type", "") else {"error": answer.text}
    )
    if answer.status_code == 200:
        return said
    raise (UsageError if answer.status_code == 400 else SourceError)(str(said.get("error"))[:500])


@contextmanager
def _progress(paths: Sequence[Path], *, quiet: bool) -> Iterator[Callable[[Path, float], None]]:
    """A bar on stderr while it is a terminal, else nothing."""
    if quiet or not sys.stderr.isatty():
        yield lambda path, share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    parts = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
        sizes = {path: path.stat().st_size for path in paths}
        task = bar.add_task("importing", total=sum(sizes.values()))
        done: dict[Path, float] = {}

        def moved(path: Path, share: float) -> None:
            done[path] = share * sizes[path]
            bar.update(task, completed=sum(done.values()), description=path.name)

        yield moved


def _tell(results: Sequence[tuple[Path, Counted, str]], total: Counted) -> None:
    for path, counted, said in results:
        sys.stdout.write(f"{path}: {_line(counted)}{f' ({said})' if said else ''}\n")
        for reason, example in counted.examples.items():
            sys.stderr.write(f"  {reason}: {example}\n")
    if len(results) > 1:
        sys.stdout.write(f"together: {_line(total)}\n")
    for note in sorted(total.notes):
        if note.startswith(_MIXED):
            feature = note.removeprefix(_MIXED)
            sys.stderr.write(
                f"  {feature} came as numbers and as text, so a new feature of that name is text: where that is a slip, "
                f"declare it, drift: {{features: [{{name: {feature}, kind: numeric}}]}}; rows from then on are numbers\n"
            )


def _line(counted: Counted) -> str:
    parts = [f"{counted.read:,} rows read", f"{counted.stored:,} stored", f"{counted.duplicate:,} duplicate"]
    rejected = ", ".join(f"{reason} {n:,}" for reason, n in sorted(counted.rejected.items()))
    parts.append(f"{sum(counted.rejected.values()):,} rejected{f' ({rejected})' if rejected else ''}")
    notes = ", ".join(f"{note} {n:,}" for note, n in sorted(counted.notes.items()))
    return ", ".join(parts) + (f"; repaired: {notes}" if notes else "")
