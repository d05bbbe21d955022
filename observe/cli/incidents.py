"""`observe incidents`: what is open, who has it, what is muted; and to say so. `observe incidents bundle`: one to hand on.

What is stored came from elsewhere: on a terminal it is text, never a control of it.

Source: our own; UX.md, "Command line". The Incidents page shows the same.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import quote

import typer

from observe.cli import directory as at
from observe.cli.directory import minute
from observe.cli.options import Directory, Quiet, Site, site_file
from observe.cli.service import owner
from observe.errors import StoreLocked, UsageError

if TYPE_CHECKING:
    from observe.store import Store

_SIGNS: Final[Mapping[str, str]] = {"page": "■", "ticket": "▲", "resolved": "●"}
_WHY: Final[Mapping[str, str]] = {
    "mute": "people will ask why they were not told", "false-alarm": "people will ask why they were not told",
    "note": "what you saw, or what you did",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody wants to do, about what, for how long and why."""

    verb: str
    what: str
    span: str | None
    reason: str | None


def incidents(  # noqa: PLR0913, PLR0917 - a command's options
    act: Annotated[
        Literal["acknowledge", "mute", "unmute", "note", "false-alarm", "accept-normal", "bundle"] | None,
        typer.Argument(help="What to do; without it, incidents are listed."),
    ] = None,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[WHAT]",
            help="An incident; to mute also an alert, monitor, model, or '*'; to accept as normal also an alert, monitor, or ref-….",
        ),
    ] = None,
    span: Annotated[str | None, typer.Option("--for", help="How long to mute: 30m, 2h, 3d.")] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why; needed to mute, for a false alarm and for a note.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List those that are over, too.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Of a bundle: a file; ID.zip when not given, - for stdout.")
    ] = None,
    config: Site = None,
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
    quiet: Quiet = False,
) -> None:
    """List incidents, who has them and what is muted; or acknowledge, mute, unmute, note, mark as a false alarm, accept as normal; or bundle one as a zip."""
    said = _meant(act, what, span, reason) if act else None
    folder = at.folder(site_file(config), directory)
    if said is None:
        known = config if directory else site_file(config)
        raise typer.Exit(listed(folder, known, every=every, as_json=as_json))
    if said.verb == "bundle":
        raise typer.Exit(bundle(said.what, output, folder, quiet=quiet))
    raise typer.Exit(run(said, folder, as_json=as_json, quiet=quiet))


def listed(folder: Path, site: Path | None, *, every: bool, as_json: bool) -> int:
    """Print incidents, the newest first; without `every` only those that are open.

    Args:
        folder: the data directory.
        site: whose people and models are known; None: those of no site.
        every: those that are over, too.
        as_json: as JSON.

    Raises:
        SourceError: the service owns the directory and does not answer.
    """
    from observe.app.commanding import MOST

    known = _rows(folder, site)
    rows = [r for r in known if every or r["state"] == "open"]
    if len(known) >= MOST:
        left = (
            f"only {MOST} incidents are looked at, open ones first; all of them: observe sql 'select * from incident'"
        )
        sys.stderr.write(f"{left}\n")
    return at.printed(rows, _line, "there were no incidents" if every else "no incident is open", as_json=as_json)


def run(act: Act, folder: Path, *, as_json: bool, quiet: bool) -> int:
    """Do it, through the running service.

    Raises:
        UsageError: it cannot be done, and why.
        QueryError: the token may not do it.
        SourceError: no service runs there, or it does not answer.
    """
    parameters = {"for": act.span} if act.span else {}
    command = {"verb": act.verb, "object": act.what, "reason": act.reason, "parameters": parameters}
    done = f"{act.verb.replace('_', ' ')} {plain(act.what)}: written down as"
    return at.said(folder, command, lambda i: f"{done} {i}, acts from now on", as_json=as_json, quiet=quiet)


def _meant(verb: str, what: str | None, span: str | None, reason: str | None) -> Act:
    """Refuse what could not be meant by any service."""
    if not what:
        raise UsageError(f"{verb} what? observe incidents lists them")
    if span is not None and verb != "mute":
        raise UsageError("--for is how long to mute; it goes with mute")
    if verb in _WHY and not reason:
        raise UsageError(f"{verb} needs --reason: {_WHY[verb]}")
    if verb == "mute" and span is None:
        raise UsageError("mute needs an end: --for 30m, 2h, 3d")
    return Act(verb.replace("-", "_"), what, span, reason)


def _rows(folder: Path, site: Path | None) -> list[dict[str, Any]]:
    """The incidents of a running service, or of a stopped data directory."""
    from observe.app.commanding import incidents as shown
    from observe.clock import WallClock
    from observe.spec import load

    def read(store: Store) -> list[dict[str, Any]]:
        return shown(store, WallClock().now(), load(site) if site else None).to_dicts()

    return at.rows(folder, "/api/v1/incidents", read)


def _line(row: Mapping[str, Any]) -> str:
    """One incident: sign, id, model, since, what, and who has it."""
    state = row["severity"] if row["state"] == "open" else "resolved"
    hand: Sequence[str] = [
        *([f"{row['taken_by']} has it"] if row["taken_by"] else []),
        *([f"muted until {minute(row['muted_until'])}"] if row["muted_until"] else []),
    ]
    tail = f"  ({', '.join(hand)})" if hand else ""
    return plain(
        f"{_SIGNS.get(state, '▲')} {state:<8}  {row['incident_id']}  {', '.join(row['models'] or (row['model'],))}  since {minute(row['since'])}  {row['summary']}{tail}"
    )


def plain(text: str) -> str:
    r"""Text as a terminal shows it literally: what would steer it, or turn the writing round, becomes �.

    >>> plain("chat\x1b[2J\u202egnp.exe")
    'chat�[2J�gnp.exe'
    """
    return "".join(c if c.isprintable() else "�" for c in text)


def bundle(incident_id: str, output: Path | None, folder: Path, *, quiet: bool) -> int:
    """Write everything that is known of an incident into one zip: JSON, a page, a text, and the rows as Parquet.

    Raises:
        UsageError: there is no such incident, or it cannot be written there.
        QueryError: the token may not ask for it.
        SourceError: the service owns the directory and does not answer.
    """
    content = bundled(incident_id, folder)
    if str(output) == "-":
        sys.stdout.buffer.write(content)
        return 0
    path = output or Path(f"{incident_id}.zip")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    if not quiet:
        sys.stderr.write(f"{path}: {len(content):,} bytes; open report.html in it first\n")
    return 0


def bundled(incident_id: str, folder: Path) -> bytes:
    """The bundle, made by the running service, or from a stopped data directory.

    Raises:
        UsageError: there is no such incident.
        QueryError: the token may not ask for it.
        SourceError: the service owns the directory and does not answer.
    """
    from observe.app.bundling import bundle as made

    try:
        with at.opened(folder) as store:
            return made(store, incident_id, store.watermark())
    except StoreLocked:
        return owner(folder).fetch(f"/api/v1/incidents/{quote(incident_id, safe='')}/bundle")
