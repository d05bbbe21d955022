"""Receivers on loopback that answer as a test wants: HTTP, and a mail server in small."""

import json
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Heard:
    """One request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> dict:  # type: ignore[type-arg]
        return json.loads(self.body)


@dataclass
class Http:
    """What a receiver was sent, and with what it answers: a status, or text that is longer in coming than anybody waits."""

    url: str
    answer: Callable[[Heard], tuple[int, bytes]] = lambda heard: (200, b"")
    heard: list[Heard] = field(default_factory=list)
    taken: list[Heard] = field(default_factory=list)  # answered with 2xx

    def fail(self, times: int, status: int = 500, text: bytes = b"not now") -> None:
        """Answer so often with a fault, then take everything."""
        left = iter(range(times))
        self.answer = lambda heard: (status, text) if next(left, None) is not None else (200, b"")


@contextmanager
def http(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Http]:
    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            heard = Heard(self.command, self.path, dict(self.headers.items()), body, time.monotonic())
            box.heard.append(heard)
            status, text = box.answer(heard)
            if 200 <= status < 300:
                box.taken.append(heard)
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)
            except OSError:
                pass

        do_POST = do_GET = do_HEAD = do_DELETE = _any

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    box = Http(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield box
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Mail:
    """What a mail server was handed, and whom it refuses."""

    port: int
    letters: list[tuple[list[str], bytes]] = field(default_factory=list)  # recipients, message
    secured: list[bool] = field(default_factory=list)  # whether each came under TLS
    refused: dict[str, str] = field(default_factory=dict)  # answer by recipient
    logins: list[str] = field(default_factory=list)
    busy: int = 0  # so many messages are answered with 451


@contextmanager
def smtp(certificate: tuple[Path, Path] | None = None) -> Iterator[Mail]:  # noqa: C901 - a verb each
    """A mail server that knows EHLO, STARTTLS, AUTH PLAIN, MAIL, RCPT, DATA, NOOP and QUIT."""

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

        def handle(self) -> None:
            self.secure, self.to = False, list[str]()
            self.say("220 test")
            while line := self.rfile.readline():
                verb, _, rest = line.decode().strip().partition(" ")
                if verb.upper() == "QUIT":
                    self.say("221 bye")
                    return
                getattr(self, f"on_{verb.lower()}", lambda rest: self.say("502 unknown"))(rest)

        def finish(self) -> None:
            with suppress(OSError):
                super().finish()
            self.connection.close()

        def on_ehlo(self, rest: str) -> None:
            more = ["STARTTLS"] if certificate and not self.secure else ["AUTH PLAIN"]
            self.say("\r\n".join(["250-test", *(f"250 {m}" for m in more)]))

        def on_starttls(self, rest: str) -> None:
            self.say("220 go")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)  # type: ignore[misc]
            self.connection = context.wrap_socket(self.request, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
            self.secure = True

        def on_auth(self, rest: str) -> None:
            box.logins.append(rest)
            self.say("235 in")

        def on_mail(self, rest: str) -> None:
            self.to = []
            self.say("250 ok")

        def on_rcpt(self, rest: str) -> None:
            whom = rest.partition("<")[2].rstrip(">")
            if whom not in box.refused:
                self.to.append(whom)
            self.say(box.refused.get(whom, "250 ok"))

        def on_data(self, rest: str) -> None:
            self.say("354 go")
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line)
            if box.busy > 0:
                box.busy -= 1
                self.say("451 later")
                return
            box.letters.append((self.to, b"".join(lines)))
            box.secured.append(self.secure)
            self.say("250 taken")

        def on_noop(self, rest: str) -> None:
            self.say("250 ok")

        on_rset = on_noop

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads = True, True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a caller that hangs up

    server = Server(("127.0.0.1", 0), Handler)
    box = Mail(server.server_address[1])
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield box
    finally:
        server.shutdown()
        server.server_close()
