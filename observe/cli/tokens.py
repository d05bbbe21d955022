"""`observe tokens`: who may come in; and to let somebody in, change a secret, shut somebody out.

Through the running service, with an admin's token; of a stopped one in its data directory, for whoever may write
that directory may do anything with it. A secret is all that stdout gets: it can be piped where it belongs.

Source: our own; TRUST section 2.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from observe.cli.directory import folder, opened, owned
from observe.cli.options import Directory, Quiet, Site, site_file
from observe.cli.service import owner
from observe.errors import StoreLocked, UsageError

if TYPE_CHECKING:
    from observe.app.tokens import Tokens
    from observe.credentials import Credential
    from observe.store import Store

_HEAD: Final = ("name", "role", "sql", "made", "ends", "last used", "logged in")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to do with whose token."""

    act: Literal["create", "rotate", "revoke"]
    name: str
    role: str | None
    sql: bool
    span: str | None
    reason: str | None


def tokens(  # noqa: PLR0913, PLR0917 - a command's options
    act: Annotated[
        Literal["create", "rotate", "revoke"] | None,
        typer.Argument(help="What to do; without it, tokens are listed."),
    ] = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Whose token.")] = None,
    role: Annotated[
        Literal["viewer", "ingest", "operator", "admin"] | None,
        typer.Option("--role", help="To create: what it may do."),
    ] = None,
    sql: Annotated[bool, typer.Option("--sql", help="To create: it may ask SQL, too.")] = False,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="90d", help="To create: how long it is valid; else for ever.")
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option("--grace", metavar="1h", help="To rotate: how long the old secret stays valid; else it ends now."),
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept with who did it.")] = None,
    config: Site = None,
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
    quiet: Quiet = False,
) -> None:
    """List tokens; create one, rotate its secret, or revoke it."""
    where = folder(site_file(config), directory)
    if act is None:
        raise typer.Exit(listed(where, as_json=as_json))
    if not name:
        raise UsageError(f"{act} whose token? observe tokens lists them")
    _refuse_strays(act, {"--role": role, "--sql": sql, "--expires": expires}, grace)
    span = expires if act == "create" else grace
    raise typer.Exit(done(where, Wanted(act, name, role, sql, span, reason), as_json=as_json, quiet=quiet))


def listed(where: Path, *, as_json: bool) -> int:
    """Print tokens, their roles, and when they were last used.

    Raises:
        SourceError: the service owns the directory and does not answer.
        QueryError: the token may not ask.
    """
    rows = _through(
        where,
        lambda service: list(service("GET", "/api/v1/tokens", None)),
        lambda stored: [{k: _plain(v) for k, v in asdict(row).items()} for row in stored.listed()],
        opened,
    )
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    if not rows:
        sys.stdout.write("there are no tokens yet; the service makes the admin's at its first start\n")
        return 0
    table = [_HEAD, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(_HEAD))]
    for line in table:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")
    return 0


def done(where: Path, wanted: Wanted, *, as_json: bool, quiet: bool) -> int:
    """Create, rotate or revoke; the secret goes to stdout, what was done to stderr.

    Raises:
        UsageError: it cannot be done, and why.
        QueryError: the token may not do it.
        SourceError: the service owns the directory and does not answer.
    """
    told = _through(where, lambda ask: _asked(ask, wanted), lambda stored: _stored(stored, wanted), owned)
    if as_json:
        sys.stdout.write(json.dumps(told) + "\n")
    elif "token" in told:
        sys.stdout.write(f"{told['token']}\n")
    if not quiet:
        sys.stderr.write(f"{_said(wanted, told)}\n")
    return 0


Asking = Callable[[str, str, Mapping[str, Any] | None], Any]


def _asked(ask: Asking, wanted: Wanted) -> Mapping[str, Any]:
    """What the running service says."""
    path = {"create": "/api/v1/tokens", "rotate": "/api/v1/tokens/rotate", "revoke": "/api/v1/tokens/revoke"}
    body = {"name": wanted.name, "reason": wanted.reason}
    if wanted.act == "create":
        body |= {"role": wanted.role or "", "expires": wanted.span}
        return dict(ask("POST", path["create"], {**body, "sql": wanted.sql}))
    return dict(ask("POST", path[wanted.act], {**body, "grace": wanted.span}))


def _stored(stored: Tokens, wanted: Wanted) -> Mapping[str, Any]:
    """The same in a directory that no service owns."""
    from observe.access import Principal

    who = Principal("local", "admin")  # whoever may write the directory may do anything with it
    if wanted.act == "create":
        return _made(*stored.make(who, wanted.name, wanted.role or "", sql=wanted.sql, expires=wanted.span))
    if wanted.act == "rotate":
        return _made(*stored.rotate(who, wanted.name, wanted.span, wanted.reason))
    return {"name": wanted.name, "ended": stored.revoke(who, wanted.name, wanted.reason)}


def _made(secret: str, kept: Credential) -> Mapping[str, Any]:
    told = {"token": secret, "name": kept.name, "role": kept.role, "sql": kept.sql}
    return {**told, "expires_at": _plain(kept.expires_at)}


def _through(
    where: Path,
    running: Callable[[Asking], Any],
    stopped: Callable[[Tokens], Any],
    store_of: Callable[[Path], AbstractContextManager[Store]],
) -> Any:
    """What the service that owns the directory says, or the directory when none does."""
    from observe.access import Access
    from observe.app.tokens import StoredTokens, Tokens
    from observe.clock import WallClock

    try:
        with store_of(where) as store:
            return stopped(Tokens(store, Access(StoredTokens(store)), WallClock()))
    except StoreLocked:
        return running(owner(where).ask)


def _refuse_strays(act: str, creating: Mapping[str, object], grace: str | None) -> None:
    """An option that another act takes is a slip, and nobody would see that it did nothing."""
    stray = [option for option, value in creating.items() if value and act != "create"]
    stray += ["--grace"] if grace and act != "rotate" else []
    if stray:
        raise UsageError(f"{act} takes no {stray[0]}")
    if act == "create" and not creating["--role"]:
        raise UsageError("what may it do? --role viewer | ingest | operator | admin; --sql lets it ask SQL, too")


def _said(wanted: Wanted, told: Mapping[str, Any]) -> str:
    """What was done, for people."""
    if wanted.act == "revoke":
        n = told["ended"]
        return f"{wanted.name}: revoked, {n} token{'s' if n > 1 else ''} and sessions of it ended"
    ends = f", until {_minute(told['expires_at'])}" if told["expires_at"] else ""
    sql = " and sql" if told["sql"] else ""
    old = (
        f"; the old secret stays valid for {wanted.span}" if wanted.span else "; the old secret opens nothing any more"
    )
    return f"{wanted.name}: {told['role']}{sql}{ends}; shown once{old if wanted.act == 'rotate' else ''}"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    own = " (server.token)" if row["origin"] == "site" else ""
    return (
        _text(row["name"]) + own, row["role"], "yes" if row["sql"] else "–", _minute(row["created_at"]),
        _minute(row["expires_at"]) if row["expires_at"] else "never",
        _minute(row["last_used_at"]) if row["last_used_at"] else "–", str(row["sessions"] or "–"),
    )  # fmt: skip


def _text(name: str) -> str:
    """A name as it may stand on a terminal."""
    return "".join(c if c.isprintable() else "?" for c in name)


def _minute(instant: str) -> str:
    return f"{datetime.fromisoformat(instant):%Y-%m-%d %H:%M}"


def _plain(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
