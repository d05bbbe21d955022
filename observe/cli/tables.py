"""Tables on stdout: a terminal folds long cells, a pipe gets each row in one line, however wide.

Source: our own; UX.md, "Command line".
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.table import Table

_WIDEST: Final = 1_000_000  # columns of a table that nobody looks at on a terminal
_LEAST: Final = 80


def show(table: Table) -> None:
    """Print a table so that what it holds can be copied from a terminal, and searched in a pipe."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else max(_LEAST, Console(width=_WIDEST).measure(table).maximum)
    Console(highlight=False, width=wide).print(table)
