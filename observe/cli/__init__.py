"""The command line: stdout is data, stderr is talk, exit codes mean something.

Exit codes: 0 fine, 1 something asked for was not found, 2 bad usage or configuration, 3 source
unreachable, 4 internal, 130 interrupted.

Source: UX.md, "Command line"; clig.dev for the habits.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="observe", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Watch an AI platform: GPUs, gateway traffic and predictions in one DuckDB, alerts inside a declared false-alarm budget.",
)  # fmt: skip

Site = Annotated[Path | None, typer.Option("--config", "-c", help="Site configuration.", envvar="OBSERVE_CONFIG")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors on stderr.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")]


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End as soon as both planted incidents are found.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
    quiet: Quiet = False,
    seconds: Annotated[
        float, typer.Option("--seconds", help="With --once: give up after this long.", min=5, max=600)
    ] = 120.0,
) -> None:
    """Run an offline AI platform with two planted incidents, and watch it."""
    from observe.cli.demo import run

    raise typer.Exit(run(once=once, as_json=as_json, quiet=quiet, seconds=seconds))


@app.command()
def up(config: Site = None, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Run the service: collectors, detectors, alerts, dashboards."""
    from observe.cli.up import run

    raise typer.Exit(run(_site(config), quiet=quiet, verbose=verbose))


@app.command()
def check(
    files: Annotated[list[Path] | None, typer.Argument(help="Model files; without any, those the site names.")] = None,
    config: Site = None,
    as_json: Annotated[bool, typer.Option("--json", help="The effective configuration as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Validate configuration and show what is in effect, with the origin of every default."""
    from observe.cli.check import run

    site = config if config or files else _site(config)
    raise typer.Exit(run(files or [], site, as_json=as_json, quiet=quiet))


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT; see docs/schema.md for the views.")],
    config: Site = None,
    directory: Annotated[
        Path | None, typer.Option("--directory", "-d", help="A data directory, of a running or stopped service.")
    ] = None,
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
        run(query, config if directory else _site(config), directory, output=output, fresh=fresh, quiet=quiet)
    )


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    typer.echo(installed("observe"))


def _site(config: Path | None) -> Path:
    return config or Path("observe.yaml")


def main() -> None:
    """Run a command; errors meant for people are printed without a traceback."""
    from observe.errors import ObserveError

    os.environ.setdefault("DO_NOT_TRACK", "1")
    try:
        app(standalone_mode=True)
    except ObserveError as error:
        for one in getattr(error, "errors", (error,)):  # a broken configuration has several
            typer.echo(f"error: {one}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
