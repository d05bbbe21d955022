"""The command line: stdout is data, stderr is talk, exit codes mean something.

Exit codes: 0 fine, 1 something asked for was not found, 2 bad usage or configuration, 3 source
unreachable, 4 internal, 130 interrupted.

Source: UX.md, "Command line"; clig.dev for the habits.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final, Literal, cast

import typer

from observe.cli import backtesting, keda, rules, stored
from observe.cli.actions import actions
from observe.cli.incidents import incidents
from observe.cli.options import Directory, Quiet, Site, Verbose, site_file
from observe.cli.tokens import tokens

app = typer.Typer(
    name="observe", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)

_MISUSES: Final = cast("tuple[type[typer.BadParameter], ...]", typer.BadParameter.__bases__)  # what was typed wrong


def _versioned(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def observe(
    shown: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_versioned)
    ] = False,
) -> None:
    """Watch an AI platform: GPUs, gateway traffic and predictions in one DuckDB, alerts inside a declared false-alarm budget."""


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

    raise typer.Exit(run(site_file(config), quiet=quiet, verbose=verbose))


@app.command()
def check(
    files: Annotated[list[Path] | None, typer.Argument(help="Model files; without any, those the site names.")] = None,
    config: Site = None,
    live: Annotated[
        bool, typer.Option("--live", help="Try every target, receiver, file and address it names.")
    ] = False,
    test: Annotated[
        str | None,
        typer.Option("--test", metavar="NAME", help="Send a message that says it is a test to this receiver, or all."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The effective configuration as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Validate configuration and show what is in effect, with the origin of every default."""
    from observe.cli.check import run

    site = config if config or files else site_file(config)
    raise typer.Exit(run(files or [], site, as_json=as_json, quiet=quiet, live=live, test=test))


app.command()(stored.sql)


