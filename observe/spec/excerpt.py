"""A line of a file as it may be shown: what stands where a secret belongs is blanked, at its place and width.

It goes by the text alone, so that it holds for files that are no YAML, too: whatever is written after a key
that speaks of a secret, misspelt or not, or on lines indented below one, unless it is a reference to a secret.

Source: our own.
"""

from __future__ import annotations

import re
from typing import Final

from observe.spec.nearest import nearest
from observe.spec.secret import SECRET_TEXT, names_secret

BLANK: Final = "•"
_LONGEST: Final = 200  # characters; a longer line is not shown
_PLACES: Final = ("auth", "bearer", "password", "token", "webhook")  # where our own files hold secrets
_ALIKE: Final = 0.8  # similarity from which a key counts as one of these, misspelt
_KEY = re.compile(r"""([A-Za-z_][\w-]*)["']?\s*:(?!//)""")
_ATOM = re.compile(r"""\$\{[A-Z_][A-Z0-9_]*\}|"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,{}\[\]"']+""")
_SHOWN = re.compile(  # keys, references, shell variables people take for them, and what `server.auth` may be
    r"""["']?(?:\$\{\w+\}|[A-Za-z_][\w-]*["']?:|env:\w+["']?|file:[^\s"']+["']?|none["']?|token["']?|-)"""
)
_USER: Final = "username"  # its value is no secret
_IN_ADDRESS = re.compile(r"(?<=://)[^\s\"']*@")
_QUERY = re.compile(r"""([?&;])([^\s=&?;"']+)=([^\s&;"',}\]]+)""")
_GLUED = re.compile(r"""([A-Za-z_][\w-]*):(?!//)([^\s"',)}\]]+)""")


def excerpt(lines: tuple[str, ...], line: int) -> str:
    """Line `line` (1-based) of a file, secrets blanked; nothing when it is absent or too long to show."""
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    if not text or len(text) > _LONGEST:
        return ""
    for start, end in _spans(text, _is_below(lines, line)):
        text = text[:start] + _blanked(text[start:end]) + text[end:]
    text = SECRET_TEXT.sub(lambda found: BLANK * len(found[0]), _IN_ADDRESS.sub(lambda m: BLANK * len(m[0]), text))
    return _QUERY.sub(_without_value, text)


def is_secret_place(name: str) -> bool:
    """Whether what stands under this key may be a secret.

    >>> is_secret_place("beare"), is_secret_place("DB_PASSWORD"), is_secret_place("every"), is_secret_place("key")
    (True, True, False, False)
    """
    return name.strip("[]") != "key" and (names_secret(name) or nearest(name, _PLACES, _ALIKE) is not None)


def told(message: str) -> str:
    """A message without what was written right behind such a key and its colon.

    >>> told("unknown field 'bearer:hunter2'")
    "unknown field 'bearer:…'"
    """
    return _GLUED.sub(lambda found: f"{found[1]}:…" if is_secret_place(found[1]) else found[0], message)


def _without_value(found: re.Match[str]) -> str:
    value = BLANK * len(found[3]) if names_secret(found[2]) else found[3]
    return f"{found[1]}{found[2]}={value}"


def _spans(text: str, is_below: bool) -> list[tuple[int, int]]:
    """Where secrets may stand in a line, from the last to the first."""
    if is_below:
        return [(0, len(text))]
    found: list[tuple[int, int]] = []
    for key in _KEY.finditer(text):
        if (not found or key.start() >= found[-1][1]) and is_secret_place(key[1]):
            end = _end(text, key.end()) if _is_open(text[: key.start()]) else None
            found.append((key.end(), len(text) if end is None else end))
    return found[::-1]


def _is_open(before: str) -> bool:
    """Whether a flow mapping or list is open at the end of this text."""
    return before.count("{") + before.count("[") > before.count("}") + before.count("]")


def _end(text: str, start: int) -> int | None:
    """Where a value inside brackets ends; None when it does not on this line."""
    depth, at = 0, start
    while at < len(text):
        quoted = _ATOM.match(text, at) if text[at] in "\"'" else None
        if quoted:
            at = quoted.end()
            continue
        depth += (text[at] in "{[") - (text[at] in "}]")
        if depth < 0 or (depth == 0 and text[at] == ","):
            return at
        at += 1
    return None


def _blanked(text: str) -> str:
    """The same length of text with keys and references only."""
    before = ""

    def put(found: re.Match[str]) -> str:
        nonlocal before
        key, before = before, found[0]
        shows = _SHOWN.fullmatch(found[0]) or key.strip("\"':") == _USER
        return found[0] if shows else BLANK * len(found[0])

    return _ATOM.sub(put, text)


def _is_below(lines: tuple[str, ...], line: int) -> bool:
    """Whether a line belongs to a secret key of an earlier one."""
    indent = _indent(lines[line - 1])
    for text in reversed(lines[: line - 1]):
        if not text.strip() or _indent(text) >= indent:
            continue
        indent = _indent(text)
        if any(end == len(text) and _end(text, start) is None for start, end in _spans(text, False)):
            return True
        if indent == 0:
            return False
    return False


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))
