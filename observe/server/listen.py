"""Two listeners in one event loop: the API and intake, and the OTLP routes.

Source: uvicorn's Server; our own signal handling, because both must end together.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette

from observe.access import refuse_open_bind
from observe.app.core import Core
from observe.server.routes import api_routes, otlp_routes
from observe.server.routing import application

if TYPE_CHECKING:
    from collections.abc import Callable

    from observe.spec import Config


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signals."""
        yield


def _listener(app: Starlette, address: str) -> _Server:
    host, _, port = address.rpartition(":")
    config = uvicorn.Config(
        app, host=host.strip("[]"), port=int(port), log_level="warning", access_log=False, lifespan="off",
        timeout_graceful_shutdown=3, server_header=False,
    )  # fmt: skip
    return _Server(config)


def serve(config: Config, *, face: bool = True, on_ready: Callable[[Core], None] | None = None) -> None:
    """Run the service until SIGINT or SIGTERM.

    Raises:
        ConfigError: an address open to the network without authentication.
        StoreLocked: another process owns the data directory.
    """
    server = config.site.server
    for address in (server.listen, server.otlp, server.ui):
        refuse_open_bind(address, server.auth)
    core = Core(config, face=face)
    try:
        asyncio.run(_run(core, on_ready))
    finally:
        core.stop()


async def _run(core: Core, on_ready: Callable[[Core], None] | None) -> None:
    server = core.config.site.server
    servers = [
        _listener(application(core, api_routes()), server.listen),
        _listener(application(core, otlp_routes()), server.otlp),
    ]

    def end() -> None:
        for s in servers:
            s.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    tasks = [asyncio.create_task(s.serve()) for s in servers]
    while not all(s.started for s in servers):
        await asyncio.sleep(0.02)
        if any(t.done() for t in tasks):
            break
    else:
        await asyncio.to_thread(core.start)
        if on_ready:
            on_ready(core)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        end()
        await asyncio.gather(*tasks)
        for task in done:
            task.result()
    finally:
        end()
