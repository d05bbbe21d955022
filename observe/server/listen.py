"""Two listeners in one event loop: the API and intake, and the OTLP routes; plain, or both over TLS.

Source: uvicorn's Server; our own signal handling, because both must end together.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn
from starlette.applications import Starlette

from observe.access import refuse_open_bind
from observe.app.core import Core
from observe.certificates import HSTS, Served
from observe.errors import ConfigError
from observe.server.routes import api_routes, otlp_routes
from observe.server.routing import application
from observe.server.watchdog import Watchdog

if TYPE_CHECKING:
    from observe.spec import Config


SWITCH_S: Final = 0.001  # how long a thread keeps the interpreter from the event loop; Python's own is 5 ms


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signals."""
        yield


def _bound(address: str) -> socket.socket:
    """A socket that holds `address`.

    Raises:
        ConfigError: somebody else does, or it is not an address of this machine.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(
        family, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # without the protocol asyncio leaves Nagle on: 40 ms
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, int(port)))
    except OSError as error:
        made.close()
        hint = "stop the other program, or choose another port under `server:`"
        raise ConfigError(f"cannot listen on {address}: {error.strerror}", hint=hint) from error
    return made


def _listener(app: Starlette, shown: Served | None) -> _Server:
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off",
        timeout_graceful_shutdown=3, server_header=False,
        ssl_context_factory=(lambda *_: shown.context) if shown else None, headers=[HSTS] if shown else None,
    )  # fmt: skip
    return _Server(config)


def serve(
    config: Config, *, face: bool = True, site: Path | None = None, on_ready: Callable[[Core], None] | None = None
) -> None:
    """Run the service until SIGINT or SIGTERM.

    Args:
        config: what is in force at first.
        face: whether to show pages.
        site: the file `config` was read from; its changes are then taken while we run.
        on_ready: called once, when rows would be taken.

    Raises:
        ConfigError: an address open to the network without authentication, or a certificate that cannot be used.
        StoreLocked: another process owns the data directory.
    """
    server = config.site.server
    for address in (server.listen, server.otlp, server.ui):
        refuse_open_bind(address, server.auth)
    shown = Served(server.tls.cert, server.tls.key) if server.tls else None
    sys.setswitchinterval(SWITCH_S)
    core = Core(config, face=face, site=site)
    try:
        with contextlib.ExitStack() as held:
            sockets = [held.enter_context(_bound(address)) for address in (server.listen, server.otlp)]
            if face:
                _bound(server.ui).close()  # the face takes it later; said now when it cannot
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(_run(core, sockets, shown, on_ready))
    finally:
        core.stop()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop's loop where it is installed; None is asyncio's own."""
    if find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


def _hear(core: Core, end: Callable[[], None]) -> None:
    """Let signals end us, or ask for the configuration to be read again."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, core.reloading.ask)


async def _run(
    core: Core, sockets: list[socket.socket], shown: Served | None, on_ready: Callable[[Core], None] | None
) -> None:
    servers = [_listener(application(core, routes()), shown) for routes in (api_routes, otlp_routes)]

    def end() -> None:
        for s in servers:
            s.should_exit = True

    _hear(core, end)
    renewing = asyncio.create_task(shown.follow()) if shown else asyncio.create_task(asyncio.sleep(0))
    watched = asyncio.create_task(Watchdog(core.telemetry).run())
    tasks = [asyncio.create_task(s.serve(sockets=[held])) for s, held in zip(servers, sockets, strict=True)]
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
        watched.cancel()
        end()
        renewing.cancel()
