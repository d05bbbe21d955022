"""The face process: the pages on their own port, gone when its parent is gone.

With a certificate it serves HTTPS, and knows the core by the same certificate.

Source: ARCHITECTURE section 4; prctl(2).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from dashboards import pages, shell
from dashboards.door import Door
from dashboards.reader import CoreClient
from observe.certificates import HSTS, Own, Served
from observe.clock import Clock, WallClock
from observe.errors import UsageError

if TYPE_CHECKING:
    import uvicorn

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
        ConfigError: the certificate cannot be used.
    """
    parser = argparse.ArgumentParser(prog="dashboards.face", description="The pages of Observe, over the core's API.")
    parser.add_argument("--core", required=True, help="address of the core, e.g. http://127.0.0.1:8080")
    parser.add_argument("--listen", default="127.0.0.1:8050", help="HOST:PORT")
    parser.add_argument("--cert", type=Path, help="PEM; the core's certificate, which the pages show too")
    parser.add_argument("--key", type=Path, help="PEM; its key")
    parser.add_argument("--ca", type=Path, help="PEM; who signed it, when that is not a public authority")
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
    shown = Served(given.cert, given.key) if given.cert else None
    core = CoreClient(given.core, key, own=Own(given.cert, given.ca) if given.cert else None)
    _serve(application(core, WallClock()), host, int(port), shown)
    return 0


def _serve(app: ASGIApp, host: str, port: int, shown: Served | None) -> None:
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
            ssl_context_factory=(lambda *_: shown.context) if shown else None,
            headers=[HSTS] if shown else None,
        )
    )
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(_both(server, shown))


async def _both(server: uvicorn.Server, shown: Served | None) -> None:
    renewing = asyncio.create_task(shown.follow()) if shown else None
    await server.serve()
    if renewing:
        renewing.cancel()


if __name__ == "__main__":
    sys.exit(main())
