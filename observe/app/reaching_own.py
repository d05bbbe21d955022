"""Whether the service could listen where it is told to, show its certificate, and keep its data.

Source: our own.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from observe.app.reaching_look import Found, Try, certificate, secret
from observe.app.reaching_sources import regular
from observe.certificates import Served
from observe.errors import SourceError
from observe.spec.quantity import write_size

if TYPE_CHECKING:
    from observe.spec import Config
    from observe.spec.site import ServerSpec


def server(config: Config, now: datetime) -> Iterator[tuple[str, str, Try]]:
    """The addresses to listen on, the token and the certificates."""
    own = config.site.server
    for name in ("listen", "otlp", "ui"):
        address = getattr(own, name)
        yield f"server.{name}", address, partial(_address, address, config.site.store.path)
    if own.token:
        yield "server.token", str(own.token), partial(secret, own.token.resolve)
    if own.tls:
        yield "server.tls", str(own.tls.cert), partial(_shown, own, now)
        if own.tls.ca:
            yield "server.tls", str(own.tls.ca), partial(certificate, own.tls.ca, now)


def _address(address: str, store: Path) -> Found:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, int(port)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return False, f"cannot be listened on: {error.strerror}"
            pid = _owner(address, store)
            return (True, f"served by our own service, pid {pid}") if pid else (False, "taken by another program")
    return True, "free"


def _owner(address: str, store: Path) -> int | None:
    """The pid of the running service of this data directory, when it listens on `address`."""
    try:
        said = json.loads((store / "service.json").read_text())
        os.kill(int(said["pid"]), 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return int(said["pid"]) if address in said.values() else None


def _shown(server: ServerSpec, now: datetime) -> Found:
    assert server.tls is not None
    Served(server.tls.cert, server.tls.key)
    return certificate(server.tls.cert, now)


def store(config: Config) -> Iterator[tuple[str, str, Try]]:
    """The data directory."""
    yield "store", str(config.site.store.path), partial(_room, config.site.store.path, config.site.store.size_bytes)


def _room(path: Path, size: int) -> Found:
    there = path
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        raise SourceError(f"{there} cannot be written by this user")
    taken, free = used(path), shutil.disk_usage(there).free
    said = f"{taken / 1e9:.1f} GB used, {free / 1e9:.1f} GB free, size {write_size(size)}"
    return (True, said) if taken + free >= size else (None, f"{said}: the disk is full before that is met")


def used(path: Path) -> int:
    """Bytes of the files under `path`, while files come and go."""
    walked = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)  # folders may vanish, too
    return sum(file.st_size for each in walked if (file := regular(each)))
