"""The core and its HTTP routes in this process, with a real store and nobody else at work."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from starlette.applications import Starlette

from observe.app.core import Core
from observe.server.routes import api_routes
from observe.server.routing import application
from observe.spec import load

SITE = "apiVersion: observe/v1\nkind: Site\nstore: {path: ./data}\nserver: {auth: none}\n"


class Client:
    """Sends requests to an ASGI application, in an event loop of its own thread."""

    def __init__(self, app: Starlette) -> None:
        self.app = app
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")

    def request(
        self, method: str, path: str, content: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        sent = self._client.request(method, path, content=content, headers=dict(headers or {}))
        return asyncio.run_coroutine_threadsafe(sent, self._loop).result(60)

    def post(self, path: str, content: bytes | str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.request("POST", path, content if isinstance(content, bytes) else content.encode(), headers)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result(10)
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_default_executor(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def in_process(folder: Path, auth: str = "none", more: str = "") -> Iterator[tuple[Client, Core]]:
    """A client of every route, and the core behind them."""
    (folder / "observe.yaml").write_text(SITE.replace("auth: none", f"auth: {auth}") + more)
    core = Core(load(folder / "observe.yaml"), face=False)
    client = Client(application(core, api_routes()))
    try:
        yield client, core
    finally:
        client.close()
        core.stop()


def accounts(core: Core) -> dict[str, float]:
    """Items by what became of them, over all sources."""
    names = ("observe_accepted_total", "observe_stored_total", "observe_rejected_total", "observe_queued")
    found = dict.fromkeys(names, 0.0)
    for metric in core.telemetry.registry.collect():
        for sample in metric.samples:
            if sample.name in found:
                found[sample.name] += sample.value
    return {name.removeprefix("observe_").removesuffix("_total"): value for name, value in found.items()}
