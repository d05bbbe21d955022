"""A backtest as people and programs see it: a bar while it runs, then tables or JSON.

Source: our own; UX.md, "Command line".
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from observe.app.backtest import Backtest
    from observe.app.backtest_change import Change
    from observe.app.backtest_inject import Planted
    from observe.app.backtest_rules import Rule
    from observe.app.backtest_walk import Moved, Past


def beside(
    result: Backtest, past: Past, changes: Sequence[Change], moved: Moved, *, rules: bool
) -> tuple[list[Planted], list[Rule]]:
    """What became of planted changes, and what plain rules say; rules are asked when wanted or something is planted."""
    from observe.app.backtest_inject import plant
    from observe.app.backtest_rules import beside as asked_beside

    plan = result.plan
    planted = [plant(past, change, plan.judged, result.busy(change.feature), moved, plan.stretch) for change in changes]
    told = (
        asked_beside(past, plan.fit, plan.judged, planted, (plan.days, plan.step_s, plan.stretch))
        if rules or changes
        else []
    )
    return planted, told


@contextmanager
def progress(*, quiet: bool, parts: int) -> Iterator[Callable[[float], None]]:
    """A bar on stderr while it is a terminal, else nothing."""
    if quiet or not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("judging the past"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=parts)
        yield lambda share: bar.advance(task, share)


def show(result: Backtest, planted: Sequence[Planted], rules: Sequence[Rule], *, as_json: bool, quiet: bool) -> None:
    """Print a result: JSON, or tables for people."""
    from observe.app import backtest_told as told

    if as_json:
        sys.stdout.write(json.dumps(told.as_json(result, planted, rules), ensure_ascii=False) + "\n")
        return
    from observe.app.backtest import ranked

    if result.alarms:
        heads = ("raised", "what", "since", "effect", "level before → after", "until")
        _print(heads, [told.cells(a) for a in ranked(result.alarms)])
    sys.stdout.write(f"{told.headline(result)}\n")
    if not quiet:
        _print(("feature", "now", ""), told.states(result))
    sys.stdout.writelines(f"{told.trials(p)}\n" for p in planted)
    if rules:
        _rules(result, planted, rules)
    sys.stderr.writelines(f"{line}\n" for line in told.left_out(result))


def _rules(result: Backtest, planted: Sequence[Planted], rules: Sequence[Rule]) -> None:
    from observe.app.backtest_inject import HORIZON
    from observe.app.backtest_rules import tried

    week, trial = 7 / result.days, tried(planted)
    horizon = trial.horizon if trial else HORIZON
    ours = _seen(trial.found, trial.median()[0], horizon) if trial else ("", "")
    rows = [("Observe", f"{len(result.alarms) * week:.3g}", *ours)]
    rows += [(r.name, f"{r.per_30d * 7 / 30:.3g}", *_seen(r.found, r.delay, horizon)) for r in rules]
    _print(("rule", "alarms per week", f"{trial.change}: found" if trial else "", "after" if trial else ""), rows)


def _seen(found: float | None, delay: object, horizon: object) -> tuple[str, str]:
    from observe.app.backtest_told import delay as shown

    return ("", "") if found is None else (f"{found:.0%}", shown(delay, horizon))  # type: ignore[arg-type]


def _print(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from observe.cli import tables

    table = Table(box=None, header_style="bold", pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    tables.show(table)