@app.command()
def plan(
    gpus: Annotated[int, typer.Option("--gpus", help="GPUs and MIG instances, sampled every 15 s.", min=0)] = 1000,
    requests_per_s: Annotated[float, typer.Option("--requests-per-s", help="Model calls a second.", min=0)] = 500,
    predictions_per_s: Annotated[
        float, typer.Option("--predictions-per-s", help="Predictions a second.", min=0)
    ] = 2000,
    features: Annotated[int, typer.Option("--features", help="Features of a prediction.", min=0, max=500)] = 60,
    days: Annotated[
        float | None, typer.Option("--days", help="Days raw rows are kept; default store.retain's.", min=0)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The plan as JSON.")] = False,
) -> None:
    """Say how much disk, memory and processor time a load asks for."""
    from observe.cli.plan import Load, run

    raise typer.Exit(run(Load(gpus, requests_per_s, predictions_per_s, features), days, as_json=as_json))


app.command()(stored.backup)
app.command()(stored.restore)
app.command()(stored.verify)


@app.command()
def init(
    folder: Annotated[Path | None, typer.Argument(help="Where to write observe.yaml and models/*.yaml.")] = None,
    from_traffic: Annotated[
        bool, typer.Option("--from-traffic", help="Propose files from what the data has seen.")
    ] = False,
    config: Site = None,
    directory: Directory = None,
    quiet: Quiet = False,
) -> None:
    """Write a commented configuration to begin with; never overwrites."""
    from observe.cli.init import run

    raise typer.Exit(run(folder, from_traffic=from_traffic, data=directory, site=config, quiet=quiet))


@app.command()
def schema(
    kind: Annotated[
        str | None, typer.Argument(help="site, monitoring or modelspec; without one, a schema of all.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="A folder to write the schemas into.")] = None,
) -> None:
    """Print the JSON Schema of configuration files, for editors."""
    from observe.cli.schema import run

    raise typer.Exit(run(kind, out))


app.command("import")(stored.import_)
app.command()(stored.replay)
app.command("backtest")(backtesting.command)


@app.command()
def agent(  # noqa: PLR0913, PLR0917 - a command's options
    listen: Annotated[
        str | None, typer.Option("--listen", help="Show GET /metrics here; 127.0.0.1:9400 unless pages are pushed.")
    ] = None,
    push: Annotated[
        str | None, typer.Option("--push", help="Address of the service, http://host:8080; needs --spool.")
    ] = None,
    token: Annotated[
        str | None, typer.Option("--token", help="env:NAME or file:PATH; presented to the service, asked of scrapers.")
    ] = None,
    spool: Annotated[
        Path | None, typer.Option("--spool", help="A folder where pages wait while the service is away.")
    ] = None,
    every: Annotated[str, typer.Option("--every", help="How often the GPUs are asked.")] = "15s",
    node: Annotated[
        str | None, typer.Option("--node", help="What the node is called; its host name when not given.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", help="The cluster it belongs to; told with pages that are pushed.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option("--ca", help="Authorities (PEM) to believe at --push https://…, not the system's.")
    ] = None,
) -> None:
    """Ask the GPUs of this node through NVML; show them to scrapers, or push them to the service."""
    from observe.cli.agent import Options, run

    raise typer.Exit(run(Options(listen, push, token, spool, every, node, cluster, ca)))


@app.command()
def doctor(
    config: Site = None,
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything that was looked at as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Say what is wrong, doubtful or unknown: service, disk, sources, pipeline, what is sent; 1 when something is wrong."""
    from observe.cli.doctor import run

    raise typer.Exit(run(config if directory else site_file(config), directory, as_json=as_json, quiet=quiet))


@app.command()
def report(  # noqa: PLR0913, PLR0917 - a command's options
    model: Annotated[str | None, typer.Argument(help="The model it is about.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file.html, .md or .json; else stdout.")
    ] = None,
    form: Annotated[
        Literal["html", "json", "md"] | None, typer.Option("--format", "-f", help="How to write it.")
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help="Begin of the period, e.g. 2026-01-01.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of the period; now when not given.")] = None,
    last: Annotated[str | None, typer.Option("--last", help="How long a period up to its end; 7d.")] = None,
    evidently: Annotated[bool, typer.Option("--evidently/--no-evidently", help="Attach Evidently's report.")] = True,
    kept: Annotated[bool, typer.Option("--list", help="Show the reports that are kept.")] = False,
    config: Site = None,
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
    quiet: Quiet = False,
) -> None:
    """Make a model's drift report: verdict and findings first, then Evidently's opinion of a sample."""
    from observe.cli.report import Options, listed, run

    site = config if directory else site_file(config)
    if kept:
        raise typer.Exit(listed(model, site, directory, as_json=as_json))
    asked = Options(model, output, form, (start, end, last), evidently, as_json, quiet)
    raise typer.Exit(run(asked, site, directory))


@app.command()
def compare(  # noqa: PLR0913, PLR0917 - a command's options
    reference: Annotated[str, typer.Argument(metavar="REF", help="What was normal: Parquet, CSV, NDJSON or Arrow.")],
    current: Annotated[str, typer.Argument(metavar="CUR", help="What is to be judged, in any of these formats.")],
    min_effect: Annotated[
        list[str] | None,
        typer.Option("--min-effect", help="What matters: '0.1 sigma', '5 %' of the median, '2 pp'; repeatable."),
    ] = None,
    features: Annotated[str | None, typer.Option("--features", help="Only these columns: a,b.")] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="Column of event time, where rows depend on their neighbours.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a self-contained page here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The comparison as JSON on stdout.")] = False,
    fail_on: Annotated[
        Literal["drift"] | None, typer.Option("--fail-on", help="Exit 1 when something drifted.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Compare two files exactly: what drifted, by how much, how surely; no service needed."""
    from observe.cli.compare import Options, run

    options = Options(min_effect or (), features, time, html, as_json, fail_on == "drift", quiet)
    raise typer.Exit(run(reference, current, options))


app.command()(incidents)
app.command()(actions)
app.command()(tokens)
app.command("rules")(rules.command)
app.command("keda")(keda.command)


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    typer.echo(installed("observe"))


def main() -> None:
    """Run a command; errors meant for people are printed without a traceback."""
    from observe.cli.misuse import said
    from observe.errors import ObserveError

    os.environ.setdefault("DO_NOT_TRACK", "1")
    try:
        sys.exit(app(prog_name="observe", standalone_mode=False))
    except _MISUSES as error:
        typer.echo(said(error), err=True)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(1)
    except ObserveError as error:
        told = [f"error: {one}" for one in getattr(error, "errors", (error,))]  # a broken configuration has several
        typer.echo("\n\n".join(told), err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
