"""What a page's sender makes of the other side's answers."""

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from chains import Authority

from observe.app.pushing import Push
from observe.errors import SourceError, UsageError
from observe.spec.secret import SecretRef


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    """A service that answers `status`, or hangs up when it is 0, and remembers what came."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.came.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]
            if server.status:  # type: ignore[attr-defined]
                self.send_response(server.status)  # type: ignore[attr-defined]
                self.send_header("Retry-After", "7")
                self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.status, server.came = 200, []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def push(service: ThreadingHTTPServer, token: SecretRef | None = None) -> Push:
    return Push(f"http://127.0.0.1:{service.server_port}/", token, ("node 1", ""))


@pytest.mark.parametrize(
    ("status", "outcome", "after_s"),
    [(200, "taken", 0.0), (400, "refused", 7.0), (413, "refused", 7.0), (401, "later", 7.0), (429, "later", 7.0), (503, "later", 7.0), (302, "later", 7.0), (0, "later", 0.0)],
)  # fmt: skip
def test_an_answer_is_taken_refused_for_good_or_later(
    service: ThreadingHTTPServer, status: int, outcome: str, after_s: float
) -> None:
    service.status = status  # type: ignore[attr-defined]
    answer = push(service).send(b"page")

    assert (answer.outcome, answer.after_s) == (outcome, after_s)


def test_nobody_there_is_later() -> None:
    assert Push("http://127.0.0.1:1", None, ("n", "")).send(b"page").outcome == "later"


def test_a_page_has_one_key_and_a_token_that_may_change(service: ThreadingHTTPServer, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    sender = push(service, SecretRef("file", str(secret)))
    for token in ("old", "new"):
        secret.write_text(token)
        sender.send(b"page")
    (path, first, body), (_, second, _) = service.came  # type: ignore[attr-defined]

    assert (path, body) == ("/ingest/exposition?target=node+1", b"page")
    assert [first["Authorization"], second["Authorization"]] == ["Bearer old", "Bearer new"]
    assert first["Idempotency-Key"] == second["Idempotency-Key"]


def test_a_page_names_its_cluster(service: ThreadingHTTPServer) -> None:
    Push(f"http://127.0.0.1:{service.server_port}", None, ("n1", "eu west")).send(b"page")

    assert service.came[0][0] == "/ingest/exposition?target=n1&cluster=eu+west"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("url", "says"),
    [("http://h:8080?cluster=eu", "--cluster"), ("http://h:99999", "address of the service"), ("http://[h", "address of the service"),
     ("http://u:p@h", "--token"), ("http://h/a b", "address of the service")],
)  # fmt: skip
def test_an_address_that_would_not_be_used_as_written_is_refused(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Push(url, None, ("n", ""))


def test_a_token_that_no_header_can_carry_is_said_and_never_shown(service: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\nsecond")

    with pytest.raises(SourceError, match="no header can carry") as refused:
        push(service, SecretRef("file", str(tmp_path / "token"))).send(b"page")
    assert "second" not in str(refused.value)


def test_a_service_of_a_private_authority_is_believed_with_its_ca_alone(
    service: ThreadingHTTPServer, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("server", "127.0.0.1"))
    service.socket = context.wrap_socket(service.socket, server_side=True)
    url = f"https://127.0.0.1:{service.server_port}"

    assert Push(url, None, ("n", ""), tmp_path / "ca.pem").send(b"page").outcome == "taken"
    assert "CERTIFICATE_VERIFY_FAILED" in Push(url, None, ("n", "")).send(b"page").said


def test_a_ca_that_is_none_or_has_no_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")

    with pytest.raises(UsageError, match=r"--ca .*ca\.pem"):
        Push("https://h", None, ("n", ""), tmp_path / "ca.pem")
    with pytest.raises(UsageError, match=r"--ca .* https"):
        Push("http://h", None, ("n", ""), tmp_path / "ca.pem")
