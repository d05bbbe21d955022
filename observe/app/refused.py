"""One example for each reason why items were not stored: what it looked like, never what it said.

A sender is told its own items in the answer; here they are kept for others to see, so that nothing
of them may be text or a secret. Names of fields, and of a metric where it comes first, stay; quoted
text becomes its length, numbers and words become a placeholder (`collectors.template` knows what else
is never kept). A reason that comes again has its example renewed once an hour at most; so many are
kept, and each for a day.

Source: our own; TRUST section 2, "prompts, secrets".
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from collectors.template import template

SETTING: Final = "reject_examples"  # plain JSON: {source: {reason: {"example": ..., "at": ...}}}
LIMIT: Final = 160  # characters of an example
MOST: Final = 300  # examples kept
_RENEWED: Final = timedelta(hours=1)
_KEPT: Final = timedelta(days=1)
_LOOKED_AT: Final = 1000  # characters of an item
_KEY: Final = re.compile(r"""["']([A-Za-z_][\w.-]{0,40})["']\s*:""")
_LABEL: Final = re.compile(r"""\b([A-Za-z_]\w{0,40})(?==")""")
_NAME: Final = re.compile(r"[A-Za-z_:][\w:.]*(?=[ {]|$)")
_QUOTED: Final = re.compile(r""""((?:[^"\\]|\\.)*)"?|(?<![A-Za-z0-9])'((?:[^'\\]|\\.)*)'?""", re.DOTALL)
_WORDS: Final = re.compile(r"(?<![<\w])[^\W\d_][\w.@-]*(?:[\s,;]+[^\W\d_][\w.@-]*)*")
_OURS: Final = re.compile("null|true|false|None|True|False|nan|NaN|inf|is|no|at|ms|values|under|columns")
_FREE: Final = ("syntax",)  # reasons whose items are no items: nothing at their start is a name


def shape(reason: str, item: str) -> str:
    """What a refused item looked like.

    >>> shape("missing_key", "{'prediction_id': '', 'note': 'call me', 'x': 7}")
    '{prediction_id: <text of 0>, note: <text of 7>, x: <n>}'
    >>> shape("too_old", "DCGM_FI_DEV_GPU_UTIL 12 at 17 ms"), shape("syntax", "my password is hunter2")
    ('DCGM_FI_DEV_GPU_UTIL <n> at <n> ms', '<words> <secret>')
    """
    text = item[:_LOOKED_AT]
    if text[:1] in "\"'" and text[-1:] == text[:1] and len(text) > 1:  # the repr of a line
        text = text[1:-1]
    first = _NAME.match(text)
    name = first[0] if first and {"_", "."} & set(first[0]) and reason not in _FREE else ""
    held = _KEY.sub(lambda m: f"\x01{m[1]}\x02:", text[len(name) :])
    held = _LABEL.sub("\x01\\1\x02", held)
    held = _QUOTED.sub(lambda m: f"<text of {len(m[1] or m[2] or '')}>", held)
    parts = re.split(r"(\x01[^\x02]*\x02|<text of \d+>)", held)
    kept = "".join(p.strip("\x01\x02") if i % 2 else _masked(p) for i, p in enumerate(parts))
    return " ".join(f"{name}{kept}".split())[:LIMIT]


def _masked(part: str) -> str:
    """What stands between names and quoted text, without numbers, ids, secrets and words."""
    lead, tail = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :] if part.strip() else ""
    return lead + _WORDS.sub(_words, template(part)[0]) + tail


def _words(match: re.Match[str]) -> str:
    return match[0] if all(_OURS.fullmatch(word) for word in re.split(r"[\s,;]+", match[0])) else "<words>"


class Refused:
    """The newest example of each reason, by source; safe to call from any thread."""

    def __init__(self, kept: Mapping[str, Any] | None = None) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], tuple[str, datetime]] = {
            (source, reason): (str(told["example"]), datetime.fromisoformat(told["at"]))
            for source, reasons in (kept or {}).items()
            for reason, told in reasons.items()
        }

    def note(self, source: str, rejected: Mapping[str, int], examples: Mapping[str, str], at: datetime) -> None:
        """Keep what items of a body looked like that were not stored."""
        for reason in rejected:
            known = self._kept.get((source, reason))
            if reason in examples and (known is None or not timedelta(0) <= at - known[1] < _RENEWED):
                with self._lock:
                    self._kept.pop((source, reason), None)
                    self._kept[source, reason] = shape(reason, examples[reason]), at
                    while len(self._kept) > MOST:
                        del self._kept[next(iter(self._kept))]

    def told(self, now: datetime) -> dict[str, dict[str, dict[str, str]]]:
        """Plain JSON of what is kept."""
        with self._lock:
            self._kept = {key: told for key, told in self._kept.items() if now - told[1] <= _KEPT}
            found: dict[str, dict[str, dict[str, str]]] = {}
            for (source, reason), (example, at) in self._kept.items():
                found.setdefault(source, {})[reason] = {"example": example, "at": at.isoformat()}
            return found
