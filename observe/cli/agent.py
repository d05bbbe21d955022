"""`observe agent`: the GPUs of one node, shown to scrapers or pushed to the service.

Source: our own.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from typing import Final

from observe.app.agent import Agent, reader
from observe.app.pushing import Push, presented
from observe.app.showing import Listener
from observe.app.spool import Spool
from observe.clock import WallClock
from observe.errors import UsageError
from observe.spec.quantity import Malformed, parse_duration
from observe.spec.secret import SecretRef, parse_secret
from observe.spec.site import is_loopback

LISTEN: Final = "127.0.0.1:9400"  # dcgm-exporter's port
_LONGEST: Final = 200  # characters of a name; the service cuts what is longer
_LOG = logging.getLogger("observe.agent")


@dataclass(frozen=True, slots=True)
class Options:
    """What was written on the command line."""

    listen: str | None = None
    push: str | None = None
    token: str | None = None
    spool: Path | None = None
    every: str = "15s"
    node: str | None = None
    cluster: str | None = None
    ca: Path | None = None


def run(options: Options) -> int:
    """Run until interrupted; 0 when ended by a signal.

    Raises:
        UsageError: options that do not fit together, or an address that would be open to everybody.
        ConfigError: the token cannot be read.
    """
    node, every_s, token = _node(options), _every(options.every), _token(options.token)
    listen = options.listen or (None if options.push else LISTEN)
    if listen is not None and token is None and not is_loopback(listen):
        raise UsageError(f"--listen {listen}: reachable from other machines; give a --token, or listen on 127.0.0.1")
    if options.push and options.spool is None:
        raise UsageError("--push needs --spool DIR, a folder that outlives the agent: there pages wait for the service")
    secret = presented(token) if token else None
    push = Push(options.push, token, (node, options.cluster or ""), options.ca) if options.push else None
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="ts=%(asctime)s level=%(levelname)s %(message)s")
    with ExitStack() as stack:
        spool = stack.enter_context(closing(Spool(options.spool))) if push and options.spool else None
        agent = Agent(reader(node, stamped=push is not None), node, every_s, WallClock(), spool, push)
        if listen is not None:
            server = stack.enter_context(Listener(agent, listen, secret))
            threading.Thread(target=server.serve_forever, name="listen", daemon=True).start()
            stack.callback(server.shutdown)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: agent.stop())
        where = " ".join(f"{k}={v}" for k, v in (("listen", listen), ("push", options.push)) if v)
        _LOG.info("event=started node=%s every=%s %s", node, options.every, where)
        agent.run()
    return 0


def _every(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except Malformed as error:
        raise UsageError(f"--every {text}: {error}; write 15s") from None
    if seconds < 1:
        raise UsageError(f"--every {text}: a second is the shortest; write 15s")
    return seconds


def _node(options: Options) -> str:
    """What the node is called; checked together with what else is told of it."""
    node = options.node or gethostname()
    for name, text in (("--node", node), ("--cluster", options.cluster or "")):
        if len(text) > _LONGEST or not text.isprintable():
            raise UsageError(f"{name} {text[:_LONGEST]!r}: expected printable characters, {_LONGEST} at most")
    if options.push is None and options.cluster:
        raise UsageError("--cluster goes with --push; who scrapes names it under the collector's labels")
    if options.push is None and options.ca:
        raise UsageError(
            "--ca goes with --push: it holds the authorities that may have signed the service's certificate"
        )
    return node


def _token(text: str | None) -> SecretRef | None:
    try:
        return parse_secret(text, Path.cwd()) if text else None
    except Malformed as error:
        raise UsageError(f"--token: {error}; {error.hint}") from None
