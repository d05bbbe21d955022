"""`observe actions`: what waits for somebody's word, what was done, did it help; and to give that word.

Source: our own; docs/actions.md. The Actions page shows the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from observe.cli import directory as at
from observe.cli.directory import minute
from observe.cli.options import Directory, Quiet, Site, site_file
from observe.errors import UsageError

if TYPE_CHECKING:
    from observe.store import Store

_SIGNS: Final[Mapping[str, str]] = {"succeeded": "●", "failed": "■", "proposed": "▲"}
_VERBS: Final[Mapping[str, str]] = {"approve": "approve", "deny": "deny", "close-breaker": "close_breaker"}
_QUIET: Final = "nothing waits and nothing is under way"
_TEXTS: Final = ("parameters", "receipt", "outcome")


def actions(  # noqa: PLR0913, PLR0917 - a command's options
    act: Annotated[
        Literal["approve", "deny", "show", "close-breaker"] | None,
        typer.Argument(help="What to do; without it, actions are listed."),
    ] = None,
    what: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="An action, or its beginning; a breaker is MODEL/KIND.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; needed to deny and to close a breaker.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List those that are over, too.")] = False,
    config: Site = None,
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
    quiet: Quiet = False,
) -> None:
    """List actions, or show, approve, deny one; close a circuit breaker."""
    folder = at.folder(site_file(config), directory)
    if act is None:
        raise typer.Exit(listed(folder, every=every, as_json=as_json))
    if not what:
        raise UsageError(f"{act} what? observe actions lists them")
    if act == "show":
        raise typer.Exit(shown(folder, what, as_json=as_json))
    raise typer.Exit(decided(folder, (_VERBS[act], what, reason), as_json=as_json, quiet=quiet))


def listed(folder: Path, *, every: bool, as_json: bool) -> int:
    """Print actions, those that wait for somebody first; without `every` only those that are not over.

    Raises:
        SourceError: the service owns the directory and does not answer.
    """
    rows = [r for r in _rows(folder) if every or r["state"] in ("proposed", "approved", "sent", "acknowledged")]
    return at.printed(rows, _line, "there were no actions" if every else _QUIET, as_json=as_json)


def shown(folder: Path, what: str, *, as_json: bool) -> int:
    """Print one action: what, why, what it costs, how it stands, what became of it.

    Raises:
        UsageError: no action, or several, go by that name.
    """
    found = [r for r in _rows(folder) if r["action_id"].startswith(what)]
    if len(found) != 1:
        raise UsageError(f"{len(found) or 'no'} actions begin with {what!r}; observe actions --all lists them")
    if as_json:
        sys.stdout.write(json.dumps(found[0], indent=2) + "\n")
        return 0
    for name, value in _facts(found[0]):
        sys.stdout.write(f"{name:<10} {value}\n")
    return 0


def decided(folder: Path, said: tuple[str, str, str | None], *, as_json: bool, quiet: bool) -> int:
    """Give one's word, through the running service.

    Raises:
        UsageError: it cannot be meant, and why.
        QueryError: the token may not do it.
        SourceError: no service runs there, or it does not answer.
    """
    verb, what, reason = said
    if verb != "approve" and not reason:
        raise UsageError(f"{verb.replace('_', '-')} needs --reason: people will ask why")
    command = {"verb": verb, "object": what, "reason": reason}
    return at.said(
        folder, command, lambda i: f"{verb.replace('_', ' ')} {what}: written down as {i}", as_json=as_json, quiet=quiet
    )


def _rows(folder: Path) -> list[dict[str, Any]]:
    """The actions of a running service, or of a stopped data directory."""
    return at.rows(folder, "/api/v1/actions", _stored)


def _stored(store: Store) -> Iterator[dict[str, Any]]:
    for row in store.read("select * from action order by state <> 'proposed', changed_at desc").to_dicts():
        yield {k: json.loads(v) if k in _TEXTS and v else v for k, v in row.items()}


def _line(row: Mapping[str, Any]) -> str:
    """One action: sign, id, state, what would be done, and what stands in the way or became of it."""
    tail = (
        (row["outcome"] or {}).get("text")
        or row["error"]
        or (f"until {minute(row['expires_at'])}" if row["state"] == "proposed" else "")
    )
    mode = "  dry run" if row["mode"] == "dry_run" else ""
    return f"{_SIGNS.get(row['state'], '◌')} {row['state']:<12}  {row['action_id'][:12]}  {row['model']}  {_what(row)}{mode}  {tail}".rstrip()


def _what(row: Mapping[str, Any]) -> str:
    told = row["parameters"]
    step = f" {told['from']} → {told['to']}" if {"from", "to"} <= told.keys() else ""
    return f"{row['kind']} {row['target']}{step}"


def _facts(row: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    told = row["parameters"]
    cost = told.get("usd_per_h")
    receipt = row["receipt"] or {}
    facts = [
        ("action", row["action_id"]), ("does", _what(row)), ("model", row["model"]), ("incident", row["incident_id"]),
        ("why", row["reason"]), ("mode", "dry run: nothing is sent" if row["mode"] == "dry_run" else row["mode"]),
        ("state", f"{row['state']} since {minute(row['changed_at'])}"), ("costs", f"{cost:+.2f} USD/h" if cost else ""),
        ("envelope", f"{told['min']} to {told['max']} replicas" if {"min", "max"} <= told.keys() else ""),
        ("learns", (told.get("training") or {}).get("text") or ""), ("by", row["approved_by"] or ""), ("tries", str(row["attempts"] or "")), ("error", row["error"] or ""),
        ("receipt", " · ".join(str(receipt[k]) for k in ("text", "remote_id", "url") if receipt.get(k))),
        ("outcome", (row["outcome"] or {}).get("text") or ""), ("expires", minute(row["expires_at"]) if row["state"] == "proposed" else ""),
    ]  # fmt: skip
    return [(name, value) for name, value in facts if value]
