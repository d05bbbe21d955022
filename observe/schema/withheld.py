"""What of an explanation does not leave: tags, hashes of API keys, and the text of log messages.

Explanations are kept and shown whole to who may read here. What is handed on (a bundle, what a language model is
told) goes through here first: a tag is what a client wrote, and often names a user.

Source: our own; TRUST section 2, "prompts, secrets".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

PRIVATE: Final = frozenset({"tag", "API key"})  # dimensions of `differs` whose values stay here
LEFT_OUT: Final = "(left out)"
_NAMES: Final = tuple(f"{d} " for d in sorted(PRIVATE))
_SAID: Final = re.compile(
    rf"\b((?:have|came with) (?:{'|'.join(sorted(PRIVATE))})) (?!{re.escape(LEFT_OUT)}).*?"
    r"(?=: at least [^ ]+ times| \(the same requests:|$)", re.DOTALL,
)  # fmt: skip  # as `differing.Mix.words` says it, to the end of the value
_QUOTED: Final = re.compile(r"“.*”", re.DOTALL)


def open_differs(differs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The entries of `differs` that may leave, without what else their requests are called by.

    >>> open_differs([{"dimension": "tag", "value": "a"}, {"dimension": "team", "value": "b", "also": ["tag a"]}])
    [{'dimension': 'team', 'value': 'b', 'also': []}]
    """
    return [
        {k: [a for a in v if not str(a).startswith(_NAMES)] if k == "also" else v for k, v in d.items()}
        for d in differs
        if d.get("dimension") not in PRIVATE
    ]


def without_values(text: str, differs: Sequence[Mapping[str, Any]] = ()) -> str:
    """A text about `differs` without the values that stay here.

    >>> without_values("9 % of bad requests against 1 % of good ones have tag a: at least 2 times as common.")
    '9 % of bad requests against 1 % of good ones have tag (left out): at least 2 times as common.'
    """
    named = [f"{d['dimension']} {d['value']}" for d in differs if d.get("dimension") in PRIVATE]
    named += [str(a) for d in differs for a in d.get("also") or () if str(a).startswith(_NAMES)]
    for said in sorted(named, key=len, reverse=True):
        text = text.replace(said, f"{next(n for n in _NAMES if said.startswith(n))}{LEFT_OUT}")
    return _SAID.sub(rf"\1 {LEFT_OUT}", text)


def quiet(note: str) -> str:
    """The note of a log message without the message.

    >>> quiet("gateway: “user <*> of alice”: 0 → 12 a minute")
    'gateway: a message: 0 → 12 a minute'
    """
    return _QUOTED.sub("a message", note) if _QUOTED.search(note) else "a log message"


def log_notes(causes: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """The notes among these causes that quote a log message."""
    return [str(c["note"]) for c in causes if c and c.get("kind") == "log" and c.get("note")]


def without_logs(text: str, notes: Iterable[str]) -> str:
    """A text without the log messages that these notes quote."""
    for note in sorted(notes, key=len, reverse=True):
        text = text.replace(note, quiet(note))
    return text
