"""`observe backtest`: what would have been found in the past, how soon, and against which budget?

With a table of any kind it needs no service; with a model it reads what the store has summarised.

Source: our own; UX.md, "Command line".
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from observe.cli.backtest_asked import Asked, options
from observe.cli.backtest_shown import beside, progress, show
from observe.errors import UsageError

__all__ = ["Asked", "run"]

TABLES: Final = (".parquet", ".pq", ".csv", ".tsv", ".gz", ".ndjson", ".jsonl", ".json", ".arrow", ".feather", ".ipc")


def run(
    what: str | None, asked: Asked, site: Path | None, directory: Path | None, *, as_json: bool, quiet: bool
) -> int:
    """Backtest a table or what is stored; print what was found.

    Raises:
        UsageError: an option makes no sense, or the past is too short for it.
    """
    if what is not None and (asked.time is not None or Path(what).suffix.lower() in TABLES or Path(what).is_file()):
        if directory is not None:
            raise UsageError(f"--directory is for stored history; {what} is a table")
        return _table(Path(what), asked, as_json=as_json, quiet=quiet)
    from observe.cli.backtest_store import run as stored

    return stored(what, asked, site, directory, as_json=as_json, quiet=quiet)


def _table(path: Path, asked: Asked, *, as_json: bool, quiet: bool) -> int:
    from observe.app.backtest import backtest
    from observe.app.backtest_change import parse
    from observe.app.backtest_table import read

    if asked.time is None:
        raise UsageError(f"--time is missing: which column of {path} is the time?")
    if asked.since is not None:
        raise UsageError("--since is for stored history; a table is judged from its first --fit on")
    given = options(asked)
    features = [name for f in (asked.features or "").split(",") if (name := f.strip())]
    table = read(path, asked.time, features)
    changes = [parse(text, table.kinds) for text in asked.inject]
    with progress(quiet=quiet, parts=1 + len(changes)) as moved:
        result, past = backtest(table, given, moved)
        planted, rules = beside(result, past, changes, moved, rules=asked.rules)
    show(result, planted, rules, as_json=as_json, quiet=quiet)
    return 0
