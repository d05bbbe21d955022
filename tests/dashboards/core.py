"""A development core: sessions and the read door over a seeded store, as the face process sees them.

Source: the HTTP part of ARCHITECTURE section 4.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import uvicorn
import world
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from observe.clock import EventClock
from observe.errors import QueryError
from observe.schema import TABLES, Batch, Window
from observe.store import Store

FACE_KEY, TOKEN, ONCE = "face-key", "obs-token", "once-code"


@contextmanager
def lake(path: Path, tables: Mapping[str, pl.DataFrame], settings: Mapping[str, Any]) -> Iterator[Store]:
    """A real store at `path` that holds `tables`, while the block runs."""
    store = Store.open(path, EventClock(world.NOW), threads=2, memory="1GB")
    try:
        store.append(Batch("seed", "bulk", {k: v for k, v in tables.items() if TABLES[k].bulk}))
        with store.change() as change:
            for name, frame in tables.items():
                if not TABLES[name].bulk:
                    change.insert_frame(name, frame)
            for key, value in settings.items():
                change.set_setting(key, value)
        yield store
    finally:
        store.close()


class Core:
    """Sessions and the read door; `reads` counts queries, `fail` makes every read answer 500."""

    def __init__(self, store: Store) -> None:
        self.store, self.sessions, self.reads, self.fail = store, set[str](), 0, False
        self.app = Starlette(routes=[
            Route("/api/v1/sessions", self.session, methods=["POST"]),
            Route("/api/v1/sessions", self.end, methods=["DELETE"]),
            Route("/api/v1/read", self.answer, methods=["POST"]),
            Route("/api/v1/reports/{report_id}/{name}", self.report, methods=["GET"]),
        ])  # fmt: skip

    async def session(self, request: Request) -> Response:
        body = await request.json()
        if body.get("token") != TOKEN and body.get("once") != ONCE:
            return JSONResponse({"error": "unknown token"}, 401)
        name = secrets.token_urlsafe(16)
        self.sessions.add(name)
        return JSONResponse({"session": name, "role": "viewer", "name": "me", "expires_at": "2026-12-01T00:00:00Z"})

    async def end(self, request: Request) -> Response:
        self.sessions.discard(request.headers.get("authorization", "").removeprefix("Bearer "))
        return Response(status_code=204)

    async def report(self, request: Request) -> Response:
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.sessions:
            return JSONResponse({"error": "no session"}, 401)
        path = self.store.path / "reports" / request.path_params["report_id"] / request.path_params["name"]
        if not path.is_file():
            return JSONResponse({"error": "there is no such file"}, 404)
        return Response(path.read_bytes())

    async def answer(self, request: Request) -> Response:
        if request.headers.get("x-observe-face") != FACE_KEY:
            return JSONResponse({"error": "not the face"}, 403)
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.sessions:
            return JSONResponse({"error": "no session"}, 401)
        self.reads += 1
        body = await request.json()
        if self.fail:
            return JSONResponse({"error": "the store is closed"}, 503)
        span = body.get("window")
        window = Window(datetime.fromisoformat(span["start"]), datetime.fromisoformat(span["end"])) if span else None
        try:
            answer = self.store.read_ipc(body["sql"], body.get("params"), window)
        except QueryError as error:
            return JSONResponse({"error": str(error)}, 400)
        return Response(
            answer,
            headers={"X-Observe-Watermark": world.NOW.isoformat()},
            media_type="application/vnd.apache.arrow.stream",
        )


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of `app` while the block runs; an ephemeral loopback port."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
