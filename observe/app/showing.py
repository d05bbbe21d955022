"""`GET /metrics` of an agent: one small server, a token where it asks for one.

Source: our own; Prometheus text format 0.0.4.
"""

from __future__ import annotations

import hmac
import logging
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6, SHUT_RDWR, socket
from time import monotonic
from typing import Any, Final

from observe.app.agent import Agent
from observe.errors import UsageError

AT_ONCE: Final = 16  # scrapers served side by side; a thread each
PATIENCE_S: Final = 10.0  # for a whole request and its answer
_FULL: Final = b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\ntoo many scrapers at once\n"
_LOG = logging.getLogger("observe.agent")


class Listener(ThreadingHTTPServer):
    """Shows an agent's pages; `serve_forever` is run in a thread of its own.

    Args:
        agent: whose pages it shows.
        listen: `host:port` to listen on.
        token: what a scraper has to present, if anything.

    Raises:
        UsageError: the address is none, is taken, or not ours.
    """

    def __init__(self, agent: Agent, listen: str, token: str | None) -> None:
        self.agent, self.token = agent, token
        self._room, self._since = threading.BoundedSemaphore(AT_ONCE), dict[socket, float]()
        host, _, port = listen.rpartition(":")
        if not port.isdecimal() or int(port) > 65_535:
            raise UsageError(f"--listen {listen}: expected host:port, e.g. 127.0.0.1:9400")
        if ":" in host:
            self.address_family = AF_INET6
        try:
            super().__init__((host.strip("[]"), int(port)), _Handler)
        except OSError as error:
            raise UsageError(f"--listen {listen}: {error.strerror}") from None

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, if there is room; before it has said anything."""
        if not self._room.acquire(blocking=False):
            with suppress(OSError):
                request.settimeout(1)
                request.sendall(_FULL)
            return self.shutdown_request(request)
        self._since[request] = monotonic()
        return super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve it, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._since.pop(request, None)
            self._room.release()

    def service_actions(self) -> None:
        """Cut off who takes too long, however little they send at a time; called twice a second."""
        for request, since in list(self._since.items()):
            if monotonic() - since > PATIENCE_S:
                with suppress(OSError):  # it has just ended
                    request.shutdown(SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that went away is nothing to talk of; anything else is our fault."""
        if not isinstance(sys.exception(), OSError):
            _LOG.exception("event=answer_broke")

    def answer(self, path: str, shown: str) -> tuple[int, bytes]:
        """Status and body for a path and what was shown as authorization."""
        if path == "/healthz":
            return 200, b"ok\n"
        if path.partition("?")[0] != "/metrics":
            return 404, b"there is GET /metrics and GET /healthz\n"
        if self.token is not None and not hmac.compare_digest(
            shown.encode("utf-8", "replace"), f"Bearer {self.token}".encode()
        ):
            return 401, b"send Authorization: Bearer and the agent's token\n"
        return self.agent.page()


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE_S  # without a byte
    server_version, sys_version = "observe-agent", ""
    server: Listener

    def do_GET(self) -> None:
        self._say(*self.server.answer(self.path, self.headers.get("Authorization", "")))

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
