"""What we show a target: to its own host, in no message, renewed with its files."""

import os
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from chains import Authority, encrypted

from collectors import pull
from collectors.credentials import Credentials, Trust
from observe.errors import SourceError

TOKEN = "tok-5f1e7d"
PASSWORD = "correct horse"
BASIC = "Basic " + b64encode(f"prom:{PASSWORD}".encode()).decode()


class Target(BaseHTTPRequestHandler):
    """Answers those who show the right thing; `asked` is what each request showed."""

    def do_GET(self) -> None:
        shown = self.headers.get("Authorization", "")
        self.server.asked.append(shown)  # type: ignore[attr-defined]
        if self.path == "/away":
            self._answer(302, Location=self.server.elsewhere)  # type: ignore[attr-defined]
        elif self.path == "/echo":  # a hostile target repeats what it was shown wherever it can
            self.send_response(401, f"no {shown}")
            self.end_headers()
        elif self.path == "/garble":
            self.wfile.write(f"{shown}\r\n\r\n".encode())
            self.close_connection = True
        else:
            self._answer(200 if shown in {f"Bearer {TOKEN}", BASIC} else 401)

    def _answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "5", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"up 1\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    asked: list[str]
    elsewhere: str

    def handle_error(self, request: object, client_address: object) -> None:
        """A handshake that fails is what some tests want."""


def serve(context: ssl.SSLContext | None = None) -> Quiet:
    server = Quiet(("127.0.0.1", 0), Target)
    server.asked = []
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


def end(server: Quiet) -> None:
    server.shutdown()
    server.server_close()


@pytest.fixture
def plain() -> Iterator[Quiet]:
    server = serve()
    yield server
    end(server)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def mutual(authority: Authority) -> Iterator[Quiet]:
    """HTTPS that asks for a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("target", "127.0.0.1"))
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    server = serve(context)
    yield server
    end(server)


def at(server: Quiet, path: str = "/metrics", scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.server_port}{path}"


@pytest.mark.parametrize("credentials", [Credentials(bearer=TOKEN), Credentials(username="prom", password=PASSWORD)])
def test_a_target_that_asks_who_we_are_is_told(plain: Quiet, credentials: Credentials) -> None:
    assert pull.get(at(plain), credentials=credentials) == b"up 1\n"


@pytest.mark.parametrize("path", ["/metrics", "/echo", "/garble"])
@pytest.mark.parametrize("credentials", [Credentials("wrong-7c"), Credentials(username="prom", password="wrong-7c")])
def test_what_was_not_accepted_is_said_without_the_secret(plain: Quiet, path: str, credentials: Credentials) -> None:
    with pytest.raises(SourceError, match=r"401 Unauthorized|ProtocolError") as refused:
        pull.get(at(plain, path), credentials=credentials)

    assert "wrong-7c" not in f"{refused.value} {credentials!r}"
    assert credentials.header.split()[1] not in str(refused.value)


def test_a_redirect_to_another_host_is_shown_nothing(plain: Quiet) -> None:
    other = serve()
    plain.elsewhere = at(other)
    try:
        with pytest.raises(SourceError, match="redirects to another host"):
            pull.get(at(plain, "/away"), credentials=Credentials(TOKEN))
    finally:
        end(other)

    assert other.asked == []


@pytest.mark.parametrize("secret", ["two\nlines", "schlüssel", "a\x00b"])
def test_a_secret_that_no_header_can_carry_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(SourceError, match="is it the right secret") as refused:
        Credentials(bearer=secret)

    assert secret not in str(refused.value)


def test_a_target_that_asks_for_a_certificate_is_shown_ours(mutual: Quiet, authority: Authority) -> None:
    trust = Trust(authority.path, *authority.sign("client", client=True))

    assert pull.get(at(mutual, scheme="https"), credentials=Credentials(TOKEN), trust=trust) == b"up 1\n"


def test_without_our_certificate_or_its_ca_nothing_is_sent(mutual: Quiet, authority: Authority) -> None:
    stranger = Authority(authority.folder, "stranger")
    for trust in (Trust(authority.path), Trust(authority.path, *stranger.sign("odd", client=True)), Trust()):
        with pytest.raises(SourceError, match=r"(?i)ssl|tls|certificate|ReadError|disconnected"):
            pull.get(at(mutual, scheme="https"), 5.0, credentials=Credentials(TOKEN), trust=trust)

    assert mutual.asked == []


def test_a_renewed_client_certificate_is_shown_at_the_next_pull(mutual: Quiet, authority: Authority) -> None:
    stranger = Authority(authority.folder, "someone")
    trust = Trust(authority.path, *stranger.sign("mine", client=True))
    with pytest.raises(SourceError):
        pull.get(at(mutual, scheme="https"), 5.0, credentials=Credentials(TOKEN), trust=trust)
    cert, key = authority.sign("fresh", client=True)
    os.replace(cert, authority.folder / "mine.pem")
    os.replace(key, authority.folder / "mine.key")

    assert pull.get(at(mutual, scheme="https"), credentials=Credentials(TOKEN), trust=trust) == b"up 1\n"


def test_a_file_that_cannot_be_used_is_named(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.sign("locked", client=True)
    encrypted(key, b"phrase")

    for trust, said in (
        (Trust(tmp_path / "none.pem"), "none.pem: No such file"),
        (Trust(None, cert, key), "encrypted"),
    ):
        with pytest.raises(SourceError, match=said):
            pull.get("https://127.0.0.1:1/", trust=trust)


def test_the_first_bytes_of_a_larger_page_can_be_had(plain: Quiet) -> None:
    assert pull.get(at(plain), max_bytes=2, credentials=Credentials(TOKEN), cut=True) == b"up"
