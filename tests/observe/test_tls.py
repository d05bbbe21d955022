"""The running service over TLS: every listener, our own clients, a real exporter, a renewed certificate."""

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from chains import Authority
from running import Service, aside, started, until

from collectors import pull
from collectors.credentials import Credentials, Trust
from observe.errors import SourceError

pytestmark = pytest.mark.slow


class Secure(Service):
    """A service whose listeners show a certificate for 127.0.0.1 and a name."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.authority = Authority(folder)
        self.renew()
        tls = "tls: {cert: server.pem, key: server.key, ca: ca.pem}, "
        self.site.write_text(self.site.read_text().replace("server: {", "server: {" + tls))
        self.trust = ssl.create_default_context(cafile=str(self.authority.path))

    def renew(self) -> bytes:
        """Sign the files anew; what they show."""
        cert, _ = self.authority.sign("server", "observe.example.com", "127.0.0.1")
        return ssl.PEM_cert_to_DER_cert(cert.read_text())

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ui(self) -> str:
        return f"https://127.0.0.1:{self.ui_port}"

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "service.log").read_text()
        try:
            return self.get(f"{self.url}/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def get(self, url: str) -> httpx.Response:
        return httpx.get(url, verify=self.trust, trust_env=False)

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=30, verify=self.trust)

    def shown(self, port: int) -> bytes:
        """The certificate that a new handshake shows."""
        raw = socket.create_connection(("127.0.0.1", port), 5)
        with raw, self.trust.wrap_socket(raw, server_hostname="observe.example.com") as made:
            return made.getpeercert(binary_form=True) or b""

    def sign_in(self) -> httpx.Response:
        """Sign in at the dashboards, which ask the core."""
        sent = {"data": {"token": self.token}, "headers": {"Origin": self.ui}}
        return httpx.post(f"{self.ui}/login", **sent, verify=self.trust, trust_env=False)  # type: ignore[arg-type]


def face_is_up(service: Secure) -> bool:
    try:
        return service.get(f"{service.ui}/login").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    with started(Secure(tmp_path_factory.mktemp("tls"))) as service:
        assert isinstance(service, Secure)
        until(lambda: face_is_up(service), 30)
        yield service


def test_every_listener_speaks_tls_only_and_no_old_version(service: Secure) -> None:
    for port in (service.port, service.otlp_port, service.ui_port):
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
        assert service.shown(port)
        old = ssl.create_default_context(cafile=str(service.authority.path))
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", port), 5) as raw, pytest.raises(ssl.SSLError):
            old.wrap_socket(raw, server_hostname="127.0.0.1")


def test_every_answer_asks_for_tls_from_now_on(service: Secure) -> None:
    for url in (f"{service.url}/healthz", f"https://127.0.0.1:{service.otlp_port}/nothing", f"{service.ui}/login"):
        assert service.get(url).headers["strict-transport-security"] == "max-age=31536000"


def test_the_dashboards_reach_the_core_and_their_cookie_is_secure(service: Secure) -> None:
    answer = service.sign_in()
    cookie = answer.headers["set-cookie"]
    page = httpx.get(f"{service.ui}/", headers={"Cookie": cookie.split(";")[0]}, verify=service.trust, trust_env=False)

    assert (answer.status_code, page.status_code) == (303, 200)
    assert "Secure" in cookie


def test_observe_sql_finds_the_service_and_knows_it(service: Secure) -> None:
    argv = ["sql", "select 42 as answer", "-d", str(service.folder / "data"), "-f", "csv"]
    done = subprocess.run(
        [sys.executable, "-m", "observe", *argv], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout.split()) == (0, ["answer", "42"]), done.stderr


def test_a_real_exporter_sends_over_tls_and_metrics_are_scraped(
    service: Secure, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they outrank the exporter's own setting
        monkeypatch.delenv(name, raising=False)
    exporter = OTLPSpanExporter(
        f"https://127.0.0.1:{service.otlp_port}/v1/traces",
        headers={"Authorization": f"Bearer {service.token}"},
        certificate_file=str(service.authority.path),
    )
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "tls", "gen_ai.usage.input_tokens": 7}
    provider.get_tracer("test").start_span("chat tls", attributes=attributes).end()
    provider.shutdown()
    known, trust = Credentials(service.token), Trust(service.authority.path)
    page = aside(lambda: pull.get(f"{service.url}/metrics", credentials=known, trust=trust))

    assert service.sql("select tokens_in from attempt where model_requested = 'tls'").item() == 7
    assert b"observe_config_valid 1.0" in page
    with pytest.raises(SourceError, match="CERTIFICATE_VERIFY_FAILED"):
        aside(lambda: pull.get(f"{service.url}/metrics", credentials=known))


def test_a_renewed_certificate_is_shown_without_a_restart_and_the_dashboards_go_on(service: Secure) -> None:
    ports = (service.port, service.otlp_port, service.ui_port)
    before = {service.shown(port) for port in ports}
    renewed = service.renew()
    until(lambda: {service.shown(port) for port in ports} == {renewed}, 10)

    assert before != {renewed}
    assert service.sign_in().status_code == 303
    assert "certificate_taken" in (service.folder / "service.log").read_text()


def test_a_certificate_that_cannot_be_used_ends_the_start_with_a_hint(tmp_path: Path) -> None:
    service = Secure(tmp_path)
    service.authority.sign("other")
    (tmp_path / "server.key").write_bytes((tmp_path / "other.key").read_bytes())
    done = subprocess.run(service.command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert "KEY_VALUES_MISMATCH" in done.stderr
    assert "Traceback" not in done.stderr
