"""The face process: the pages on their own port, gone when its parent is gone.

Source: ARCHITECTURE section 4; prctl(2).
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from dashboards import pages, shell
from dashboards.door import Door
from dashboards.reader import CoreClient
from observe.clock import Clock, WallClock
from observe.errors import UsageError

KEY = "OBSERVE_FACE_KEY"


def application(core: CoreClient, clock: Clock) -> ASGIApp:
    """The whole ASGI application over one core: door, compression, Dash."""
    entries = pages.load()
    app = shell.build(core, clock, entries)
    return Door(GZipMiddleware(app.server, minimum_size=1000, compresslevel=4), core, entries, app.csp_hashes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the parent closes our standard input or dies.

    Raises:
        UsageError: the key is not in the environment, or the address is not HOST:PORT.
    """
    parser = argparse.ArgumentParser(prog="dashboards.face", description="The pages of Observe, over the core's API.")
    parser.add_argument("--core", required=True, help="address of the core, e.g. http://127.0.0.1:8080")
    parser.add_argument("--listen", default="127.0.0.1:8050", help="HOST:PORT")
    given = parser.parse_args(arguments)
    host, _, port = given.listen.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--listen {given.listen!r}: expected HOST:PORT, e.g. 127.0.0.1:8050")
    key = os.environ.pop(KEY, "")
    if not key:
        raise UsageError(f"{KEY} is not set; the core sets it when it starts this process")
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    _serve(application(CoreClient(given.core, key), WallClock()), host, int(port))
    return 0


def _serve(app: ASGIApp, host: str, port: int) -> None:
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )
    server.run()


if __name__ == "__main__":
    sys.exit(main())
