"""The only outgoing reads: one GET of a target, or the new bytes of watched files.

A target gets one total deadline, from name look-up to last byte, one cap on what it may send, on
the wire and inflated, and no way to send us to another host. Only addresses and paths written in
the site configuration come here; what we show a target goes to its own host and into no message.

Source: our own; RFC 9110 for redirects. Limits: TRUST, "scrape targets".
"""

from __future__ import annotations

import asyncio
import glob
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collectors.credentials import NOTHING, PUBLIC, Credentials, Trust
from observe.errors import PayloadTooLarge, SourceError

if TYPE_CHECKING:
    import httpx

DEADLINE_S: Final = 10.0
MAX_BODY: Final = 16 * 2**20  # bytes, inflated
MAX_FILE: Final = 2**30  # bytes of one watched file
MAX_REDIRECTS: Final = 3
_ACCEPT: Final = {
    "Accept": "text/plain;version=0.0.4;q=1,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
    "User-Agent": "observe",
}
_TYPES: Final[Mapping[str, str]] = {
    ".parquet": "application/vnd.apache.parquet", ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson",
    ".json": "application/json", ".csv": "text/csv", ".arrow": "application/vnd.apache.arrow.file",
    ".prom": "text/plain",
}  # fmt: skip
_APPENDED: Final = frozenset({".ndjson", ".jsonl"})  # files that grow at their end
_UNFINISHED: Final = (".tmp", ".part", ".inprogress", "~")


def get(
    url: str,
    deadline_s: float = DEADLINE_S,
    max_bytes: int = MAX_BODY,
    credentials: Credentials = NOTHING,
    trust: Trust = PUBLIC,
    cut: bool = False,
) -> bytes:
    """The body at `url`, inflated.

    Args:
        url: http or https address from the site configuration.
        deadline_s: for everything together, seconds.
        max_bytes: largest body taken, inflated.
        credentials: shown to this host and no other.
        trust: whom we believe at https addresses, and as whom we come.
        cut: give the first `max_bytes` of a larger body instead of refusing it.

    Raises:
        SourceError: no answer in time, not 200, or a redirect to another host.
        PayloadTooLarge: more than `max_bytes`.
    """
    try:
        return asyncio.run(_within(url, deadline_s, _Asked(max_bytes, cut, credentials, trust)))
    except TimeoutError:
        raise SourceError(f"{url}: no complete answer within {deadline_s:g} s") from None
    except (SourceError, PayloadTooLarge) as error:
        raise type(error)(credentials.masked(str(error))) from None


@dataclass(frozen=True, slots=True)
class _Asked:
    """How one body is asked for."""

    max_bytes: int
    cut: bool
    credentials: Credentials
    trust: Trust

    @property
    def headers(self) -> Mapping[str, str]:
        shown = self.credentials.header
        return {**_ACCEPT, "Authorization": shown} if shown else _ACCEPT


async def _within(url: str, deadline_s: float, asked: _Asked) -> bytes:
    import httpx

    async with asyncio.timeout(deadline_s):
        try:
            address = httpx.URL(url)
            if address.scheme not in ("http", "https"):
                raise SourceError(f"{url}: targets are http:// or https:// addresses")
            async with httpx.AsyncClient(
                verify=asked.trust.context(), trust_env=False, timeout=deadline_s, headers=asked.headers
            ) as client:
                return await _follow(client, address, asked)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # ssl.SSLError comes as it is
            raise SourceError(f"{url}: {type(error).__name__}: {error}") from None


async def _follow(client: httpx.AsyncClient, url: httpx.URL, asked: _Asked) -> bytes:
    origin = (url.scheme, url.host, url.port)
    for _ in range(MAX_REDIRECTS + 1):
        async with client.stream("GET", url) as response:
            if response.has_redirect_location:
                url = url.join(response.headers["location"])
                if (url.scheme, url.host, url.port) != origin:
                    raise SourceError(f"{response.url}: redirects to another host ({url.host}), which is not followed")
                continue
            if response.status_code != 200:
                raise SourceError(f"{url}: answered {_status(response.status_code)}")
            return await _body(response, asked)
    raise SourceError(f"{url}: more than {MAX_REDIRECTS} redirects")


