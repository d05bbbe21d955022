"""One page to the service: taken, refused for good, or to be tried again later.

Source: RFC 9110; the intake's own answers (`observe.server.intake`).
"""

from __future__ import annotations

import hashlib
import http.client
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import SplitResult, urlencode, urlsplit

from collectors.credentials import Credentials
from observe.errors import SourceError, UsageError
from observe.spec.secret import SecretRef

_TIMEOUT_S: Final = 10.0
_FOR_GOOD: Final = frozenset({400, 413, 415, 422})  # another try would say the same


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a page."""

    outcome: Literal["taken", "refused", "later"]
    said: str = ""
    after_s: float = 0.0  # the service asks to wait this long


class Push:
    """Sends pages of one node to one service; the same page twice is stored once.

    Args:
        url: address of the service, `http://host:8080`.
        token: where the ingest token lies; read at every page, so that it may change.
        whose: node and cluster the pages are of; the cluster may be empty.
        ca: file of the authorities that are believed in place of the system's; read at every page.

    Raises:
        UsageError: the address is not one, or the file holds no authority.
    """

    def __init__(self, url: str, token: SecretRef | None, whose: tuple[str, str], ca: Path | None = None) -> None:
        parts, (node, cluster) = _address(url), whose
        self._tls, self._ca = parts.scheme == "https", ca
        self._host, self._port = parts.hostname or "", parts.port
        query = {"target": node} | ({"cluster": cluster} if cluster else {})
        self._path = f"{parts.path.rstrip('/')}/ingest/exposition?{urlencode(query)}"
        self._token = token
        if ca is not None and not self._tls:
            raise UsageError(f"--ca {ca}: the service is not reached by https; write --push https://…")
        try:
            self._system = self._context() if self._tls else None
        except SourceError as error:
            raise UsageError(str(error)) from None

    def send(self, page: bytes) -> Answer:
        """Send one compressed page; never raises for what the other side does.

        Raises:
            ConfigError: the token cannot be read.
            SourceError: no header can carry it, or the file of authorities cannot be used.
        """
        headers = {
            "Content-Type": "text/plain; version=0.0.4", "Content-Encoding": "gzip",
            "Idempotency-Key": hashlib.sha256(page).hexdigest(), "User-Agent": "observe-agent",
        }  # fmt: skip
        shown = Credentials(bearer=self._token.resolve() if self._token else "")
        if shown.header:
            headers["Authorization"] = shown.header
        connection = self._connection()
        try:
            connection.request("POST", self._path, page, headers)
            response = connection.getresponse()
            said = response.read(1000).decode("utf-8", "replace")
            return _answer(response.status, shown.masked(said), response.getheader("Retry-After", ""))
        except (OSError, http.client.HTTPException) as error:
            return Answer("later", f"{self._host}: {type(error).__name__}: {error}")
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls:
            context = self._context() if self._ca else self._system
            return http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_S, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca)
        except OSError as error:  # also ssl.SSLError
            raise SourceError(f"--ca {self._ca}: {error.strerror or error}; expected certificates in PEM") from None


def presented(token: SecretRef) -> str:
    """The token itself, once it is known that a header can carry it.

    Raises:
        ConfigError: it cannot be read.
        UsageError: no header can carry it.
    """
    try:
        return Credentials(bearer=token.resolve()).bearer
    except SourceError as error:
        raise UsageError(f"--token {token}: {error}") from None


def _address(url: str) -> SplitResult:
    """The parts of a service's address; what would not be used as it is written is refused."""
    wanted = f"--push {url}: expected the address of the service, e.g. http://observe:8080"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(wanted)
    if "@" in parts.netloc:
        raise UsageError("--push: an address holds no user and password; show the service a --token")
    if parts.query or parts.fragment:
        raise UsageError(f"{wanted}; name the cluster with --cluster")
    return parts


def _answer(status: int, said: str, retry_after: str) -> Answer:
    if 200 <= status < 300:
        return Answer("taken")
    after = min(float(retry_after), 300.0) if retry_after.isdecimal() else 0.0
    return Answer("refused" if status in _FOR_GOOD else "later", f"answered {status}: {said[:300]}", after)
