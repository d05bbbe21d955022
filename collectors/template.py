r"""A log line becomes the template it was made from: what varies, and what people wrote, is taken out.

>>> template('user 7 (jane@example.com) waited 12.5s for "a secret" at /v1/chat/0af7651916cd43dd8448eb211c80319c')
('user <n> (<email>) waited <n>s for <str> at /v1/chat/<id>', False)
>>> template("prompt: tell me about my neighbour")[0], template("retry=3 model=gpt-4o")[0]
('prompt: <text>', 'retry=<*> model=<*>')

Source: our own, after the masks of Drain (He et al. 2017); deterministic, no state.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

TEMPLATE_LIMIT: Final = 300  # characters of a template
LOOKED_AT: Final = 2048  # characters of a line
_SECRET: Final = r"passw(?:or)?ds?|passphrase|pwd|secrets?|api[ _-]?keys?|authorization|credentials?"  # noqa: S105 - names
_PLAIN: Final = (
    "authentication|auth|not|missing|invalid|incorrect|wrong|expired|required|rejected|failed|mismatch"  # no secret
)
_SPOKEN: Final = "prompt|completion|content|messages?|input|output|query|question|answer|response|text|body|payload"

# In this order; each pattern and what stands in its place. None looks twice at a character it has passed, so that no line is slow.
MASKS: Final = tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), put) for pattern, put in (
    (r"\x00", ""),
    (rf"""({_SECRET})(?![a-z]|["'](?!\s*[:=])| (?:{_PLAIN})\b[^:=]{{0,200}}\Z).*""", r"\1 <secret>"),
    (r"(tokens?(?![a-z])[\w-]{0,32}[\"']?\s*[:=]).*", r"\1 <secret>"),
    (r"\btoken (?-i:(?![a-z]+\b))\S+", "token <secret>"),
    (r"\b(basic (?-i:(?=[a-z]*[A-Z0-9+/=]))|bearer (?!tokens?\b))[\w+/=.~-]{4,}", r"\1<secret>"),
    (r"://[^\s/@]*@", "://<secret>@"),
    (rf"""\b({_SPOKEN})(["']?\s*[:=]).*""", r"\1\2 <text>"),
    (r'"(?:[^"\\]|\\.)*"?', "<str>"),
    (r"(?<![A-Za-z0-9])'(?:[^'\\]|\\.)*'", "<str>"),
    (r"`[^`]*`", "<str>"),
    (r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "<email>"),
    (r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", "<id>"),
    (r"(?<![\w.-])([A-Za-z_][\w.-]*)=(?!<)[^\s,;)\]}]+", r"\1=<*>"),
    (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", "<time>"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<ip>"),
    (r"\b0x[0-9a-f]+\b|\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b", "<id>"),
    (r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{16,}(?![\w-])", "<id>"),
    (r"[^\x20-\x7e]+", "<text>"),
    (r"(?<![A-Za-z_])[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?", "<n>"),
))  # fmt: skip


def template(line: str) -> tuple[str, bool]:
    """The template of a line, and whether it was cut."""
    text = " ".join(line[:LOOKED_AT].split())
    for pattern, put in MASKS:
        text = pattern.sub(put, text)
    cut = len(text) > TEMPLATE_LIMIT or len(line) > LOOKED_AT
    return text[:TEMPLATE_LIMIT], cut


def template_id(text: str) -> str:
    """The first 16 hex digits of the template's sha256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