def _status(code: int) -> str:
    """A status in our words: what the other side calls it may be anything."""
    try:
        phrase = HTTPStatus(code).phrase
    except ValueError:
        return str(code)
    return f"{code} {phrase}" + ("; look at auth and tls of its collector" if code in (401, 403) else "")


async def _body(response: httpx.Response, asked: _Asked) -> bytes:
    """The body, never holding more than `max_bytes` and one chunk."""
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        raise SourceError(f"{response.url}: content encoding {encoding!r}; gzip or none is understood")
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in encoding else None
    parts: list[bytes] = []
    room = asked.max_bytes
    try:
        async for chunk in response.aiter_raw():
            part = inflate.decompress(chunk, room + 1) if inflate else chunk
            parts.append(part)
            room -= len(part)
            if room < 0 or (inflate and inflate.unconsumed_tail):
                if asked.cut:
                    return b"".join(parts)[: asked.max_bytes]
                raise PayloadTooLarge(
                    f"{response.url}: more than {asked.max_bytes} bytes; expose fewer series or split the target"
                )
    except zlib.error as error:
        raise SourceError(f"{response.url}: broken gzip body: {error}") from None
    if inflate and not inflate.eof:
        raise SourceError(f"{response.url}: gzip body ends too early")
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class File:
    """New bytes of one watched file: those in `[start, end)`, and the fingerprint to remember once they are stored."""

    path: str
    fingerprint: str
    start: int
    end: int

    @property
    def content_type(self) -> str:
        """Media type by the name's ending."""
        return _TYPES.get(Path(self.path).suffix.lower(), "application/octet-stream")

    @property
    def batch_id(self) -> str:
        """The same for the same bytes of the same file, so a repeated read is stored once."""
        return hashlib.sha256(f"{self.path}\0{self.start}\0{self.fingerprint}".encode()).hexdigest()

    def read(self) -> bytes:
        """The bytes.

        Raises:
            PayloadTooLarge: more than 1 GiB of them.
            SourceError: the file is gone or shorter than it was.
        """
        if self.end - self.start > MAX_FILE:
            raise PayloadTooLarge(
                f"{self.path}: {self.end - self.start} bytes, a watched file may have {MAX_FILE}; "
                "split it, or take it with observe import"
            )
        data = _bytes(self.path, self.start, self.end)
        if len(data) != self.end - self.start:
            raise SourceError(f"{self.path}: changed while being read; it is read again at the next turn")
        return data


def tail(pattern: str, seen: Mapping[str, str]) -> Iterator[File]:
    """What is new in the files of a glob, oldest change first.

    A file is new or changed by size and time of change. Of a file of lines that only grew, the new
    whole lines are given; any other changed file is given whole. Hidden and unfinished files
    (`.tmp`, `.part`, ...) wait.

    Args:
        pattern: glob; `**` descends.
        seen: fingerprint by path, as given before; keeping it is the caller's part.
    """
    found = []
    for path in glob.iglob(pattern, recursive=True):
        try:
            stat = os.stat(path)
        except OSError:
            continue
        if Path(path).is_file() and not Path(path).name.endswith(_UNFINISHED):
            found.append((stat.st_mtime_ns, path, stat.st_size))
    for changed, path, size in sorted(found):
        stamp = f"{size}:{changed}"
        before = seen.get(path, "")
        if size and before.rpartition("|")[0] != stamp:
            grows = Path(path).suffix.lower() in _APPENDED and size <= MAX_FILE
            new = _appended(path, size, stamp, before) if grows else File(path, f"{stamp}|", 0, size)
            if new is not None and new.end > new.start:
                yield new


def _appended(path: str, size: int, stamp: str, before: str) -> File | None:
    """The whole lines added to a file; all of it when what was read before is no longer there."""
    data = _bytes(path, 0, size)
    end = data.rfind(b"\n") + 1
    end = len(data) if _is_json(data[end:]) else end
    known, _, digest = before.rpartition("|")[2].partition(":")
    start = int(known) if known and _digest(data[: int(known)]) == digest else 0
    return File(path, f"{stamp}|{end}:{_digest(data[:end])}", start, end)


def _is_json(line: bytes) -> bool:
    """Whether a last line without its newline is complete already."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _bytes(path: str, start: int, end: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(end - start)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None
