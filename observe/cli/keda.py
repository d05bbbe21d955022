"""`observe keda`: KEDA's external scaler over gRPC, for those who push or cannot ask an API.

Source: our own; docs/scaling.md.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from observe.server.external_scaler import Bridge


def command(
    listen: Annotated[str, typer.Option("--listen", help="Where KEDA reaches it.")] = "127.0.0.1:6000",
    api: Annotated[str, typer.Option("--api", help="The service that is asked.")] = "http://127.0.0.1:8080",
    token: Annotated[
        str | None, typer.Option("--token", help="env:NAME or file:PATH of a viewer's token; used on loopback only.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors on stderr.")] = False,
) -> None:
    """Answer KEDA's external scaler over gRPC; needs observe[keda]."""
    raise typer.Exit(run(listen, api, token, quiet=quiet))


def run(listen: str, api: str, token: str | None, *, quiet: bool) -> int:
    """Serve until a signal."""
    from observe.errors import UsageError
    from observe.server.external_scaler import Bridge
    from observe.spec.quantity import Malformed
    from observe.spec.secret import parse_secret
    from observe.spec.written import check_url

    try:
        check_url(api)
        held = parse_secret(token, Path.cwd()).resolve() if token else ""
    except Malformed as error:
        raise UsageError(f"{error}; {error.hint}") from error
    if not quiet:
        sys.stderr.write(f"external scaler on {listen}, asks {api}; Ctrl-C ends it\n")
    asyncio.run(_until_signal(Bridge(listen, api.rstrip("/"), held)))
    return 0


async def _until_signal(bridge: Bridge) -> None:
    from observe.server.external_scaler import serve

    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    asked = asyncio.create_task(_asked(bridge))
    try:
        await serve(bridge, None, ended)
    finally:
        asked.cancel()


async def _asked(bridge: Bridge) -> None:
    """Tell once, beside serving, that nobody answers at the API's address."""
    from observe.server.external_scaler import unreachable

    if why := await unreachable(bridge):
        until = "until the service answers there KEDA is told UNAVAILABLE, never 0, and keeps to its fallback"
        sys.stderr.write(f"warning: {why}; {until}\n")
