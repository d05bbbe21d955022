"""`observe incidents`: what is open, who has it, what is muted; and to say so. `observe incidents bundle`: one to hand on.

What is stored came from elsewhere: on a terminal it is text, never a control of it.

Source: our own; UX.md, "Command line". The Incidents page shows the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import typer

from observe.cli.service import owner
from observe.errors import StoreLocked, UsageError

_SIGNS: Final[Mapping[str, str]] = {"page": "■", "ticket": "▲", "resolved": "●"}


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody wants to do, about what, for how long and why."""

    verb: str
    what: str | None
    span: str | None
    reason: str | None


def incidents(  # noqa: PLR0913, PLR0917 - a command's options
    act: Annotated[
        Literal["acknowledge", "mute", "unmute", "note", "false-alarm", "accept-normal", "bundle"] | None,
        typer.Argument(help="What to do; without it, incidents are listed."),
    ] = None,
    what: Annotated[
        str | None, typer.Argument(metavar="[WHAT]", help="An incident; to mute also an alert, monitor, model, or '*'.")
    ] = None,
    span: Annotated[str | None, typer.Option("--for", help="How long to mute: 30m, 2h, 3d.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; needed to mute, and for a false alarm.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List those that are over, too.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Of a bundle: a file; ID.zip when not given, - for stdout.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Site configuration.", envvar="OBSERVE_CONFIG")
    ] = None,
    directory: Annotated[Path | None, typer.Option("--directory", "-d", help="A data directory.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors on stderr.")] = False,
) -> None:
    """List incidents, who has them and what is muted; or acknowledge, mute, unmute, note, mark as a false alarm, accept as normal; or bundle one as a zip."""
    site = config if directory or config else Path("observe.yaml")
    if act is None:
        raise typer.Exit(listed(site, directory, every=every, as_json=as_json))
    if act == "bundle":
        raise typer.Exit(bundle(_named(act, what), output, _folder(site, directory), quiet=quiet))
    raise typer.Exit(run(Act(act.replace("-", "_"), what, span, reason), site, directory, as_json=as_json, quiet=quiet))


def listed(site: Path | None, directory: Path | None, *, every: bool, as_json: bool) -> int:
    """Print incidents, the newest first; without `every` only those that are open.

    Raises:
        UsageError: there is no data directory.
        SourceError: the service owns it and does not answer.
    """
    from observe.app.commanding import MOST

    known = _rows(_folder(site, directory), site)
    rows = [r for r in known if every or r["state"] == "open"]
    if len(known) >= MOST:
        left = (
            f"only {MOST} incidents are looked at, open ones first; all of them: observe sql 'select * from incident'"
        )
        sys.stderr.write(f"{left}\n")
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    if not rows:
        sys.stdout.write("no incident is open\n" if not every else "there were no incidents\n")
    sys.stdout.write("".join(f"{line}\n" for line in map(_line, rows)))
    return 0


def run(act: Act, site: Path | None, directory: Path | None, *, as_json: bool, quiet: bool) -> int:
    """Do it, through the running service.

    Raises:
        UsageError: it cannot be meant, and why.
        QueryError: the token may not do it.
        SourceError: no service runs there, or it does not answer.
    """
    what = _named(act.verb, act.what)
    _complete(act)
    parameters = {"for": act.span} if act.span else {}
    said = {"verb": act.verb, "object": what, "reason": act.reason, "parameters": parameters}
    done = owner(_folder(site, directory)).ask("POST", "/api/v1/commands", said)
    if as_json:
        sys.stdout.write(json.dumps(done) + "\n")
    elif not quiet:
        sys.stderr.write(
            f"{act.verb.replace('_', ' ')} {plain(what)}: written down as {done['command_id']}, acts from now on\n"
        )
    return 0


def _named(verb: str, what: str | None) -> str:
    if not what:
        raise UsageError(f"{verb.replace('_', '-')} what? observe incidents lists them")
    return what


def _complete(act: Act) -> None:
    """Refuse what could not be meant by any service."""
    if act.span is not None and act.verb != "mute":
        raise UsageError("--for is how long to mute; it goes with mute")
    if act.verb in ("mute", "false_alarm") and not act.reason:
        raise UsageError(f"{act.verb.replace('_', '-')} needs --reason: people will ask why they were not told")
    if act.verb == "mute" and act.span is None:
        raise UsageError("mute needs an end: --for 30m, 2h, 3d")


def _folder(site: Path | None, directory: Path | None) -> Path:
    if directory is None:
        from observe.spec import load

        assert site is not None
        directory = load(site).site.store.path
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a directory; the service makes it at its first start: observe up")
    return directory


def _rows(folder: Path, site: Path | None) -> list[dict[str, Any]]:
    """The incidents of a running service, or of a stopped data directory."""
    from observe.app.commanding import incidents as shown
    from observe.clock import WallClock
    from observe.spec import load
    from observe.store import Store

    clock = WallClock()
    try:
        store = Store.open(folder, clock, must_exist=True)
    except StoreLocked:
        return list(owner(folder).ask("GET", "/api/v1/incidents"))
    try:
        rows = shown(store, clock.now(), load(site) if site else None).to_dicts()
    finally:
        store.close()
    return [{k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()} for row in rows]


def _line(row: Mapping[str, Any]) -> str:
    """One incident: sign, id, model, since, what, and who has it."""
    state = row["severity"] if row["state"] == "open" else "resolved"
    hand: Sequence[str] = [
        *([f"{row['taken_by']} has it"] if row["taken_by"] else []),
        *([f"muted until {_minute(row['muted_until'])}"] if row["muted_until"] else []),
    ]
    tail = f"  ({', '.join(hand)})" if hand else ""
    return plain(
        f"{_SIGNS.get(state, '▲')} {state:<8}  {row['incident_id']}  {row['model']}  since {_minute(row['since'])}  {row['summary']}{tail}"
    )


def plain(text: str) -> str:
    r"""Text as a terminal shows it literally: what would steer it, or turn the writing round, becomes �.

    >>> plain("chat\x1b[2J\u202egnp.exe")
    'chat�[2J�gnp.exe'
    """
    return "".join(c if c.isprintable() else "�" for c in text)


def _minute(instant: str) -> str:
    return f"{datetime.fromisoformat(instant):%Y-%m-%d %H:%M} UTC"


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
    from observe.clock import WallClock
    from observe.store import Store

    try:
        store = Store.open(folder, WallClock(), must_exist=True)
    except StoreLocked:
        return owner(folder).fetch(f"/api/v1/incidents/{quote(incident_id, safe='')}/bundle")
    try:
        return made(store, incident_id, store.watermark())
    finally:
        store.close()
