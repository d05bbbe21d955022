"""`observe up`: run the service in the foreground.

Source: our own.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path


def run(site: Path, *, quiet: bool, verbose: bool) -> int:
    """Run until interrupted; 0 when ended by a signal."""
    from observe.server import serve
    from observe.spec import load

    level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(
        level=level, stream=sys.stderr, format="ts=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
    )
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    config = load(site)
    for warning in config.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    serve(config)
    return 0
