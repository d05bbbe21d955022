"""`observe up`: run the service in the foreground.

Source: our own.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from observe.spec import Config


def run(site: Path, *, quiet: bool, verbose: bool) -> int:
    """Run until interrupted; 0 when ended by a signal."""
    from observe.lock import refuse_owned
    from observe.spec import load
    from observe.spec.second_looks import in_the_clear

    level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(
        level=level, stream=sys.stderr, format="ts=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
    )
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    config = load(site)
    refuse_owned(config.site.store.path)  # before the rest is loaded: a second start is told at once
    from observe.server import serve

    for warning in (*config.warnings, *(() if quiet else in_the_clear(config))):
        sys.stderr.write(f"warning: {warning}\n")
    serve(config, site=site, on_ready=lambda core: _welcome(core.config, core.new_admin_token))
    return 0


def _welcome(config: Config, token: str | None) -> None:
    """Where to look; a token made at first start is shown this once."""
    server, path = config.site.server, config.site.store.path / "admin.token"
    sys.stderr.write(
        f"dashboards  {server.scheme}://{server.ui}\nAPI         {server.scheme}://{server.listen}\n"
        f"OTLP        {server.scheme}://{server.otlp}\n"
    )
    if token:
        sys.stderr.write(f"admin token {token}   (shown once; also in {path}, readable by you alone)\n")
    sys.stderr.flush()
