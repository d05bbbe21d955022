"""`observe incidents`: what is open, who has it, what is muted; and to say so.

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
        Literal["acknowledge", "mute", "unmute", "note", "false-alarm"] | None,
        typer.Argument(help="What to do; without it, incidents are listed."),
    ] = None,
    what: Annotated[
        str | None, typer.Argument(metavar="[WHAT]", help="An incident; to mute also an alert, monitor, model, or '*'.")
    ] = None,
    span: Annotated[str | None, typer.Option("--for", help="How long to mute: 30m, 2h, 3d.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; needed to mute, and for a false alarm.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List those that are over, too.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Site configuration.", envvar="OBSERVE_CONFIG")
    ] = None,
    directory: Annotated[Path | None, typer.Option("--directory", "-d", help="A data directory.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors on stderr.")] = False,
) -> None:
    """List incidents, who has them and what is muted; or acknowledge, mute, unmute, note, mark as a false alarm."""
    site = config if directory or config else Path("observe.yaml")
    if act is None:
        raise typer.Exit(listed(site, directory, every=every, as_json=as_json))
    raise typer.Exit(run(Act(act.replace("-", "_"), what, span, reason), site, directory, as_json=as_json, quiet=quiet))


def listed(site: Path | None, directory: Path | None, *, every: bool, as_json: bool) -> int:
    """Print incidents, the newest first; without `every` only those that are open.

    Raises:
        UsageError: there is no data directory.
        SourceError: the service owns it and does not answer.
    """
    rows = [r for r in _rows(_folder(site, directory)) if every or r["state"] == "open"]
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
    if not act.what:
        raise UsageError(f"{act.verb.replace('_', '-')} what? observe incidents lists them")
    if act.span is not None and act.verb != "mute":
        raise UsageError("--for is how long to mute; it goes with mute")
    parameters = {"for": act.span} if act.span else {}
    said = {"verb": act.verb, "object": act.what, "reason": act.reason, "parameters": parameters}
    done = owner(_folder(site, directory)).ask("POST", "/api/v1/commands", said)
    if as_json:
        sys.stdout.write(json.dumps(done) + "\n")
    elif not quiet:
        sys.stderr.write(
            f"{act.verb.replace('_', ' ')} {act.what}: written down as {done['command_id']}, acts from now on\n"
        )
    return 0


def _folder(site: Path | None, directory: Path | None) -> Path:
    if directory is None:
        from observe.spec import load

        assert site is not None
        directory = load(site).site.store.path
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a directory; the service makes it at its first start: observe up")
    return directory


def _rows(folder: Path) -> list[dict[str, Any]]:
    """The incidents of a running service, or of a stopped data directory."""
    from observe.app.commanding import SHOWN
    from observe.clock import WallClock
    from observe.store import Store

    try:
        store = Store.open(folder, WallClock(), must_exist=True)
    except StoreLocked:
        return list(owner(folder).ask("GET", "/api/v1/incidents"))
    try:
        rows = store.read(SHOWN).to_dicts()
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
    return f"{_SIGNS.get(state, '▲')} {state:<8}  {row['incident_id']}  {row['model']}  since {_minute(row['since'])}  {row['summary']}{tail}"


def _minute(instant: str) -> str:
    return f"{datetime.fromisoformat(instant):%Y-%m-%d %H:%M} UTC"
