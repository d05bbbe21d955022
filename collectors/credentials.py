"""What we show a target and whom we believe there, as plain values; nothing here is ever printed.

Source: our own; RFC 6750 (bearer), RFC 7617 (basic), RFC 8446 (client certificates).
"""

from __future__ import annotations

import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from observe.errors import SourceError


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a target is shown: a bearer token, or a user and a password; nothing when all are empty."""

    bearer: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not (self.bearer.isascii() and self.bearer.isprintable()):
            raise SourceError("the bearer token holds characters that no header can carry; is it the right secret?")

    @property
    def header(self) -> str:
        """The value of `Authorization`; empty when there is nothing to show."""
        if self.bearer:
            return f"Bearer {self.bearer}"
        return f"Basic {self._basic}" if self.username else ""

    @property
    def _basic(self) -> str:
        return b64encode(f"{self.username}:{self.password}".encode()).decode()

    def masked(self, text: str) -> str:
        """The text without our secrets, should the other side have repeated them."""
        secrets = [s for s in (self.bearer, self.password, self._basic if self.username else "") if s]
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, "…")
        return text


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom we believe at a target (a file of CAs; None: the public ones), and the certificate we show there."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer; made anew only when one of the files has changed.

        Raises:
            SourceError: a file cannot be read or used.
        """
        try:
            stats = [path.stat() for path in (self.ca, self.cert, self.key) if path]
            return _context(self, tuple((s.st_mtime_ns, s.st_ino, s.st_size) for s in stats))
        except OSError as error:  # also ssl.SSLError; an error about a file carries no secret
            files = ", ".join(str(path) for path in (self.ca, self.cert, self.key) if path)
            raise SourceError(f"cannot use {files}: {error.strerror or error}") from None


@lru_cache(maxsize=256)
def _context(trust: Trust, _stamp: tuple[tuple[int, int, int], ...]) -> ssl.SSLContext:
    import httpx

    if trust.ca is None:
        context = httpx.create_ssl_context(trust_env=False)
    else:
        context = ssl.create_default_context(cafile=str(trust.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if trust.cert is not None and trust.key is not None:
        context.load_cert_chain(trust.cert, trust.key, _refuse_to_ask)
    return context


def _refuse_to_ask() -> str:
    raise ssl.SSLError("the key is encrypted; give one without a pass phrase, readable by the service alone")


NOTHING: Final = Credentials()
PUBLIC: Final = Trust()
