"""Every route says who may call it; one without a role cannot be built.

Source: our own; TRUST section 2, "deny by default".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from observe.errors import AccessError, ObserveError, Overloaded, PayloadTooLarge, StoreError
from observe.server.pressure import Pressure
from observe.spec.site import is_loopback

if TYPE_CHECKING:
    from observe.access import Principal
    from observe.app.core import Core

Role = Literal["public", "viewer", "ingest", "operator", "admin", "sql"]
Endpoint = Callable[["Call"], Awaitable[Response]]
WIRE_LIMIT = 16 * 2**20  # bytes of one body on the wire; TRUST section 2


@dataclass(frozen=True, slots=True)
class Served:
    """One route: method, path, the role it asks for, and what answers."""

    method: str
    path: str
    role: Role
    endpoint: Endpoint
    summary: str
    refuse: Callable[[ObserveError, Request], Response] | None = None  # how a refusal is told; None: `problem`


@dataclass(frozen=True, slots=True)
class Call:
    """One request by somebody we know."""

    core: Core
    request: Request
    who: Principal | None

    @property
    def pressure(self) -> Pressure:
        """What the listener has in hand."""
        pressure: Pressure = self.request.app.state.pressure
        return pressure

    async def body(self) -> bytes:
        """The body as it came on the wire, at most 16 MiB.

        Raises:
            PayloadTooLarge: more than that.
            Overloaded: too many bytes of other bodies are in hand.
        """
        parts, size = [], 0
        async for part in self.request.stream():
            size += len(part)
            if size > WIRE_LIMIT:
                raise PayloadTooLarge(f"a body may be at most {WIRE_LIMIT} bytes on the wire; send it in parts")
            self.pressure.hold(len(part))
            self.request.state.held = size
            parts.append(part)
        return b"".join(parts)


def bearer(request: Request) -> str | None:
    """The token a request presents, if any."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token else None


def refuse_foreign_pages(request: Request) -> None:
    """Without tokens, only programs of this machine may ask: no web page, whatever name it gives loopback.

    Raises:
        AccessError: the request comes from a page of another origin, or names another host.
    """
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    if not is_loopback(host if ":" in host else f"{host}:80") or origin not in (None, f"{request.url.scheme}://{host}"):
        raise AccessError("without authentication only programs on this machine may ask")


def application(core: Core, served: Sequence[Served]) -> Starlette:
    """An ASGI application of exactly these routes; every other path answers 404."""
    app = Starlette(
        routes=[Route(s.path, _guarded(core, s), methods=[s.method]) for s in served],
        exception_handlers={HTTPException: _http_error, Exception: _broken},
    )
    app.state.served = tuple(served)
    app.state.pressure = Pressure()
    return app


def _guarded(core: Core, served: Served) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            who = None
            if core.config.site.server.auth == "none":
                refuse_foreign_pages(request)
            if served.role != "public":
                token = bearer(request)
                who = core.people.known(served.role, token)
                who = who or await run_in_threadpool(core.people.permit, served.role, token)
            return await served.endpoint(Call(core, request, who))
        except ObserveError as error:
            core.telemetry.refused.labels(served.path, str(error.http_status)).inc()
            return served.refuse(error, request) if served.refuse else problem(error)
        finally:
            request.app.state.pressure.held -= getattr(request.state, "held", 0)

    endpoint.__name__ = f"{served.method.lower()}_{served.path}"
    return endpoint


def problem(error: ObserveError) -> Response:
    """An error as JSON: `{"error": what, "kind": class}`, with Retry-After where trying again helps."""
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, AccessError) and error.http_status == 401 else {}
    if isinstance(error, Overloaded):
        headers["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, StoreError):  # a full disk, a database that is opened again
        headers["Retry-After"] = "5"
    return JSONResponse({"error": printable(str(error)), "kind": type(error).__name__}, error.http_status, headers)


def printable(text: str) -> str:
    """Text that UTF-8 can write: half of a surrogate pair, which JSON can spell, becomes '?'."""
    return text.encode(errors="replace").decode()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(
        {"error": f"{error.detail}: {request.method} {request.url.path}", "kind": "HTTPException"}, error.status_code
    )


async def _broken(request: Request, error: Exception) -> Response:
    """Our own fault: told as JSON without its insides, which go to the log."""
    said = f"internal error in {request.method} {request.url.path}; the log says more"
    return JSONResponse({"error": said, "kind": type(error).__name__}, 500)
