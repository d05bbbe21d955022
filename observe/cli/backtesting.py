"""`observe backtest` and its options: the past judged by detectors, or recorded requests by a scaling policy.

Source: our own; UX.md, "Command line".
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from observe.cli.options import Directory, Quiet, Site


def command(  # noqa: PLR0913, PLR0917 - a command's options
    what: Annotated[
        str | None, typer.Argument(metavar="[FILE|MODEL]", help="A table, or a model of the store; all models without.")
    ] = None,
    time: Annotated[str | None, typer.Option("--time", help="Of a table: the column with instants.")] = None,
    features: Annotated[str | None, typer.Option("--features", help="Columns to watch, a,b; else all.")] = None,
    fit: Annotated[str | None, typer.Option("--fit", help="How long to learn first.  [default: 28d]")] = None,
    window: Annotated[str | None, typer.Option("--window", help="Of a table: one judgement.  [default: 1h]")] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="False alarms allowed.  [default: 1 per 30d]")] = None,
    min_effect: Annotated[
        str | None, typer.Option("--min-effect", help="What would matter: 0.1σ, 5%, 2pp.  [default: 0.1σ]")
    ] = None,
    inject: Annotated[
        list[str] | None, typer.Option("--inject", help="Plant a change: shift=10%@feature, missing=2pp@feature.")
    ] = None,
    cadence: Annotated[
        Literal["rows", "series"] | None,
        typer.Option("--as", help="Many rows a window, or one value; else by its looks."),
    ] = None,
    accept: Annotated[
        str | None, typer.Option("--accept", help="Take the level of an alarm as normal so long after it.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="Of the store: how far back, e.g. 90d.")] = None,
    rules: Annotated[bool, typer.Option("--rules", help="Ask plain rules beside it; implied by --inject.")] = False,
    policy: Annotated[
        Literal["scaling", "retraining"] | None,
        typer.Option(
            "--policy",
            help="Of recorded requests: what sizes would cost and lose; or of a table with its truth, what training again would gain.",
        ),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", help="Of --policy: ttft=2s, max=20, coldStart=3m, ...; label=late, delay=1d, ..."),
    ] = None,
    config: Site = None,
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="What was found as JSON on stdout.")] = False,
    quiet: Quiet = False,
) -> None:
    """Judge the past: how many alarms against the budget, and how soon would a change be found?"""
    from observe.cli.backtest import Asked, run
    from observe.cli.backtest_asked import refuse_unused

    asked = Asked(time, features, fit, window, budget, min_effect, tuple(inject or ()), cadence, accept, since, rules)
    refuse_unused(policy, asked, given or ())
    if policy == "scaling":
        from observe.cli.backtest_scaling import run as sized

        raise typer.Exit(sized(what, given or (), as_json=as_json, quiet=quiet))
    if policy == "retraining":
        from observe.cli.backtest_retraining import run as trained

        raise typer.Exit(trained(what, asked, given or (), as_json=as_json))
    raise typer.Exit(run(what, asked, config, directory, as_json=as_json, quiet=quiet))
