"""`observe check`: is the configuration right, and what does it come to?

Source: our own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path


def run(files: Sequence[Path], site: Path | None, *, as_json: bool, quiet: bool) -> int:
    """Print the effective configuration with origins; errors say file:line:col and exit with 2."""
    from observe.spec import check
    from observe.spec.explain import as_json as effective
    from observe.spec.explain import render

    config = check(files, site)
    if as_json or quiet:
        for warning in config.warnings:
            sys.stderr.write(f"warning: {warning}\n")
    if as_json:
        sys.stdout.write(json.dumps(effective(config), indent=2) + "\n")
    elif not quiet:
        sys.stdout.write(render(config).rstrip() + "\n")
    return 0
