"""Options that several commands share, and the site file that is meant when none is named.

Source: our own; UX.md, "Command line".
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Site = Annotated[Path | None, typer.Option("--config", "-c", help="Site configuration.", envvar="OBSERVE_CONFIG")]
Directory = Annotated[
    Path | None,
    typer.Option("--directory", "-d", help="A data directory, of a running or stopped service, or a backup."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors on stderr.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")]


def site_file(config: Path | None) -> Path:
    """The site's file: the one that was named, else `observe.yaml` beside us."""
    return config or Path("observe.yaml")
