"""The certificate our listeners show: served, taken anew when its files change, and trusted by our own clients.

A file that changes is taken once it has been the same for a whole turn, so that a certificate and its key, which
are two files, are never taken half. What cannot be used is refused and the old one goes on being shown.

Source: RFC 5280 (fields of a certificate), X.690 (DER), RFC 8446; our own.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from observe.errors import ConfigError

EVERY_S: Final = 1.0  # how often files are looked at
HSTS: Final = ("strict-transport-security", "max-age=31536000")  # a year; RFC 6797
_LOG = logging.getLogger("observe.certificates")
_SAN: Final = bytes.fromhex("0603551d11")  # OBJECT IDENTIFIER 2.5.29.17, subjectAltName
_VERSION, _EXTENSIONS, _DNS, _IP, _UTC_TIME = 0xA0, 0xA3, 0x82, 0x87, 0x17  # DER tags


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says: from when until when it holds, and for which names."""

    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]  # host names and addresses, in its order


def read(path: Path) -> Certificate:
    """The first certificate of a PEM file.

    Raises:
        ConfigError: the file cannot be read, or holds no certificate.
    """
    try:
        text = path.read_text(encoding="ascii", errors="replace")
        head, tail = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
        return _parsed(ssl.PEM_cert_to_DER_cert(head + text.split(head)[1].split(tail)[0] + tail))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, IndexError):
        raise ConfigError(f"{path} holds no certificate in PEM form") from None


def _parsed(der: bytes) -> Certificate:
    [(_, whole)] = _items(der)
    (_, signed), *_ = _items(whole)
    fields = list(_items(signed))
    fields = fields[1:] if fields[0][0] == _VERSION else fields
    begin, end = (_instant(tag, value) for tag, value in _items(fields[3][1]))
    extensions = next((value for tag, value in fields[6:] if tag == _EXTENSIONS), b"")
    return Certificate(begin, end, tuple(_names(extensions)))


def _items(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of the items that stand one after another."""
    at = 0
    while at < len(der):
        tag, size, at = der[at], der[at + 1], at + 2
        if size & 0x80:
            more = size & 0x7F
            size, at = int.from_bytes(der[at : at + more]), at + more
        if at + size > len(der):
            raise ValueError("cut short")
        yield tag, der[at : at + size]
        at += size


def _instant(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _names(extensions: bytes) -> Iterator[str]:
    for _, sequence in _items(extensions):
        for _, extension in _items(sequence):
            if extension.startswith(_SAN):
                _, octets = list(_items(extension))[-1]
                ((_, names),) = _items(octets)
                for tag, name in _items(names):
                    if tag == _DNS:
                        yield name.decode("ascii")
                    elif tag == _IP:
                        yield _address(name)


def _address(packed: bytes) -> str:
    from ipaddress import ip_address

    return str(ip_address(packed))


class Served:
    """A certificate and its key as a listener shows them; `refresh` takes new files into the same context.

    Raises:
        ConfigError: the files cannot be used.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self.cert, self.key = cert, key
        self.context = _server_context(cert, key)
        self._taken = self._seen = self._stamp()

    def refresh(self) -> bool:
        """Take the files when they have changed and stand still; True when new handshakes show another certificate.

        To be called in the thread that does the handshakes: then none can come in between.
        """
        stamp = self._stamp()
        settled, self._seen = stamp == self._seen, stamp
        if stamp == self._taken or not settled:
            return False
        self._taken = stamp
        try:
            _server_context(self.cert, self.key)  # tried beside: a pair that does not fit must not touch the old one
            self.context.load_cert_chain(self.cert, self.key, _refuse_to_ask)
        except (ConfigError, OSError) as error:
            _LOG.warning("event=certificate_refused cert=%s error=%s", self.cert, error)
            return False
        _LOG.info("event=certificate_taken cert=%s not_after=%s", self.cert, read(self.cert).not_after.isoformat())
        return True

    async def follow(self) -> None:
        """Refresh now and then, for as long as somebody listens."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.refresh()

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(_stamp(path) for path in (self.cert, self.key))


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0)
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


def _server_context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, _refuse_to_ask)
    except OSError as error:  # also ssl.SSLError
        hint = "server: {tls: {cert: server.pem, key: server.key}}; both PEM, the key without a pass phrase"
        why = getattr(error, "reason", None) or error.strerror or error
        raise ConfigError(f"server.tls: cannot use {cert} with {key}: {why}", hint=hint) from None
    read(cert)
    return context


def _refuse_to_ask() -> str:
    raise ssl.SSLError("the key is encrypted")


class Own:
    """How our own clients know our listener: by a CA or the very certificate, under the name it stands for.

    We connect to an address such as 127.0.0.1, which certificates do not name; the name is taken from the file.
    A certificate that names nothing is known by itself.

    Args:
        cert: what the listener shows.
        ca: who signed it; None believes the certificate itself.

    Raises:
        ConfigError: a file cannot be read.
    """

    def __init__(self, cert: Path, ca: Path | None = None) -> None:
        self._cert, self._anchor = cert, ca or cert
        self.name = ""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself may be the anchor
        self._taken: tuple[tuple[int, int, int], ...] = ()
        self.refresh()

    def refresh(self) -> bool:
        """Take the files when they have changed, and believe the old ones still; whether it is worth another try."""
        stamp = (_stamp(self._cert), _stamp(self._anchor))
        if stamp == self._taken:
            return False
        names = read(self._cert).names
        try:
            self.context.load_verify_locations(self._anchor)
        except OSError as error:
            raise ConfigError(f"cannot use {self._anchor}: {error.strerror or error}") from None
        self.name = names[0].replace("*", "observe", 1) if names else ""
        self.context.check_hostname = bool(names)
        self._taken = stamp
        return True

    @property
    def extensions(self) -> Mapping[str, Any]:
        """What an httpx request needs besides the context."""
        return {"sni_hostname": self.name} if self.name else {}
