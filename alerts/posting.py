"""One POST to a receiver, and what its answer means: taken, refused for good, or to be tried again.

Redirects are refused, one deadline covers everything, 64 KiB of the answer are read. A secret that an
answer repeats is hidden before anybody keeps it.

Source: RFC 9110; TRUST section 2, "webhooks out".
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

from observe.schema import Reply
from observe.spec.secret import HIDDEN

if TYPE_CHECKING:
    import httpx

REPLY_CAP: Final = 64 * 1024  # bytes read of an answer
SHOWN: Final = 500  # characters of it that are kept
_PLAIN: Final = {"Accept-Encoding": "identity"}
_AGAIN: Final = frozenset({408, 425, 429})  # statuses besides 5xx that another try can cure


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `secrets` are hidden in what is told of it."""

    url: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    secrets: Sequence[str] = ()
    ca: Path | None = None  # whom we trust there, instead of the system's authorities
    cap: int = REPLY_CAP  # bytes of the answer that are read
    cert: Path | None = None  # what we show there, with its key
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a reply, and the text of it as it came."""

    reply: Reply
    text: str = ""


def post(request: Request, timeout_s: float) -> Reply:
    """Send it, and say what became of it; never raises for what the other side does.

    Args:
        request: what to send.
        timeout_s: for everything together, s.
    """
    return ask(request, timeout_s).reply


def ask(request: Request, timeout_s: float) -> Answer:
    """The same with the text of the answer."""
    try:
        answer = asyncio.run(_sent(request, timeout_s))
    except TimeoutError:
        return Answer(Reply(False, None, True, f"no complete answer within {timeout_s:g} s"))
    error = answer.reply.error
    return replace(answer, reply=replace(answer.reply, error=hidden(error, request.secrets) if error else None))


def hidden(text: str, secrets: Sequence[str]) -> str:
    r"""A text without any of the secrets, as they are, as JSON or an address writes them.

    >>> hidden("no such key: abc", ["abc"]), hidden(r'{"key": "a\"b"}', ['a"b']), hidden("?key=a%22b", ['a"b'])
    ('no such key: (hidden)', '{"key": "(hidden)"}', '?key=(hidden)')
    """
    forms = sorted({form for secret in secrets if secret for form in _written(secret)}, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, forms)), HIDDEN, text) if forms else text


def _written(secret: str) -> Iterator[str]:
    """The ways in which an answer may repeat it."""
    yield secret
    for ascii_only in (True, False):
        yield json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
    for safe in ("", "/"):
        yield quote(secret, safe, errors="replace")
        yield quote_plus(secret, safe, errors="replace")


async def _sent(request: Request, timeout_s: float) -> Answer:
    import httpx

    try:
        async with (
            asyncio.timeout(timeout_s),
            httpx.AsyncClient(
                timeout=timeout_s, follow_redirects=False, trust_env=False, verify=_trust(request)
            ) as client,
            client.stream(
                request.method, request.url, content=request.body, headers={**_PLAIN, **request.headers}
            ) as answer,
        ):
            text = await _text(answer, request.cap)
            return Answer(_reply(answer, hidden(text, request.secrets), request.secrets), text)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:
        said = hidden(f"{type(error).__name__}: {error}", request.secrets)  # before it is cut
        return Answer(Reply(False, None, True, said[:SHOWN]))


def _trust(request: Request) -> ssl.SSLContext | bool:
    """Whom we believe there, and the certificate we show."""
    import httpx

    if request.ca is None and request.cert is None:
        return True
    context = ssl.create_default_context(cafile=request.ca) if request.ca else httpx.create_ssl_context(trust_env=False)
    if request.cert is not None:
        context.load_cert_chain(request.cert, request.key, _refuse_to_ask)
    return context


def _refuse_to_ask() -> str:
    raise ssl.SSLError("the key is encrypted; give one without a pass phrase, readable by the service alone")


async def _text(answer: httpx.Response, cap: int) -> str:
    """The answer's beginning, as it came on the wire."""
    taken = bytearray()
    async for part in answer.aiter_raw(4096):
        taken += part
        if len(taken) >= cap:
            break
    return bytes(taken[:cap]).decode("utf-8", "replace")


def _reply(answer: httpx.Response, text: str, secrets: Sequence[str]) -> Reply:
    status = answer.status_code
    if 200 <= status < 300:
        return Reply(True, status)
    if 300 <= status < 400:
        where = hidden(answer.headers.get("location", "?"), secrets)[:200]
        return Reply(False, status, False, f"redirected to {where}; write that address")
    said = " ".join(text.split())[:SHOWN] or answer.reason_phrase
    return Reply(False, status, status >= 500 or status in _AGAIN, said)
