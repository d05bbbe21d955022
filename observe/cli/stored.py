"""Commands on stored data: ask it, fill it from files, live through it again, copy it, compare it with what was acknowledged.

Source: our own; UX.md, "Command line".
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from observe.cli.options import Directory, Quiet, Site, site_file


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT; see docs/schema.md for the views.")],
    config: Site = None,
    directory: Directory = None,
    output: Annotated[
        Literal["table", "csv", "json", "parquet"], typer.Option("--format", "-f", help="How to print.")
    ] = "table",
    fresh: Annotated[
        bool, typer.Option("--fresh/--stale", help="Include rows that came within the last seconds.")
    ] = True,
    quiet: Quiet = False,
) -> None:
    """Ask the data anything, also while the service runs."""
    from observe.cli.sql import run

    raise typer.Exit(
        run(query, config if directory else site_file(config), directory, output=output, fresh=fresh, quiet=quiet)
    )


def backup(
    dest: Annotated[Path, typer.Argument(help="A folder that is empty or not there yet.")],
    config: Site = None,
    directory: Directory = None,
    quiet: Quiet = False,
) -> None:
    """Copy the data as it is now into a folder, also while the service runs."""
    from observe.cli.keeping import backup

    raise typer.Exit(backup(dest, config if directory else site_file(config), directory, quiet=quiet))


def restore(
    source: Annotated[Path, typer.Argument(help="A folder that `observe backup` made.")],
    directory: Annotated[Path, typer.Option("--directory", "-d", help="The new data directory: empty or absent.")],
    quiet: Quiet = False,
) -> None:
    """Make a data directory from a backup, after its checksums were compared."""
    from observe.cli.keeping import restore

    raise typer.Exit(restore(source, directory, quiet=quiet))


def verify(
    config: Site = None,
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Say what is missing or changed of what was stored; 0 when nothing is, 1 when something is."""
    from observe.cli.keeping import verify

    raise typer.Exit(verify(config if directory else site_file(config), directory, as_json=as_json, quiet=quiet))


def import_(  # noqa: PLR0913, PLR0917 - a command's options
    files: Annotated[list[str], typer.Argument(help="Parquet, CSV or NDJSON files, .gz too, and patterns.")],
    kind: Annotated[
        Literal["predictions", "attempts", "gpu", "labels", "events"], typer.Option("--as", help="What the rows are.")
    ],
    model: Annotated[str, typer.Option("--model", help="The model they belong to.")] = "",
    source: Annotated[str, typer.Option("--source", help="Name the rows are stored under.")] = "",
    config: Site = None,
    directory: Annotated[Path | None, typer.Option("--directory", "-d", help="A data directory.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="What became of the rows as JSON on stdout.")] = False,
    quiet: Quiet = False,
) -> None:
    """Store files of the past; run again, it goes on where it was and stores nothing twice."""
    from observe.cli.importing import run

    site = config if directory else site_file(config)
    raise typer.Exit(run(files, (kind, model, source), site, directory, as_json=as_json, quiet=quiet))


def replay(  # noqa: PLR0913, PLR0917 - a command's options
    start: Annotated[str, typer.Option("--from", help="Begin of event time, e.g. 2026-01-01 or an ISO instant.")],
    end: Annotated[str, typer.Option("--to", help="End of event time.")],
    config: Site = None,
    directory: Annotated[
        Path | None, typer.Option("--directory", "-d", help="A stopped data directory, or a backup.")
    ] = None,
    into: Annotated[Path | None, typer.Option("--into", help="Keep what was found in this new data directory.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="What was found as JSON on stdout.")] = False,
    quiet: Quiet = False,
) -> None:
    """Live through stored event time again, as fast as it computes: what would have been found?"""
    from observe.cli.replay import run

    raise typer.Exit(run((start, end), site_file(config), directory, into, as_json=as_json, quiet=quiet))
